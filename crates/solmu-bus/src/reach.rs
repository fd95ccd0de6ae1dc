//! Whether NATS can be reached, asked once.
//!
//! [`Bus::connect`] tries for ever, because a process must survive a server that comes later, and so it can never say why it
//! has to. Who looks at an installation wants to know just that.

use std::{error::Error as _, io, time::Duration};

use async_nats::ConnectErrorKind;

use crate::{
    BusError,
    bus::{Bus, credentials_of, parse_servers},
};

/// Why no server lets us in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The URL cannot be read.
    #[error("{0}")]
    Url(String),
    /// No address for the name.
    #[error("the name of the server is not known here")]
    Name,
    /// The machine answers, and nobody listens.
    #[error("the connection is refused")]
    Refused,
    /// Nothing comes back.
    #[error("no answer in time")]
    Silent,
    /// The server does not want this user.
    #[error("the server does not let this user in")]
    NotAllowed,
    /// The connection cannot be made secret.
    #[error("TLS fails")]
    Tls,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl Bus {
    /// Connects once to one of the servers of `url`, each with `patience`, and goes again.
    pub async fn try_reach(url: &str, patience: Duration) -> Result<(), Unreachable> {
        let servers =
            parse_servers(url).map_err(|error: BusError| Unreachable::Url(error.to_string()))?;
        let connected = credentials_of(&servers)
            .name("solmu-look")
            .connection_timeout(patience)
            .reconnect_delay_callback(|_| Duration::ZERO)
            .connect(url)
            .await;
        match connected {
            Ok(client) => {
                // It goes with us in any case.
                let _ = client.drain().await;
                Ok(())
            }
            Err(error) => Err(why(&error)),
        }
    }
}

fn why(error: &async_nats::ConnectError) -> Unreachable {
    match error.kind() {
        ConnectErrorKind::ServerParse => Unreachable::Url(error.to_string()),
        ConnectErrorKind::Dns => Unreachable::Name,
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            Unreachable::NotAllowed
        }
        ConnectErrorKind::TimedOut => Unreachable::Silent,
        ConnectErrorKind::Tls => Unreachable::Tls,
        ConnectErrorKind::Io | ConnectErrorKind::MaxReconnects => {
            let kind = error
                .source()
                .and_then(|source| source.downcast_ref::<io::Error>())
                .map(io::Error::kind);
            match kind {
                Some(io::ErrorKind::ConnectionRefused) => Unreachable::Refused,
                Some(io::ErrorKind::TimedOut) => Unreachable::Silent,
                _ => Unreachable::Other(error.to_string()),
            }
        }
    }
}
