//! The ticket service: owns contacts, tickets and messages, and is the only writer of them.
//!
//! It files each inbound message once, applies the decisions of router and SLA service, takes commands of people and
//! services, and tells what happened in events that carry ids and states, never a body.

mod agent_mail;
mod api;
pub mod blocks;
mod close;
mod command;
mod config;
mod contacts;
mod context;
mod decide;
mod delivery;
mod due;
mod error;
mod escalate;
mod events;
mod experts;
mod file;
mod merge;
mod metrics;
mod model;
mod quarantine;
mod reach;
mod recipient;
mod row;

use std::{sync::Arc, time::Duration};

use solmu_bus::{ConsumerSpec, Family, Held, Lane, consumer, metrics::ConsumerMetrics};
use solmu_db::{
    lease::{self, LeaseGroup},
    outbox::Owner,
};
use solmu_proto::{
    contact::v1::contact_service_server::ContactServiceServer,
    ticket::v1::ticket_service_server::TicketServiceServer,
};
use solmu_runtime::{Parts, Runtime, relay};
use tokio::sync::{Semaphore, watch};
use tonic::service::Routes;

pub use config::{
    Acknowledgement, AgentMail, Bounces, Cap, Config, ConfigError, Loops, Quarantine, Quoting,
};
pub use error::TicketError;
pub use file::acknowledge::TemplateError;

use crate::{
    api::{contacts::Contacts, tickets::Tickets},
    context::Context,
    decide::Decider,
    file::Filer,
};

/// Starts the loops of the role and returns its services.
pub fn start(runtime: &Runtime, config: Config) -> Parts {
    let context = Arc::new(Context::new(runtime, config));
    relay::start(runtime, Owner::Tickets);
    start_filer(runtime, &context);
    start_decider(runtime, &context);
    runtime.spawn(
        "tickets.close",
        close::run(context.clone(), runtime.shutdown.drain.clone()),
    );
    runtime.spawn(
        "tickets.roster",
        agent_mail::roster::run(context.clone(), runtime.shutdown.drain.clone()),
    );
    runtime.spawn(
        "tickets.contacts",
        contacts::linker::run(context.clone(), runtime.shutdown.drain.clone()),
    );
    let watchers = Arc::new(Semaphore::new(context.config.max_watchers));
    let routes = Routes::new(TicketServiceServer::new(Tickets {
        context: context.clone(),
        watchers,
    }))
    .add_service(ContactServiceServer::new(Contacts { context }));
    Parts {
        grpc: Some(routes),
        http: None,
    }
}

/// Files inbound messages: each shard by one replica at a time.
fn start_filer(runtime: &Runtime, context: &Arc<Context>) {
    let group = LeaseGroup::new(
        context.group(file::GROUP),
        context.bus.config().partitions,
        runtime.instance.clone(),
    );
    let held = lease::keep(
        &context.db,
        group,
        &runtime.background,
        runtime.shutdown.stop.clone(),
    );
    let bus = context.bus.clone();
    let spec = ConsumerSpec {
        name: file::GROUP,
        lanes: Box::new(move |shard| {
            vec![Lane {
                stream: "INBOUND",
                durable: format!("{}-{shard}", file::GROUP),
                filters: vec![bus.subject(Family::Inbound, shard)],
                leased: true,
            }]
        }),
        max_events: context.config.batch_events,
        linger: Duration::from_millis(context.config.linger_ms),
        max_attempts: context.config.max_attempts,
    };
    run_consumer(
        runtime,
        context,
        "tickets.file",
        spec,
        Arc::new(Filer {
            context: context.clone(),
        }),
        held,
    );
}

/// Applies decisions: any replica, each once.
fn start_decider(runtime: &Runtime, context: &Arc<Context>) {
    let (sender, held) = watch::channel(Held::from([(0, 0)]));
    let bus = context.bus.clone();
    let spec = ConsumerSpec {
        name: decide::CONSUMER,
        lanes: Box::new(move |_| {
            // The sender lives in this closure, so that the one shard is held for as long as the consumer runs.
            let _ = &sender;
            vec![Lane {
                stream: "DECISIONS",
                durable: decide::CONSUMER.to_owned(),
                filters: vec![
                    bus.subject_filter(Family::Routing),
                    bus.subject_filter(Family::Sla),
                ],
                leased: false,
            }]
        }),
        max_events: context.config.batch_events,
        linger: Duration::from_millis(context.config.linger_ms),
        max_attempts: context.config.max_attempts,
    };
    run_consumer(
        runtime,
        context,
        "tickets.decide",
        spec,
        Arc::new(Decider {
            context: context.clone(),
        }),
        held,
    );
}

fn run_consumer(
    runtime: &Runtime,
    context: &Arc<Context>,
    name: &'static str,
    spec: ConsumerSpec,
    handler: Arc<dyn solmu_bus::Handler>,
    held: watch::Receiver<Held>,
) {
    let metrics = ConsumerMetrics::new(&runtime.metrics);
    let stop = runtime.shutdown.drain.clone();
    let work = consumer::run(
        context.bus.clone(),
        spec,
        handler,
        held,
        context.clock.clone(),
        metrics,
        stop,
    );
    runtime.spawn(name, work);
}
