//! What an operator says about public links.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_connector::address::{BadNetwork, Proxies};

/// Links by which requesters read their tickets without signing in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where customers reach the HTTP server of the role tickets, e.g. `https://help.example.com`; a link is this, `/t/`
    /// and a token. Empty: no links can be made.
    pub base_url: String,
    /// How long a link shows its ticket, in days, unless its maker says otherwise.
    #[schemars(range(min = 1, max = 365))]
    pub valid_days: u32,
    /// Links of one ticket that work at the same time.
    #[schemars(range(min = 1))]
    pub max_links: u32,
    /// Pages that one network address (one /64 for IPv6) may ask for in a minute, per process.
    #[schemars(range(min = 1))]
    pub requests_per_minute: u32,
    /// Networks (`10.0.0.0/8`, `::1`) whose `X-Forwarded-For` is believed. Empty: the peer's address counts.
    pub trusted_proxies: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: String::new(),
            valid_days: 14,
            max_links: 20,
            requests_per_minute: 30,
            trusted_proxies: Vec::new(),
        }
    }
}

/// What cannot work.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Customers could not follow a link.
    #[error("base_url '{0}' must begin with https:// or http:// and have no query")]
    BaseUrl(String),
    /// Too short or too long.
    #[error("valid_days is {0}: it must be between 1 and {MAX_DAYS}")]
    ValidDays(u32),
    /// A proxy is no network.
    #[error("trusted_proxies is wrong")]
    Proxy(#[from] BadNetwork),
}

/// The longest time that a link may work, in days.
pub(crate) const MAX_DAYS: u32 = 365;

impl Config {
    /// Says what cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let url = &self.base_url;
        let known = url.starts_with("https://") || url.starts_with("http://");
        let odd = |c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '"' | '<' | '>')
        };
        if !url.is_empty() && (!known || url.contains(odd)) {
            return Err(ConfigError::BaseUrl(url.clone()));
        }
        if self.valid_days == 0 || self.valid_days > MAX_DAYS {
            return Err(ConfigError::ValidDays(self.valid_days));
        }
        Proxies::parse(&self.trusted_proxies)?;
        Ok(())
    }
}
