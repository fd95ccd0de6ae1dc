//! The intake on the real bus: many senders at once.

use futures::future::join_all;
use solmu_bus::{BusConfig, envelope::decode_message};
use solmu_proto::types::v1::Channel;
use solmu_runtime::{Keyring, RuntimeParts};
use solmu_testkit::Harness;

use super::*;

fn runtime(harness: &Harness, bus: solmu_bus::Bus) -> Runtime {
    Runtime::new(RuntimeParts {
        clock: Arc::new(harness.clock.clone()),
        rng: harness.rng.clone(),
        db: harness.db.clone(),
        bus,
        metrics: Metrics::new(),
        instance: "one".to_owned(),
        secrets: Keyring::new([("test".to_owned(), vec![7; 32])]).unwrap(),
    })
}

fn message(sender: usize, number: usize) -> MessageReceived {
    MessageReceived {
        channel: Channel::Email.into(),
        account: "main".to_owned(),
        external_id: format!("{sender}-{number}"),
        conversation_key: format!("c{sender}"),
        text: "x".repeat(2_000),
        ..MessageReceived::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_share_syncs_and_each_conversation_keeps_its_order() {
    const SENDERS: usize = 64;
    const EACH: usize = 25;
    let harness = Harness::new().await;
    let runtime = runtime(&harness, harness.bus.clone());
    let intake = Intake::start(&runtime, IntakeConfig::default());
    let started = Instant::now();
    let senders = (0..SENDERS).map(|sender| {
        let intake = intake.clone();
        async move {
            for number in 0..EACH {
                intake.accept(message(sender, number)).await.unwrap();
            }
        }
    });
    join_all(senders).await;
    eprintln!(
        "accepted {} events in {:?}",
        SENDERS * EACH,
        started.elapsed()
    );

    let jetstream = async_nats::jetstream::new(harness.bus.client().clone());
    let stream = jetstream
        .get_stream(harness.bus.stream_name("INBOUND"))
        .await
        .unwrap();
    let last = stream.cached_info().state.last_sequence;
    let mut order = vec![Vec::new(); SENDERS];
    for sequence in 1..=last {
        let raw = stream.get_raw_message(sequence).await.unwrap();
        for event in decode_message(Some(&raw.headers), &raw.payload).unwrap() {
            let message: MessageReceived = event.decode().unwrap();
            let (sender, number) = message.external_id.split_once('-').unwrap();
            order[sender.parse::<usize>().unwrap()].push(number.parse::<usize>().unwrap());
        }
    }
    assert!(
        order
            .iter()
            .all(|numbers| numbers.is_sorted() && numbers.len() == EACH),
        "{order:?}"
    );
    let messages = usize::try_from(last).unwrap();
    assert!(
        messages * 2 < SENDERS * EACH,
        "{messages} bus messages for {} events",
        SENDERS * EACH
    );
}

#[tokio::test]
async fn a_bus_that_does_not_answer_is_unavailable() {
    let harness = Harness::new().await;
    let config = BusConfig {
        namespace: format!("{}x", harness.bus.config().namespace),
        publish_timeout: Duration::from_millis(300),
        ..harness.bus.config().clone()
    };
    let bus = solmu_bus::Bus::connect(&harness.nats_url, config)
        .await
        .unwrap();
    let runtime = runtime(&harness, bus);
    let intake = Intake::start(&runtime, IntakeConfig::default());
    assert_eq!(
        intake.accept(message(1, 1)).await,
        Err(IntakeError::Unavailable)
    );
    // At the end of the process the committer ends as well, and what comes later is refused.
    runtime.shutdown.stop.cancel();
    runtime.background.close();
    runtime.background.wait().await;
    assert_eq!(
        intake.accept(message(1, 2)).await,
        Err(IntakeError::Unavailable)
    );
}
