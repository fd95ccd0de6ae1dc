//! What the ticket service tells ops.

use solmu_telemetry::{
    Metrics,
    metrics::{Counter, Histogram, PIPELINE_SECONDS, Unit},
};

/// Metrics of the ticket service.
#[derive(Debug, Clone)]
pub(crate) struct TicketMetrics {
    pub(crate) filed: Counter<2>,
    pub(crate) duplicates: Counter<0>,
    pub(crate) quarantined: Counter<1>,
    pub(crate) latency: Histogram<1>,
    pub(crate) decisions: Counter<2>,
}

impl TicketMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            filed: metrics.counter(
                "solmu_messages_filed_total",
                "inbound messages filed, by channel and what they did",
                Unit::Count,
                ["channel", "outcome"],
            ),
            duplicates: metrics.counter(
                "solmu_duplicates_dropped_total",
                "inbound events that were filed before",
                Unit::Count,
                [],
            ),
            quarantined: metrics.counter(
                "solmu_messages_quarantined_total",
                "messages that wait in the quarantine, by cause",
                Unit::Count,
                ["cause"],
            ),
            latency: metrics.histogram(
                "solmu_ingest_filed_seconds",
                "time from receiving a message to filing it",
                Unit::Seconds,
                ["channel"],
                PIPELINE_SECONDS,
            ),
            decisions: metrics.counter(
                "solmu_decisions_applied_total",
                "decisions of router and SLA service, by what became of them",
                Unit::Count,
                ["kind", "outcome"],
            ),
        }
    }
}
