//! What is removed from a stream before its time, and what never is.

use std::sync::Arc;

use solmu_bus::{Bus, Held};
use solmu_testkit::{Harness, wait_for};
use tokio_util::sync::CancellationToken;

use super::{Recorder, event, start};

/// A process with another number of partitions publishes where nobody looks: that is told as waiting, and is not reaped.
#[tokio::test]
async fn what_is_in_no_partition_of_ours_waits_and_stays() {
    let harness = Harness::new().await;
    let stop = CancellationToken::new();
    let recorder = Arc::new(Recorder::default());
    let _held = start(&harness, &harness.bus, recorder.clone(), &stop);
    let mut config = harness.bus.config().clone();
    config.partitions = 64;
    let other = Bus::connect(&harness.nats_url, config).await.unwrap();
    let stray = (0..1_000)
        .map(|number| format!("key-{number}"))
        .find(|key| other.shard(key) > 3)
        .unwrap();
    let (early, late) = (event(&harness, "k", "early"), event(&harness, "k", "late"));
    harness.bus.publish(&[early]).await.unwrap();
    let stray = event(&harness, &stray, "stray");
    other.publish(&[stray]).await.unwrap();
    harness.bus.publish(&[late]).await.unwrap();
    wait_for("what can be done is done", || async {
        recorder.done().len() == 2
    })
    .await;
    wait_for("the stray one is told", || async {
        harness.bus.survey().await.unwrap().unfiled == 1
    })
    .await;
    let survey = harness.bus.survey().await.unwrap();
    let waiting = survey.consumers["tickets-inbound"];
    assert_eq!(waiting.pending, 1, "{survey:?}");
    assert!(waiting.oldest.is_some(), "{survey:?}");

    let later = "2100-01-01T00:00:00Z".parse().unwrap();
    wait_for("what is done before it goes", || async {
        harness.bus.reap("INBOUND", later).await.unwrap();
        harness.bus.survey().await.unwrap().streams["INBOUND"].messages == 2
    })
    .await;
    let gone = harness.bus.reap("INBOUND", later).await.unwrap();
    assert_eq!(gone, 0, "the stray one stays, and what came after it");
    stop.cancel();
}

/// Where the stream is nearly full, what is done goes before its time, and what is not done stays.
#[tokio::test]
async fn room_is_made_of_what_is_done_and_of_nothing_else() {
    const MESSAGES: usize = 40;
    let harness = Harness::new().await;
    let stop = CancellationToken::new();
    let recorder = Arc::new(Recorder::default());
    let held = start(&harness, &harness.bus, recorder.clone(), &stop);
    assert_eq!(harness.bus.make_room("INBOUND").await.unwrap(), 0, "empty");
    for number in 0..MESSAGES {
        let event = event(&harness, "k", &number.to_string());
        harness.bus.publish(&[event]).await.unwrap();
    }
    wait_for("they are done", || async {
        recorder.done().len() == MESSAGES
    })
    .await;
    held.send_replace(Held::new());
    let jetstream = async_nats::jetstream::new(harness.bus.client().clone());
    let state = async || {
        let name = harness.bus.stream_name("INBOUND");
        let stream = jetstream.get_stream(&name).await.unwrap();
        stream.cached_info().clone()
    };
    assert_eq!(
        harness.bus.make_room("INBOUND").await.unwrap(),
        0,
        "there is room"
    );
    // Just what it holds now, and a little more.
    let full = state().await;
    let limit = async |max_bytes: u64| {
        let mut config = full.config.clone();
        config.max_bytes = i64::try_from(max_bytes).unwrap();
        jetstream.update_stream(config).await.unwrap();
    };
    limit(full.state.bytes * 10 / 9).await;
    let waiting = event(&harness, "k", "waiting");
    harness.bus.publish(&[waiting]).await.unwrap();
    let mut gone = 0;
    wait_for("there is room again", || async {
        harness.bus.make_room("INBOUND").await.unwrap() > 0
            || state().await.state.bytes * 10 < full.state.bytes * 7
    })
    .await;
    let left = state().await.state;
    gone += MESSAGES + 1 - usize::try_from(left.messages).unwrap();
    assert!(
        (10..=25).contains(&gone),
        "about a third goes, not all: {gone}"
    );
    assert_eq!(
        left.last_sequence,
        u64::try_from(MESSAGES).unwrap() + 1,
        "the one that waits is there"
    );
    stop.cancel();
}
