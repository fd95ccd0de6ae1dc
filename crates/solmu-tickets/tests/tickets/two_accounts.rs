//! One mail that came to two accounts of ours. Each of them hands it in.

use solmu_proto::{
    inbound::v1::{MessageReceived, authenticity::Verdict},
    outbound::v1::MessageQueued,
    ticket::v1::ForwardToExpertRequest,
    types::v1::Mailbox,
};
use uuid::Uuid;

use crate::{
    agent_mail::{AGENT, AINO, VILLE, config, opened, proven, stored, with_agent, world},
    agent_read::{read, reply_address},
    api_world::Api,
    support::{World, judged},
};

/// The same mail as both accounts read it.
fn both(from: &str, raw: &str) -> [MessageReceived; 2] {
    ["main", "sales"].map(|account| read(account, from, raw))
}

fn raw(id: &str, to: &str, cc: &str, subject: &str) -> String {
    let date = "Mon, 2 Nov 2026 08:00:00 +0000";
    format!(
        "To: {to}\nCc: {cc}\nMessage-ID: <{id}>\nDate: {date}\nSubject: {subject}\n\nIt is on its way.\n"
    )
}

async fn messages(world: &World, ticket: Uuid) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM tickets.message WHERE ticket_id = $1");
    count.bind(ticket).fetch_one(world.pool()).await.unwrap()
}

const SALES: &str = "sales@solmu.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agents_answer_is_sent_once() {
    let world = world().await;
    let ticket = opened(&world).await;
    let to = reply_address(ticket.id);
    let one = both(VILLE, &raw("a1@desk.example", &to, SALES, "Re: Help")).map(proven);
    world.send(&one).await;
    world.settled().await;
    assert_eq!(world.told::<MessageQueued>().await.len(), 1);
    assert_eq!(messages(&world, ticket.id).await, 2);
    // One after the other, and the other way round.
    let mut two = both(VILLE, &raw("a2@desk.example", &to, SALES, "Re: Help")).map(proven);
    two.reverse();
    for sent in &two {
        world.file(sent).await;
    }
    assert_eq!(world.told::<MessageQueued>().await.len(), 2);
    assert_eq!(messages(&world, ticket.id).await, 3);
    // An account that cannot prove the sender takes nothing from the one that can.
    let [known, unknown] = both(VILLE, &raw("a3@desk.example", &to, SALES, "Re: Help"));
    world.file(&judged(unknown, Verdict::Unverified)).await;
    let known = proven(known);
    world.file(&known).await;
    assert_eq!(world.told::<MessageQueued>().await.len(), 3);
    assert!(stored(&world, &known).await.1, "an answer");
    // And the next mail with the same words is another one.
    let [again, _] = both(VILLE, &raw("a4@desk.example", &to, SALES, "Re: Help")).map(proven);
    world.file(&again).await;
    assert_eq!(world.told::<MessageQueued>().await.len(), 4);
    // A customer's copy to another account does not lead the answers there.
    let [_, copy] = both(AINO, &raw("r0@c.example", &to, SALES, "Re: Help"));
    world.file(&copy).await;
    let [last, _] = both(VILLE, &raw("a5@desk.example", &to, SALES, "Re: Help")).map(proven);
    world.file(&last).await;
    let queued = world.told::<MessageQueued>().await;
    assert_eq!((queued.len(), queued[4].account.as_str()), (5, "main"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customers_mail_stands_once_on_one_ticket() {
    let world = world().await;
    let ticket = opened(&world).await;
    let to = reply_address(ticket.id);
    let signed = both(AINO, &raw("r1@c.example", &to, SALES, "Re: Help"));
    world.send(&signed).await;
    world.settled().await;
    assert_eq!(messages(&world, ticket.id).await, 2);
    assert_eq!(world.ticket(ticket.id).await.message_count, 2);
    // By the number in its subject.
    let subject = format!("[#{}] Help", ticket.number);
    let numbered = both(
        AINO,
        &raw("r2@c.example", "support@solmu.example", SALES, &subject),
    );
    for sent in &numbered {
        world.file(sent).await;
    }
    assert_eq!(messages(&world, ticket.id).await, 3);
    // On one that is closed: one ticket that follows it.
    world.set_status(ticket.id, "closed").await;
    let late = both(AINO, &raw("r3@c.example", &to, SALES, "Re: Help"));
    for sent in &late {
        world.file(sent).await;
    }
    let tickets = world.tickets().await;
    assert_eq!(tickets.len(), 2);
    assert_eq!(messages(&world, tickets[1].id).await, 1);
    // Without a name of ours each account has a ticket.
    let plain = both(
        AINO,
        &raw("r4@c.example", "support@solmu.example", SALES, "New"),
    );
    world.send(&plain).await;
    world.settled().await;
    assert_eq!(world.tickets().await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_opens_one_ticket() {
    let world = world().await;
    let cc = format!("support@solmu.example, {SALES}");
    let sent = both(VILLE, &raw("s1@desk.example", AINO, &cc, "Your order")).map(proven);
    world.send(&sent).await;
    world.settled().await;
    let tickets = world.tickets().await;
    assert_eq!((tickets.len(), tickets[0].assignee_id), (1, Some(AGENT)));
    assert_eq!(messages(&world, tickets[0].id).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_experts_answer_is_one_note() {
    let api = Api::configured(config()).await;
    with_agent(&api.world, AGENT, VILLE).await;
    let ticket = opened(&api.world).await;
    let asked = ForwardToExpertRequest {
        ticket_id: ticket.id.to_string(),
        to: vec![Mailbox {
            address: "e@lab.example".to_owned(),
            ..Mailbox::default()
        }],
        text: "What is this?".to_owned(),
        ..ForwardToExpertRequest::default()
    };
    let begun = api.tickets().forward_to_expert(api.agent(asked)).await;
    let side = begun.unwrap().into_inner().side_conversations.remove(0);
    let to = reply_address(Uuid::parse_str(&side.id).unwrap());
    let answers = both(
        "e@lab.example",
        &raw("e1@lab.example", &to, SALES, "Re: Fwd: Help"),
    );
    for answer in &answers {
        api.world.file(answer).await;
    }
    assert_eq!(messages(&api.world, ticket.id).await, 3);
    assert_eq!(api.world.tickets().await.len(), 1);
}
