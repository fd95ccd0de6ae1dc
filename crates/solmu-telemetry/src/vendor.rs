//! What vendors ask of us: fewer requests, or later ones.
//!
//! Whoever asks something of others counts here, so that one panel and one alert show relays, mailboxes, identity
//! providers, messengers and webhooks alike. A vendor that slows us down is no failure of ours, and nothing is lost by
//! it; somebody has to know all the same before customers feel it.

use std::time::Duration;

use crate::metrics::{Counter, Histogram, Metrics, Unit};

/// Bounds of the times that vendors ask for, in seconds: Telegram names seconds, Meta minutes, providers of identities up
/// to a day.
const WAIT_SECONDS: &[f64] = &[
    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0,
];

/// What was asked of a vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// To take a message to a customer.
    Send,
    /// To let us read a mailbox.
    Read,
    /// To give us an access token (OAuth2).
    Token,
    /// To give us a file, a certificate or keys.
    Fetch,
    /// To take a webhook of ours.
    Webhook,
}

impl Call {
    const fn label(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Read => "read",
            Self::Token => "token",
            Self::Fetch => "fetch",
            Self::Webhook => "webhook",
        }
    }
}

/// Counts answers by which a vendor asks for fewer requests. Cheap to clone.
#[derive(Debug, Clone)]
pub struct VendorMetrics {
    throttled: Counter<2>,
    wait: Histogram<2>,
}

impl VendorMetrics {
    /// Registers the metrics, or finds them.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            throttled: metrics.counter(
                "solmu_vendor_throttled_total",
                "answers by which a vendor asked for fewer requests or later ones, by channel (or the part of ours that asked) and by what it was asked for",
                Unit::Count,
                ["channel", "call"],
            ),
            wait: metrics.histogram(
                "solmu_vendor_wait_seconds",
                "how long vendors that asked for fewer requests told us to wait, where they said so",
                Unit::Seconds,
                ["channel", "call"],
                WAIT_SECONDS,
            ),
        }
    }

    /// A vendor asked for fewer requests; `wait` is what it told us to wait, if it did.
    ///
    /// `channel` is the channel's name, or the part of ours that asked (`sla`, `access`) where no channel did.
    pub fn throttled(&self, channel: &'static str, call: Call, wait: Option<Duration>) {
        let labels = [channel, call.label()];
        self.throttled.inc(labels);
        if let Some(wait) = wait {
            self.wait.observe(labels, wait.as_secs_f64());
        }
    }

    /// How often a vendor of `channel` asked for fewer requests of a kind.
    #[must_use]
    pub fn count(&self, channel: &'static str, call: Call) -> u64 {
        self.throttled.get([channel, call.label()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_of_us_is_counted_and_the_wait_where_it_is_said() {
        let metrics = Metrics::new();
        let vendors = VendorMetrics::new(&metrics);
        vendors.throttled("telegram", Call::Send, Some(Duration::from_secs(14)));
        VendorMetrics::new(&metrics).throttled("telegram", Call::Send, None);
        vendors.throttled("email", Call::Token, None);
        assert_eq!(vendors.count("telegram", Call::Send), 2);
        assert_eq!(vendors.count("email", Call::Token), 1);
        let told = metrics.encode();
        for line in [
            r#"solmu_vendor_throttled_total{channel="telegram",call="send"} 2"#,
            r#"solmu_vendor_wait_seconds_count{channel="telegram",call="send"} 1"#,
            r#"solmu_vendor_wait_seconds_sum{channel="telegram",call="send"} 14"#,
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        assert!(!told.contains(r#"solmu_vendor_wait_seconds_count{channel="email""#));
    }
}
