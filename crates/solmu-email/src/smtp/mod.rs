//! The SMTP server (RFC 5321): a session that knows no socket, a decoder of message data, and the tokio driver.
//!
//! It is a final destination and never a relay: recipients that no account has are refused. `250` after the data means
//! that the bus has the mail on disk; whatever else happens, the sender is told to come again (451) or why not (5xx).

mod command;
mod data;
mod driver;
mod reply;
mod server;
mod session;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use command::{Command, CommandError, MailParameters, Path};
pub use data::{DataDecoder, DataEnd};
pub use reply::Reply;
pub use server::{Server, serve};
pub use session::{Protocol, Session, SessionSettings, Step, Transaction};

/// Limits of the SMTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpLimits {
    /// Bytes of a mail, as announced by SIZE (RFC 1870).
    pub max_message_bytes: usize,
    /// Recipients of one mail; RFC 5321 section 4.5.3.1.8 wants at least 100.
    pub max_recipients: usize,
    /// Connections at the same time; more are told to come again.
    pub max_connections: usize,
    /// Bytes of a command line, its end included.
    pub max_command_bytes: usize,
    /// Refused commands after which the connection is closed.
    pub max_errors: u32,
    /// Mails in one connection.
    pub max_messages: u32,
    /// Received headers from which a mail is taken to go round in circles (RFC 5321 section 6.3).
    pub max_hops: usize,
    /// Milliseconds to wait for a command (RFC 5321 section 4.5.3.2: five minutes).
    pub command_timeout_ms: u64,
    /// Milliseconds to wait for the next piece of a mail.
    pub data_timeout_ms: u64,
    /// Milliseconds for the whole of a mail's data.
    pub data_total_ms: u64,
    /// Milliseconds after which a connection is closed between two commands.
    pub connection_total_ms: u64,
}

impl Default for SmtpLimits {
    fn default() -> Self {
        Self {
            max_message_bytes: 35 * 1024 * 1024,
            max_recipients: 100,
            max_connections: 256,
            max_command_bytes: 2_048,
            max_errors: 20,
            max_messages: 10_000,
            max_hops: 50,
            command_timeout_ms: 300_000,
            data_timeout_ms: 180_000,
            data_total_ms: 900_000,
            connection_total_ms: 3_600_000,
        }
    }
}
