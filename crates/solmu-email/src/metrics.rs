//! What the e-mail connector counts.

use solmu_telemetry::metrics::{Counter, Gauge, Metrics, Unit};

/// Counters of the connector. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EmailMetrics {
    /// Mails by class.
    pub classified: Counter<1>,
    /// Mails by who looked at the sender, and what came of it.
    pub senders: Counter<2>,
    /// Answers to mails over SMTP, by the first digit.
    pub replies: Counter<1>,
    /// Open SMTP connections.
    pub connections: Gauge<0>,
    /// Refused connections and recipients, by why.
    pub refused: Counter<1>,
    /// TLS handshakes of SMTP connections, by outcome.
    pub handshakes: Counter<1>,
    /// Readings of a certificate that changed, by outcome.
    pub certificate_reloads: Counter<1>,
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
            senders: metrics.counter(
                "solmu_email_senders_total",
                "mails by who looked at the sender, and what came of it",
                Unit::Count,
                ["method", "verdict"],
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
            handshakes: metrics.counter(
                "solmu_email_smtp_tls_total",
                "TLS handshakes of SMTP connections, by outcome",
                Unit::Count,
                ["outcome"],
            ),
            certificate_reloads: metrics.counter(
                "solmu_email_smtp_certificate_reloads_total",
                "changed certificates of the SMTP server that were read, by outcome",
                Unit::Count,
                ["outcome"],
            ),
        }
    }
}
