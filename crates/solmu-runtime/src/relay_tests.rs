//! The relay between the real PostgreSQL and the real NATS.

use futures::StreamExt as _;
use jiff::Timestamp;
use prost::Message as _;
use solmu_db::outbox::OutboxEvent;
use solmu_domain::clock::Clock as _;
use solmu_proto::bus::v1 as proto;
use solmu_testkit::{Harness, wait_for};
use uuid::Uuid;

use super::*;
use crate::testing::runtime;

const OWNER: Owner = Owner::Tickets;

fn event(number: u64) -> OutboxEvent {
    let id = Uuid::from_u128(u128::from(number));
    let event = proto::Event {
        id: id.to_string(),
        source: "/services/tickets".to_owned(),
        r#type: "solmu.test.v1".to_owned(),
        partition_key: "key".to_owned(),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        data: number.to_be_bytes().to_vec(),
        ..proto::Event::default()
    };
    OutboxEvent {
        event_id: id,
        family: "tickets".to_owned(),
        shard: 1,
        event: event.encode_to_vec(),
    }
}

async fn add(db: &Db, events: Vec<OutboxEvent>, now: Timestamp) {
    db.tx("test.add", |tx| {
        let events = events.clone();
        Box::pin(async move { outbox::add(tx, OWNER, events, now).await })
    })
    .await
    .unwrap();
}

async fn pending(db: &Db) -> i64 {
    outbox::backlog(db.pool(), OWNER).await.unwrap().pending
}

/// The events of a message, whether it is a batch or a single one.
fn ids(message: &async_nats::Message) -> Vec<String> {
    let header = |name: &str| {
        message
            .headers
            .as_ref()
            .and_then(|headers| headers.get(name))
            .map(ToString::to_string)
    };
    if header("solmu-batch").is_some() {
        let batch = proto::EventBatch::decode(message.payload.clone()).unwrap();
        return batch.events.into_iter().map(|event| event.id).collect();
    }
    vec![header("ce-id").expect("a CloudEvents id")]
}

#[tokio::test]
async fn events_leave_once_and_in_order_with_two_relays() {
    let harness = Harness::new().await;
    let subject = harness.bus.subject_filter(Family::Tickets);
    let mut seen = harness.bus.client().subscribe(subject).await.unwrap();
    harness.bus.client().flush().await.unwrap();
    let (one, two) = (runtime(&harness, "one"), runtime(&harness, "two"));
    start(&one, OWNER);
    start(&two, OWNER);

    let count = 1_200;
    let now = harness.clock.now();
    for chunk in (0..count).map(event).collect::<Vec<_>>().chunks(400) {
        add(&harness.db, chunk.to_vec(), now).await;
    }
    let mut got = Vec::new();
    while got.len() < usize::try_from(count).unwrap() {
        let message = tokio::time::timeout(Duration::from_secs(30), seen.next())
            .await
            .unwrap()
            .unwrap();
        got.extend(ids(&message));
    }
    let wanted: Vec<_> = (0..count)
        .map(|number| Uuid::from_u128(u128::from(number)).to_string())
        .collect();
    assert_eq!(got, wanted);
    wait_for("all rows are marked", || async {
        pending(&harness.db).await == 0
    })
    .await;
    let published = |runtime: &Runtime| {
        RelayMetrics::register(&runtime.metrics)
            .published
            .get(["tickets"])
    };
    assert_eq!(published(&one) + published(&two), count);
}

#[tokio::test]
async fn the_successor_takes_over_and_the_last_round_is_not_lost() {
    let harness = Harness::new().await;
    let one = runtime(&harness, "one");
    start(&one, OWNER);
    add(&harness.db, vec![event(1)], harness.clock.now()).await;
    wait_for("the first relay works", || async {
        pending(&harness.db).await == 0
    })
    .await;

    add(&harness.db, vec![event(2)], harness.clock.now()).await;
    one.shutdown.stop.cancel();
    one.background.close();
    one.background.wait().await;
    assert_eq!(
        pending(&harness.db).await,
        0,
        "what was committed before the stop went out"
    );

    let two = runtime(&harness, "two");
    start(&two, OWNER);
    add(&harness.db, vec![event(3)], harness.clock.now()).await;
    wait_for("the second relay works", || async {
        pending(&harness.db).await == 0
    })
    .await;
}

