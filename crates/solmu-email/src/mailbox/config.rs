//! Configuration of mailboxes that are read over IMAP.

use std::{collections::HashSet, net::IpAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_connector::OauthConfig;
use solmu_imap::{From, Limits, Times};
use solmu_runtime::config::Secret;

use crate::config::Tls;

/// Characters of a mailbox's name.
const NAME_MAX: usize = 64;
/// RFC 2177: servers may end IDLE after 30 minutes.
const IDLE_MAX_SECONDS: u64 = 29 * 60;
/// Mails in one command; more would make lines that servers refuse.
const BATCH_MAX: usize = 500;

/// Where a mailbox that was never read begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the oldest mail in the folder: nothing that waits there is lost.
    #[default]
    All,
    /// With what comes from the first connection on. What came before stays untouched, unless the folder's UIDVALIDITY
    /// changes: then everything in it is taken, because nobody knows which mail is which.
    New,
}

/// What is done with a mail in the mailbox once it was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AfterImport {
    /// It gets the keyword `$SolmuImported`, where the server keeps keywords. `\Seen` is never touched.
    #[default]
    Mark,
    /// It goes to the folder `move_to`.
    Move,
    /// Nothing: the folder is opened read-only.
    Nothing,
}

/// A mailbox that is read over IMAP.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MailboxConfig {
    /// Stable name, for log lines and for what is kept of it.
    pub name: String,
    /// Account whose mail it is. Empty: the default account.
    pub account: String,
    /// Host name. Microsoft 365: `outlook.office365.com`; Gmail: `imap.gmail.com`.
    pub host: String,
    /// Port: 993 with implicit TLS, 143 with STARTTLS or without.
    pub port: u16,
    /// Protection. `none` only for a server on this machine.
    pub tls: Tls,
    /// PEM file of the authorities to trust for this server, in place of the machine's.
    pub ca_file: Option<PathBuf>,
    /// Name under which the provider of this mailbox writes Authentication-Results (RFC 8601). Empty: no sender of its
    /// mail is verified. The name of our own exchanger never counts here, for strangers can write it.
    pub authserv_id: String,
    /// User; with `oauth` the address of the mailbox.
    pub username: String,
    /// Password of the user. Microsoft 365 takes none; Gmail takes an app password.
    pub password: Secret,
    /// Log in with access tokens instead of a password (XOAUTH2). Microsoft 365: scope
    /// `https://outlook.office365.com/.default` with the application's own secret (permission IMAP.AccessAsApp, and a
    /// service principal with rights on the mailbox), or
    /// `https://outlook.office.com/IMAP.AccessAsUser.All offline_access` with a refresh token. Gmail: scope
    /// `https://mail.google.com/` with a refresh token.
    pub oauth: Option<OauthConfig>,
    /// Folder that is read.
    pub folder: String,
    /// Where a mailbox that was never read begins.
    pub from: Start,
    /// What is done with a mail once it was taken. Never before the bus has it on disk.
    pub after_import: AfterImport,
    /// Folder for `after_import = "move"`. It is made if it is missing.
    pub move_to: String,
    /// Bytes of the largest mail that is fetched whole. Of a larger one the header is taken, with a notice that the
    /// mail itself stays in the mailbox.
    pub max_message_bytes: u64,
    /// Mails that are fetched, handed in and marked together.
    pub batch_mails: usize,
    /// Bytes that are fetched together; a larger mail comes alone.
    pub batch_bytes: u64,
    /// Seconds after which IDLE is begun anew: less than 30 minutes (RFC 2177); Gmail ends it after 10.
    pub idle_seconds: u64,
    /// Seconds between two looks into the folder whatever IDLE says, a tenth more or less.
    pub poll_seconds: u64,
    /// The same for a server without IDLE.
    pub poll_without_idle_seconds: u64,
    /// Seconds for connecting.
    pub connect_seconds: u64,
    /// Seconds that the server may say nothing while it owes an answer.
    pub timeout_seconds: u64,
    /// Longest wait, in seconds, between two tries to connect; the first is a second, and it doubles.
    pub retry_max_seconds: u64,
    /// Seconds between two tries after a refused login: servers lock users that insist.
    pub retry_login_seconds: u64,
    /// How often one mail may break the connection, or be refused by the server, while others can be read, before only
    /// its header is asked for; and its header, before the mail is passed over.
    pub tries_per_mail: u32,
    /// Where no other mail can be read, the server may be the one in trouble: then a mail is passed over only after it
    /// failed on at least so many connections, and for `give_up_seconds`.
    pub give_up_connections: u32,
    /// Seconds over which a mail has to fail before it is passed over although no other mail can be read. Counted from
    /// its first failure in this process; 0 leaves it to `give_up_connections`.
    pub give_up_seconds: u64,
}

