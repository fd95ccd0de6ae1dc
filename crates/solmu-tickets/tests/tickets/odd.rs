//! Input that nobody should send.

use solmu_bus::Event;
use solmu_proto::{
    inbound::v1::{MessageReceived, Sender},
    types::v1::{Assurance, Attachment, IdentityKind},
};
use solmu_testkit::wait_for;

use crate::support::{World, answer, copied, form, identity, mail};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgresql_refuses_is_filed_all_the_same() {
    let world = World::new().await;
    let long = format!("{}@c.example", "x".repeat(5_000));
    let odd = MessageReceived {
        subject: "nul \0 here".to_owned(),
        text: "a\0b".to_owned(),
        html: "\0".to_owned(),
        notices: vec!["\0".to_owned()],
        attachments: vec![Attachment {
            filename: "a\0.pdf".to_owned(),
            ..Attachment::default()
        }],
        sent_time: Some(prost_types::Timestamp {
            seconds: -200_000_000_000,
            nanos: 0,
        }),
        sender: Some(Sender {
            display_name: "\0".to_owned(),
            identities: vec![identity(IdentityKind::Email, &long, Assurance::Claimed)],
        }),
        ..answer("odd@c.example", "x", &[&long, "\0"])
    };
    // An address that grows when it is lowered must not outgrow an index entry.
    let grows = format!("{}@c.example", "İ".repeat(390));
    let odd = copied(odd, &[&long, "\0", "a@b\0", &grows]);
    let ticket = world.file(&odd).await.unwrap();
    assert_eq!(ticket.subject, "nul  here");
    let again = MessageReceived {
        sender: odd.sender.clone(),
        ..answer("odd2@c.example", "x", &[&long])
    };
    let joined = world.file(&again).await.unwrap();
    assert_eq!(
        (joined.id, joined.contact_id),
        (ticket.id, ticket.contact_id)
    );

    let fields = MessageReceived {
        fields_json: r#"{"a\u0000": "\u0000"}"#.to_owned(),
        ..form("f1", "A B", "a@b.example")
    };
    assert!(world.file(&fields).await.is_some());
    let broken = MessageReceived {
        fields_json: "{".to_owned(),
        ..form("f2", "A B", "a@b.example")
    };
    assert!(world.file(&broken).await.is_some());
    let bare = MessageReceived {
        message_id: uuid::Uuid::from_u128(7).to_string(),
        ..MessageReceived::default()
    };
    assert_eq!(world.file(&bare).await.unwrap().subject, "(no subject)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_decode_is_dead_lettered_at_once() {
    let world = World::new().await;
    let good = mail("good@c.example", "aino@c.example");
    let broken = Event {
        data: vec![0xff; 9].into(),
        ..world.event(&good)
    };
    let nameless = world.event(&MessageReceived {
        message_id: "7".to_owned(),
        ..good.clone()
    });
    let foreign = Event {
        event_type: "solmu.other.v9".to_owned(),
        ..world.event(&good)
    };
    world
        .publish(&[broken, nameless, foreign, world.event(&good)])
        .await;
    world.settled_but(3).await;
    assert!(world.ticket_of(&good).await.is_some());
    wait_for("three dead letters", || async {
        world.harness.bus.dead_letters(1, 10).await.unwrap().len() == 3
    })
    .await;
    let dead = world.harness.bus.dead_letters(1, 10).await.unwrap();
    let mut causes: Vec<_> = dead
        .iter()
        .map(|entry| entry.letter.cause_code.as_str())
        .collect();
    causes.sort_unstable();
    assert_eq!(causes, ["bad_event", "undecodable", "unknown_event_type"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poison_message_blocks_only_its_conversation_and_dies() {
    let mut world = World::empty().await;
    let taken = mail("taken@c.example", "aino@c.example");
    // Another id for the same external id breaks the unique key of promise 2.
    let poison = MessageReceived {
        message_id: uuid::Uuid::from_u128(13).to_string(),
        ..taken.clone()
    };
    let behind = answer("behind@c.example", "aino@c.example", &["taken@c.example"]);
    let others: Vec<_> = (0..20)
        .map(|n| mail(&format!("o{n}@d.example"), &format!("o{n}@d.example")))
        .collect();
    let mut all = vec![taken.clone(), poison, behind.clone()];
    all.extend(others.iter().cloned());
    world.send(&all).await;
    drop(world.start("a").await);
    world.settled_but(1).await;
    wait_for("one dead letter", || async {
        world.harness.bus.dead_letters(1, 10).await.unwrap().len() == 1
    })
    .await;
    let dead = world.harness.bus.dead_letters(1, 10).await.unwrap();
    assert_eq!(
        (dead[0].letter.cause_code.as_str(), dead[0].letter.attempts),
        ("cannot_file", 6)
    );
    assert_eq!(world.tickets().await.len(), 21);
    let ticket = world.ticket_of(&behind).await.unwrap();
    assert_eq!(
        (ticket.id, ticket.message_count),
        (world.ticket_of(&taken).await.unwrap().id, 2)
    );
}
