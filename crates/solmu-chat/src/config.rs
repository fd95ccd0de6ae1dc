//! What an operator says about live chat.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_connector::outbound::OutboundConfig;

use crate::Error;

/// Section `chat` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The inboxes that visitors can write to. Without any setting there is one, "main".
    pub inboxes: Vec<Inbox>,
    /// Whether `GET /chat/test` shows a plain page to try an inbox with.
    pub test_page: bool,
    /// Days after its last use at which a session ends.
    pub session_days: u32,
    /// Seconds between two signs of life; a connection that misses two is closed.
    pub heartbeat_seconds: u32,
    /// What one visitor may do.
    pub limits: Limits,
    /// How agents' answers are stored and tried again.
    pub outbound: OutboundConfig,
    /// Networks (`10.0.0.0/8`, `::1`) whose `X-Forwarded-For` is believed. Empty: the peer's address counts.
    pub trusted_proxies: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            inboxes: vec![Inbox {
                name: "main".to_owned(),
                allowed_origins: Vec::new(),
            }],
            test_page: true,
            session_days: 30,
            heartbeat_seconds: 25,
            limits: Limits::default(),
            outbound: OutboundConfig::default(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// One inbox.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inbox {
    /// Its name, the channel account of its messages: 1 to 64 of `a-z0-9_-`.
    pub name: String,
    /// Web sites (`https://www.example.com`) whose pages may connect, besides our own.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
}

/// What one visitor may do. Counts are per process.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of one frame.
    pub frame_bytes: usize,
    /// Messages of one session in each `message_seconds`.
    pub messages: u32,
    /// See `messages`.
    pub message_seconds: u32,
    /// Connections of one network address (one /64 for IPv6) at the same time. An office may share one address.
    pub sockets_per_address: u32,
    /// New sessions of one network address in an hour.
    pub sessions_per_address_and_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 16 * 1024,
            messages: 10,
            message_seconds: 10,
            sockets_per_address: 20,
            sessions_per_address_and_hour: 100,
        }
    }
}

impl Config {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let legal =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        let mut names = std::collections::BTreeSet::new();
        for inbox in &self.inboxes {
            let name = &inbox.name;
            if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) || !names.insert(name)
            {
                return Err(Error::BadInbox(name.clone()));
            }
            let host = |origin: &str| origin.split_once("://").map(|(_, host)| host.to_owned());
            let bad = inbox.allowed_origins.iter().find(|origin| {
                host(origin).is_none_or(|host| host.is_empty() || host.contains('/'))
            });
            if let Some(origin) = bad {
                return Err(Error::BadOrigin(origin.clone()));
            }
        }
        if !(1_024..=64 * 1024).contains(&self.limits.frame_bytes) {
            return Err(Error::BadFrameBytes(self.limits.frame_bytes));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let config: Config = serde_json::from_str("{}").unwrap();
        assert_eq!(config, Config::default());
        config.check().unwrap();
        assert!(
            refused(|config| config.inboxes[0].name = "Main chat".to_owned())
                .contains("'Main chat'")
        );
        assert!(
            refused(|config| config.inboxes.push(config.inboxes[0].clone())).contains("'main'")
        );
        assert!(
            refused(|config| config.inboxes[0].allowed_origins = vec!["https://a.fi/x".to_owned()])
                .contains("a.fi/x")
        );
        assert!(refused(|config| config.limits.frame_bytes = 10).contains("is 10"));
        assert!(serde_json::from_str::<Config>(r#"{"colour": 1}"#).is_err());
    }
}
