//! What the ticket service tells ops.

use solmu_proto::types::v1::Channel;
use solmu_telemetry::{
    Metrics,
    metrics::{Counter, Gauge, Histogram, PIPELINE_SECONDS, Unit},
};

/// What a transaction did, counted once it is committed: it may run more than once.
#[derive(Debug, Default)]
pub struct Tally {
    /// Events that were filed before.
    pub duplicates: u64,
    /// Channel, what the message did, and seconds since it was received.
    pub filed: Vec<(&'static str, &'static str, f64)>,
    /// Causes.
    pub quarantined: Vec<&'static str>,
    /// Kinds and outcomes.
    pub decisions: Vec<[&'static str; 2]>,
}

impl Tally {
    /// Adds what a later part of the same work did.
    pub fn add(&mut self, mut other: Self) {
        self.duplicates += other.duplicates;
        self.filed.append(&mut other.filed);
        self.quarantined.append(&mut other.quarantined);
        self.decisions.append(&mut other.decisions);
    }
}

/// Metrics of the ticket service.
#[derive(Debug, Clone)]
pub struct TicketMetrics {
    filed: Counter<2>,
    duplicates: Counter<0>,
    quarantined: Counter<1>,
    latency: Histogram<1>,
    decisions: Counter<2>,
    waiting: Gauge<0>,
    oldest: Gauge<0>,
    purged: Counter<0>,
    unindexed: Counter<0>,
    overdue: Gauge<1>,
    search_lag: Gauge<0>,
}

impl TicketMetrics {
    /// Notes how many messages wait in the quarantine, and the age of the oldest in seconds.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody counts so many messages one by one"
    )]
    pub fn quarantine(&self, waiting: i64, oldest: f64) {
        self.waiting.set([], waiting as f64);
        self.oldest.set([], oldest);
    }

    /// Counts messages that left the quarantine because of their age.
    pub fn purged(&self, messages: u64) {
        self.purged.add([], messages);
    }

    /// Counts a document that searches do not find, because PostgreSQL refused its words.
    pub fn unindexed(&self) {
        self.unindexed.inc([]);
    }

    /// Notes for how many seconds what should have happened has not.
    pub fn overdue(&self, kind: &'static str, seconds: f64) {
        self.overdue.set([kind], seconds);
    }

    /// Notes by how many seconds the search index is behind what is written.
    pub fn search_lag(&self, seconds: f64) {
        self.search_lag.set([], seconds);
    }

    /// Counts what was committed.
    pub fn record(&self, tally: &Tally) {
        self.duplicates.add([], tally.duplicates);
        for (channel, outcome, seconds) in &tally.filed {
            self.filed.inc([channel, outcome]);
            self.latency.observe([channel], *seconds);
        }
        for cause in &tally.quarantined {
            self.quarantined.inc([cause]);
        }
        for labels in &tally.decisions {
            self.decisions.inc(*labels);
        }
    }

    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
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
            latency: known_channels(metrics.histogram(
                "solmu_ingest_filed_seconds",
                "time from receiving a message to filing it",
                Unit::Seconds,
                ["channel"],
                PIPELINE_SECONDS,
            )),
            decisions: metrics.counter(
                "solmu_decisions_applied_total",
                "decisions of router and SLA service, by what became of them",
                Unit::Count,
                ["kind", "outcome"],
            ),
            waiting: metrics.gauge(
                "solmu_quarantine_waiting",
                "messages that wait in the quarantine",
                Unit::Count,
                [],
            ),
            oldest: metrics.gauge(
                "solmu_quarantine_oldest_seconds",
                "age of the message that has waited longest in the quarantine; 0 if none does",
                Unit::Seconds,
                [],
            ),
            purged: metrics.counter(
                "solmu_quarantine_purged_total",
                "messages that left the quarantine because of their age",
                Unit::Count,
                [],
            ),
            unindexed: metrics.counter(
                "solmu_search_refused_total",
                "documents that could not be indexed, so that searches do not find them",
                Unit::Count,
                [],
            ),
            overdue: metrics.gauge(
                "solmu_ticket_timers_overdue_seconds",
                "for how long the oldest reminder, wake-up or closing has been due and is not done; 0 if none is",
                Unit::Seconds,
                ["kind"],
            ),
            search_lag: metrics.gauge(
                "solmu_search_lag_seconds",
                "for how long the oldest change has waited for the search index; 0 if none does",
                Unit::Seconds,
                [],
            ),
        }
    }
}

/// Tells of every channel from the start: the objective counts what is filed late from the first message on, as after an
/// hour in which nobody filed.
fn known_channels(latency: Histogram<1>) -> Histogram<1> {
    for channel in [
        Channel::Email,
        Channel::Chat,
        Channel::Form,
        Channel::Whatsapp,
        Channel::Telegram,
    ] {
        latency.declare([channel_name(channel)]);
    }
    latency
}

/// A channel in metrics and rules.
pub const fn channel_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "email",
        Channel::Chat => "chat",
        Channel::Form => "form",
        Channel::Whatsapp => "whatsapp",
        Channel::Telegram => "telegram",
        Channel::Unspecified => "other",
    }
}
