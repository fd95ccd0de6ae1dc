//! The intake over a bus that the test holds in its hand.

use std::sync::Mutex;

use futures::future::join_all;
use jiff::Timestamp;
use solmu_bus::envelope::from_proto_time;
use solmu_domain::clock::FakeClock;
use solmu_proto::{
    inbound::v1::{RawOriginal, Sender, raw_original::Place},
    types::v1::{Channel, DeliveryState, Mailbox},
};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::*;

/// Publishes into a list, each commit after `delay`, and answers as told.
#[derive(Clone, Default)]
struct FakeBus {
    commits: Arc<Mutex<Vec<Vec<String>>>>,
    delay: Duration,
    refuse: Option<IntakeError>,
    refuse_batches: bool,
    gate: Option<Arc<Notify>>,
}

impl FakeBus {
    fn intake(&self, config: IntakeConfig) -> (Intake, TaskTracker, Metrics) {
        let (tasks, metrics, stop) = (TaskTracker::new(), Metrics::new(), CancellationToken::new());
        let bus = self.clone();
        let publish = move |events: Arc<[Event]>| {
            let bus = bus.clone();
            async move {
                if let Some(gate) = &bus.gate {
                    gate.notified().await;
                }
                tokio::time::sleep(bus.delay).await;
                if bus.refuse_batches && events.len() > 1 {
                    return Err(IntakeError::TooLarge);
                }
                bus.commits
                    .lock()
                    .unwrap()
                    .push(events.iter().map(|event| event.subject.clone()).collect());
                bus.refuse.map_or(Ok(()), Err)
            }
        };
        let clock = Arc::new(FakeClock::new(Timestamp::UNIX_EPOCH));
        let (intake, committer) = Intake::over(publish, clock, &metrics, config, stop);
        tasks.spawn(committer);
        tasks.close();
        (intake, tasks, metrics)
    }

    fn commits(&self) -> Vec<Vec<String>> {
        self.commits.lock().unwrap().clone()
    }
}

fn report(conversation: &str, id: usize) -> DeliveryReported {
    DeliveryReported {
        message_id: conversation.to_owned(),
        channel: Channel::Telegram.into(),
        account: "main".to_owned(),
        external_id: id.to_string(),
        state: DeliveryState::Sent.into(),
        ..DeliveryReported::default()
    }
}

fn message(external_id: &str) -> MessageReceived {
    MessageReceived {
        channel: Channel::Email.into(),
        account: "main".to_owned(),
        external_id: external_id.to_owned(),
        conversation_key: "k".to_owned(),
        ..MessageReceived::default()
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_together_goes_together() {
    let bus = FakeBus {
        delay: Duration::from_millis(1),
        ..FakeBus::default()
    };
    let (intake, _tasks, metrics) = bus.intake(IntakeConfig::default());
    let answers = join_all((0..100).map(|id| intake.accept(report(&format!("c{id}"), id)))).await;
    assert!(answers.iter().all(Result::is_ok));
    let sizes: Vec<usize> = bus.commits().iter().map(Vec::len).collect();
    assert!(
        sizes.len() <= 2,
        "what the queue holds goes at once, the rest together: {sizes:?}"
    );
    assert!(
        metrics.encode().contains(
            "solmu_inbound_messages_total{channel=\"telegram\",outcome=\"accepted\"} 100"
        )
    );
}

#[tokio::test]
async fn a_conversation_keeps_its_order_while_others_go_on() {
    let bus = FakeBus {
        delay: Duration::from_millis(10),
        ..FakeBus::default()
    };
    let (intake, _tasks, _metrics) = bus.intake(IntakeConfig {
        max_events: 4,
        ..IntakeConfig::default()
    });
    let all = (0..60).map(|id| intake.accept(report(&format!("c{}", id % 3), id)));
    assert!(join_all(all).await.iter().all(Result::is_ok));
    let order: Vec<usize> = bus
        .commits()
        .concat()
        .iter()
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(order.len(), 60);
    for conversation in 0..3 {
        let own: Vec<usize> = order
            .iter()
            .copied()
            .filter(|id| id % 3 == conversation)
            .collect();
        assert!(own.is_sorted(), "{own:?}");
    }
}

#[tokio::test]
async fn commits_overlap_but_never_with_the_same_conversation() {
    let gate = Arc::new(Notify::new());
    let bus = FakeBus {
        gate: Some(Arc::clone(&gate)),
        ..FakeBus::default()
    };
    let (intake, _tasks, _metrics) = bus.intake(IntakeConfig {
        max_events: 1,
        ..IntakeConfig::default()
    });
    let mut calls = Box::pin(join_all(
        [("a", 1), ("a", 2), ("b", 3)].map(|(key, id)| intake.accept(report(key, id))),
    ));
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut calls)
            .await
            .is_err()
    );
    // Both that are under way pass the gate: the first of "a", and "b", which overtook the second of "a".
    gate.notify_waiters();
    assert!(
        tokio::time::timeout(Duration::from_millis(50), &mut calls)
            .await
            .is_err()
    );
    assert_eq!(bus.commits(), [["1"], ["3"]]);
    gate.notify_waiters();
    assert!(calls.await.iter().all(Result::is_ok));
    assert_eq!(bus.commits().len(), 3);
}

