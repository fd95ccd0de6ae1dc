//! Configuration of the e-mail connector.

use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_connector::{OauthConfig, outbound::OutboundConfig};
use solmu_mailauth::DkimConfig;
use solmu_runtime::config::Secret;

use crate::authenticity::AuthenticityConfig;
use crate::hooks::WebhooksConfig;
use crate::mailbox::MailboxConfig;
use crate::outgoing::{DomainLimits, Notify, OutgoingConfig};
use crate::smtp::SmtpConfig;
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
    /// verified, unless Solmu does it itself (`authenticity`). Empty for an exchanger that writes no name (Microsoft
    /// 365).
    pub authserv_id: Option<String>,
    /// Received headers that our own exchangers write above its Authentication-Results.
    pub trusted_hops: usize,
    /// How senders are verified.
    pub authenticity: AuthenticityConfig,
    /// Keys that sign our mail by DKIM. Without one, the relay has to sign.
    pub dkim: Vec<DkimConfig>,
    /// How answers are sent and tried again.
    pub outbound: OutboundConfig,
    /// Largest mail that is sent, in bytes, with its files as they go over the line (a third larger than on disk). A
    /// larger one fails before anything is connected. Gmail takes 25 MiB, Microsoft 365 by default 35.
    pub max_outgoing_bytes: usize,
    /// Limits and doors of the SMTP server.
    pub smtp: SmtpConfig,
    /// Limits of taking mails apart.
    pub parse: ParseLimits,
    /// Webhooks of mail providers.
    pub webhooks: WebhooksConfig,
    /// Mailboxes that are read over IMAP.
    pub mailboxes: Vec<MailboxConfig>,
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
            authenticity: AuthenticityConfig::default(),
            dkim: Vec::new(),
            outbound: OutboundConfig::default(),
            max_outgoing_bytes: 25 * 1024 * 1024,
            smtp: SmtpConfig::default(),
            parse: ParseLimits::default(),
            webhooks: WebhooksConfig::default(),
            mailboxes: Vec::new(),
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
    /// Templates, return path and marks of the mail that this account sends.
    pub outgoing: OutgoingConfig,
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
    /// Log in with access tokens instead of a password (XOAUTH2); `username` is the mailbox. Microsoft 365: host
    /// `smtp.office365.com`, port 587, `starttls`, scope `https://outlook.office.com/SMTP.Send offline_access` with a
    /// refresh token, or `https://outlook.office365.com/.default` with the application's own secret. Gmail: host
    /// `smtp.gmail.com`, port 465, `implicit`, scope `https://mail.google.com/`.
    pub oauth: Option<OauthConfig>,
    /// Connections at the same time. Microsoft 365 takes 3 for each mailbox.
    pub connections: usize,
    /// Mails over one connection before a new one is made; 0 for no limit.
    pub mails_per_connection: usize,
    /// Limits for each recipient domain.
    pub limits: DomainLimits,
    /// Which delivery reports are asked for, where the relay offers them (RFC 3461): `success`, `failure`, `delay`. With
    /// `success` a mail becomes "delivered", and each answer brings a report onto its ticket. Without `failure` bounces
    /// come as each server likes. Empty: nothing is asked for.
    pub notify: Vec<Notify>,
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
            oauth: None,
            connections: 6,
            mails_per_connection: 100,
            limits: DomainLimits::default(),
            notify: vec![Notify::Failure, Notify::Delay],
            timeout_ms: 60_000,
            data_timeout_ms: 600_000,
        }
    }
}
