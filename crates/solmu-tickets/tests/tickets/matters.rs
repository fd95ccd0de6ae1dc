//! One matter, one ticket: messages on another channel that are about the same as an open ticket.

use solmu_proto::{
    inbound::v1::{MessageReceived, Sender},
    outbound::v1::MessageQueued,
    ticket::v1::{
        AcceptMatterRequest, DismissMatterRequest, ListActivitiesRequest,
        ListMatterProposalsRequest, MatterProposal, MessageSplit, ReplyToTicketRequest,
        TicketChanged, TicketMessageAdded, TicketOpened,
        matter_proposal::{Ground, State},
    },
    types::v1::{Assurance, AutomaticClass, Channel, IdentityKind},
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    api_world::{Api, reason},
    merges::{split, unmerge},
    support::{World, answer, automatic, identity, message},
};

pub(crate) const AINO: &str = "aino@c.example";

/// The same, with other words.
pub(crate) fn saying(mut message: MessageReceived, subject: &str, text: &str) -> MessageReceived {
    subject.clone_into(&mut message.subject);
    text.clone_into(&mut message.text);
    message
}

/// The same, from a sender with identities: kind, value, and whether it was proven.
pub(crate) fn from(
    mut message: MessageReceived,
    name: &str,
    identities: &[(IdentityKind, &str, bool)],
) -> MessageReceived {
    let all = identities.iter().map(|(kind, value, proven)| {
        let assurance = if *proven {
            Assurance::Proven
        } else {
            Assurance::Claimed
        };
        identity(*kind, value, assurance)
    });
    message.sender = Some(Sender {
        display_name: name.to_owned(),
        identities: all.collect(),
    });
    message
}

/// A mail of Aino's that passed the checks of her domain.
pub(crate) fn proven_mail(id: &str, references: &[&str]) -> MessageReceived {
    let mail = answer(id, AINO, references);
    from(mail, "Aino Virtanen", &[(IdentityKind::Email, AINO, true)])
}

/// A line in a chat in which Aino signed in, or in which somebody typed her address.
pub(crate) fn chat_of_aino(id: &str, session: &str, signed_in: bool) -> MessageReceived {
    let line = message(Channel::Chat, "chat", id, session, Sender::default());
    let identities = [
        (IdentityKind::Email, AINO, signed_in),
        (IdentityKind::ChatSession, session, true),
    ];
    from(line, "Aino Virtanen", &identities)
}

pub(crate) fn telegram_of_aino(id: &str) -> MessageReceived {
    let line = message(Channel::Telegram, "telegram", id, "tg-7", Sender::default());
    let identities = [
        (IdentityKind::Email, AINO, true),
        (IdentityKind::Telegram, "tg-7", true),
    ];
    from(line, "Aino Virtanen", &identities)
}

pub(crate) fn late_order(message: MessageReceived) -> MessageReceived {
    saying(message, "Where is it?", "My order 10023 has not come.")
}

pub(crate) fn asking(message: MessageReceived) -> MessageReceived {
    saying(message, "", "hi, any news of order 10023?")
}

pub(crate) async fn reply(api: &Api, ticket: Uuid, text: &str) -> Result<(), Status> {
    let request = ReplyToTicketRequest {
        ticket_id: ticket.to_string(),
        text: text.to_owned(),
        ..ReplyToTicketRequest::default()
    };
    let sent = api.tickets().reply_to_ticket(api.agent(request)).await;
    sent.map(drop)
}

/// Where the last answer went: channel, conversation, and to whom.
pub(crate) async fn answered(world: &World) -> (Channel, String, String) {
    let all = world.told::<MessageQueued>().await;
    let last = all.last().unwrap().clone();
    let recipient = last.recipient.clone().unwrap();
    (last.channel(), last.conversation_key, recipient.value)
}

