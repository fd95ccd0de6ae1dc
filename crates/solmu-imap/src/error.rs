//! Why a mailbox cannot be read just now. No text here has an address, a secret or anything of a mail; what servers
//! write for people may have all three, so only their codes are told.

use std::io;

use crate::{settings::TokenError, wire::frame::FrameError};

/// A session that ended, or a command that did.
#[derive(Debug, thiserror::Error)]
pub enum ImapError {
    /// No connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The protection could not be set up.
    #[error("no protected connection")]
    Tls(#[source] io::Error),
    /// The file of authorities cannot be used.
    #[error("the file of trusted authorities cannot be used")]
    Authorities(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No protection was wanted, and the server is on another machine.
    #[error("the server is not on this machine and the connection would have no protection")]
    Unprotected,
    /// STARTTLS is wanted and not there, or the server skipped it.
    #[error("the server offers no STARTTLS")]
    NoStartTls,
    /// Bytes came between STARTTLS and the protection.
    #[error("the server, or somebody before it, sent bytes ahead of the protection")]
    Injected,
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server ends it.
    #[error("the server says goodbye{}", told(.0))]
    Bye(String),
    /// Not an IMAP server.
    #[error("no imap server answers there")]
    NotImap,
    /// No way of logging in that both sides know.
    #[error("the server offers no way to log in with what is configured")]
    NoMechanism,
    /// The server does not take the user's proof.
    #[error("the server refuses the login{}", told(.0))]
    Login(String),
    /// No access token to log in with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A command was refused.
    #[error("the server refuses {command}{}", told(.code))]
    Refused {
        /// The command.
        command: &'static str,
        /// The server's code; empty if it gave none.
        code: String,
    },
    /// Without it nobody knows which mails are which (RFC 9051 section 2.3.1.1).
    #[error("the server gives no UIDVALIDITY")]
    NoUidValidity,
    /// Mails could not be handed on.
    #[error("mails cannot be handed on now")]
    Sink(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<FrameError> for ImapError {
    fn from(error: FrameError) -> Self {
        Self::Broken(Box::new(error))
    }
}

/// Codes by which servers ask for fewer commands or connections: RFC 5530 section 3, RFC 9738, and what Gmail says at its
/// limits of commands and bytes.
const OF_LIMITS: [&str; 3] = ["LIMIT", "THROTTLED", "OVERQUOTA"];

impl ImapError {
    /// Whether the server asks for fewer commands or connections.
    #[must_use]
    pub fn is_throttling(&self) -> bool {
        match self {
            Self::Bye(code) | Self::Refused { code, .. } => OF_LIMITS.contains(&code.as_str()),
            _ => false,
        }
    }

    /// Whether only a person can mend it.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        match self {
            Self::Login(_)
            | Self::NoMechanism
            | Self::NoStartTls
            | Self::Unprotected
            | Self::Authorities(_) => true,
            Self::Token(error) => error.needs_person,
            _ => false,
        }
    }

    /// A word for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Tls(_)
            | Self::Authorities(_)
            | Self::Unprotected
            | Self::NoStartTls
            | Self::Injected => "tls",
            Self::Broken(_) | Self::Bye(_) => "broken",
            Self::Login(_) | Self::NoMechanism => "login",
            Self::Token(_) => "token",
            Self::Refused { .. } | Self::NotImap | Self::NoUidValidity => "refused",
            Self::Sink(_) => "downstream",
        }
    }
}

fn told(code: &str) -> String {
    if code.is_empty() {
        String::new()
    } else {
        format!(": {code}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_from_other_refusals() {
        let refused = |code: &str| ImapError::Refused {
            command: "the login for now",
            code: code.to_owned(),
        };
        for code in OF_LIMITS {
            assert!(refused(code).is_throttling());
            assert!(ImapError::Bye(code.to_owned()).is_throttling());
            assert!(!ImapError::Login(code.to_owned()).is_throttling());
        }
        assert!(!refused("UNAVAILABLE").is_throttling());
        assert!(!refused("").is_throttling());
    }
}
