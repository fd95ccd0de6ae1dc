//! The e-mail connector: SMTP in, MIME to events, SMTP out, import.
//!
//! It knows no ticket. A mail is taken apart and judged (`solmu-mime`), made into an event ([`message`]) and answered with `250` once the bus has it on disk ([`receive`], [`smtp`]). What ties a mail to a
//! ticket is a signature of ours in an address or a Message-ID; who it belongs to is decided by
//! the ticket service.

pub mod accounts;
pub mod config;
#[cfg(test)]
mod engine_tests;
pub mod import;
pub mod message;
pub mod metrics;
pub mod outgoing;
pub mod receive;
pub mod smtp;
#[cfg(test)]
mod testing;

use std::{net::SocketAddr, sync::Arc};

use solmu_connector::{Intake, ObjectStore, outbound};
use solmu_proto::types::v1::Channel;
use solmu_runtime::{Parts, Runtime};
use tokio::net::TcpListener;

pub use accounts::{Accounts, ConfigError, ConfigErrors};
pub use config::Config;

use metrics::EmailMetrics;
use outgoing::MailSender;
use receive::{Receiver, ReceiverParts};
use smtp::{Server, SessionSettings, serve};

/// Why the connector did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something in the configuration is wrong.
    #[error("the e-mail configuration cannot be used: {0}")]
    Config(#[from] ConfigErrors),
    /// The SMTP port is taken or not allowed.
    #[error("cannot listen for SMTP on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

/// A connector that runs.
#[derive(Debug)]
pub struct Started {
    /// Routes: none yet.
    pub parts: Parts,
    /// Where SMTP listens; tells the port when port 0 was configured.
    pub smtp: SocketAddr,
}

/// Starts the SMTP server and the sender on the runtime's tasks. `intake` and `store` are shared with the other
/// connectors of the process.
pub async fn start(
    runtime: &Runtime,
    config: Config,
    intake: &Intake,
    store: &ObjectStore,
) -> Result<Started, Error> {
    let metrics = EmailMetrics::new(&runtime.metrics);
    let receiver = receiver(runtime, &config, intake, store, metrics.clone())?;
    let accounts = Arc::clone(receiver.accounts());
    let listen_error = |source| Error::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(listen_error)?;
    let smtp = listener.local_addr().map_err(listen_error)?;
    let settings = SessionSettings {
        hostname: accounts.hostname().to_owned(),
        limits: config.smtp.clone(),
        accounts: Arc::clone(&accounts),
    };
    let server = Server {
        settings,
        receiver,
        rng: Arc::clone(&runtime.rng),
        metrics,
        tasks: runtime.tasks.clone(),
        drain: runtime.shutdown.drain.clone(),
    };
    runtime.spawn("email-smtp", serve(listener, server));
    let outbound = outbound_config(&config, &accounts);
    let signer = runtime.secrets.signer().clone();
    let sender = MailSender::new(accounts, signer, store.clone(), Arc::clone(&runtime.clock));
    outbound::start(runtime, intake, Channel::Email, outbound, sender);
    tracing::info!(address = %smtp, "smtp listens");
    Ok(Started {
        parts: Parts::default(),
        smtp,
    })
}

/// What import and SMTP hand mails to.
pub fn receiver(
    runtime: &Runtime,
    config: &Config,
    intake: &Intake,
    store: &ObjectStore,
    metrics: EmailMetrics,
) -> Result<Receiver<Intake>, ConfigErrors> {
    let signer = runtime.secrets.signer().clone();
    let parts = ReceiverParts {
        accounts: Arc::new(Accounts::new(config, &signer)?),
        signer,
        store: store.clone(),
        intake: intake.clone(),
        clock: Arc::clone(&runtime.clock),
        metrics,
    };
    Ok(Receiver::new(parts, config))
}

/// An attempt must not be cut off before the relay's own time limits have told what came of it.
fn outbound_config(config: &Config, accounts: &Accounts) -> outbound::OutboundConfig {
    let limit = |relay: &config::RelayConfig| {
        (relay
            .timeout_ms
            .saturating_mul(5)
            .saturating_add(relay.data_timeout_ms))
            / 1_000
            + 5
    };
    let longest = accounts
        .all()
        .iter()
        .filter_map(|account| account.relay.as_ref())
        .map(limit)
        .max()
        .unwrap_or(0);
    let mut outbound = config.outbound.clone();
    outbound.send_timeout_seconds = outbound.send_timeout_seconds.max(longest);
    outbound
}
