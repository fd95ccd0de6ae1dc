//! The e-mail connector: SMTP in, MIME to events, SMTP out, import.
//!
//! It knows no ticket. A mail is taken apart and judged (`solmu-mime`), made into an event ([`message`]) and answered with `250` once the bus has it on disk ([`receive`], [`smtp`]). What ties a mail to a
//! ticket is a signature of ours in an address or a Message-ID; who it belongs to is decided by
//! the ticket service.

pub mod accounts;
pub mod authenticity;
pub mod config;
mod dkim;
#[cfg(test)]
mod engine_tests;
pub mod hooks;
pub mod import;
pub mod mailbox;
pub mod message;
pub mod metrics;
pub mod outgoing;
pub mod receive;
mod reply_to;
pub mod smtp;
#[cfg(test)]
mod testing;

use std::{net::SocketAddr, sync::Arc};

use solmu_connector::{
    Intake, OauthConfig, ObjectStore, TokenSource,
    http::{self, HttpError, HttpLimits},
    outbound::{self, Deliveries},
};
use solmu_domain::signed::Signer;
use solmu_proto::types::v1::Channel;
use solmu_runtime::{Parts, Runtime};

pub use accounts::{Accounts, ConfigError, ConfigErrors};
pub use config::{Config, Hold};

use metrics::EmailMetrics;
use outgoing::{AccessTokens, MailSender, SenderParts};
use receive::{Receiver, ReceiverParts};
use smtp::{Certificates, Listeners, Server, SessionSettings, serve};

/// Why the connector did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something in the configuration is wrong.
    #[error("the e-mail configuration cannot be used: {0}")]
    Config(#[from] ConfigErrors),
    /// A webhook would not be safe or would not work.
    #[error("a webhook of the e-mail connector cannot be used")]
    Webhook(#[from] hooks::HookError),
    /// A key cannot sign our mail.
    #[error("a DKIM key of the e-mail connector cannot be used")]
    Dkim(#[from] solmu_mailauth::SignError),
    /// Mail cannot be taken in.
    #[error("the mail server does not start")]
    Smtp(#[from] smtp::StartError),
    /// The client that fetches tokens of relays cannot be made.
    #[error("no HTTP client can be made")]
    Http(#[from] HttpError),
}

/// A connector that runs.
#[derive(Debug)]
pub struct Started {
    /// Webhooks of mail providers, if there are any.
    pub parts: Parts,
    /// Where SMTP listens; tells the port when port 0 was configured.
    pub smtp: SocketAddr,
    /// Where SMTP over TLS listens, if it does.
    pub smtps: Option<SocketAddr>,
    /// Where LMTP listens, if it does on a port.
    pub lmtp: Option<SocketAddr>,
}

/// Says what cannot work in the configuration, before anything is started.
pub fn check(config: &Config) -> Result<(), Error> {
    let accounts = Accounts::new(config, &any_signer())?;
    hooks::check(&config.webhooks, &accounts)?;
    solmu_mailauth::Signer::new(&config.dkim)?;
    Certificates::check(&config.smtp.tls).map_err(smtp::StartError::from)?;
    Ok(())
}

/// For checks: only whether an address has room for a signature is looked at.
fn any_signer() -> Signer {
    Signer::new([("c".to_owned(), vec![0; 32])]).expect("id and length are right")
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
    let webhooks = hooks::start(runtime, &config.webhooks, &receiver)?;
    let certificates = Certificates::load(
        &config.smtp.tls,
        Arc::clone(&runtime.clock),
        metrics.clone(),
    )
    .map_err(smtp::StartError::from)?;
    let listeners = Listeners::bind(config.listen, &config.smtp).await?;
    let tokens = token_sources(runtime)?;
    mailbox::start(runtime, &config, &receiver, &tokens);
    let (smtp, smtps, lmtp) = (listeners.smtp(), listeners.smtps(), listeners.lmtp());
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
        certificates,
    };
    runtime.spawn("email-smtp", serve(listeners, server));
    let outbound = outbound_config(&config, &accounts);
    let sender = sender(runtime, &config, accounts, store, &|oauth| tokens(oauth))?;
    outbound::start(runtime, intake, Channel::Email, outbound, sender);
    Ok(Started {
        parts: Parts {
            http: webhooks,
            ..Parts::default()
        },
        smtp,
        smtps,
        lmtp,
    })
}

/// Makes sources of access tokens for mailboxes and relays.
fn token_sources(
    runtime: &Runtime,
) -> Result<impl Fn(&OauthConfig) -> Arc<TokenSource>, HttpError> {
    let http = http::client(HttpLimits::default())?;
    let (clock, metrics) = (Arc::clone(&runtime.clock), runtime.metrics.clone());
    Ok(move |oauth: &OauthConfig| {
        let source = TokenSource::new(oauth.clone(), http.clone(), Arc::clone(&clock));
        Arc::new(source.counted(&metrics, "email"))
    })
}

/// What answers go out through.
fn sender(
    runtime: &Runtime,
    config: &Config,
    accounts: Arc<Accounts>,
    store: &ObjectStore,
    tokens: &dyn Fn(&OauthConfig) -> Arc<dyn AccessTokens>,
) -> Result<MailSender, Error> {
    let keys = solmu_mailauth::Signer::new(&config.dkim)?;
    let sender = MailSender::new(SenderParts {
        accounts,
        signer: runtime.secrets.signer().clone(),
        store: store.clone(),
        clock: Arc::clone(&runtime.clock),
        max_bytes: config.max_outgoing_bytes,
        tokens,
    });
    Ok(sender.with_dkim(keys))
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
    let clock = Arc::clone(&runtime.clock);
    let deliveries = Deliveries::new(runtime.db.clone(), clock, Channel::Email);
    Ok(Receiver::new(parts, config).with_deliveries(deliveries))
}

/// An attempt must not be cut off before the relay's own time limits have told what came of it.
fn outbound_config(config: &Config, accounts: &Accounts) -> outbound::OutboundConfig {
    let limit = |relay: &config::RelayConfig| {
        // A place, NOOP, the connection, all commands before the mail (three), the mail, RSET.
        (relay
            .timeout_ms
            .saturating_mul(7)
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
