//! The SMTP and LMTP server (RFC 5321, RFC 2033): a session that knows no socket, decoders of message data, and the
//! tokio driver.
//!
//! It is a final destination and never a relay: recipients that no account has are refused. `250` after the data means
//! that the bus has the mail on disk; whatever else happens, the sender is told to come again (451) or why not (5xx).
//! Over LMTP each recipient gets an answer of its own, because accounts can fail one by one.

mod command;
mod config;
mod data;
mod driver;
mod envelope;
mod gate;
mod mail;
mod parameters;
mod reply;
mod server;
mod session;
mod step;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use command::{Command, CommandError, Path};
pub use config::{BareLf, LmtpConfig, SmtpConfig, SmtpTlsConfig, TlsUse};
pub use data::{ChunkDecoder, DataDecoder, DataEnd};
pub use envelope::{Protocol, Role, Transaction};
pub use parameters::MailParameters;
pub use reply::Reply;
pub use server::{Listeners, Server, StartError, serve};
pub use session::{Session, SessionSettings};
pub use step::Step;
pub use tls::{Certificates, TlsError};
