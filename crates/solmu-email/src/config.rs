//! Configuration of the e-mail connector.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_connector::outbound::OutboundConfig;
use solmu_runtime::config::Secret;

use crate::smtp::SmtpLimits;
use solmu_mime::parse::ParseLimits;

/// The e-mail connector: where mail comes in, whose mail it is, and where answers go out.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port of the SMTP server. Loopback by default: a mail exchanger or a forwarder stands before it.
    pub listen: SocketAddr,
    /// Our name in greetings and trace headers. The domain of the first account if empty.
    pub hostname: String,
    /// Whose mail this is. Mail to other recipients is refused.
    pub accounts: Vec<AccountConfig>,
    /// Relay of accounts that have none of their own. Without one, answers wait.
    pub relay: Option<RelayConfig>,
    /// Name under which our own mail exchanger writes Authentication-Results (RFC 8601). Without it no sender is
    /// verified.
    pub authserv_id: Option<String>,
    /// Received headers that our own exchangers write above its Authentication-Results.
    pub trusted_hops: usize,
    /// How answers are sent and tried again.
    pub outbound: OutboundConfig,
    /// Limits of the SMTP server.
    pub smtp: SmtpLimits,
    /// Limits of taking mails apart.
    pub parse: ParseLimits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 2525)),
            hostname: String::new(),
            accounts: vec![AccountConfig {
                name: "main".to_owned(),
                addresses: vec!["support@desk.example".to_owned()],
                display_name: "Support".to_owned(),
                default: true,
                ..AccountConfig::default()
            }],
            relay: None,
            authserv_id: None,
            trusted_hops: 1,
            outbound: OutboundConfig::default(),
            smtp: SmtpLimits::default(),
            parse: ParseLimits::default(),
        }
    }
}

/// A mailbox of ours.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccountConfig {
    /// Stable name; part of every message's unique key, so it must never be given to another mailbox.
    pub name: String,
    /// Addresses whose mail comes here. The first one writes the answers, unless the customer wrote to another.
    pub addresses: Vec<String>,
    /// Name that customers see.
    pub display_name: String,
    /// Takes imported mail whose recipient is not known.
    pub default: bool,
    /// Address that signed reply addresses are made from, where the first address is too long for it.
    pub reply_address: Option<String>,
    /// Relay of this account.
    pub relay: Option<RelayConfig>,
}

/// How a connection to the relay is protected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Not at all: for a relay on this machine.
    None,
    /// By STARTTLS, which must succeed (RFC 3207).
    #[default]
    StartTls,
    /// From the first byte (RFC 8314).
    Implicit,
}

/// A mail server that sends our mail on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RelayConfig {
    /// Host name.
    pub host: String,
    /// Port: 587 with STARTTLS, 465 with implicit TLS, 25 or 1025 without.
    pub port: u16,
    /// Protection.
    pub tls: Tls,
    /// User name; empty if the relay wants none.
    pub username: String,
    /// Password of the user.
    pub password: Secret,
    /// Connections at the same time.
    pub connections: usize,
    /// Milliseconds to wait for the relay's answer to a command.
    pub timeout_ms: u64,
    /// Milliseconds to wait for its answer after the mail; after that nobody knows whether it has the mail. RFC 5321
    /// section 4.5.3.2.6 wants ten minutes.
    pub data_timeout_ms: u64,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            tls: Tls::default(),
            username: String::new(),
            password: Secret::default(),
            connections: 4,
            timeout_ms: 60_000,
            data_timeout_ms: 600_000,
        }
    }
}
