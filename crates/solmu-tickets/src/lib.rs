//! The ticket service: owns contacts, tickets and messages, and is the only writer of them.
//!
//! It files each inbound message once, applies the decisions of router and SLA service, takes commands of people and
//! services, and tells what happened in events that carry ids and states, never a body.

mod api;
mod beginnings;
mod broadcast;
mod close;
mod decide;
pub mod desk;
mod due;
mod escalate;
mod lateness;
mod timers;

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use solmu_bus::{ConsumerSpec, Family, Held, Lane, consumer, metrics::ConsumerMetrics};
use solmu_contacts::Limits;
use solmu_db::{
    lease::{self, LeaseGroup},
    outbox::Owner,
};
use solmu_filing::{agent_mail, delivery, file, matters};
use solmu_proto::ticket::v1::{
    activity_service_server::ActivityServiceServer, field_service_server::FieldServiceServer,
    matter_service_server::MatterServiceServer, search_service_server::SearchServiceServer,
    substatus_service_server::SubstatusServiceServer, ticket_service_server::TicketServiceServer,
    work_service_server::WorkServiceServer,
};
use solmu_runtime::{Parts, Runtime, relay};
use solmu_ticketmerge as merge;
use solmu_ticketsearch::{list, search, sight};
use solmu_ticketstore::{
    activity, calls, catalogue, change, config, context, error, events, fields, followers,
    hierarchy, looked, metrics, model, quarantine, restrict, row, strangers,
};
use solmu_ticketwork::{command, edit, links, substatus, tasks};
use tokio::sync::{Semaphore, watch};
use tonic::service::Routes;

pub use solmu_answers::{Keep, Keeping, Kept};
pub use solmu_contacts::{objects::Objects, requesters};
pub use solmu_ticketstore::{
    blocks,
    config::{
        Acknowledgement, AgentMail, Answers, Bounces, Cap, Config, ConfigError, Desk, Loops,
        Matter, MatterPolicy, Quarantine, Quoting, TemplateError,
    },
    error::TicketError,
};

use crate::{
    api::{activity::Activities, fields::Fields, matters::Matters, tickets::Tickets, work::Work},
    context::Context,
    decide::Decider,
    desk::Hands,
    file::Filer,
    search::service::Searches,
    substatus::Substatuses,
};

/// Bytes of a call besides the files of an answer: what a call may have anyway.
const CALL_BYTES: usize = 4 * 1024 * 1024;

/// Starts the loops of the role and returns its services.
pub fn start(runtime: &Runtime, config: Config) -> Parts {
    start_with_hands(runtime, config).0
}

/// As [`start`]; with what the desk works with.
pub fn start_with_hands(runtime: &Runtime, config: Config) -> (Parts, Hands) {
    start_with_files(runtime, config, None)
}

/// As [`start_with_hands`]; files of answers go to `files`, where this process has a place for them.
pub fn start_with_files(
    runtime: &Runtime,
    config: Config,
    files: Option<Arc<dyn Keep>>,
) -> (Parts, Hands) {
    let context = Arc::new(Context {
        files,
        ..Context::new(runtime, config)
    });
    let most = context
        .config
        .answers
        .max_file_bytes
        .saturating_add(CALL_BYTES);
    relay::start(runtime, Owner::Tickets);
    start_filer(runtime, &context);
    start_decider(runtime, &context);
    runtime.spawn(
        "tickets.close",
        close::run(context.clone(), runtime.shutdown.drain.clone()),
    );
    runtime.spawn(
        "tickets.timers",
        timers::run(context.clone(), runtime.shutdown.drain.clone()),
    );
    runtime.spawn(
        "tickets.roster",
        agent_mail::roster::run(context.clone(), runtime.shutdown.drain.clone()),
    );
    runtime.spawn(
        "tickets.search",
        search::index::run(context.clone(), runtime.shutdown.drain.clone()),
    );
    let searches = Searches {
        context: context.clone(),
    };
    let limits = contact_limits(&context.config);
    let watchers = Arc::new(Semaphore::new(context.config.max_watchers));
    let hands = Hands::new(context.clone());
    let activities = Activities {
        context: context.clone(),
    };
    let fields = FieldServiceServer::new(Fields {
        context: context.clone(),
    });
    let matters = MatterServiceServer::new(Matters {
        context: context.clone(),
    });
    let substatuses = SubstatusServiceServer::new(Substatuses {
        context: context.clone(),
    });
    let work = WorkServiceServer::new(Work {
        context: context.clone(),
    });
    let routes = Routes::new(
        TicketServiceServer::new(Tickets { context, watchers }).max_decoding_message_size(most),
    )
    .add_service(ActivityServiceServer::new(activities))
    .add_service(SearchServiceServer::new(searches))
    .add_service(fields)
    .add_service(matters)
    .add_service(substatuses)
    .add_service(work);
    let tickets = Parts {
        grpc: Some(routes),
        http: None,
    };
    let parts = tickets.merge(solmu_contacts::start(runtime, limits));
    (parts, hands)
}

/// Removes the files of erased contacts from `objects`. To be started where the object store is.
pub fn remove_erased_objects(runtime: &Runtime, config: &Config, objects: Arc<dyn Objects>) {
    solmu_contacts::objects::start(runtime, contact_limits(config), objects);
}

fn contact_limits(config: &Config) -> Limits {
    Limits {
        max_page_size: config.max_page_size,
        erased_files: SignedDuration::from_mins(config.erased_files_minutes.into()),
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
