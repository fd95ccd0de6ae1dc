//! Live chat: WebSocket sessions with numbered messages, replay and pushed answers.
//!
//! A conversation is a numbered list in PostgreSQL. A visitor's side says how far it has seen; everything above follows,
//! in order, whether it was said during an outage or just now. A message counts as sent only when its row and its event
//! are both on disk; sent twice, it is one message.
//!
//! ```text
//! GET /chat/v1/ws?inbox=main          one JSON frame per text message: {type, id, seq, ts, body}
//! -> hello {session?, last_seq, visitor {name, email}, language}    <- welcome {session, seq}
//! -> message {client_msg_id, text}                                 <- ack {client_msg_id, seq}
//! -> ack {up_to_seq}, read {up_to_seq}, typing, ping, end          <- message {seq, direction, author, text}
//!                                     <- error {code, retry_after_ms?}, closed {reconnect, reason}, pong
//! ```

pub mod config;
mod event;
mod forget;
mod frame;
mod hub;
mod machine;
mod metrics;
mod notify;
mod page;
mod reconcile;
mod routes;
mod sender;
mod service;
mod session;
mod socket;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::{sync::Arc, time::Duration};

use solmu_connector::{Intake, outbound};
use solmu_proto::types::v1::Channel;
use solmu_runtime::{Parts, Runtime};
use tokio::sync::Notify;

pub use config::Config;
pub use solmu_connector::address::BadNetwork;

use solmu_connector::{address::Proxies, limit::Limiter};

use crate::{
    hub::Hub,
    metrics::ChatMetrics,
    reconcile::Reconciler,
    sender::ChatSender,
    service::Service,
    writer::{Desk, Writer},
};

/// Why live chat cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name of an inbox is not legal, or is there twice.
    #[error(
        "inbox '{0}': names must be different and have 1 to 64 characters of a-z, 0-9, _ and -"
    )]
    BadInbox(String),
    /// An allowed origin is none.
    #[error("'{0}' is no origin: expected a scheme and a host, such as https://www.example.com")]
    BadOrigin(String),
    /// The frame limit is out of range.
    #[error("limits.frame_bytes is {0}: it must be between 1,024 and 65,536")]
    BadFrameBytes(usize),
    /// A trusted proxy is no network.
    #[error("trusted_proxies is wrong")]
    BadProxy(#[from] BadNetwork),
}

/// Says what cannot work in the configuration, before anything is started.
pub fn check(config: &Config) -> Result<(), Error> {
    config.check()?;
    Proxies::parse(&config.trusted_proxies)?;
    Ok(())
}

/// Starts the role: its loops, and its routes under `/chat`.
///
/// The server must give requests their `ConnectInfo<SocketAddr>`; without it, all visitors share one address limit.
pub fn start(runtime: &Runtime, intake: &Intake, config: Config) -> Result<Parts, Error> {
    let service = start_with(runtime, config, intake)?;
    Ok(Parts {
        http: Some(routes::routes(service)),
        ..Parts::default()
    })
}

fn start_with(runtime: &Runtime, config: Config, intake: &Intake) -> Result<Arc<Service>, Error> {
    config.check()?;
    let proxies = Proxies::parse(&config.trusted_proxies)?;
    let (hub, marked) = (Hub::default(), Arc::new(Notify::new()));
    let metrics = ChatMetrics::new(&runtime.metrics);
    let (db, clock) = (&runtime.db, &runtime.clock);
    let drain = &runtime.shutdown.drain;
    let desk = Desk {
        db: db.clone(),
        intake: intake.clone(),
        clock: clock.clone(),
        hub: hub.clone(),
        metrics: metrics.clone(),
        session_days: config.session_days,
    };
    let (writer, writing) = Writer::new(desk, runtime.shutdown.stop.clone());
    // In the background: connections lean on it until they have drained.
    runtime.spawn_background("chat-writer", writing);
    runtime.spawn(
        "chat-notify",
        notify::run(db.clone(), hub.clone(), drain.clone()),
    );
    let reconciler = Reconciler {
        db: db.clone(),
        intake: intake.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        marked: Arc::clone(&marked),
    };
    runtime.spawn("chat-reconciler", reconciler.run(drain.clone()));
    let sender = ChatSender {
        db: db.clone(),
        clock: clock.clone(),
        hub: hub.clone(),
        metrics: metrics.clone(),
    };
    forget::start(runtime);
    outbound::start(runtime, intake, Channel::Chat, config.outbound, sender);
    let limits = config.limits;
    let seconds = |count: u32| Duration::from_secs(count.into());
    let hour = Duration::from_hours(1);
    Ok(Arc::new(Service {
        inboxes: config
            .inboxes
            .into_iter()
            .map(|inbox| (inbox.name, inbox.allowed_origins))
            .collect(),
        test_page: config.test_page,
        db: db.clone(),
        clock: clock.clone(),
        rng: runtime.rng.clone(),
        hub,
        writer,
        heartbeat: seconds(config.heartbeat_seconds.max(1)),
        session_days: config.session_days,
        proxies,
        messages: Limiter::new(
            limits.messages,
            seconds(limits.message_seconds),
            clock.clone(),
        ),
        sessions: Limiter::new(limits.sessions_per_address_and_hour, hour, clock.clone()),
        limits,
        marked,
        metrics,
        tasks: runtime.tasks.clone(),
        drain: drain.clone(),
    }))
}
