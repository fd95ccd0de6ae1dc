//! What the SLA service tells ops.

use solmu_domain::{sla::InstantKind, ticket::Priority};
use solmu_telemetry::{
    Metrics,
    metrics::{Counter, Gauge, Histogram, Unit},
    vendor::VendorMetrics,
};

use crate::{changes::Margin, tracked::Notice};

/// Bounds of lateness, in seconds. The promise is one second.
const LAG_SECONDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 30.0, 300.0, 3600.0,
];

/// Bounds of margins, in business seconds: minutes for first answers, days for resolutions.
const MARGIN_SECONDS: &[f64] = &[
    60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 86_400.0, 259_200.0, 604_800.0,
];

/// The metrics of the service.
#[derive(Debug, Clone)]
pub(crate) struct SlaMetrics {
    timer_lag: Histogram<1>,
    pub(crate) overdue: Gauge<0>,
    margin: Histogram<2>,
    warnings: Counter<2>,
    breaches: Counter<2>,
    escalations: Counter<2>,
    pub(crate) webhook_calls: Counter<1>,
    pub(crate) vendors: VendorMetrics,
    pub(crate) late_events: Counter<0>,
    pub(crate) waiting_events: Counter<0>,
    pub(crate) stuck_tickets: Counter<0>,
}

impl SlaMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        Self {
            timer_lag: known_kinds(metrics.histogram(
                "solmu_sla_timer_lag_seconds",
                "How long after its time a timer was fired",
                Unit::Seconds,
                ["kind"],
                LAG_SECONDS,
            )),
            overdue: metrics.gauge(
                "solmu_sla_timers_overdue_seconds",
                "for how long the oldest timer has been due and is not fired, as the table says; 0 if none is",
                Unit::Seconds,
                [],
            ),
            margin: metrics.histogram(
                "solmu_sla_margin_seconds",
                "Business seconds that were left when a promise was kept (result met), or by which it was late (breached)",
                Unit::Seconds,
                ["metric", "result"],
                MARGIN_SECONDS,
            ),
            warnings: metrics.counter(
                "solmu_sla_warnings_total",
                "Deadlines that were warned of",
                Unit::Count,
                ["metric", "priority"],
            ),
            breaches: metrics.counter(
                "solmu_sla_breaches_total",
                "Deadlines that were missed",
                Unit::Count,
                ["metric", "priority"],
            ),
            escalations: metrics.counter(
                "solmu_sla_escalations_total",
                "Steps of escalation chains that were taken",
                Unit::Count,
                ["metric", "action"],
            ),
            webhook_calls: metrics.counter(
                "solmu_sla_webhook_calls_total",
                "Calls of webhooks of escalation steps",
                Unit::Count,
                ["outcome"],
            ),
            vendors: VendorMetrics::new(metrics),
            late_events: metrics.counter(
                "solmu_sla_late_events_total",
                "Ticket events that came after later ones and made a ticket's clocks be replayed",
                Unit::Count,
                [],
            ),
            waiting_events: metrics.counter(
                "solmu_sla_waiting_events_total",
                "Ticket events that wait for the opening of their ticket",
                Unit::Count,
                [],
            ),
            stuck_tickets: metrics.counter(
                "solmu_sla_stuck_tickets_total",
                "Attempts to fire the timers of a ticket whose clocks refused",
                Unit::Count,
                [],
            ),
        }
    }

    /// Counts what was told. To be called after the commit.
    pub(crate) fn told(&self, notices: &[Notice]) {
        for notice in notices {
            let labels = [notice.metric.as_str(), priority_label(&notice.priority)];
            match notice.kind {
                InstantKind::Warning => self.warnings.inc(labels),
                InstantKind::Breach => self.breaches.inc(labels),
                InstantKind::Escalation => {
                    let labels = [notice.metric.as_str(), notice.action.as_str()];
                    self.escalations.inc(labels);
                }
            }
            if notice.by_timer {
                let lag = notice.fired_at.duration_since(notice.scheduled_at);
                self.timer_lag
                    .observe([kind_label(notice.kind)], lag.as_secs_f64().max(0.0));
            }
        }
    }
}

impl SlaMetrics {
    /// Counts how near promises came to their deadlines. To be called after the commit.
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds of business time are far below 2^52"
    )]
    pub(crate) fn ended(&self, margins: &[Margin]) {
        for margin in margins {
            let result = if margin.breached { "breached" } else { "met" };
            let labels = [margin.metric.as_str(), result];
            self.margin.observe(labels, margin.seconds as f64);
        }
    }
}

/// Tells of every kind from the start: the objective counts what is late from the first timer on.
fn known_kinds(lag: Histogram<1>) -> Histogram<1> {
    for kind in [
        InstantKind::Warning,
        InstantKind::Breach,
        InstantKind::Escalation,
    ] {
        lag.declare([kind_label(kind)]);
    }
    lag
}

const fn kind_label(kind: InstantKind) -> &'static str {
    match kind {
        InstantKind::Warning => "warning",
        InstantKind::Breach => "breach",
        InstantKind::Escalation => "escalation",
    }
}

/// Priorities are texts in policies; a label is one of ours.
fn priority_label(name: &str) -> &'static str {
    name.parse::<Priority>().map_or("other", Priority::name)
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use solmu_domain::sla::{ActionKind, Metric};

    use super::*;

    #[test]
    fn breaches_and_lateness_are_counted() {
        let registry = Metrics::new();
        let metrics = SlaMetrics::register(&registry);
        let notice = Notice {
            kind: InstantKind::Breach,
            metric: Metric::FirstResponse,
            cycle: 1,
            due: Timestamp::UNIX_EPOCH,
            scheduled_at: Timestamp::UNIX_EPOCH,
            fired_at: Timestamp::UNIX_EPOCH + SignedDuration::from_millis(300),
            priority: "urgent".to_owned(),
            by_timer: true,
            step: String::new(),
            action: ActionKind::Warn,
            target: String::new(),
            event_only: false,
        };
        metrics.told(&[notice]);
        let told = metrics.breaches.get(["first_response", "urgent"]);
        assert_eq!(told, 1);
        let text = registry.encode();
        let bucket = r#"solmu_sla_timer_lag_seconds_bucket{le="0.5",kind="breach"} 1"#;
        assert!(text.contains(bucket), "{text}");
    }

    #[test]
    fn margins_are_counted_by_result() {
        let registry = Metrics::new();
        let metrics = SlaMetrics::register(&registry);
        let margin = |breached, seconds| Margin {
            metric: Metric::Resolution,
            breached,
            seconds,
        };
        metrics.ended(&[margin(false, 120), margin(true, 30), margin(true, 9_000)]);
        let text = registry.encode();
        for line in [
            r#"solmu_sla_margin_seconds_bucket{le="300.0",metric="resolution",result="met"} 1"#,
            r#"solmu_sla_margin_seconds_sum{metric="resolution",result="breached"} 9030.0"#,
            r#"solmu_sla_margin_seconds_count{metric="resolution",result="breached"} 2"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