#[tokio::test]
async fn what_cannot_go_stays_and_blocks_nobody() {
    let harness = Harness::new().await;
    let runtime = runtime(&harness, "one");
    let mut huge = event(1);
    huge.event = vec![0; MAX_PAYLOAD];
    let mut stray = event(2);
    stray.family = "nonsense".to_owned();
    add(
        &harness.db,
        vec![huge, stray, event(3)],
        harness.clock.now(),
    )
    .await;
    harness.clock.advance(SignedDuration::from_secs(60));
    start(&runtime, OWNER);
    wait_for("the good one goes", || async {
        pending(&harness.db).await == 2
    })
    .await;
    wait_for("the alarm is raised", || async {
        let text = runtime.metrics.encode();
        text.contains("solmu_outbox_stuck{owner=\"tickets\"} 2")
            && text.contains("solmu_outbox_oldest_age_seconds{owner=\"tickets\"} 60")
            && text.contains("solmu_outbox_pending{owner=\"tickets\"} 2")
    })
    .await;
}

/// A relay in our hands, which holds its outbox.
fn relay(runtime: &Runtime) -> Relay {
    Relay {
        owner: OWNER,
        db: runtime.db.clone(),
        bus: runtime.bus.clone(),
        clock: Arc::clone(&runtime.clock),
        metrics: RelayMetrics::register(&runtime.metrics),
        wake: Arc::default(),
        held: watch::channel(Held::from([(0, 1)])).1,
        acknowledged: Acknowledged::default(),
        connection: None,
    }
}

#[tokio::test]
async fn what_is_out_is_marked_later_and_not_sent_again() {
    let harness = Harness::new().await;
    let runtime = runtime(&harness, "one");
    let mut relay = relay(&runtime);
    let published = || runtime.metrics.encode();
    add(&harness.db, vec![event(1)], harness.clock.now()).await;
    relay.drain().await.unwrap();
    assert_eq!(pending(&harness.db).await, 1, "not marked yet");
    add(&harness.db, vec![event(2)], harness.clock.now()).await;
    relay.drain().await.unwrap();
    assert!(
        published().contains("solmu_outbox_published_total{owner=\"tickets\"} 2"),
        "each went out once: {}",
        published()
    );
    relay.mark().await.unwrap();
    assert_eq!(pending(&harness.db).await, 0);
}

#[tokio::test]
async fn many_rows_are_marked_on_the_way() {
    let harness = Harness::new().await;
    let runtime = runtime(&harness, "one");
    let mut relay = relay(&runtime);
    let rows = MARK.0 + 10;
    let events = (0..rows).map(|number| event(number as u64)).collect();
    add(&harness.db, events, harness.clock.now()).await;
    relay.drain().await.unwrap();
    assert_eq!(pending(&harness.db).await, 0);
}

#[tokio::test]
async fn acknowledged_rows_are_kept_for_ten_minutes() {
    let harness = Harness::new().await;
    let runtime = runtime(&harness, "one");
    let mut relay = relay(&runtime);
    add(&harness.db, vec![event(1)], harness.clock.now()).await;
    relay.drain().await.unwrap();
    relay.mark().await.unwrap();
    let rows = || async {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM tickets.outbox");
        count.fetch_one(harness.db.pool()).await.unwrap()
    };
    harness.clock.advance(SignedDuration::from_mins(9));
    relay.purge().await;
    assert_eq!(rows().await, 1);
    harness.clock.advance(SignedDuration::from_mins(2));
    relay.purge().await;
    assert_eq!(rows().await, 0);
}
