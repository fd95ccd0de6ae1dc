//! Settings of the router.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_runtime::config::Secret;

use crate::{error::Error, matching::Matching};

/// How the router works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the ticket service's gRPC API is, e.g. `http://tickets:7310`. Needed for rules that look at words or at the
    /// sender; empty: such rules cannot be saved.
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
        ] {
            if value == 0 {
                return Err(Error::Zero(name));
            }
        }
        self.matching.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
