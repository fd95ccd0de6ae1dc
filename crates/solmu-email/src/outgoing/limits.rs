//! How much goes to one recipient domain at a time.
//!
//! Big providers answer a burst with 421 or 450 and remember it. What is over the limit waits in the database, not in a
//! connection, so that mail for other domains goes past it. The book-keeping is the connector crate's; here is which
//! mail is in which lane.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_connector::outbound::LaneLimits;

/// Limits for each recipient domain, in each process that sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DomainLimits {
    /// Mails to one domain at the same time; 0 for no limit. One domain never gets the last connection to the relay.
    pub per_domain_concurrency: usize,
    /// Mails to one domain in any minute; 0 for no limit.
    pub per_domain_per_minute: usize,
}

impl Default for DomainLimits {
    fn default() -> Self {
        Self {
            per_domain_concurrency: 5,
            per_domain_per_minute: 120,
        }
    }
}

impl DomainLimits {
    /// As lanes have it. With more than one connection, one is left for other domains.
    pub(super) fn lane(&self, connections: usize) -> LaneLimits {
        let left = connections.saturating_sub(1).max(1);
        let concurrency = match self.per_domain_concurrency {
            0 => left,
            limit => limit.min(left),
        };
        LaneLimits {
            concurrency,
            per_minute: self.per_domain_per_minute,
        }
    }
}
