//! The way out on the real engines.

mod claims;
mod lanes;
mod states;

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use jiff::SignedDuration;
use solmu_bus::{Event, envelope::decode_message};
use solmu_domain::ids::{EventId, MessageId};
use solmu_proto::{inbound::v1::DeliveryReported, types::v1::DeliveryState};
use solmu_runtime::{Keyring, RuntimeParts};
use solmu_testkit::{Harness, wait_for};

use super::*;
use crate::intake::IntakeConfig;

/// Answers as told, per text of the message, and remembers what was sent.
#[derive(Clone, Default)]
struct FakeVendor {
    sent: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<HashMap<String, VecDeque<SendOutcome>>>>,
    hang_on: Option<&'static str>,
    /// Messages of this lane are never answered.
    hang_lane: Option<&'static str>,
    limits: LaneLimits,
}

impl FakeVendor {
    fn answer(&self, text: &str, outcomes: impl IntoIterator<Item = SendOutcome>) {
        self.answers
            .lock()
            .unwrap()
            .insert(text.to_owned(), outcomes.into_iter().collect());
    }

    fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }
}

impl Sender for FakeVendor {
    async fn send(&self, message: &MessageQueued) -> SendOutcome {
        self.sent.lock().unwrap().push(message.text.clone());
        assert_ne!(message.text, "panic", "a sender's mistake");
        if self.hang_on == Some(message.text.as_str())
            || self.hang_lane == Some(self.lane(message).as_str())
        {
            std::future::pending::<()>().await;
        }
        let told = self
            .answers
            .lock()
            .unwrap()
            .get_mut(&message.text)
            .and_then(VecDeque::pop_front);
        told.unwrap_or_else(|| SendOutcome::Sent {
            external_id: format!("x-{}", message.text),
        })
    }

    /// What follows the at sign of the conversation.
    fn lane(&self, message: &MessageQueued) -> String {
        let lane = message.conversation_key.split_once('@');
        lane.map_or("", |(_, lane)| lane).to_owned()
    }

    fn lane_limits(&self, lane: &str) -> LaneLimits {
        if lane.is_empty() {
            LaneLimits::default()
        } else {
            self.limits
        }
    }
}

/// One replica of a connector.
fn replica(harness: &Harness, name: &str, vendor: &FakeVendor) -> Runtime {
    let runtime = Runtime::new(RuntimeParts {
        clock: Arc::new(harness.clock.clone()),
        rng: harness.rng.clone(),
        db: harness.db.clone(),
        bus: harness.bus.clone(),
        metrics: Metrics::new(),
        instance: name.to_owned(),
        secrets: Keyring::new([("test".to_owned(), vec![7; 32])]).unwrap(),
    });
    let intake = Intake::start(&runtime, IntakeConfig::default());
    let config = OutboundConfig {
        poll_interval_ms: 20,
        max_attempts: 3,
        ..OutboundConfig::default()
    };
    start(&runtime, &intake, Channel::Telegram, config, vendor.clone());
    runtime
}

async fn stop(runtime: Runtime) {
    runtime.shutdown.drain.cancel();
    runtime.tasks.close();
    runtime.tasks.wait().await;
    runtime.shutdown.stop.cancel();
    runtime.background.close();
    runtime.background.wait().await;
}

/// Queues a message in conversation `conversation`, as the ticket service does.
async fn queue(harness: &Harness, conversation: &str, text: &str) -> String {
    let id = MessageId::of_inbound("test", conversation, text).to_string();
    let message = MessageQueued {
        message_id: id.clone(),
        channel: Channel::Telegram.into(),
        account: "main".to_owned(),
        conversation_key: conversation.to_owned(),
        text: text.to_owned(),
        ..MessageQueued::default()
    };
    let event_id = EventId::generate(&harness.clock, &*harness.rng);
    let event = Event::new(event_id, "2026-11-02T08:00:00Z".parse().unwrap(), &message);
    harness.bus.publish(&[event]).await.unwrap();
    id
}

async fn state(harness: &Harness, id: &str) -> String {
    let id: uuid::Uuid = id.parse().unwrap();
    let state: Option<String> = sqlx::query_scalar(
        "SELECT state || CASE WHEN reported THEN '' ELSE '...' END || CASE WHEN message IS NULL THEN '' ELSE ' with body' END \
         FROM connector.outbound WHERE message_id = $1",
    )
    .bind(id)
    .fetch_optional(harness.db.pool())
    .await
    .unwrap();
    state.unwrap_or_default()
}

async fn until(harness: &Harness, id: &str, wanted: &str) {
    wait_for(wanted, || async { state(harness, id).await == wanted }).await;
}

/// Every delivery report on the bus, in order.
async fn reports(harness: &Harness) -> Vec<DeliveryReported> {
    let mut subscription = Vec::new();
    let jetstream = async_nats::jetstream::new(harness.bus.client().clone());
    let stream = jetstream
        .get_stream(harness.bus.stream_name("INBOUND"))
        .await
        .unwrap();
    let last = stream.cached_info().state.last_sequence;
    for sequence in 1..=last {
        let message = stream.get_raw_message(sequence).await.unwrap();
        for event in decode_message(Some(&message.headers), &message.payload).unwrap() {
            subscription.push(event.decode().unwrap());
        }
    }
    subscription
}

