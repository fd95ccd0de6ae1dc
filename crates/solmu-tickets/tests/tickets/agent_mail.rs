//! Agents who answer, open tickets and are told by mail.

use solmu_bus::envelope::to_proto_time;
use solmu_proto::{
    inbound::v1::{MessageReceived, authenticity::Verdict},
    outbound::v1::{MessageQueued, Purpose},
    ticket::v1::{AssignTicketRequest, ReplyToTicketRequest, TicketMessageAdded, TicketOpened},
    types::v1::{Assurance, Attachment, AutomaticClass, actor::Kind},
};
use solmu_tickets::{AgentMail, Config};
use uuid::Uuid;

use crate::{
    api_world::Api,
    restricted::SECURITY,
    restricting_rules::put,
    support::{Ticket, World, answer, automatic, chat, copied, judged, mail, signed},
};

pub(crate) const ROOT: &str = "root@c.example";
pub(crate) const AINO: &str = "aino@c.example";
pub(crate) const VILLE: &str = "ville@desk.example";
pub(crate) const AGENT: Uuid = Uuid::from_u128(0xA6);
const TEXT: &str =
    "It is on its way.\n\n-- \nVille\n\nOn Monday, Aino wrote:\n> secret number 17\n";

pub(crate) fn config() -> Config {
    Config {
        agent_mail: AgentMail {
            start_addresses: vec!["support@solmu.example".to_owned()],
            ..AgentMail::default()
        },
        ..Config::default()
    }
}

pub(crate) async fn with_agent(world: &World, id: Uuid, address: &str) {
    sqlx::query("INSERT INTO tickets.agent (id, display_name, address) VALUES ($1, 'Ville V', $2)")
        .bind(id)
        .bind(address)
        .execute(world.pool())
        .await
        .unwrap();
}

pub(crate) async fn world() -> World {
    let world = World::configured(config()).await;
    with_agent(&world, AGENT, VILLE).await;
    world
}

/// A mail whose sender is proven.
pub(crate) fn proven(message: MessageReceived) -> MessageReceived {
    let mut message = judged(message, Verdict::Verified);
    if let Some(identity) = message
        .sender
        .as_mut()
        .and_then(|it| it.identities.first_mut())
    {
        identity.assurance = Assurance::Proven.into();
    }
    message
}

/// An agent's mail to the reply address of a ticket.
fn to_ticket(id: &str, from: &str, ticket: Uuid) -> MessageReceived {
    let mut message = signed(mail(id, from), ticket);
    if let Some(threading) = &mut message.threading {
        threading.addressed_ticket_ids = vec![ticket.to_string()];
    }
    MessageReceived {
        text: TEXT.to_owned(),
        signature_offset: Some(19),
        quote_offset: Some(29),
        attachments: vec![Attachment {
            object_key: "k1".to_owned(),
            filename: "way.pdf".to_owned(),
            ..Attachment::default()
        }],
        ..message
    }
}

/// Author kind, public, text and notices of a stored message.
pub(crate) async fn stored(
    world: &World,
    message: &MessageReceived,
) -> (i16, bool, String, Vec<String>) {
    sqlx::query_as(
        "SELECT author_kind, public, body_text, notices FROM tickets.message WHERE id = $1",
    )
    .bind(Uuid::parse_str(&message.message_id).unwrap())
    .fetch_one(world.pool())
    .await
    .unwrap()
}

