//! What the e-mail connector counts.

use solmu_telemetry::metrics::{Counter, Gauge, Metrics, Unit};

/// Counters of the connector. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EmailMetrics {
    /// Mails by class.
    pub classified: Counter<1>,
    /// Answers to mails over SMTP, by the first digit.
    pub replies: Counter<1>,
    /// Open SMTP connections.
    pub connections: Gauge<0>,
    /// Refused connections and recipients, by why.
    pub refused: Counter<1>,
}

impl EmailMetrics {
    /// Registers the counters.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            classified: metrics.counter(
                "solmu_email_classified_total",
                "mails taken apart, by who or what wrote them",
                Unit::Count,
                ["class"],
            ),
            replies: metrics.counter(
                "solmu_email_smtp_mails_total",
                "mails over SMTP, by the class of the reply",
                Unit::Count,
                ["reply"],
            ),
            connections: metrics.gauge(
                "solmu_email_smtp_connections",
                "open SMTP connections",
                Unit::Count,
                [],
            ),
            refused: metrics.counter(
                "solmu_email_smtp_refused_total",
                "SMTP connections and commands that were refused, by why",
                Unit::Count,
                ["why"],
            ),
        }
    }
}
