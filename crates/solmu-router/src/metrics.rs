//! What the router tells ops. Labels are fixed words, never ids.

use solmu_telemetry::{
    Metrics,
    metrics::{CALL_SECONDS, Counter, Gauge, Histogram, PIPELINE_SECONDS, Unit},
};

use crate::core::{
    decision::{Decision, Kind},
    event::RejectCause,
};

/// All metrics of the router.
#[derive(Debug, Clone)]
pub(crate) struct RouterMetrics {
    assignments: Counter<1>,
    rejections: Counter<1>,
    wait: Histogram,
    round: Histogram,
    unassigned: Gauge,
    stuck: Gauge,
}

impl RouterMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            assignments: metrics.counter(
                "solmu_assignments_total",
                "Decisions of the router by how the ticket was placed",
                Unit::Count,
                ["reason"],
            ),
            rejections: metrics.counter(
                "solmu_assignments_rejected_total",
                "Decisions that the ticket service rejected, by cause",
                Unit::Count,
                ["cause"],
            ),
            wait: metrics.histogram(
                "solmu_assignment_wait_seconds",
                "How long a ticket waited until the router gave it to an agent",
                Unit::Seconds,
                [],
                PIPELINE_SECONDS,
            ),
            round: metrics.histogram(
                "solmu_routing_decision_seconds",
                "Time to decide on one batch of events and to commit it",
                Unit::Seconds,
                [],
                CALL_SECONDS,
            ),
            stuck: metrics.gauge(
                "solmu_restricted_stuck_tickets",
                "Restricted tickets without an owner who works here that name nobody else; told by the router's leader",
                Unit::Count,
                [],
            ),
            unassigned: metrics.gauge(
                "solmu_unassigned_tickets",
                "Open tickets that nobody owns; told by the router's leader",
                Unit::Count,
                [],
            ),
        }
    }

    pub(crate) fn decided(&self, decision: &Decision) {
        let reason = match (decision.agent, &decision.rule) {
            _ if !matches!(decision.kind, Kind::Assigned | Kind::Queued) => decision.kind.name(),
            (None, _) => "queued",
            (Some(_), Some(_)) => "rule_least_loaded",
            (Some(_), None) => "least_loaded",
        };
        self.assignments.inc([reason]);
        if let (Some(_), Some(since)) = (decision.agent, decision.waiting_since)
            && decision.kind != Kind::Offered
        {
            let waited = decision.time.duration_since(since).as_secs_f64();
            self.wait.observe([], waited.max(0.0));
        }
    }

    pub(crate) fn rejected(&self, cause: RejectCause) {
        self.rejections.inc([cause.code()]);
    }

    pub(crate) fn round_took(&self, seconds: f64) {
        self.round.observe([], seconds);
    }

    pub(crate) fn unassigned(&self, tickets: usize) {
        self.unassigned
            .set([], f64::from(u32::try_from(tickets).unwrap_or(u32::MAX)));
    }

    /// How many restricted tickets can go to nobody.
    pub(crate) fn stuck(&self, tickets: usize) {
        self.stuck
            .set([], f64::from(u32::try_from(tickets).unwrap_or(u32::MAX)));
    }

    /// Who does not lead does not report what the leader knows.
    pub(crate) fn not_leading(&self) {
        self.unassigned.remove([]);
        self.stuck.remove([]);
    }
}
