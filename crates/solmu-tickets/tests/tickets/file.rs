//! One message, one effect.

use futures::StreamExt as _;
use solmu_bus::{EventBody as _, Family, tail::Cursor};
use solmu_proto::{
    inbound::v1::{MessageReceived, RawOriginal, raw_original::Place},
    ticket::v1::{TicketMessageAdded, TicketOpened},
    types::v1::{Attachment, Channel, TicketStatus},
};

use crate::support::{World, answer, chat, form, mail};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_becomes_a_ticket_with_its_contact_and_original() {
    let world = World::new().await;
    let sent = MessageReceived {
        raw: Some(RawOriginal {
            content_type: "message/rfc822".to_owned(),
            size_bytes: 3,
            sha256: "ab".to_owned(),
            place: Some(Place::Inline(b"raw".to_vec())),
        }),
        attachments: vec![Attachment {
            filename: "invoice.pdf".to_owned(),
            size_bytes: 10,
            ..Attachment::default()
        }],
        notices: vec!["one".to_owned(), "two".to_owned()],
        language: "fi".to_owned(),
        ..mail("m1@c.example", "aino@c.example")
    };
    let ticket = world.file(&sent).await.unwrap();
    assert_eq!(
        (ticket.number, ticket.status.as_str(), ticket.message_count),
        (1000, "new", 1)
    );
    assert_eq!((ticket.subject.as_str(), ticket.version), ("Invoice", 1));
    assert_eq!(ticket.channels, 1 << (Channel::Email as i32));

    let (name, language): (String, String) =
        sqlx::query_as("SELECT display_name, language FROM tickets.contact WHERE id = $1")
            .bind(ticket.contact_id)
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!((name.as_str(), language.as_str()), ("aino@c.example", "fi"));
    let raw: Vec<u8> = sqlx::query_scalar("SELECT content FROM tickets.raw_original")
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!(raw, b"raw");
    let (text, notices, attachments): (String, Vec<String>, serde_json::Value) =
        sqlx::query_as("SELECT body_text, notices, attachments FROM tickets.message")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!((text.as_str(), notices.len()), ("words of m1@c.example", 2));
    assert_eq!(attachments[0]["filename"], "invoice.pdf");

    let start = Some(Cursor {
        sequence: 0,
        place: 0,
    });
    let tail = world
        .harness
        .bus
        .tail(Family::Tickets, start)
        .await
        .unwrap();
    let (_, event) = Box::pin(tail).next().await.unwrap();
    assert_eq!(
        (event.event_type.as_str(), event.subject.clone()),
        (TicketOpened::TYPE, ticket.id.to_string())
    );
    let body: TicketOpened = event.decode().unwrap();
    let (state, message) = (body.ticket.unwrap(), body.message.unwrap());
    assert_eq!(
        (state.number, state.status(), state.version),
        (1000, TicketStatus::New, 1)
    );
    assert_eq!(state.recipient, "support@solmu.example");
    assert_eq!((message.message_id, message.sequence), (sent.message_id, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_comes_fifty_times_has_one_effect() {
    let mut world = World::empty().await;
    let storm = vec![mail("dup@c.example", "aino@c.example"); 50];
    // As one batch with one event id, as deliveries of their own, and over two replicas.
    let again = vec![world.event(&storm[0]); 50];
    world.harness.bus.publish(&again).await.unwrap();
    world.send(&storm).await;
    drop(world.start("a").await);
    drop(world.start("b").await);
    for one in storm.chunks(1) {
        world.send(one).await;
    }
    world.settled().await;
    assert_eq!(world.count("SELECT count(*) FROM tickets.message").await, 1);
    assert_eq!(world.tickets().await.len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM tickets.contact").await, 1);
    assert_eq!(world.events().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_opens_and_answers_in_order() {
    let world = World::new().await;
    let sent = [
        mail("a1@c.example", "aino@c.example"),
        mail("b1@d.example", "matti@d.example"),
        answer("a2@c.example", "aino@c.example", &["a1@c.example"]),
        answer(
            "a3@c.example",
            "aino@c.example",
            &["a1@c.example", "a2@c.example"],
        ),
    ];
    world.send(&sent).await;
    world.settled().await;
    let tickets = world.tickets().await;
    assert_eq!(tickets.iter().map(|it| it.message_count).max(), Some(3));
    assert_eq!(tickets.len(), 2);
    let order: Vec<String> = sqlx::query_scalar(
        "SELECT external_id FROM tickets.message WHERE external_id LIKE 'a%' ORDER BY sequence",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(order, ["a1@c.example", "a2@c.example", "a3@c.example"]);
    let added = world.told::<TicketMessageAdded>().await;
    let sequences: Vec<i64> = added
        .iter()
        .map(|it| it.message.as_ref().unwrap().sequence)
        .collect();
    assert_eq!(sequences, [2, 3]);
    assert!(
        added
            .iter()
            .all(|it| it.ticket.as_ref().unwrap().number >= 1000)
    );
    // A reply to a new ticket leaves it new.
    assert!(tickets.iter().all(|it| it.status == "new"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_channel_is_filed() {
    let world = World::new().await;
    let posted = world
        .file(&form("f1", "Aino Virtanen", "aino@c.example"))
        .await
        .unwrap();
    assert_eq!(posted.subject, "From the form");
    let first = world.file(&chat("c1", "session-1")).await.unwrap();
    assert_eq!(
        first.subject, "words of c1",
        "the first words stand for a subject"
    );
    let second = world.file(&chat("c2", "session-1")).await.unwrap();
    assert_eq!((second.id, second.message_count), (first.id, 2));
    let fields: serde_json::Value =
        sqlx::query_scalar("SELECT fields FROM tickets.message WHERE external_id = 'f1'")
            .fetch_one(world.pool())
            .await
            .unwrap();
    assert_eq!(fields["order"], 7);
}