#[tokio::test]
async fn a_bus_that_is_away_is_told_to_each_sender() {
    let bus = FakeBus {
        refuse: Some(IntakeError::Unavailable),
        ..FakeBus::default()
    };
    let (intake, _tasks, metrics) = bus.intake(IntakeConfig::default());
    assert_eq!(
        intake.accept(message("1")).await,
        Err(IntakeError::Unavailable)
    );
    assert!(metrics.encode().contains("outcome=\"deferred\"} 1"));
}

#[tokio::test]
async fn one_that_is_too_large_does_not_take_the_others_with_it() {
    let bus = FakeBus {
        refuse_batches: true,
        ..FakeBus::default()
    };
    let (intake, _tasks, _metrics) = bus.intake(IntakeConfig::default());
    let several = intake.accept_all(vec![report("a", 1).into(), report("b", 2).into()]);
    let (several, single) = tokio::join!(several, intake.accept(report("c", 3)));
    assert_eq!((several, single), (Err(IntakeError::TooLarge), Ok(())));
}

#[tokio::test]
async fn the_committer_answers_everybody_before_it_ends() {
    let bus = FakeBus {
        delay: Duration::from_millis(50),
        ..FakeBus::default()
    };
    let (intake, tasks, _metrics) = bus.intake(IntakeConfig::default());
    let call = {
        let intake = intake.clone();
        async move { intake.accept(report("a", 1)).await }
    };
    drop(intake);
    assert_eq!(call.await, Ok(()));
    tasks.wait().await;
}

#[test]
fn ids_depend_on_the_vendors_names_alone() {
    let now = Timestamp::UNIX_EPOCH;
    // A mail's id is written by its sender: see below.
    let message = |external_id: &str| MessageReceived {
        channel: Channel::Telegram.into(),
        ..message(external_id)
    };
    let first = InboundEvent::from(message("1")).prepare(now).unwrap();
    let again = InboundEvent::from(MessageReceived {
        text: "other".to_owned(),
        ..message("1")
    });
    assert_eq!(first.id, again.prepare(Timestamp::MAX).unwrap().id);
    assert_ne!(
        first.id,
        InboundEvent::from(message("2")).prepare(now).unwrap().id
    );
    let sent = InboundEvent::from(report("a", 1)).prepare(now).unwrap().id;
    let read = DeliveryReported {
        state: DeliveryState::Read.into(),
        ..report("a", 1)
    };
    assert_ne!(sent, InboundEvent::from(read).prepare(now).unwrap().id);
}

#[test]
fn events_are_completed_and_made_storable() {
    let now = Timestamp::from_second(1_000).unwrap();
    let dirty = MessageReceived {
        text: "a\0b".to_owned(),
        fields_json: "{\"x\":\"\\u0000y\"}".to_owned(),
        sender: Some(Sender {
            display_name: "\0Aino".to_owned(),
            ..Sender::default()
        }),
        ..message("1")
    };
    let event = InboundEvent::from(dirty).prepare(now).unwrap();
    let stored = <MessageReceived as prost::Message>::decode(event.data).unwrap();
    assert_eq!(
        (stored.text.as_str(), stored.fields_json.as_str()),
        ("ab", "{\"x\":\"y\"}")
    );
    assert_eq!(stored.sender.unwrap().display_name, "Aino");
    assert_eq!(stored.message_id, event.subject);
    assert_eq!(from_proto_time(&stored.received_time.unwrap()), now);
}

#[test]
fn another_mail_under_the_same_id_is_another_event() {
    let now = Timestamp::from_second(1_000).unwrap();
    let id = |message: MessageReceived| InboundEvent::from(message).prepare(now).unwrap().id;
    let one = message("1");
    let other = MessageReceived {
        text: "other".to_owned(),
        ..message("1")
    };
    assert_eq!(id(one.clone()), id(one.clone()));
    assert_ne!(id(one), id(other.clone()));
    // A platform gives out its ids itself: one id, one message.
    let chat = |it: MessageReceived| MessageReceived {
        channel: Channel::Chat.into(),
        ..it
    };
    assert_eq!(id(chat(other)), id(chat(message("1"))));
}

#[test]
fn what_is_too_large_is_shortened_with_a_notice_or_refused() {
    let now = Timestamp::UNIX_EPOCH;
    let inline = vec![b'x'; 256 * 1024];
    let large = MessageReceived {
        text: "ä".repeat(400_000),
        html: "<p>y</p>".repeat(100_000),
        to: vec![
            Mailbox {
                name: "n".repeat(200),
                address: "a@b".repeat(30)
            };
            5_000
        ],
        raw: Some(RawOriginal {
            place: Some(Place::Inline(inline.clone())),
            ..RawOriginal::default()
        }),
        ..message("1")
    };
    let event = InboundEvent::from(large).prepare(now).unwrap();
    assert!(event.data.len() <= MAX_EVENT_BYTES);
    let stored = <MessageReceived as prost::Message>::decode(event.data).unwrap();
    assert_eq!(stored.notices.len(), 2);
    assert!(stored.html.is_empty() && stored.text.starts_with('ä') && stored.to.len() == 200);
    assert_eq!(stored.raw.unwrap().place, Some(Place::Inline(inline)));
    let hopeless = MessageReceived {
        fields_json: "x".repeat(MAX_EVENT_BYTES),
        ..message("1")
    };
    assert!(matches!(
        InboundEvent::from(hopeless).prepare(now),
        Err(IntakeError::TooLarge)
    ));
}
