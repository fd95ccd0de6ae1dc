//! What requesters see and do by a portal that has signed them in.
//!
//! Agents see as one person whoever fits by name and address. A requester is shown less: what the ACCESS graph gives the
//! identity that the portal proved (`solmu_tickets::requesters`), and of that what anybody outside may see
//! (`solmu_publiclink::shown`). What they write goes the way of every inbound message, by the bus, so that it is on disk
//! before the portal is answered and no rule of filing is gone around. A part of the ticket service in a crate of its
//! own, beside the public links.
//!
//! Letting portals call `TicketService` with a filter on the contact was rejected: the contact is the agents' view, and
//! one filter that is forgotten shows everything.

mod act;
mod config;
mod find;
#[cfg(test)]
mod plans;
mod service;
mod who;
mod write;

use std::{sync::Arc, time::Duration};

use solmu_connector::{Intake, limit::Limiter};
use solmu_desk::Services;
use solmu_proto::requester::v1::requester_service_server::RequesterServiceServer;
use solmu_runtime::{Parts, Runtime};
use solmu_tickets::desk::Hands;
use tonic::service::Routes;

pub use config::{Config, ConfigError};

use crate::service::{Portal, Requesters};

/// Returns the service. `hands` are those of the ticket service of this process; what requesters write goes into
/// `intake`.
#[must_use]
pub fn start(runtime: &Runtime, config: &Config, hands: Hands, intake: Intake) -> Parts {
    let requesters = requesters(runtime, config, hands, intake);
    Parts {
        grpc: Some(Routes::new(RequesterServiceServer::new(requesters))),
        http: None,
    }
}

fn requesters(runtime: &Runtime, config: &Config, hands: Hands, intake: Intake) -> Requesters {
    Requesters(Arc::new(Portal {
        db: runtime.db.clone(),
        clock: Arc::clone(&runtime.clock),
        rng: Arc::clone(&runtime.rng),
        services: Services::new(runtime, hands.clone()),
        hands,
        intake,
        writes: Limiter::new(
            config.writes_per_minute,
            Duration::from_mins(1),
            Arc::clone(&runtime.clock),
        ),
        config: config.clone(),
    }))
}
