//! Publisher and consumer on the real nats-server.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use solmu_bus::{
    Bus, Cause, ConsumerSpec, Delivered, Event, Family, Handler, Held, Lane, OneByOne, Verdict,
    consumer, metrics::ConsumerMetrics,
};
use solmu_domain::{clock::Clock as _, ids::EventId};
use solmu_proto::inbound::v1::MessageReceived;
use solmu_telemetry::Metrics;
use solmu_testkit::{Harness, wait_for};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[path = "bus/operate.rs"]
mod operate;
#[path = "bus/room.rs"]
mod room;

/// Notes the subjects that it has done; fails those that it is told to.
#[derive(Default)]
struct Recorder {
    done: Mutex<Vec<String>>,
    fail: Mutex<BTreeMap<String, u32>>,
}

impl Recorder {
    fn verdict(&self, delivered: &Delivered) -> Verdict {
        let subject = delivered.event.subject.clone();
        if subject == "reject" {
            let error = std::io::Error::other("never");
            return Verdict::Reject(Cause::new("never", &error));
        }
        let mut fail = self.fail.lock().unwrap();
        if let Some(left) = fail.get_mut(&subject).filter(|left| **left > 0) {
            *left -= 1;
            return Verdict::Retry(Cause::new("told_to", &std::io::Error::other("fails")));
        }
        self.done.lock().unwrap().push(subject);
        Verdict::Done
    }

    fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }
}

impl Handler for Recorder {
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        _: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>> {
        Box::pin(async move {
            let mut order = OneByOne::default();
            for delivered in batch {
                if order.may_handle(delivered) {
                    order.note(delivered, self.verdict(delivered));
                }
            }
            order.verdicts()
        })
    }
}

fn message(key: &str, subject: &str) -> MessageReceived {
    MessageReceived {
        message_id: subject.to_owned(),
        conversation_key: key.to_owned(),
        ..MessageReceived::default()
    }
}

fn event(harness: &Harness, key: &str, subject: &str) -> Event {
    Event::new(
        EventId::stable("test", &[subject]),
        harness.clock.now(),
        &message(key, subject),
    )
}

fn start(
    harness: &Harness,
    bus: &Bus,
    recorder: Arc<Recorder>,
    stop: &CancellationToken,
) -> watch::Sender<Held> {
    let (sender, held) = watch::channel(Held::from([(0, 1), (1, 1), (2, 1), (3, 1)]));
    let lanes_bus = bus.clone();
    let spec = ConsumerSpec {
        name: "test",
        lanes: Box::new(move |shard| {
            vec![Lane {
                stream: "INBOUND",
                durable: format!("test-{shard}"),
                filters: vec![lanes_bus.subject(Family::Inbound, shard)],
                leased: true,
            }]
        }),
        max_events: 100,
        linger: Duration::from_millis(2),
        max_attempts: 3,
    };
    let clock = Arc::new(harness.clock.clone());
    let metrics = ConsumerMetrics::new(&Metrics::new());
    TaskTracker::new().spawn(consumer::run(
        bus.clone(),
        spec,
        recorder,
        held,
        clock,
        metrics,
        stop.clone(),
    ));
    sender
}

#[tokio::test]
async fn a_batch_arrives_in_order_once_and_whole() {
    let harness = Harness::new().await;
    let events: Vec<_> = (0..50)
        .map(|i| event(&harness, "k", &format!("{i:02}")))
        .collect();
    harness.bus.publish(&events).await.unwrap();
    harness.bus.publish(&events).await.unwrap();
    let stop = CancellationToken::new();
    let recorder = Arc::new(Recorder::default());
    let _held = start(&harness, &harness.bus, recorder.clone(), &stop);
    wait_for("all events are done", || async {
        recorder.done().len() >= 50
    })
    .await;
    let expected: Vec<_> = (0..50).map(|i| format!("{i:02}")).collect();
    assert_eq!(
        recorder.done(),
        expected,
        "the repeat was inside the window of duplicates"
    );
    stop.cancel();
}

#[tokio::test]
async fn the_server_says_what_waits_when_nobody_pulls() {
    let harness = Harness::new().await;
    let stop = CancellationToken::new();
    let recorder = Arc::new(Recorder::default());
    // The consumers exist, and have done something, and then their process is gone.
    let held = start(&harness, &harness.bus, recorder.clone(), &stop);
    harness
        .bus
        .publish(&[event(&harness, "k", "first")])
        .await
        .unwrap();
    wait_for("the first event is done", || async {
        recorder.done().len() == 1
    })
    .await;
    wait_for("the server knows it", || async {
        let survey = harness.bus.survey().await.unwrap();
        survey
            .consumers
            .get("test")
            .is_some_and(|lag| lag.pending == 0)
    })
    .await;
    stop.cancel();
    drop(held);
    wait_for("the consumers have ended", || async {
        Arc::strong_count(&recorder) == 1
    })
    .await;
    let late: Vec<_> = (0..3)
        .map(|i| event(&harness, &format!("key-{i}"), &format!("late-{i}")))
        .collect();
    for event in &late {
        harness
            .bus
            .publish(std::slice::from_ref(event))
            .await
            .unwrap();
    }

    let survey = harness.bus.survey().await.unwrap();
    assert_eq!(survey.streams["INBOUND"].messages, 4);
    assert!(survey.streams["INBOUND"].bytes > 0);
    assert_eq!(survey.streams["INBOUND"].limit, 16 << 20);
    assert_eq!(survey.streams["DEAD"].messages, 0);
    let waiting = survey.consumers["test"];
    assert_eq!(waiting.pending, 3, "{survey:?}");
    assert!(waiting.oldest.is_some(), "{survey:?}");
}

