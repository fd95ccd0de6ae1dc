//! What an operator says about requesters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What requesters do by a portal that has signed them in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of the account that what they write comes in by, as rules and reports see it; its channel is `form`.
    pub account: String,
    /// Messages, tickets and orders that one requester may write in a minute, per process. Repeats do not count.
    #[schemars(range(min = 1))]
    pub writes_per_minute: u32,
    /// How long a call waits for what it wrote to be filed, in milliseconds, to answer with the ticket. It is safe before
    /// that; where it takes longer, the answer names the message alone.
    #[schemars(range(max = 10_000))]
    pub filing_wait_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account: "portal".to_owned(),
            writes_per_minute: 20,
            filing_wait_ms: 2_000,
        }
    }
}

/// What cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No name of an account.
    #[error(
        "account '{0}' must be 1 to {MAX_ACCOUNT} letters, digits, '-' and '_', so that it can stand in ids"
    )]
    Account(String),
    /// Nobody could write.
    #[error("writes_per_minute is 0: nobody could write")]
    Writes,
    /// Calls would outlast their callers.
    #[error("filing_wait_ms is {0}: at most {MAX_WAIT_MS}")]
    Wait(u64),
}

/// Longest name of an account, in bytes.
const MAX_ACCOUNT: usize = 64;
/// Longest wait for filing, in milliseconds: callers have deadlines of their own.
const MAX_WAIT_MS: u64 = 10_000;

impl Config {
    /// Says what cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let account = &self.account;
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if account.is_empty() || account.len() > MAX_ACCOUNT || !account.chars().all(known) {
            return Err(ConfigError::Account(account.clone()));
        }
        if self.writes_per_minute == 0 {
            return Err(ConfigError::Writes);
        }
        if self.filing_wait_ms > MAX_WAIT_MS {
            return Err(ConfigError::Wait(self.filing_wait_ms));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_said() {
        Config::default().check().unwrap();
        let with = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check()
        };
        assert!(with(|it| it.account.clear()).is_err());
        assert!(with(|it| it.account = "a b".to_owned()).is_err());
        assert!(with(|it| it.writes_per_minute = 0).is_err());
        assert!(with(|it| it.filing_wait_ms = 10_001).is_err());
    }
}
