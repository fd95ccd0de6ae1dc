//! What an operator may say about the SLA service.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_secret::Secret;

use crate::Error;

/// Section `sla` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Ticket events that one transaction takes at most, 1 to 5,000.
    pub batch_events: usize,
    /// The shortest time between two transactions that are not full, in which events gather, in milliseconds, at most
    /// 1,000.
    pub linger_ms: u64,
    /// Tickets whose timers one transaction fires at most, 1 to 5,000.
    pub timer_batch: u32,
    /// How often the clock is compared with the next timer while there is one, in milliseconds, 1 to 500. A timer is
    /// fired when it is due, not at the next look; looking only matters when the machine's clock jumps.
    pub clock_poll_ms: u64,
    /// How long a new leader waits at most to have read what happened while nobody worked before it fires timers, in
    /// milliseconds. Without that, an answer given during the outage would be called a breach.
    pub catch_up_ms: u64,
    /// Where the ticket service's gRPC API is, e.g. `http://tickets:7310`. Needed for policies that look at fields of the
    /// contact or its organisations; empty: such policies cannot be saved.
    pub tickets_endpoint: String,
    /// Bearer token of role service for that API.
    pub tickets_token: Secret,
    /// Webhooks that steps of policies may call, by the name that the steps give. A step whose name is not here is only
    /// an event.
    pub webhooks: BTreeMap<String, Webhook>,
    /// How long one call of a webhook may take, in milliseconds, 100 to 60,000.
    pub webhook_timeout_ms: u64,
    /// How long a call of a webhook is left to the process that has begun it, in milliseconds, 1,000 to 120,000. It is
    /// renewed four times as often while the call runs; after a crash another process makes the call so much later.
    pub webhook_lease_ms: u64,
}

/// A webhook of ours: what it posts is signed by Standard Webhooks 1.0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where to post, `https://...`. Redirects are not followed.
    pub url: String,
    /// Secrets of the signature, newest first: `whsec_` and base64. Each of them signs.
    pub secrets: Vec<Secret>,
    /// Whether the address may lie in a private network. If not, it is refused when the name resolves to none that is
    /// public.
    #[serde(default)]
    pub private: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_events: 500,
            linger_ms: 10,
            timer_batch: 500,
            clock_poll_ms: 200,
            catch_up_ms: 30_000,
            tickets_endpoint: String::new(),
            tickets_token: Secret::default(),
            webhooks: BTreeMap::new(),
            webhook_timeout_ms: 10_000,
            webhook_lease_ms: 10_000,
        }
    }
}

impl Config {
    /// Checks the ranges that the fields name.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field that is out of its range.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |field, expected| Err(Error::Config { field, expected });
        if !(1..=5_000).contains(&self.batch_events) {
            return refuse("batch_events", "1 to 5000");
        }
        if self.linger_ms > 1_000 {
            return refuse("linger_ms", "0 to 1000");
        }
        if !(1..=5_000).contains(&self.timer_batch) {
            return refuse("timer_batch", "1 to 5000");
        }
        if !(1..=500).contains(&self.clock_poll_ms) {
            return refuse("clock_poll_ms", "1 to 500");
        }
        if !(100..=60_000).contains(&self.webhook_timeout_ms) {
            return refuse("webhook_timeout_ms", "100 to 60000");
        }
        if !(1_000..=120_000).contains(&self.webhook_lease_ms) {
            return refuse("webhook_lease_ms", "1000 to 120000");
        }
        // Each with what it needs, or the role does not start.
        crate::webhooks::Targets::new(self)?;
        Ok(())
    }

    pub(crate) const fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }

    pub(crate) const fn clock_poll(&self) -> Duration {
        Duration::from_millis(self.clock_poll_ms)
    }

    pub(crate) const fn webhook_timeout(&self) -> Duration {
        Duration::from_millis(self.webhook_timeout_ms)
    }

    pub(crate) const fn webhook_lease(&self) -> Duration {
        Duration::from_millis(self.webhook_lease_ms)
    }

    pub(crate) const fn catch_up(&self) -> Duration {
        Duration::from_millis(self.catch_up_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_in_range_and_others_are_named() {
        Config::default().check().unwrap();
        let config = Config {
            clock_poll_ms: 0,
            ..Config::default()
        };
        let error = config.check().unwrap_err().to_string();
        assert_eq!(error, "sla.clock_poll_ms: expected 1 to 500");
        let config = Config {
            webhook_lease_ms: 999,
            ..Config::default()
        };
        let error = config.check().unwrap_err().to_string();
        assert_eq!(error, "sla.webhook_lease_ms: expected 1000 to 120000");
    }

    #[test]
    fn a_webhook_needs_an_address_and_a_secret() {
        let webhook = |json: &str| {
            let json = format!(r#"{{"webhooks": {{"pager": {json}}}}}"#);
            let config: Config = serde_json::from_str(&json).unwrap();
            config.check().map_err(|error| error.to_string())
        };
        let good = r#"{"url": "https://example.com/x", "secrets": ["whsec_c2VjcmV0"]}"#;
        webhook(good).unwrap();
        for (bad, wanted) in [
            (
                r#"{"url": "ftp://example.com", "secrets": ["whsec_c2VjcmV0"]}"#,
                "url",
            ),
            (
                r#"{"url": "https://example.com", "secrets": []}"#,
                "secrets",
            ),
            (
                r#"{"url": "https://example.com", "secrets": ["?"]}"#,
                "secrets",
            ),
        ] {
            let error = webhook(bad).unwrap_err();
            assert!(error.starts_with("sla.webhooks.pager"), "{error}");
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(serde_json::from_str::<Config>(r#"{"batch_event": 5}"#).is_err());
    }
}