#[tokio::test]
async fn a_failing_event_holds_back_its_own_key_only() {
    let harness = Harness::new().await;
    let recorder = Arc::new(Recorder::default());
    recorder.fail.lock().unwrap().insert("a1".to_owned(), 2);
    let events = [
        event(&harness, "a", "a1"),
        event(&harness, "a", "a2"),
        event(&harness, "b", "b1"),
    ];
    for event in &events {
        harness
            .bus
            .publish(std::slice::from_ref(event))
            .await
            .unwrap();
    }
    let stop = CancellationToken::new();
    let _held = start(&harness, &harness.bus, recorder.clone(), &stop);
    wait_for("all events are done", || async {
        recorder.done().len() == 3
    })
    .await;
    let done = recorder.done();
    let place = |subject: &str| done.iter().position(|done| done == subject).unwrap();
    assert!(place("a1") < place("a2"), "{done:?}");
    assert!(place("b1") < place("a1"), "b did not wait: {done:?}");
    stop.cancel();
}

#[tokio::test]
async fn what_can_never_be_done_is_dead_and_can_be_replayed() {
    let harness = Harness::new().await;
    let recorder = Arc::new(Recorder::default());
    recorder.fail.lock().unwrap().insert("poison".to_owned(), 3);
    let events = [
        event(&harness, "p", "poison"),
        event(&harness, "p", "after"),
        event(&harness, "r", "reject"),
    ];
    harness.bus.publish(&events).await.unwrap();
    let stop = CancellationToken::new();
    let _held = start(&harness, &harness.bus, recorder.clone(), &stop);
    wait_for("the key goes on behind the poison", || async {
        recorder.done() == ["after"]
    })
    .await;
    wait_for("both are dead letters", || async {
        harness
            .bus
            .dead_letters(1, 10)
            .await
            .is_ok_and(|letters| letters.len() == 2)
    })
    .await;
    let dead = harness.bus.dead_letters(1, 10).await.unwrap();
    let poison = dead
        .iter()
        .find(|entry| entry.letter.cause_code == "told_to")
        .unwrap();
    assert_eq!(poison.letter.attempts, 3);
    harness.bus.replay(poison, 1).await.unwrap();
    wait_for("the replayed event is done", || async {
        recorder.done() == ["after", "poison"]
    })
    .await;
    assert_eq!(harness.bus.dead_letters(1, 10).await.unwrap().len(), 1);
    stop.cancel();
}

#[tokio::test]
async fn a_new_holder_goes_on_where_acknowledged_work_ends() {
    let harness = Harness::new().await;
    let first = Arc::new(Recorder::default());
    let stop = CancellationToken::new();
    let held = start(&harness, &harness.bus, first.clone(), &stop);
    harness
        .bus
        .publish(&[event(&harness, "k", "1")])
        .await
        .unwrap();
    wait_for("the first holder works", || async {
        first.done().len() == 1
    })
    .await;
    held.send_replace(Held::new());
    harness
        .bus
        .publish(&[event(&harness, "k", "2")])
        .await
        .unwrap();
    let second = Arc::new(Recorder::default());
    let other = harness.second_bus().await;
    let _held = start(&harness, &other, second.clone(), &stop);
    wait_for("the second holder works", || async {
        second.done() == ["2"]
    })
    .await;
    assert_eq!(first.done(), ["1"]);
    stop.cancel();
}

/// A wire to the server that can go deaf, as one does in the moment when a server dies, and be cut.
struct Wire {
    url: String,
    deaf: Arc<AtomicBool>,
    cut: Arc<Notify>,
}

impl Wire {
    async fn to(nats_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let there = nats_url.rsplit(['/', '@']).next().unwrap().to_owned();
        let wire = Self {
            url: nats_url.replace(&there, &here),
            deaf: Arc::default(),
            cut: Arc::default(),
        };
        let (deaf, cut) = (wire.deaf.clone(), wire.cut.clone());
        TaskTracker::new().spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&there).await.unwrap();
                let (mut near_reads, mut near_writes) = near.into_split();
                let (mut far_reads, mut far_writes) = far.into_split();
                let answers = async {
                    let mut bytes = vec![0; 64 << 10];
                    while let Ok(count @ 1..) = far_reads.read(&mut bytes).await {
                        if !deaf.load(Ordering::SeqCst) {
                            near_writes.write_all(&bytes[..count]).await.unwrap();
                        }
                    }
                };
                tokio::select! {
                    _ = tokio::io::copy(&mut near_reads, &mut far_writes) => {}
                    () = answers => {}
                    () = cut.notified() => {}
                }
            }
        });
        wire
    }
}

