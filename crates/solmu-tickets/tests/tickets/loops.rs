//! Automatic mail that does not stop.

use jiff::SignedDuration;
use solmu_proto::{
    inbound::v1::MessageReceived,
    outbound::v1::{MessageQueued, Purpose},
    ticket::v1::ReleaseQuarantinedRequest,
    types::v1::AutomaticClass,
};
use solmu_tickets::{Acknowledgement, Cap, Config};

use crate::{
    api_world::{Api, opened},
    support::{World, answer, automatic, mail, signed},
};

const AINO: &str = "aino@c.example";
const LOOPS: &str =
    "SELECT count(*) FROM tickets.quarantine WHERE cause_code = 'loop' AND released_at IS NULL";

fn responder(n: usize) -> solmu_proto::inbound::v1::MessageReceived {
    let id = format!("auto{n}@c.example");
    automatic(
        answer(&id, AINO, &["root@c.example"]),
        AutomaticClass::AutoReply,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_one_ticket_waits_and_nothing_is_lost() {
    let mut api = Api::new().await;
    let ticket = opened(&api).await;
    drop(api.world.start("b").await);
    let flood: Vec<_> = (0..300).map(responder).collect();
    api.world.send(&flood).await;
    api.world.settled().await;
    assert_eq!(api.world.ticket(ticket.id).await.message_count, 21);
    assert_eq!(api.world.count(LOOPS).await, 280);

    // A person is not held back, nor is the automatic mail of somebody else.
    let person = answer("p@c.example", AINO, &["root@c.example"]);
    assert_eq!(api.world.file(&person).await.unwrap().id, ticket.id);
    let other = automatic(
        answer("o@c.example", "boss@c.example", &["root@c.example"]),
        AutomaticClass::OutOfOffice,
    );
    assert_eq!(api.world.file(&other).await.unwrap().id, ticket.id);

    // What waits can be let in, and after a while there is room again.
    let released = ReleaseQuarantinedRequest {
        message_id: first_loop(&api.world).await,
    };
    let filed = api
        .tickets()
        .release_quarantined(api.agent(released))
        .await
        .unwrap();
    assert_eq!(filed.into_inner().id, ticket.id.to_string());
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_secs(30));
    assert!(api.world.file(&responder(1_000)).await.is_some());
    assert!(api.world.file(&responder(1_001)).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_with_a_new_address_each_time_stops_too() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let flood: Vec<_> = (0..100)
        .map(|n| {
            let bounce = mail(
                &format!("b{n}@mx.example"),
                &format!("bounce-{n}@mx.example"),
            );
            automatic(signed(bounce, ticket.id), AutomaticClass::BounceSoft)
        })
        .collect();
    api.world.send(&flood).await;
    api.world.settled().await;
    assert_eq!(api.world.ticket(ticket.id).await.message_count, 61);
    assert_eq!(api.world.count(LOOPS).await, 40);
}

/// Two responders face each other: ours acknowledges, and the other side answers whatever it gets.
async fn face(world: &World, answers: impl Fn(usize, &MessageQueued) -> MessageReceived) -> usize {
    let mut heard = 0;
    world
        .file(&mail("first@desk.example", "desk@desk.example"))
        .await;
    for _ in 0..100 {
        let queued = world.told::<MessageQueued>().await;
        if queued.len() == heard {
            return heard;
        }
        let news: Vec<_> = (heard..queued.len())
            .map(|n| answers(n, &queued[n]))
            .collect();
        heard = queued.len();
        world.send(&news).await;
        world.settled().await;
    }
    heard
}

async fn acknowledging() -> World {
    World::configured(Config {
        acknowledgement: Acknowledgement {
            enabled: true,
            ..Acknowledgement::default()
        },
        ..Config::default()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_responders_that_face_each_other_fall_silent() {
    // One that says what it is: its answer joins and is not answered.
    let honest = |n: usize, it: &MessageQueued| {
        let id = format!("h{n}@desk.example");
        let reply = signed(
            mail(&id, "desk@desk.example"),
            it.ticket_id.parse().unwrap(),
        );
        automatic(reply, AutomaticClass::AutoReply)
    };
    assert_eq!(face(&acknowledging().await, honest).await, 1);
    // One that hides it, and opens a new thread each time.
    let hidden =
        |n: usize, _: &MessageQueued| mail(&format!("n{n}@desk.example"), "desk@desk.example");
    assert_eq!(face(&acknowledging().await, hidden).await, 10);
    // One that takes a new tag each time, too.
    let tagged = |n: usize, _: &MessageQueued| {
        mail(
            &format!("t{n}@desk.example"),
            &format!("desk+{n}@desk.example"),
        )
    };
    assert_eq!(face(&acknowledging().await, tagged).await, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_acknowledgements_together_have_a_cap() {
    let mut world = World::with(Config {
        acknowledgement: Acknowledgement {
            enabled: true,
            ..Acknowledgement::default()
        },
        loops: solmu_tickets::Loops {
            acknowledgements_total: Cap {
                messages: 7,
                seconds: 70,
            },
            ..solmu_tickets::Loops::default()
        },
        ..Config::default()
    })
    .await;
    drop(world.start("a").await);
    let people = |round: usize| -> Vec<_> {
        let id = |n| format!("p{round}-{n}@c.example");
        (0..20).map(|n| mail(&id(n), &id(n))).collect()
    };
    world.send(&people(0)).await;
    world.settled().await;
    let told = world.told::<MessageQueued>().await;
    assert_eq!(told.len(), 7);
    assert!(
        told.iter()
            .all(|it| it.purpose() == Purpose::Acknowledgement)
    );
    world.harness.clock.advance(SignedDuration::from_secs(30));
    world.send(&people(1)).await;
    world.settled().await;
    assert_eq!(world.told::<MessageQueued>().await.len(), 10);
    assert_eq!(world.tickets().await.len(), 40);
}

async fn first_loop(world: &World) -> String {
    let id: uuid::Uuid = sqlx::query_scalar(
        "SELECT message_id FROM tickets.quarantine WHERE cause_code = 'loop' ORDER BY message_id LIMIT 1",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    id.to_string()
}
