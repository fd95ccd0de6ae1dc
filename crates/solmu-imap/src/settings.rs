//! What one mailbox needs to be read.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use secrecy::SecretString;

/// Keyword of mails that were taken.
pub const IMPORTED_KEYWORD: &str = "$SolmuImported";

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte (RFC 8314), usually on port 993.
    Implicit,
    /// By STARTTLS, which must succeed (RFC 9051 section 6.2.1).
    StartTls,
    /// Not at all; only to this machine.
    None,
}

/// No access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no access token: {why}")]
pub struct TokenError {
    /// Whether it stays so until somebody does something.
    pub needs_person: bool,
    /// Why, without secrets.
    pub why: String,
}

/// Gives access tokens for XOAUTH2.
pub trait Tokens: fmt::Debug + Send + Sync {
    /// A token that is good now.
    fn token(&self) -> BoxFuture<'_, Result<SecretString, TokenError>>;
    /// The server did not take this one.
    fn refused<'a>(&'a self, token: &'a SecretString) -> BoxFuture<'a, ()>;
}

/// How to log in.
#[derive(Debug, Clone)]
pub enum Login {
    /// By password: AUTHENTICATE PLAIN, or LOGIN where the server has nothing else.
    Password(SecretString),
    /// By access token (XOAUTH2).
    Token(Arc<dyn Tokens>),
}

/// What is done with a mail once it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AfterImport {
    /// It gets the keyword [`IMPORTED_KEYWORD`].
    Mark,
    /// It goes to another folder, which is made if it is missing.
    Move(String),
    /// Nothing: the folder is opened read-only.
    Nothing,
}

/// Where a mailbox that was never read begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With the oldest mail in the folder.
    All,
    /// With what comes from now on.
    New,
}

/// A mailbox.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What log lines call it.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Protection.
    pub tls: Tls,
    /// PEM file of the authorities to trust in place of the machine's.
    pub ca_file: Option<PathBuf>,
    /// User.
    pub username: String,
    /// Proof.
    pub login: Login,
    /// Folder, in plain Unicode.
    pub folder: String,
    /// What is done afterwards.
    pub after: AfterImport,
    /// Where it begins.
    pub from: From,
    /// Sizes.
    pub limits: Limits,
    /// Times.
    pub times: Times,
}

/// Sizes and numbers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the largest mail that is fetched whole; of a larger one only the header is.
    pub message_bytes: u64,
    /// Mails that are fetched, handed over and marked together.
    pub batch_mails: usize,
    /// Bytes of mails in one batch. One mail alone may be larger.
    pub batch_bytes: u64,
    /// How often a mail may break the connection, or be refused by the server, while others can be read, before only
    /// its header is asked for; and the header, before the mail is passed over.
    pub tries_per_mail: u32,
    /// Connections on which a mail has to fail at least before it is passed over although no other mail can be read.
    /// The time in [`Times::give_up`] has to be over as well.
    pub give_up_connections: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 36_700_160,
            batch_mails: 50,
            batch_bytes: 8 * 1024 * 1024,
            tries_per_mail: 5,
            give_up_connections: 5,
        }
    }
}

/// Times.
#[derive(Debug, Clone)]
pub struct Times {
    /// For the connection with TLS.
    pub connect: Duration,
    /// The server may say nothing for this long while it owes an answer.
    pub silence: Duration,
    /// IDLE is begun anew after this long. RFC 2177 wants less than 30 minutes, Gmail ends it after 10.
    pub idle: Duration,
    /// The folder is looked through this often, whatever IDLE says. A tenth more or less, by chance.
    pub poll: Duration,
    /// The same for servers without IDLE.
    pub poll_without_idle: Duration,
    /// First wait after a failed connection; it doubles each time.
    pub retry_min: Duration,
    /// Longest wait after a failed connection.
    pub retry_max: Duration,
    /// Wait after a refused login: servers lock users that try again and again.
    pub retry_login: Duration,
    /// Where no other mail can be read, a mail that cannot be had is asked for again for this long: it may be the server
    /// that is in trouble. Measured by the process, from its first failure on.
    pub give_up: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            silence: Duration::from_mins(1),
            idle: Duration::from_mins(9),
            poll: Duration::from_mins(5),
            poll_without_idle: Duration::from_mins(1),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_mins(5),
            retry_login: Duration::from_mins(15),
            give_up: Duration::from_hours(24),
        }
    }
}
