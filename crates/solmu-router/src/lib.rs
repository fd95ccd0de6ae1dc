//! Decides who gets a ticket: teams, agents, presence, rules, matching. Owns the schema `routing`.
//!
//! The router learns from events of the ticket service and answers with decisions, each with what it was made on; the
//! ticket service applies them by compare-and-set or says why not. One leader decides for all replicas (a lease whose
//! epoch fences each transaction), because one decision maker can see every load at once. Optimistic claims by many
//! were rejected: under load they collide, and a queue order over all teams cannot be kept.

mod asking;
#[doc(hidden)]
pub mod bench;
mod bootstrap;
mod config;
mod core;
mod engine;
mod error;
mod handler;
mod matching;
mod metrics;
mod recall;
mod service;
mod store;
#[cfg(test)]
mod tests;
mod texts;

use std::sync::Arc;

use solmu_bus::consumer;
use solmu_db::{
    lease::{self, LeaseGroup},
    outbox::Owner,
};
use solmu_proto::routing::v1::routing_service_server::RoutingServiceServer;
use solmu_runtime::{Parts, Runtime, relay};
use tokio_util::sync::CancellationToken;

pub use bootstrap::{FirstAgent, bootstrap};
pub use config::Config;
pub use error::Error;
pub use matching::{Channel, Matching};
pub use texts::{FetchTexts, RoutingTexts, TextsError};

/// Starts the router: its loops on the runtime's trackers, its gRPC service in the answer.
#[expect(
    clippy::unused_async,
    reason = "every role starts with the same signature"
)]
pub async fn start(runtime: &Runtime, config: Config) -> Result<Parts, Error> {
    let texts = texts::of_config(&config)?;
    start_with(runtime, &config, Arc::from(texts))
}

/// As [`start`], with a given source of the words of tickets.
pub fn start_with(
    runtime: &Runtime,
    config: &Config,
    texts: Arc<dyn RoutingTexts>,
) -> Result<Parts, Error> {
    config.check()?;
    // The lease is given back when both loops have finished what they had in hand, not before.
    let release = CancellationToken::new();
    let group = LeaseGroup {
        ttl: config.lease_ttl(),
        ..LeaseGroup::new(engine::LEASE, 1, &runtime.instance)
    };
    let held = lease::keep(&runtime.db, group, &runtime.background, release.clone());
    let engine = Arc::new(engine::Engine::new(runtime, config, Arc::clone(&texts)));
    let stop = runtime.shutdown.drain.clone();
    let guard = Arc::new(release.drop_guard());

    let consuming = consumer::run(
        runtime.bus.clone(),
        handler::consumer(&runtime.bus, config),
        Arc::new(handler::Ears {
            engine: Arc::clone(&engine),
        }),
        held.clone(),
        Arc::clone(&runtime.clock),
        solmu_bus::metrics::ConsumerMetrics::new(&runtime.metrics),
        stop.clone(),
    );
    let consumer_guard = Arc::clone(&guard);
    runtime.spawn("router.consumer", async move {
        let _guard = consumer_guard;
        consuming.await;
    });
    let nudge = Arc::clone(&engine.asked);
    runtime.spawn("router.tick", async move {
        let _guard = guard;
        handler::tick(engine, held, stop).await;
    });
    relay::start(runtime, Owner::Routing);

    let service = service::Service::new(runtime, config, texts, nudge);
    Ok(Parts {
        grpc: Some(tonic::service::Routes::new(RoutingServiceServer::new(
            service,
        ))),
        http: None,
    })
}
