//! Settings of the router.

use std::{ops::RangeInclusive, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_runtime::config::Secret;

use crate::{error::Error, matching::Matching};

/// What a lease may live: shorter ones are lost by a slow answer of the database.
const LEASE_TTL_MS: RangeInclusive<u64> = 500..=60_000;

/// How the router works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the ticket service's gRPC API is, e.g. `http://tickets:7310`. Needed for rules that look at words, at the
    /// sender, or at fields of the contact or its organisations; empty: such rules cannot be saved.
    pub tickets_endpoint: String,
    /// Bearer token of role service for that API.
    pub tickets_token: Secret,
    /// Events that one transaction decides on at most.
    #[schemars(range(min = 1))]
    pub max_events: usize,
    /// The shortest time between two transactions that are not full, in which events gather, in milliseconds.
    pub linger_ms: u64,
    /// How many agents a decision names as considered, at most.
    #[schemars(range(min = 1))]
    pub candidates: usize,
    /// How long the leader's lease lives without being renewed, in milliseconds. It is renewed, and looked for by the other
    /// replicas, four times as often: after a crash another one leads within five quarters of this.
    #[schemars(range(min = 500, max = 60_000))]
    pub lease_ttl_ms: u64,
    /// How long offers that have ended are kept, in days. Decisions say the same and stay.
    #[schemars(range(min = 1))]
    pub offer_retention_days: u32,
    /// Who gets what: weights, patience and the order of choice.
    pub matching: Matching,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tickets_endpoint: String::new(),
            tickets_token: Secret::default(),
            max_events: 500,
            linger_ms: 10,
            candidates: 5,
            lease_ttl_ms: 3_000,
            offer_retention_days: 30,
            matching: Matching::default(),
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub fn check(&self) -> Result<(), Error> {
        for (name, value) in [
            ("max_events", self.max_events),
            ("candidates", self.candidates),
            (
                "offer_retention_days",
                usize::try_from(self.offer_retention_days).unwrap_or(usize::MAX),
            ),
        ] {
            if value == 0 {
                return Err(Error::Zero(name));
            }
        }
        if !LEASE_TTL_MS.contains(&self.lease_ttl_ms) {
            return Err(Error::LeaseTtl);
        }
        self.matching.check()
    }

    /// How long the leader's lease lives.
    pub(crate) const fn lease_ttl(&self) -> Duration {
        Duration::from_millis(self.lease_ttl_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a replica waits at most before it takes over from one that is gone: the rest of the lease, and its own turn
    /// to look (a quarter of it, see `solmu_db::lease::keep`). What stands still in a transaction loses its hold first.
    #[test]
    fn another_replica_leads_within_five_seconds() {
        let ttl = Config::default().lease_ttl();
        let dead = ttl + ttl / 4;
        let stopped = ttl.max(solmu_db::lease::FENCED_IDLE) + ttl / 4;
        for wait in [dead, stopped] {
            assert!(
                wait <= Duration::from_secs(4),
                "{wait:?} leaves no second to read the tables"
            );
        }
        let short = Config {
            lease_ttl_ms: 100,
            ..Config::default()
        };
        assert!(
            short
                .check()
                .unwrap_err()
                .to_string()
                .contains("lease_ttl_ms")
        );
    }

    #[test]
    fn no_unknown_keys_and_no_zero() {
        assert!(solmu_runtime::config::open_objects::<Config>().is_empty());
        assert!(Config::default().check().is_ok());
        let none = Config {
            max_events: 0,
            ..Config::default()
        };
        assert_eq!(
            none.check().unwrap_err().to_string(),
            "router.max_events must be at least 1"
        );
    }
}