#[tokio::test]
async fn a_message_is_sent_once_and_reported_however_often_it_is_queued() {
    let (harness, vendor) = (Harness::new().await, FakeVendor::default());
    let runtime = replica(&harness, "one", &vendor);
    let id = queue(&harness, "c", "hei").await;
    until(&harness, &id, "sent").await;
    assert_eq!(queue(&harness, "c", "hei").await, id);
    let other = queue(&harness, "c", "again").await;
    until(&harness, &other, "sent").await;
    until(&harness, &id, "sent").await;
    assert_eq!(vendor.sent(), ["hei", "again"]);
    let reports = reports(&harness).await;
    let first = reports
        .iter()
        .find(|report| report.message_id == id)
        .unwrap();
    assert_eq!(
        (first.state(), first.external_id.as_str()),
        (DeliveryState::Sent, "x-hei")
    );
    stop(runtime).await;
}

#[tokio::test]
async fn retries_keep_the_order_of_their_conversation_and_survive_a_restart() {
    let (harness, vendor) = (Harness::new().await, FakeVendor::default());
    vendor.answer("1", [SendOutcome::retry("busy", "")]);
    let runtime = replica(&harness, "one", &vendor);
    let first = queue(&harness, "a", "1").await;
    until(&harness, &first, "queued... with body").await;
    wait_for("one attempt", || async { vendor.sent() == ["1"] }).await;
    let second = queue(&harness, "a", "2").await;
    let other = queue(&harness, "b", "3").await;
    until(&harness, &other, "sent").await;
    assert_eq!(state(&harness, &second).await, "queued... with body");
    stop(runtime).await;

    let runtime = replica(&harness, "two", &vendor);
    harness.clock.advance(SignedDuration::from_secs(7));
    until(&harness, &second, "sent").await;
    assert_eq!(vendor.sent(), ["1", "3", "1", "2"]);
    stop(runtime).await;
}

#[tokio::test]
async fn attempts_are_bounded_and_a_failure_frees_the_conversation() {
    let (harness, vendor) = (Harness::new().await, FakeVendor::default());
    vendor.answer(
        "1",
        [SendOutcome::failed("blocked", "the customer blocked us")],
    );
    vendor.answer("2", (0..9).map(|_| SendOutcome::retry("busy", "")));
    let runtime = replica(&harness, "one", &vendor);
    let refused = queue(&harness, "a", "1").await;
    let busy = queue(&harness, "a", "2").await;
    let last = queue(&harness, "a", "3").await;
    for attempts in 1..3 {
        wait_for("an attempt", || async {
            vendor.sent().iter().filter(|text| *text == "2").count() == attempts
        })
        .await;
        until(&harness, &busy, "queued... with body").await;
        harness.clock.advance(SignedDuration::from_hours(1));
    }
    until(&harness, &last, "sent").await;
    assert_eq!(state(&harness, &refused).await, "failed");
    assert_eq!(state(&harness, &busy).await, "failed");
    let reports = reports(&harness).await;
    let code = |id: &str| {
        reports
            .iter()
            .find(|report| report.message_id == id)
            .unwrap()
            .error_code
            .clone()
    };
    assert_eq!(
        (code(&refused).as_str(), code(&busy).as_str()),
        ("blocked", "busy")
    );
    stop(runtime).await;
}

#[tokio::test]
async fn what_was_being_sent_at_a_crash_is_unknown_and_never_sent_again() {
    let harness = Harness::new().await;
    let vendor = FakeVendor {
        hang_on: Some("1"),
        ..FakeVendor::default()
    };
    // The crash: a replica that never comes back from its call.
    let dead = replica(&harness, "dead", &vendor);
    let id = queue(&harness, "a", "1").await;
    until(&harness, &id, "sending... with body").await;
    wait_for("the call", || async { vendor.sent() == ["1"] }).await;
    let alive = FakeVendor::default();
    let runtime = replica(&harness, "alive", &alive);
    let next = queue(&harness, "a", "2").await;
    harness.clock.advance(SignedDuration::from_mins(10));
    until(&harness, &id, "unknown").await;
    wait_for("the next one", || async {
        state(&harness, &next).await == "sent"
    })
    .await;
    let sent = [vendor.sent(), alive.sent()].concat();
    assert_eq!(sent.iter().filter(|text| *text == "1").count(), 1);
    let reports = reports(&harness).await;
    let report = reports
        .iter()
        .find(|report| report.message_id == id)
        .unwrap();
    assert_eq!(
        (report.state(), report.error_code.as_str()),
        (DeliveryState::Unknown, "interrupted")
    );
    stop(runtime).await;
    drop(dead);
}

#[tokio::test]
async fn a_sender_that_panics_costs_one_message_and_not_the_connector() {
    let (harness, vendor) = (Harness::new().await, FakeVendor::default());
    let runtime = replica(&harness, "one", &vendor);
    let broken = queue(&harness, "a", "panic").await;
    let other = queue(&harness, "b", "hei").await;
    until(&harness, &other, "sent").await;
    wait_for("the mistake", || async {
        vendor.sent().contains(&"panic".to_owned())
    })
    .await;
    harness.clock.advance(SignedDuration::from_mins(10));
    until(&harness, &broken, "unknown").await;
    stop(runtime).await;
}
