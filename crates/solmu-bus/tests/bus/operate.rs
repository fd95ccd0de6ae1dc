//! What operators do with the bus: look why it cannot be reached, make streams, and handle dead letters.

use std::{sync::Arc, time::Duration};

use solmu_bus::{
    Bus, BusError, Family,
    dead::{DeadEntry, Obstacle, ReplayError},
    reach::Unreachable,
};
use solmu_testkit::{Harness, wait_for};
use tokio_util::sync::CancellationToken;

use super::{Recorder, start};

#[tokio::test]
async fn what_nobody_can_read_is_not_replayed_and_can_be_dropped() {
    let harness = Harness::new().await;
    let recorder = Arc::new(Recorder::default());
    let stop = CancellationToken::new();
    let _held = start(&harness, &harness.bus, recorder.clone(), &stop);
    let client = harness.bus.client();
    let inbound = harness.bus.subject(Family::Inbound, 0);
    client.publish(inbound, "no event".into()).await.unwrap();
    wait_for("it is a dead letter", || async {
        let letters = harness.bus.dead_letters(1, 10).await;
        letters.is_ok_and(|letters| letters.len() == 1)
    })
    .await;
    // Somebody else writes into the stream, too.
    let dead = harness.bus.subject(Family::Dead, 0);
    client.publish(dead, vec![0xff].into()).await.unwrap();
    wait_for("both are there", || async {
        let letters = harness.bus.dead_letters(1, 10).await;
        letters.is_ok_and(|letters| letters.len() == 2)
    })
    .await;
    let letters = harness.bus.dead_letters(1, 10).await.unwrap();
    let obstacles: Vec<_> = letters.iter().map(DeadEntry::obstacle).collect();
    assert_eq!(
        obstacles,
        [Some(Obstacle::NoEvent), Some(Obstacle::NoLetter)]
    );
    for letter in &letters {
        let refused = harness.bus.replay(letter, 1).await;
        assert!(matches!(refused, Err(ReplayError::Obstacle(_))));
    }
    let last = harness.bus.last_dead_letter().await.unwrap();
    assert_eq!(last, letters[1].sequence);
    assert!(harness.bus.drop_dead_letter(last).await.unwrap());
    assert!(!harness.bus.drop_dead_letter(last).await.unwrap());
    let left = harness.bus.dead_letters(1, 10).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].letter.event.as_ref().unwrap().data, b"no event");
    stop.cancel();
}

#[tokio::test]
async fn a_stream_that_has_no_room_says_what_to_do() {
    let harness = Harness::new().await;
    let mut config = harness.bus.config().clone();
    config.namespace += "x";
    // More than any disk has.
    config.max_stream_bytes = 1 << 60;
    let bus = Bus::connect(&harness.nats_url, config).await.unwrap();
    let error = solmu_bus::streams::apply(&bus, 1).await.unwrap_err();
    assert!(matches!(error, BusError::NoRoom { .. }), "{error:?}");
    assert!(error.to_string().contains("max_file_store"), "{error}");

    let mut config = harness.bus.config().clone();
    config.namespace += "y";
    let bus = Bus::connect(&harness.nats_url, config).await.unwrap();
    let error = solmu_bus::streams::apply(&bus, 3).await.unwrap_err();
    assert!(matches!(error, BusError::TooFewServers { .. }), "{error:?}");
}

#[tokio::test]
async fn why_nats_cannot_be_reached_is_told() {
    const PATIENCE: Duration = Duration::from_secs(5);
    let harness = Harness::new().await;
    assert_eq!(Bus::try_reach(&harness.nats_url, PATIENCE).await, Ok(()));
    let refused = Bus::try_reach("nats://127.0.0.1:1", PATIENCE).await;
    assert_eq!(refused, Err(Unreachable::Refused));
    let bad = Bus::try_reach("nats://host:port", PATIENCE).await;
    assert!(matches!(bad, Err(Unreachable::Url(_))), "{bad:?}");
}
