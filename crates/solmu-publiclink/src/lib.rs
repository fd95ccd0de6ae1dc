//! Links by which requesters read their tickets on the web, without signing in.
//!
//! A link is a row and a signature over its id. The row says whose it is and until when; the signature, made with the
//! keys that sign reply addresses, is what proves it, so that neither a copy of the database nor a guess opens a ticket.
//! What does not prove itself, has expired, was revoked or must not be shown gets one and the same answer. A part of the
//! ticket service with a crate of its own, started beside it: it reads that service's tables, and nobody else's.
//!
//! A signature over ticket and expiry without any row was rejected: such a link cannot be revoked.

mod config;
mod log;
mod page;
mod routes;
mod service;
pub mod shown;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod words;

use std::{sync::Arc, time::Duration};

use solmu_connector::{address::Proxies, limit::Limiter};
use solmu_proto::ticket::v1::link_service_server::LinkServiceServer;
use solmu_runtime::{Parts, Runtime};
use tonic::service::Routes;

pub use config::{Config, ConfigError};

use crate::{page::Pages, routes::Site, service::Links};

/// Starts the service and the page. What [`Config::check`] would refuse is as if it were not set.
#[must_use]
pub fn start(runtime: &Runtime, config: &Config) -> Parts {
    let signer = runtime.secrets.signer().clone();
    let site = Site {
        db: runtime.db.clone(),
        clock: Arc::clone(&runtime.clock),
        signer: signer.clone(),
        pages: Pages::new(),
        proxies: Proxies::parse(&config.trusted_proxies).unwrap_or_default(),
        limiter: Limiter::new(
            config.requests_per_minute,
            Duration::from_mins(1),
            Arc::clone(&runtime.clock),
        ),
    };
    let links = Links {
        db: runtime.db.clone(),
        bus: runtime.bus.clone(),
        clock: Arc::clone(&runtime.clock),
        rng: Arc::clone(&runtime.rng),
        signer,
        config: config.clone(),
    };
    Parts {
        grpc: Some(Routes::new(LinkServiceServer::new(links))),
        http: Some(routes::routes(Arc::new(site))),
    }
}