pub(crate) async fn proposals(api: &Api, ticket: Option<Uuid>) -> Vec<MatterProposal> {
    let request = ListMatterProposalsRequest {
        ticket_id: ticket.map(|id| id.to_string()).unwrap_or_default(),
        ..ListMatterProposalsRequest::default()
    };
    let listed = api
        .matters()
        .list_matter_proposals(api.agent(request))
        .await;
    listed.unwrap().into_inner().proposals
}

pub(crate) async fn accept(
    api: &Api,
    id: &str,
    request_id: &str,
) -> Result<MatterProposal, Status> {
    let request = AcceptMatterRequest {
        id: id.to_owned(),
        reason: "the same lamp".to_owned(),
        request_id: request_id.to_owned(),
    };
    let accepted = api.matters().accept_matter(api.agent(request)).await;
    accepted.map(tonic::Response::into_inner)
}

async fn dismiss(api: &Api, id: &str, request_id: &str) -> Result<MatterProposal, Status> {
    let request = DismissMatterRequest {
        id: id.to_owned(),
        request_id: request_id.to_owned(),
    };
    let dismissed = api.matters().dismiss_matter(api.agent(request)).await;
    dismissed.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proven_requester_goes_on_with_their_order_on_another_channel() {
    let api = Api::new().await;
    let world = &api.world;
    let ticket = world
        .file(&late_order(proven_mail("1@c.example", &[])))
        .await
        .unwrap();
    let line = asking(chat_of_aino("c1", "s1", true));
    let joined = world.file(&line).await.unwrap();
    assert_eq!((joined.id, joined.message_count), (ticket.id, 2));
    assert!(world.notices(&line).await[0].contains("10023"));
    // The next line follows the conversation, whatever it says.
    let next = saying(chat_of_aino("c2", "s1", true), "", "it is urgent");
    assert_eq!(world.file(&next).await.unwrap().id, ticket.id);

    reply(&api, ticket.id, "it is on its way").await.unwrap();
    let chat = (Channel::Chat, "s1".to_owned(), "s1".to_owned());
    assert_eq!(answered(world).await, chat);
    world
        .file(&proven_mail("2@c.example", &["1@c.example"]))
        .await
        .unwrap();
    reply(&api, ticket.id, "as I wrote in the chat")
        .await
        .unwrap();
    let (channel, _, to) = answered(world).await;
    assert_eq!((channel, to.as_str()), (Channel::Email, AINO));

    let known = proposals(&api, Some(ticket.id)).await;
    assert_eq!(known.len(), 1);
    let known = &known[0];
    assert_eq!(
        (known.state(), known.ground()),
        (State::Joined, Ground::Reference)
    );
    assert!(
        known.proven && known.score >= 80 && known.reference == "10023",
        "{known:?}"
    );
    assert!(proposals(&api, None).await.is_empty(), "nothing waits");
    let told = world.told::<TicketMessageAdded>().await;
    let same = told.iter().find_map(|it| it.same_matter.clone()).unwrap();
    assert_eq!(
        (same.ground.as_str(), same.matter_id),
        ("reference", known.id.clone())
    );
    let request = api.agent(ListActivitiesRequest {
        ticket_id: ticket.id.to_string(),
        ..ListActivitiesRequest::default()
    });
    let log = api.activity().list_activities(request).await.unwrap();
    let log = log.into_inner().activities;
    assert!(
        log.iter()
            .any(|it| it.reason.contains("same reference") && it.reason.contains("proven"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_claims_to_be_somebody_joins_nothing_and_is_answered_nothing() {
    let api = Api::new().await;
    let world = &api.world;
    // A stranger types the address of a customer and quotes an order of theirs, after and before they write.
    let ticket = world
        .file(&late_order(proven_mail("1@c.example", &[])))
        .await
        .unwrap();
    let stranger = world
        .file(&asking(chat_of_aino("x1", "evil", false)))
        .await
        .unwrap();
    assert_ne!(stranger.id, ticket.id);
    let telegram = world.file(&asking(telegram_of_aino("t1"))).await.unwrap();
    assert_eq!(
        telegram.id, ticket.id,
        "it joins what is hers, not what the stranger wrote"
    );
    let waiting = proposals(&api, None).await;
    assert_eq!(waiting.len(), 1);
    let pair = &waiting[0];
    assert_eq!(
        (
            pair.ticket_id.as_str(),
            pair.opened_ticket_id.as_str(),
            pair.proven
        ),
        (
            ticket.id.to_string().as_str(),
            stranger.id.to_string().as_str(),
            false
        )
    );
    // Even where an agent takes both for one, the stranger gets no answer that the customer is to get.
    accept(&api, &pair.id, "r1").await.unwrap();
    world
        .file(&saying(chat_of_aino("x2", "evil", false), "", "well?"))
        .await
        .unwrap();
    reply(&api, ticket.id, "it is at Mannerheimintie 1")
        .await
        .unwrap();
    assert_eq!(answered(world).await.0, Channel::Telegram);

    // The other way round: the stranger came first, about another order.
    let other = |message| saying(message, "", "what about order 777001?");
    let trap = world
        .file(&other(chat_of_aino("x3", "evil-2", false)))
        .await
        .unwrap();
    let real = world
        .file(&other(proven_mail("3@c.example", &[])))
        .await
        .unwrap();
    assert_ne!(real.id, trap.id);
    assert_eq!(proposals(&api, None).await.len(), 1, "somebody is asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_joined_is_split_out_whole() {
    let api = Api::new().await;
    let world = &api.world;
    let ticket = world
        .file(&late_order(proven_mail("1@c.example", &[])))
        .await
        .unwrap();
    let line = asking(chat_of_aino("c1", "s1", true));
    world.file(&line).await.unwrap();
    reply(&api, ticket.id, "which one do you mean?")
        .await
        .unwrap();
    let second = saying(
        chat_of_aino("c2", "s1", true),
        "",
        "another one, of my mother",
    );
    world.file(&second).await.unwrap();

    let new = split(&api, Uuid::parse_str(&second.message_id).unwrap())
        .await
        .unwrap();
    let new = Uuid::parse_str(&new.id).unwrap();
    let on = |ticket: Uuid| async move {
        let all: Vec<(String, i64)> = sqlx::query_as(
            "SELECT external_id, sequence FROM tickets.message WHERE ticket_id = $1 ORDER BY sequence",
        )
        .bind(ticket)
        .fetch_all(world.pool())
        .await
        .unwrap();
        all
    };
    let moved = on(new).await;
    let sequences: Vec<i64> = moved.iter().map(|it| it.1).collect();
    assert_eq!(
        (sequences, moved[0].0.as_str(), moved[2].0.as_str()),
        (vec![1, 2, 3], "c1", "c2")
    );
    assert_eq!(on(ticket.id).await.len(), 1);
    let told = world.told::<MessageSplit>().await;
    assert_eq!(told[0].message_ids.len(), 3);

    // Each goes on by itself, and is answered where it is.
    let third = saying(chat_of_aino("c3", "s1", true), "", "so?");
    assert_eq!(world.file(&third).await.unwrap().id, new);
    reply(&api, ticket.id, "yours is on its way").await.unwrap();
    assert_eq!(answered(world).await.0, Channel::Email);
    reply(&api, new, "hers is not").await.unwrap();
    assert_eq!(
        answered(world).await,
        (Channel::Chat, "s1".to_owned(), "s1".to_owned())
    );
    assert_eq!(
        proposals(&api, Some(ticket.id)).await[0].state(),
        State::Split
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn similar_words_are_proposed_and_people_decide() {
    let api = Api::new().await;
    let world = &api.world;
    let lamp = "The desk lamp flickers since Monday, the dimmer makes a noise";
    let first = saying(proven_mail("1@c.example", &[]), "Desk lamp flickers", lamp);
    let ticket = world.file(&first).await.unwrap();
    let words = "hello, my desk lamp still flickers and the dimmer makes this noise";
    let opened = world
        .file(&saying(chat_of_aino("c1", "s1", true), "", words))
        .await
        .unwrap();
    assert_ne!(opened.id, ticket.id);
    let waiting = proposals(&api, None).await;
    assert_eq!((waiting.len(), waiting[0].ground()), (1, Ground::Words));
    assert!(waiting[0].reference.is_empty() && waiting[0].score >= 50);
    let told = world.told::<TicketOpened>().await;
    let same = told.iter().find_map(|it| it.same_matter.clone()).unwrap();
    assert_eq!(same.ticket_id, ticket.id.to_string());
    // A responder that quotes the words is nobody's matter.
    let quoting = saying(chat_of_aino("c0", "s0", true), "", words);
    world
        .file(&automatic(quoting, AutomaticClass::AutoGenerated))
        .await
        .unwrap();
    assert_eq!(proposals(&api, None).await.len(), 1);

    let accepted = accept(&api, &waiting[0].id, "r1").await.unwrap();
    assert_eq!(accepted.state(), State::Accepted);
    assert_eq!(
        accept(&api, &waiting[0].id, "r1").await.unwrap(),
        accepted,
        "again is nothing"
    );
    assert_eq!(
        reason(&dismiss(&api, &waiting[0].id, "r2").await.unwrap_err()),
        "MATTER_DECIDED"
    );
    assert_eq!(world.ticket(ticket.id).await.message_count, 2);
    // The requester of both is proven: they are answered where they wrote last.
    reply(&api, ticket.id, "a new dimmer is in the mail")
        .await
        .unwrap();
    assert_eq!(answered(world).await.0, Channel::Chat);
    unmerge(&api, opened.id).await.unwrap();
    reply(&api, ticket.id, "as a mail").await.unwrap();
    assert_eq!(answered(world).await.0, Channel::Email);

    let more = saying(telegram_of_aino("t1"), "", words);
    world.file(&more).await.unwrap();
    let waiting = proposals(&api, None).await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        reason(&dismiss(&api, &waiting[0].id, "r1").await.unwrap_err()),
        "REQUEST_ID_REUSED"
    );
    let dismissed = dismiss(&api, &waiting[0].id, "r3").await.unwrap();
    assert_eq!(dismissed.state(), State::Dismissed);
    assert!(proposals(&api, None).await.is_empty());
    let told = world.told::<TicketChanged>().await;
    let change = &told.last().unwrap().changes[0];
    assert_eq!(
        (change.field.as_str(), change.to.as_str()),
        ("same_matter", "")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_a_ticket_counts_with_proof_only() {
    let world = World::new().await;
    let ticket = world
        .file(&saying(proven_mail("1@c.example", &[]), "Lamp", "broken"))
        .await
        .unwrap();
    let naming = |message| saying(message, "", &format!("about ticket {}", ticket.number));
    let claimed = world
        .file(&naming(chat_of_aino("c1", "s1", false)))
        .await
        .unwrap();
    assert_ne!(claimed.id, ticket.id);
    let proven = world
        .file(&naming(chat_of_aino("c2", "s2", true)))
        .await
        .unwrap();
    assert_eq!(proven.id, ticket.id);
    // On the same channel, too: who names it means it.
    let mail = world
        .file(&naming(proven_mail("2@c.example", &[])))
        .await
        .unwrap();
    assert_eq!(mail.id, ticket.id);
    let other = from(
        naming(answer("3@d.example", "matti@d.example", &[])),
        "Matti Laine",
        &[(IdentityKind::Email, "matti@d.example", true)],
    );
    assert_ne!(
        world.file(&other).await.unwrap().id,
        ticket.id,
        "somebody else's"
    );
}
