//! What the webhooks count.

use axum::http::StatusCode;
use solmu_telemetry::metrics::{Counter, Metrics, Unit, intern};

use crate::{Vendor, report::Outcome};

/// Counters of the webhooks.
#[derive(Debug)]
pub(crate) struct HookMetrics {
    requests: Counter<2>,
    pub(crate) refused: Counter<2>,
    pub(crate) reports: Counter<2>,
}

impl HookMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counter(
                "solmu_email_webhook_requests_total",
                "requests of mail providers, by how they were answered",
                Unit::Count,
                ["vendor", "answer"],
            ),
            refused: metrics.counter(
                "solmu_email_webhook_refused_total",
                "requests of mail providers that were not taken, by why",
                Unit::Count,
                ["vendor", "why"],
            ),
            reports: metrics.counter(
                "solmu_email_webhook_reports_total",
                "what mail providers reported on sent mail, by what was made of it",
                Unit::Count,
                ["vendor", "outcome"],
            ),
        }
    }

    /// Counts the answer and passes it on.
    pub(crate) fn answered(&self, vendor: Vendor, status: StatusCode) -> StatusCode {
        self.requests.inc([vendor.label(), intern(status.as_str())]);
        status
    }
}

impl Outcome {
    /// As a metric label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed {
                address_invalid: true,
            } => "address_invalid",
            Self::Failed { .. } => "failed",
            Self::Complaint => "complaint",
        }
    }
}
