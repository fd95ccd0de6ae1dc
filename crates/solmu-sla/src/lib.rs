//! The SLA service: it decides when.
//!
//! It learns from ticket events, keeps the clocks of each ticket in its own schema and answers with events: the due
//! times when they change, a warning ahead of each, and a breach when one passes. The arithmetic is in
//! [`solmu_domain::sla`]; this crate brings it events, time and a memory. One process leads (a lease, checked in every
//! transaction): it applies ticket events in batches and fires timers within a second of their time. Any number of
//! processes answer gRPC.

mod alarm;
mod batch;
mod bootstrap;
mod catalogue;
mod changes;
mod config;
mod consumer;
mod edits;
mod error;
mod eval;
mod facts;
mod intake;
mod lateness;
mod metrics;
mod owners;
mod policy_set;
mod reconsider;
mod service;
mod store;
mod timers;
mod tracked;
mod unpromised;
mod wanted;
mod webhooks;
mod worker;

use std::sync::Arc;

use solmu_bus::{consumer as bus_consumer, metrics::ConsumerMetrics};
use solmu_db::{
    lease::{self, LeaseGroup},
    outbox::Owner,
};
use solmu_inquiry::{Inquiry, Nobody, TicketService};
use solmu_runtime::{Parts, Runtime, relay};

pub use bootstrap::bootstrap;
pub use config::{Config, Webhook};
pub use error::Error;
pub use eval::{EvalLineError, eval_line};

use crate::{
    alarm::Alarm,
    catalogue::CatalogueCache,
    changes::Maker,
    metrics::SlaMetrics,
    service::SlaServer,
    timers::Timers,
    webhooks::{Caller, Targets},
    worker::Worker,
};

/// Starts the role: the consumer, the timers, the relay of its outbox, and the gRPC service.
///
/// # Errors
/// A setting that is out of its range. What is away later is waited for.
#[expect(
    clippy::unused_async,
    reason = "every role starts alike, and others wait for something"
)]
pub async fn start(runtime: &Runtime, config: Config) -> Result<Parts, Error> {
    let inquiry: Arc<dyn Inquiry> = if config.tickets_endpoint.is_empty() {
        Arc::new(Nobody)
    } else {
        let token = config.tickets_token.expose();
        Arc::new(TicketService::new(&config.tickets_endpoint, token)?)
    };
    start_with(runtime, config, inquiry)
}

/// As [`start`], with somebody given who knows the fields of contacts and organisations.
///
/// # Errors
/// As there.
pub fn start_with(
    runtime: &Runtime,
    config: Config,
    inquiry: Arc<dyn Inquiry>,
) -> Result<Parts, Error> {
    config.check()?;
    let worker = Worker {
        db: runtime.db.clone(),
        maker: Maker {
            bus: runtime.bus.clone(),
            clock: Arc::clone(&runtime.clock),
            rng: Arc::clone(&runtime.rng),
            webhooks: Arc::new(config.webhooks.keys().cloned().collect()),
        },
        catalogue: CatalogueCache::default(),
        metrics: SlaMetrics::register(&runtime.metrics),
        alarm: Arc::new(Alarm::default()),
        called: Arc::default(),
        inquiry,
    };
    let group = LeaseGroup::new(worker::NAME, consumer::SHARDS, &runtime.instance);
    let stop = runtime.shutdown.stop.clone();
    let held = lease::keep(&runtime.db, group, &runtime.background, stop);
    relay::start(runtime, Owner::Sla);
    let consuming = bus_consumer::run(
        runtime.bus.clone(),
        consumer::spec(&runtime.bus, &config),
        Arc::new(worker.clone()),
        held.clone(),
        Arc::clone(&runtime.clock),
        ConsumerMetrics::new(&runtime.metrics),
        runtime.shutdown.drain.clone(),
    );
    runtime.spawn("sla.consumer", consuming);
    let targets = Targets::new(&config)?;
    if !targets.is_empty() {
        let (lease, drain) = (config.webhook_lease(), runtime.shutdown.drain.clone());
        let caller = Caller::new(worker.clone(), targets, lease, drain);
        runtime.spawn("sla.webhooks", caller.run());
    }
    let watching = lateness::run(worker.clone(), runtime.shutdown.stop.clone());
    runtime.spawn_background("sla.lateness", watching);
    let timers = Timers {
        worker: worker.clone(),
        config,
        held,
        stop: runtime.shutdown.drain.clone(),
    };
    runtime.spawn("sla.timers", timers.run());
    Ok(Parts {
        grpc: Some(SlaServer::new(&worker).routes()),
        http: None,
    })
}
