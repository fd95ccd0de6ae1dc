//! One Message-ID, several mails.

use solmu_proto::{
    inbound::v1::{MessageReceived, RawOriginal, raw_original::Place},
    ticket::v1::ReplyToTicketRequest,
    types::v1::AutomaticClass,
};

use crate::{
    api_world::Api,
    support::{World, automatic, mail, signed},
};

const ID: &str = "fixed@c.example";
const AINO: &str = "aino@c.example";

fn saying(text: &str, from: &str) -> MessageReceived {
    MessageReceived {
        text: text.to_owned(),
        ..mail(ID, from)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_mail_under_the_same_id_is_kept_and_a_repeat_is_not() {
    let world = World::new().await;
    let first = world.file(&saying("one", AINO)).await.unwrap();
    // In one batch and in batches of their own.
    let all = [
        saying("one", AINO),
        saying("two", AINO),
        saying("two", AINO),
        saying("one", "mallory@evil.example"),
    ];
    world.send(&all).await;
    world.settled().await;
    for message in &all {
        world.send(std::slice::from_ref(message)).await;
        world.settled().await;
    }
    assert_eq!(world.count("SELECT count(*) FROM tickets.message").await, 3);
    let of_aino: Vec<String> = sqlx::query_scalar(
        "SELECT body_text FROM tickets.message WHERE ticket_id = $1 ORDER BY sequence",
    )
    .bind(first.id)
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(of_aino, ["one", "two"]);
    assert_eq!(
        world.tickets().await.len(),
        2,
        "a stranger's is a ticket of its own"
    );
    let headers = "SELECT count(*) FROM tickets.message
        WHERE external_id <> message_id_header AND message_id_header = 'fixed@c.example'";
    assert_eq!(world.count(headers).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_that_meet_under_one_id_keep_both() {
    let mut world = World::empty().await;
    drop(world.start("a").await);
    drop(world.start("b").await);
    let mut all = Vec::new();
    for n in 0..40 {
        for text in ["one", "two", "three"] {
            // In another partition each, so that the replicas do not wait for each other.
            all.push(MessageReceived {
                text: text.to_owned(),
                conversation_key: format!("{n}-{text}@c.example"),
                ..mail(&format!("{n}@c.example"), AINO)
            });
        }
    }
    world.send(&all).await;
    world.settled().await;
    assert_eq!(
        world.count("SELECT count(*) FROM tickets.message").await,
        120
    );
    assert_eq!(world.tickets().await.len(), 40);
    assert_eq!(
        world.harness.bus.dead_letters(1, 10).await.unwrap().len(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_original_is_the_same_mail_whatever_was_read_out_of_it() {
    let world = World::new().await;
    let read = |text: &str| MessageReceived {
        raw: Some(RawOriginal {
            sha256: "ab".to_owned(),
            ..RawOriginal::default()
        }),
        ..saying(text, AINO)
    };
    world.file(&read("as one release read it")).await.unwrap();
    world.file(&read("as the next one does")).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM tickets.message").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_id_in_the_quarantine_is_released_as_itself() {
    let api = Api::new().await;
    let world = &api.world;
    let away = |text: &str| automatic(saying(text, AINO), AutomaticClass::OutOfOffice);
    assert_eq!(world.file(&away("one")).await, None);
    assert_eq!(world.file(&away("two")).await, None);
    assert_eq!(world.file(&away("two")).await, None);
    let waiting: Vec<uuid::Uuid> = sqlx::query_scalar("SELECT message_id FROM tickets.quarantine")
        .fetch_all(world.pool())
        .await
        .unwrap();
    assert_eq!(waiting.len(), 2);
    for message_id in waiting {
        let request = solmu_proto::ticket::v1::ReleaseQuarantinedRequest {
            message_id: message_id.to_string(),
        };
        api.tickets()
            .release_quarantined(api.agent(request))
            .await
            .unwrap();
    }
    assert_eq!(
        world
            .count("SELECT count(DISTINCT body_text) FROM tickets.message")
            .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_names_the_id_that_the_customer_wrote() {
    let api = Api::new().await;
    let ticket = api.world.file(&saying("one", AINO)).await.unwrap();
    let second = signed(saying("two", AINO), ticket.id);
    api.world.file(&second).await.unwrap();
    let request = ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: "Here".to_owned(),
        ..ReplyToTicketRequest::default()
    };
    api.tickets()
        .reply_to_ticket(api.agent(request))
        .await
        .unwrap();
    let queued = api
        .world
        .told::<solmu_proto::outbound::v1::MessageQueued>()
        .await;
    assert_eq!(queued[0].in_reply_to, ID);
    assert!(queued[0].references.iter().all(|it| it == ID));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_that_take_different_mails_under_one_id_keep_both() {
    let mut world = World::new().await;
    drop(world.start("b").await);
    let with_original = |message: MessageReceived, raw: &str| MessageReceived {
        raw: Some(RawOriginal {
            sha256: raw.to_owned(),
            place: Some(Place::Inline(raw.as_bytes().to_vec())),
            ..RawOriginal::default()
        }),
        conversation_key: raw.to_owned(),
        ..message
    };
    let mut all = Vec::new();
    for n in 0..20 {
        let id = format!("same{n}@c.example");
        let human = with_original(mail(&id, AINO), &format!("human{n}"));
        let machine = automatic(mail(&id, "bot@d.example"), AutomaticClass::AutoReply);
        let machine = with_original(machine, &format!("machine{n}"));
        let other = automatic(mail(&id, "cat@e.example"), AutomaticClass::AutoReply);
        all.extend([human, machine, with_original(other, &format!("other{n}"))]);
    }
    world.send(&all).await;
    world.settled().await;
    for (what, sql) in [
        ("filed", "SELECT count(*) FROM tickets.message"),
        ("waiting", "SELECT count(*) / 2 FROM tickets.quarantine"),
        ("originals", "SELECT count(*) / 3 FROM tickets.raw_original"),
    ] {
        assert_eq!(world.count(sql).await, 20, "{what}");
    }
    // All of it comes again.
    world.send(&all).await;
    world.settled().await;
    assert_eq!(
        world.count("SELECT count(*) FROM tickets.quarantine").await,
        40
    );
    assert_eq!(
        world.count("SELECT count(*) FROM tickets.message").await,
        20
    );
}
