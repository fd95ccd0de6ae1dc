//! What the bus layer tells ops of its consumers.

use solmu_telemetry::{
    Metrics,
    metrics::{BATCH_SIZES, CALL_SECONDS, Counter, Gauge, Histogram, Unit},
};

/// Metrics of all consumers of a process. The label is the consumer's durable name without its shard.
#[derive(Debug, Clone)]
pub struct ConsumerMetrics {
    pub(crate) events: Counter<2>,
    pub(crate) redelivered: Counter<1>,
    pub(crate) dead: Counter<2>,
    pub(crate) batch: Histogram<1>,
    pub(crate) seconds: Histogram<1>,
    pub(crate) oldest_age: Gauge<1>,
    pub(crate) pending: Gauge<1>,
}

impl ConsumerMetrics {
    /// Registers them.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            events: metrics.counter(
                "solmu_consumer_events_total",
                "events by what became of them",
                Unit::Count,
                ["consumer", "outcome"],
            ),
            redelivered: metrics.counter(
                "solmu_consumer_redelivered_total",
                "bus messages that were delivered more than once",
                Unit::Count,
                ["consumer"],
            ),
            dead: metrics.counter(
                "solmu_dead_letters_total",
                "events that a consumer gave up, by cause",
                Unit::Count,
                ["consumer", "cause"],
            ),
            batch: metrics.histogram(
                "solmu_consumer_batch_events",
                "events handled in one go",
                Unit::Count,
                ["consumer"],
                BATCH_SIZES,
            ),
            seconds: metrics.histogram(
                "solmu_consumer_handle_seconds",
                "time to handle one batch",
                Unit::Seconds,
                ["consumer"],
                CALL_SECONDS,
            ),
            oldest_age: metrics.gauge(
                "solmu_consumer_oldest_unprocessed_age_seconds",
                "age of the oldest event that was delivered and is not done, at the last batch",
                Unit::Seconds,
                ["consumer"],
            ),
            pending: metrics.gauge(
                "solmu_consumer_pending_messages",
                "bus messages that wait or are in work",
                Unit::Count,
                ["consumer"],
            ),
        }
    }
}