impl Default for MailboxConfig {
    fn default() -> Self {
        let (limits, times) = (Limits::default(), Times::default());
        Self {
            name: String::new(),
            account: String::new(),
            host: String::new(),
            port: 993,
            tls: Tls::Implicit,
            ca_file: None,
            authserv_id: String::new(),
            username: String::new(),
            password: Secret::default(),
            oauth: None,
            folder: "INBOX".to_owned(),
            from: Start::default(),
            after_import: AfterImport::default(),
            move_to: String::new(),
            max_message_bytes: limits.message_bytes,
            batch_mails: limits.batch_mails,
            batch_bytes: limits.batch_bytes,
            idle_seconds: times.idle.as_secs(),
            poll_seconds: times.poll.as_secs(),
            poll_without_idle_seconds: times.poll_without_idle.as_secs(),
            connect_seconds: times.connect.as_secs(),
            timeout_seconds: times.silence.as_secs(),
            retry_max_seconds: times.retry_max.as_secs(),
            retry_login_seconds: times.retry_login.as_secs(),
            tries_per_mail: limits.tries_per_mail,
            give_up_connections: limits.give_up_connections,
            give_up_seconds: times.give_up.as_secs(),
        }
    }
}

impl MailboxConfig {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            message_bytes: self.max_message_bytes,
            batch_mails: self.batch_mails,
            batch_bytes: self.batch_bytes,
            tries_per_mail: self.tries_per_mail,
            give_up_connections: self.give_up_connections,
        }
    }

    pub(super) fn times(&self) -> Times {
        Times {
            connect: Duration::from_secs(self.connect_seconds),
            silence: Duration::from_secs(self.timeout_seconds),
            idle: Duration::from_secs(self.idle_seconds),
            poll: Duration::from_secs(self.poll_seconds),
            poll_without_idle: Duration::from_secs(self.poll_without_idle_seconds),
            retry_max: Duration::from_secs(self.retry_max_seconds),
            retry_login: Duration::from_secs(self.retry_login_seconds),
            give_up: Duration::from_secs(self.give_up_seconds),
            ..Times::default()
        }
    }

    pub(super) fn start(&self) -> From {
        match self.from {
            Start::All => From::All,
            Start::New => From::New,
        }
    }

    /// Server, user and folder.
    pub(super) fn place(&self) -> String {
        format!(
            "{}@{}:{}/{}",
            self.username, self.host, self.port, self.folder
        )
    }
}

/// Something wrong with a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mailbox '{mailbox}': {problem}")]
pub struct MailboxProblem {
    /// Its name.
    pub mailbox: String,
    /// What is wrong.
    pub problem: String,
}

/// Everything that is wrong with the mailboxes. `is_account` says whether there is an account of that name; the empty
/// name stands for the default one.
pub(crate) fn problems(
    mailboxes: &[MailboxConfig],
    is_account: impl Fn(&str) -> bool,
) -> Vec<MailboxProblem> {
    let (mut names, mut places) = (HashSet::new(), HashSet::new());
    let mut all = Vec::new();
    for mailbox in mailboxes {
        let mut found = Vec::new();
        let legal =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        let name = &mailbox.name;
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(legal) {
            found.push(format!(
                "'name' must be 1 to {NAME_MAX} characters of a-z, 0-9, '-' and '_'"
            ));
        }
        if !names.insert(name) {
            found.push("there are two of this name".to_owned());
        }
        if !places.insert(mailbox.place()) {
            found.push("another one reads the same folder".to_owned());
        }
        if !is_account(&mailbox.account) {
            found.push(if mailbox.account.is_empty() {
                "'account' is empty and there is no default account".to_owned()
            } else {
                format!("there is no account '{}'", mailbox.account)
            });
        }
        found.extend(access(mailbox));
        found.extend(amounts(mailbox));
        all.extend(found.into_iter().map(|problem| MailboxProblem {
            mailbox: name.clone(),
            problem,
        }));
    }
    all
}

