//! The way in: events gather for a moment, go to the bus in one publish, and only then is each sender answered.
//!
//! A disk sync is what an accepted message costs, so messages that arrive together share one. Two commits may be under
//! way at the same time, but never two with the same partition key: a conversation keeps its order. A time-out is
//! "unknown": the sender is told to try again, and the event ids, which depend only on what the vendor calls the
//! message, make the second delivery a repeat without effect.

mod commit;
mod event;

use std::{sync::Arc, time::Duration};

use solmu_bus::{Event, PublishError};
use solmu_domain::clock::SharedClock;
use solmu_proto::inbound::v1::{DeliveryReported, MessageReceived};
use solmu_runtime::Runtime;
use solmu_telemetry::metrics::{Counter, Histogram, Metrics, PIPELINE_SECONDS, Unit};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use event::MAX_EVENT_BYTES;

/// How events gather.
#[derive(Debug, Clone, Copy)]
pub struct IntakeConfig {
    /// The shortest time between two commits that are not full, in which events gather.
    pub linger: Duration,
    /// Events of one commit at most.
    pub max_events: usize,
    /// Bytes of one commit at most (a larger single event goes alone).
    pub max_bytes: usize,
    /// Commits under way at the same time.
    pub max_commits: usize,
    /// Bytes that may wait; senders beyond that are held back.
    pub max_waiting_bytes: usize,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(8),
            max_events: 500,
            max_bytes: 4 * 1024 * 1024,
            max_commits: 2,
            max_waiting_bytes: 32 * 1024 * 1024,
        }
    }
}

/// What a connector hands in.
#[derive(Debug, Clone)]
pub enum InboundEvent {
    /// A customer's message.
    Message(Box<MessageReceived>),
    /// What became of a message of ours.
    Delivery(Box<DeliveryReported>),
}

impl From<MessageReceived> for InboundEvent {
    fn from(message: MessageReceived) -> Self {
        Self::Message(Box::new(message))
    }
}

impl From<DeliveryReported> for InboundEvent {
    fn from(report: DeliveryReported) -> Self {
        Self::Delivery(Box::new(report))
    }
}

/// An event that was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// The bus did not say that it has the event; it may have it all the same. Answer 503 or 451: the sender tries
    /// again, and a repeat has no second effect.
    #[error("the bus did not acknowledge the event")]
    Unavailable,
    /// The event is too large even after its texts were shortened.
    #[error("the event is too large")]
    TooLarge,
}

/// A handle to hand events in.
#[derive(Debug, Clone)]
pub struct Intake {
    queue: mpsc::Sender<Pending>,
    waiting: Arc<Semaphore>,
    max_waiting_bytes: usize,
    clock: SharedClock,
    metrics: IntakeMetrics,
}

/// What one caller handed in, and where its answer goes.
struct Pending {
    events: Vec<Event>,
    bytes: usize,
    answer: oneshot::Sender<Result<(), IntakeError>>,
}

/// Metrics of the intake.
#[derive(Debug, Clone)]
struct IntakeMetrics {
    messages: Counter<2>,
    latency: Histogram<2>,
}

impl IntakeMetrics {
    fn new(metrics: &Metrics) -> Self {
        Self {
            messages: metrics.counter(
                "solmu_inbound_messages_total",
                "messages that connectors took in, by what became of them",
                Unit::Count,
                ["channel", "outcome"],
            ),
            latency: metrics.histogram(
                "solmu_ingest_latency_seconds",
                "time since a message was received, by the stage that it reached",
                Unit::Seconds,
                ["channel", "stage"],
                PIPELINE_SECONDS,
            ),
        }
    }
}

impl Intake {
    /// Starts the committer. It ends with the process's background tasks, after it has answered everybody.
    #[must_use]
    pub fn start(runtime: &Runtime, config: IntakeConfig) -> Self {
        let bus = runtime.bus.clone();
        let publish = move |events: Arc<[Event]>| {
            let bus = bus.clone();
            async move { bus.publish(&events).await.map_err(|error| classify(&error)) }
        };
        let stop = runtime.shutdown.stop.clone();
        let (intake, committer) = Self::over(
            publish,
            runtime.clock.clone(),
            &runtime.metrics,
            config,
            stop,
        );
        runtime.spawn_background("intake", committer);
        intake
    }

    /// An intake over anything that publishes, and its committer, which must be run.
    fn over<P, F>(
        publish: P,
        clock: SharedClock,
        metrics: &Metrics,
        config: IntakeConfig,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<P, F>)
    where
        P: Fn(Arc<[Event]>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), IntakeError>> + Send,
    {
        let (queue, receiver) = mpsc::channel(config.max_events.max(1) * 4);
        let intake = Self {
            queue,
            waiting: Arc::new(Semaphore::new(config.max_waiting_bytes)),
            max_waiting_bytes: config.max_waiting_bytes,
            clock,
            metrics: IntakeMetrics::new(metrics),
        };
        (intake, commit::run(receiver, publish, config, stop))
    }

    /// Hands in one event; `Ok` means that it is on the bus's disk.
    pub async fn accept(&self, event: impl Into<InboundEvent>) -> Result<(), IntakeError> {
        self.accept_all(vec![event.into()]).await
    }

    /// Hands in the events of one request; `Ok` means that all are on the bus's disk.
    ///
    /// Event ids are made here from `(channel, account, external_id)`, and so is `message_id`; a missing
    /// `received_time` becomes the present. NUL characters are removed.
    pub async fn accept_all(&self, events: Vec<InboundEvent>) -> Result<(), IntakeError> {
        if events.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        let channels: Vec<&'static str> = events.iter().map(InboundEvent::channel_label).collect();
        let outcome = self.publish(events).await;
        let label = match outcome {
            Ok(()) => "accepted",
            Err(IntakeError::Unavailable) => "deferred",
            Err(IntakeError::TooLarge) => "rejected",
        };
        let seconds = started.elapsed().as_secs_f64();
        for channel in channels {
            self.metrics.messages.inc([channel, label]);
            if outcome.is_ok() {
                self.metrics
                    .latency
                    .observe([channel, "published"], seconds);
            }
        }
        outcome
    }

    async fn publish(&self, events: Vec<InboundEvent>) -> Result<(), IntakeError> {
        let now = self.clock.now();
        let events = events
            .into_iter()
            .map(|event| event.prepare(now))
            .collect::<Result<Vec<_>, _>>()?;
        let bytes = events.iter().map(|event| event.data.len()).sum::<usize>();
        let permits = u32::try_from(bytes.min(self.max_waiting_bytes)).unwrap_or(u32::MAX);
        let _held_back = self
            .waiting
            .acquire_many(permits)
            .await
            .map_err(|_| IntakeError::Unavailable)?;
        let (answer, answered) = oneshot::channel();
        self.queue
            .send(Pending {
                events,
                bytes,
                answer,
            })
            .await
            .map_err(|_| IntakeError::Unavailable)?;
        answered.await.unwrap_or(Err(IntakeError::Unavailable))
    }
}

fn classify(error: &PublishError) -> IntakeError {
    match error {
        PublishError::TooLarge { .. } => IntakeError::TooLarge,
        PublishError::Unknown | PublishError::Unavailable(_) => {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "events could not be published; senders try again"
            );
            IntakeError::Unavailable
        }
    }
}

#[cfg(test)]
mod bus_tests;
#[cfg(test)]
mod tests;
