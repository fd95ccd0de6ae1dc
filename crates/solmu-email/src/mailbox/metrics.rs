//! What is counted of mailboxes.

use std::sync::{Mutex, PoisonError};

use solmu_telemetry::{
    metrics::{Counter, Gauge, Metrics, Unit},
    vendor::VendorMetrics,
};

/// Counters of all mailboxes of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MailboxMetrics {
    /// Mails, by what became of them.
    pub mails: Counter<1>,
    /// Changes of UIDVALIDITY: each hands a whole folder over again.
    pub resyncs: Counter<0>,
    /// Connections on which mails could not be marked or moved.
    pub unsettled: Counter<0>,
    /// Failures, by why.
    pub failures: Counter<1>,
    /// Mailboxes that this process reads, by whether they can be read.
    pub mailboxes: Gauge<1>,
    /// Servers that ask for fewer commands or connections.
    pub vendors: VendorMetrics,
}

impl MailboxMetrics {
    /// Registers the counters.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            mails: metrics.counter(
                "solmu_email_mailbox_mails_total",
                "mails read over IMAP, by what became of them",
                Unit::Count,
                ["outcome"],
            ),
            resyncs: metrics.counter(
                "solmu_email_mailbox_resyncs_total",
                "folders whose UIDVALIDITY changed, so that all of their mail was handed over again",
                Unit::Count,
                [],
            ),
            unsettled: metrics.counter(
                "solmu_email_mailbox_unsettled_total",
                "connections on which mails were taken but could not be marked or moved",
                Unit::Count,
                [],
            ),
            failures: metrics.counter(
                "solmu_email_mailbox_failures_total",
                "failed connections and passes over a mailbox, by why",
                Unit::Count,
                ["why"],
            ),
            mailboxes: metrics.gauge(
                "solmu_email_mailboxes",
                "mailboxes that this process reads, by whether they can be read (up, down)",
                Unit::Count,
                ["state"],
            ),
            vendors: VendorMetrics::new(metrics),
        }
    }
}

/// Whether one mailbox can be read: counted in the gauge while this lives.
#[derive(Debug)]
pub(super) struct Standing {
    gauge: Gauge<1>,
    now: Mutex<Option<&'static str>>,
}

impl Standing {
    pub(super) fn new(metrics: &MailboxMetrics) -> Self {
        Self {
            gauge: metrics.mailboxes.clone(),
            now: Mutex::new(None),
        }
    }

    pub(super) fn is(&self, state: &'static str) {
        self.change(Some(state));
    }

    fn change(&self, to: Option<&'static str>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, to);
        if let Some(before) = before {
            self.gauge.add([before], -1.0);
        }
        if let Some(to) = to {
            self.gauge.add([to], 1.0);
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.change(None);
    }
}