pub(crate) async fn opened(world: &World) -> Ticket {
    world.file(&mail(ROOT, AINO)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_answer_goes_to_the_customer_without_what_it_quotes() {
    let world = world().await;
    let ticket = opened(&world).await;
    let sent = proven(to_ticket("a1@desk.example", VILLE, ticket.id));
    assert_eq!(world.file(&sent).await.unwrap().id, ticket.id);
    let queued = world.told::<MessageQueued>().await;
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].text, "It is on its way.");
    assert_eq!(
        (queued[0].purpose(), queued[0].automatic),
        (Purpose::Reply, false)
    );
    assert_eq!(queued[0].recipient.as_ref().unwrap().value, AINO);
    assert_eq!(queued[0].message_id, sent.message_id);
    assert_eq!(queued[0].attachments.len(), 1);
    assert_eq!(queued[0].in_reply_to, ROOT);
    let (kind, public, text, notices) = stored(&world, &sent).await;
    assert_eq!(
        (i32::from(kind), public, notices.len()),
        (Kind::Agent.into(), true, 1)
    );
    assert!(notices[0].contains("the signature"), "{notices:?}");
    assert_eq!(text, TEXT, "what is stored is the whole");
    let after = world.ticket(ticket.id).await;
    assert_eq!(
        (after.status.as_str(), after.message_count),
        ("waiting_on_customer", 2)
    );
    assert_eq!(after.contact_id, ticket.contact_id);
    let told = world.told::<TicketMessageAdded>().await;
    let author = told[0].message.as_ref().unwrap().author.clone().unwrap();
    assert_eq!((author.kind(), author.id), (Kind::Agent, AGENT.to_string()));
    // It comes again, over another way: nothing happens.
    let again = MessageReceived {
        received_time: Some(to_proto_time("2026-11-02T09:00:00Z".parse().unwrap())),
        ..sent.clone()
    };
    world.send(&[again]).await;
    world.settled().await;
    assert_eq!(world.told::<MessageQueued>().await.len(), 1);
    assert_eq!(world.ticket(ticket.id).await.message_count, 2);
    // Whoever answers the agent's own mail finds the ticket, and the desk's colleagues are no party of it.
    let reply = answer("r@c.example", AINO, &["a1@desk.example"]);
    assert_eq!(world.file(&reply).await.unwrap().id, ticket.id);
    assert_eq!(world.ticket(ticket.id).await.status, "customer_replied");
    let colleague = answer("x@desk.example", "eve@desk.example", &[ROOT]);
    assert_ne!(world.file(&colleague).await.unwrap().id, ticket.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_proof_nobody_is_an_agent() {
    let world = world().await;
    let ticket = opened(&world).await;
    let forged = |n: u8| to_ticket(&format!("f{n}@desk.example"), VILLE, ticket.id);
    let mails = [
        // Verified, but the list rewrote who wrote it.
        judged(forged(1), Verdict::Verified),
        judged(forged(2), Verdict::Unverified),
        judged(forged(3), Verdict::Failed),
        forged(4),
        // Proven, and no agent.
        proven(to_ticket("f5@desk.example", "eve@desk.example", ticket.id)),
    ];
    for sent in &mails {
        world.file(sent).await.unwrap();
        let (kind, _, _, notices) = stored(&world, sent).await;
        assert_eq!(i32::from(kind), i32::from(Kind::Customer));
        let by_agent = sent.external_id != "f5@desk.example";
        let says = notices.iter().any(|it| it.contains("address of an agent"));
        assert_eq!(says, by_agent, "{notices:?}");
    }
    assert!(world.told::<MessageQueued>().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_or_should_not_go_out_becomes_a_note_that_says_why() {
    let world = world().await;
    let ticket = opened(&world).await;
    let named = {
        let mut message = to_ticket("n1@desk.example", VILLE, ticket.id);
        message
            .threading
            .as_mut()
            .unwrap()
            .addressed_ticket_ids
            .clear();
        proven(message)
    };
    let away = automatic(
        proven(to_ticket("n2@desk.example", VILLE, ticket.id)),
        AutomaticClass::OutOfOffice,
    );
    for (sent, why) in [(named, "reply address"), (away, "automatic")] {
        assert_eq!(world.file(&sent).await.unwrap().id, ticket.id);
        let (_, public, text, notices) = stored(&world, &sent).await;
        assert!(
            !public && text == TEXT && notices[0].contains(why),
            "{notices:?}"
        );
    }
    assert_eq!(world.ticket(ticket.id).await.status, "new");
    world.set_status(ticket.id, "closed").await;
    let late = proven(to_ticket("n4@desk.example", VILLE, ticket.id));
    assert_eq!(world.file(&late).await.unwrap().id, ticket.id);
    assert!(stored(&world, &late).await.3[0].contains("cannot go from 'closed'"));
    sqlx::query("UPDATE tickets.identity SET undeliverable_at = '2030-01-01'")
        .execute(world.pool())
        .await
        .unwrap();
    let other = world.file(&mail("root2@c.example", AINO)).await.unwrap();
    let gone = proven(to_ticket("n5@desk.example", VILLE, other.id));
    world.file(&gone).await.unwrap();
    assert!(stored(&world, &gone).await.3[0].contains("takes no mail"));
    assert!(world.told::<MessageQueued>().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_goes_out_on_the_customers_channel() {
    let world = world().await;
    let ticket = world.file(&chat("c1", "session-1")).await.unwrap();
    let sent = proven(to_ticket("c@desk.example", VILLE, ticket.id));
    assert_eq!(world.file(&sent).await.unwrap().id, ticket.id);
    let queued = world.told::<MessageQueued>().await;
    assert_eq!(queued[0].recipient.as_ref().unwrap().value, "session-1");
    assert!(queued[0].attachments.is_empty() && queued[0].quoted.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_opens_and_a_rule_restricts_is_not_theirs() {
    let world = world().await;
    put(world.pool(), 7, "recipient = \"support@*\"", &[]).await;
    let sent = copied(
        proven(mail("s1@desk.example", VILLE)),
        &["Aino@c.example", "support@solmu.example"],
    );
    let ticket = world.file(&sent).await.unwrap();
    assert_eq!((ticket.assignee_id, ticket.team_id), (None, Some(SECURITY)));
    let told = world.told::<TicketOpened>().await;
    assert!(told[0].restricted_by.is_some());
    put(world.pool(), 7, "", &[AGENT]).await;
    let named = copied(
        proven(mail("s2@desk.example", VILLE)),
        &["otso@c.example", "support@solmu.example"],
    );
    let named = world.file(&named).await.unwrap();
    assert_eq!(named.assignee_id, Some(AGENT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_writes_to_a_customer_and_the_ticket_is_the_customers() {
    let world = world().await;
    let sent = copied(
        proven(mail("s1@desk.example", VILLE)),
        &["Aino@c.example", "support@solmu.example"],
    );
    let ticket = world.file(&sent).await.unwrap();
    assert_eq!(
        (ticket.status.as_str(), ticket.assignee_id),
        ("waiting_on_customer", Some(AGENT))
    );
    assert!(
        world.told::<MessageQueued>().await.is_empty(),
        "they got it from the agent"
    );
    let told = world.told::<TicketOpened>().await;
    let author = told[0].message.as_ref().unwrap().author.clone().unwrap();
    assert_eq!((told.len(), author.kind()), (1, Kind::Agent));
    let contact: String =
        sqlx::query_scalar("SELECT value FROM tickets.identity WHERE contact_id = $1")
            .bind(ticket.contact_id)
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(contact, AINO);
    // It comes again: one ticket. They answer: on it.
    world.send(&[sent]).await;
    world.settled().await;
    assert_eq!(world.tickets().await.len(), 1);
    let reply = answer("r@c.example", AINO, &["s1@desk.example"]);
    assert_eq!(world.file(&reply).await.unwrap().id, ticket.id);
    assert_eq!(world.ticket(ticket.id).await.contact_id, ticket.contact_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_forwards_what_a_customer_wrote() {
    let world = world().await;
    let text = "Can you take this?\n\n---------- Forwarded message ---------\nFrom: Aino V <aino@c.example>\n\
        Date: Mon, 2 Nov 2026\nSubject: Broken\n\nIt is broken.";
    let sent = MessageReceived {
        subject: "Fwd: Broken".to_owned(),
        text: text.to_owned(),
        ..proven(mail("w1@desk.example", VILLE))
    };
    let ticket = world.file(&sent).await.unwrap();
    assert_eq!(
        (ticket.subject.as_str(), ticket.message_count),
        ("Broken", 2)
    );
    let rows: Vec<(i16, bool, String, String)> = sqlx::query_as(
        "SELECT author_kind, public, body_text, address FROM tickets.message ORDER BY sequence",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(
        rows[0],
        (1, true, "It is broken.".to_owned(), AINO.to_owned())
    );
    assert_eq!((rows[1].0, rows[1].1, rows[1].2.as_str()), (2, false, text));
    world.send(&[sent]).await;
    world.settled().await;
    assert_eq!(world.tickets().await.len(), 1);
    // Not proven to be the agent's: a ticket of whoever sent it.
    let other = MessageReceived {
        text: text.to_owned(),
        ..mail("w2@desk.example", VILLE)
    };
    let ordinary = world.file(&other).await.unwrap();
    assert_ne!(ordinary.contact_id, ticket.contact_id);
    assert!(stored(&world, &other).await.3[0].contains("address of an agent"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_written_to_by_mail_is_answered_over_the_api() {
    let api = Api::configured(config()).await;
    with_agent(&api.world, AGENT, VILLE).await;
    let sent = copied(proven(mail("s1@desk.example", VILLE)), &[AINO]);
    let ticket = api.world.file(&sent).await.unwrap();
    let reply = ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: "And one more thing".to_owned(),
        ..ReplyToTicketRequest::default()
    };
    api.tickets()
        .reply_to_ticket(api.agent(reply))
        .await
        .unwrap();
    api.world.settled().await;
    let queued = api.world.told::<MessageQueued>().await;
    assert_eq!(queued[0].recipient.as_ref().unwrap().value, AINO);
    assert!(queued[0].quoted.is_none(), "they wrote nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_is_told_if_that_is_wanted() {
    let mut wanted = config();
    wanted.agent_mail.notify_assignee = true;
    wanted.loops.notifications_per_ticket = solmu_tickets::Cap {
        messages: 2,
        seconds: 3_600,
    };
    let api = Api::configured(wanted).await;
    with_agent(&api.world, AGENT, VILLE).await;
    let ticket = api.world.file(&mail(ROOT, AINO)).await.unwrap();
    assert!(
        api.world.told::<MessageQueued>().await.is_empty(),
        "nobody owns it"
    );
    let assign = AssignTicketRequest {
        ticket_id: ticket.id.to_string(),
        agent_id: AGENT.to_string(),
        ..AssignTicketRequest::default()
    };
    api.tickets()
        .assign_ticket(api.agent(assign))
        .await
        .unwrap();
    for n in 0..4 {
        let more = MessageReceived {
            text: "More.\n\n> old secret".to_owned(),
            quote_offset: Some(6),
            ..answer(&format!("r{n}@c.example"), AINO, &[ROOT])
        };
        api.world.file(&more).await.unwrap();
    }
    let away = automatic(
        answer("o@c.example", AINO, &[ROOT]),
        AutomaticClass::OutOfOffice,
    );
    api.world.file(&away).await.unwrap();
    let queued = api.world.told::<MessageQueued>().await;
    assert_eq!(queued.len(), 2, "up to the cap, and not of machines");
    let one = &queued[0];
    assert_eq!(
        (one.purpose(), one.automatic),
        (Purpose::Notification, true)
    );
    assert_eq!(one.recipient.as_ref().unwrap().value, VILLE);
    assert!(
        one.text.ends_with("\n\nMore.\n") && !one.text.contains("secret"),
        "{}",
        one.text
    );
    assert_eq!(one.ticket_id, ticket.id.to_string());
    // What becomes of it is nothing that the ticket knows.
    let report = solmu_proto::inbound::v1::DeliveryReported {
        message_id: one.message_id.clone(),
        channel: one.channel,
        account: one.account.clone(),
        external_id: "n@solmu.example".to_owned(),
        state: solmu_proto::types::v1::DeliveryState::Sent.into(),
        ..Default::default()
    };
    api.world.tell(&report).await;
    assert_eq!(
        api.world
            .count("SELECT count(*) FROM tickets.early_report")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_a_ticket_of_one_customer_never_goes_to_another() {
    let api = Api::configured(config()).await;
    let world = &api.world;
    with_agent(world, AGENT, VILLE).await;
    let aino = opened(world).await;
    let matti = world
        .file(&mail("m@d.example", "matti@d.example"))
        .await
        .unwrap();
    crate::merges::merge(&api, &[aino.id], matti.id)
        .await
        .unwrap();
    let sent = proven(to_ticket("a1@desk.example", VILLE, aino.id));
    assert_eq!(world.file(&sent).await.unwrap().id, matti.id);
    assert!(world.told::<MessageQueued>().await.is_empty());
    let (kind, public, text, notices) = stored(world, &sent).await;
    assert_eq!(
        (i32::from(kind), public, text.as_str()),
        (Kind::Agent.into(), false, TEXT),
        "a note"
    );
    assert_eq!(notices.len(), 1, "which says why");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_who_asks_the_desk_is_a_customer() {
    let world = world().await;
    let asked = world
        .file(&proven(mail("q@desk.example", VILLE)))
        .await
        .unwrap();
    let more = proven(to_ticket("q2@desk.example", VILLE, asked.id));
    assert_eq!(world.file(&more).await.unwrap().id, asked.id);
    assert!(world.told::<MessageQueued>().await.is_empty());
    let (kind, public, _, _) = stored(&world, &more).await;
    assert_eq!((i32::from(kind), public), (Kind::Customer.into(), true));
}