fn access(mailbox: &MailboxConfig) -> Vec<String> {
    let mut found = Vec::new();
    for (key, is_missing) in [
        ("host", mailbox.host.is_empty()),
        ("port", mailbox.port == 0),
        ("username", mailbox.username.is_empty()),
        ("folder", mailbox.folder.is_empty()),
    ] {
        if is_missing {
            found.push(format!("'{key}' is missing"));
        }
    }
    match (&mailbox.oauth, mailbox.password.is_empty()) {
        (None, true) => found.push("it needs 'password' or 'oauth'".to_owned()),
        (Some(_), false) => found.push("'oauth' and 'password' exclude each other".to_owned()),
        _ => {}
    }
    let oauth = mailbox.oauth.iter().flat_map(OauthConfig::errors);
    found.extend(oauth.map(|error| format!("oauth: {error}")));
    let ip = mailbox.host.parse::<IpAddr>();
    let local = mailbox.host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback());
    if mailbox.tls == Tls::None && !local {
        found.push("it needs 'tls' unless the server is on this machine".to_owned());
    }
    match mailbox.after_import {
        AfterImport::Move if mailbox.move_to.is_empty() => {
            found.push("'after_import = \"move\"' needs 'move_to'".to_owned());
        }
        AfterImport::Move if mailbox.move_to == mailbox.folder => {
            found.push(
                "'move_to' is the folder that is read: mails would come again and again".to_owned(),
            );
        }
        AfterImport::Mark | AfterImport::Nothing if !mailbox.move_to.is_empty() => {
            found.push("'move_to' is only for 'after_import = \"move\"'".to_owned());
        }
        _ => {}
    }
    found
}

fn amounts(mailbox: &MailboxConfig) -> Vec<String> {
    let mut found = Vec::new();
    for (key, value, least, most) in [
        (
            "batch_mails",
            mailbox.batch_mails as u64,
            1,
            BATCH_MAX as u64,
        ),
        ("batch_bytes", mailbox.batch_bytes, 1, u64::MAX),
        // Headers have room in it.
        (
            "max_message_bytes",
            mailbox.max_message_bytes,
            64 * 1024,
            512 * 1024 * 1024,
        ),
        ("idle_seconds", mailbox.idle_seconds, 1, IDLE_MAX_SECONDS),
        ("poll_seconds", mailbox.poll_seconds, 1, 24 * 3600),
        (
            "poll_without_idle_seconds",
            mailbox.poll_without_idle_seconds,
            1,
            24 * 3600,
        ),
        ("connect_seconds", mailbox.connect_seconds, 1, 600),
        ("timeout_seconds", mailbox.timeout_seconds, 1, 3600),
        ("retry_max_seconds", mailbox.retry_max_seconds, 1, 24 * 3600),
        (
            "retry_login_seconds",
            mailbox.retry_login_seconds,
            1,
            24 * 3600,
        ),
        ("tries_per_mail", u64::from(mailbox.tries_per_mail), 1, 1000),
        (
            "give_up_connections",
            u64::from(mailbox.give_up_connections),
            1,
            1000,
        ),
        (
            "give_up_seconds",
            mailbox.give_up_seconds,
            0,
            30 * 24 * 3600,
        ),
    ] {
        if value < least {
            found.push(format!("'{key}' must be at least {least}"));
        } else if value > most {
            found.push(format!("'{key}' must be at most {most}"));
        }
    }
    found
}