#[tokio::test]
async fn what_was_on_a_lost_connection_comes_at_once_on_the_next_one() {
    let harness = Harness::new().await;
    let wire = Wire::to(&harness.nats_url).await;
    let bus = Bus::connect(&wire.url, harness.bus.config().clone())
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let recorder = Arc::new(Recorder::default());
    let _held = start(&harness, &bus, recorder.clone(), &stop);
    let publish = async |subject| {
        let event = event(&harness, "k", subject);
        harness.bus.publish(&[event]).await.unwrap();
    };
    publish("1").await;
    wait_for("the first event is done", || async {
        recorder.done() == ["1"]
    })
    .await;

    let stream = async_nats::jetstream::new(harness.bus.client().clone())
        .get_stream(harness.bus.stream_name("INBOUND"))
        .await
        .unwrap();
    let key = event(&harness, "k", "1").partition_key;
    let durable = format!("test-{}", harness.bus.shard(&key));
    let before = stream.consumer_info(&durable).await.unwrap();
    wire.deaf.store(true, Ordering::SeqCst);
    publish("2").await;
    wait_for("the second one was sent, and nobody heard", || async {
        let now = stream.consumer_info(&durable).await.unwrap();
        now.delivered.stream_sequence > before.delivered.stream_sequence
    })
    .await;
    wire.deaf.store(false, Ordering::SeqCst);
    wire.cut.notify_one();

    wait_for("the second event is done", || async {
        recorder.done() == ["1", "2"]
    })
    .await;
    let after = stream.consumer_info(&durable).await.unwrap();
    assert_ne!(
        before.created, after.created,
        "the lane was opened anew: nothing waited for the end of ack_wait"
    );
    stop.cancel();
}

#[tokio::test]
async fn too_large_is_a_typed_error() {
    let harness = Harness::new().await;
    let mut large = message("k", "large");
    large.text = "x".repeat(2 << 20);
    let event = Event::new(
        EventId::stable("test", &["large"]),
        harness.clock.now(),
        &large,
    );
    assert!(matches!(
        harness.bus.publish(&[event]).await,
        Err(solmu_bus::PublishError::TooLarge { .. })
    ));
}

#[tokio::test]
async fn only_what_is_done_and_old_is_reaped() {
    let harness = Harness::new().await;
    let stop = CancellationToken::new();
    let recorder = Arc::new(Recorder::default());
    let held = start(&harness, &harness.bus, recorder.clone(), &stop);
    harness
        .bus
        .publish(&[event(&harness, "k", "1")])
        .await
        .unwrap();
    wait_for("it is done", || async { recorder.done().len() == 1 }).await;
    held.send_replace(Held::new());
    harness
        .bus
        .publish(&[event(&harness, "k", "2")])
        .await
        .unwrap();
    let long_ago = "2020-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(
        harness.bus.reap("INBOUND", long_ago).await.unwrap(),
        0,
        "too young"
    );
    let far_ahead = "2100-01-01T00:00:00Z".parse().unwrap();
    wait_for("the done one goes, the waiting one stays", || async {
        harness.bus.reap("INBOUND", far_ahead).await.unwrap() == 1
    })
    .await;
    assert_eq!(harness.bus.reap("INBOUND", far_ahead).await.unwrap(), 0);
    stop.cancel();
}

#[tokio::test]
async fn a_rewound_stream_is_read_again_from_its_beginning() {
    use futures::StreamExt as _;

    let harness = Harness::new().await;
    let bus = &harness.bus;
    let stream = bus.stream_name("INBOUND");
    let jetstream = async_nats::jetstream::new(bus.client().clone());
    let make = async |name: &str| {
        let config = async_nats::jetstream::consumer::pull::Config {
            durable_name: Some(name.to_owned()),
            ..Default::default()
        };
        let stream = jetstream.get_stream(&stream).await.unwrap();
        stream.create_consumer(config).await.unwrap()
    };
    for name in ["tickets-inbound-0", "tickets-inbound-1", "reports"] {
        make(name).await;
    }
    bus.client()
        .publish(bus.subject(Family::Inbound, 0), "one".into())
        .await
        .unwrap();
    let mut one = make("tickets-inbound-0").await.messages().await.unwrap();
    one.next()
        .await
        .unwrap()
        .unwrap()
        .double_ack()
        .await
        .unwrap();
    drop(one);

    let forgotten = solmu_bus::streams::rewind_inbound(bus).await.unwrap();
    assert_eq!(forgotten, ["tickets-inbound-0", "tickets-inbound-1"]);
    let info = solmu_bus::streams::consumer_info(bus, "INBOUND", "reports").await;
    assert!(info.is_ok(), "somebody else's stays");
    let mut again = make("tickets-inbound-0").await.messages().await.unwrap();
    let message = again.next().await.unwrap().unwrap();
    assert_eq!(&message.payload[..], b"one");
}
