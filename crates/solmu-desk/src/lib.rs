//! The desk: what makes agents quick and keeps them out of each other's way.
//!
//! Who looks at what, canned answers, macros, bulk changes, time entries and the service catalogue. A part of the ticket
//! service in a crate of its own: it keeps tables in the schema `tickets` and does nothing to a ticket but through
//! [`solmu_tickets::desk::Hands`], in the transaction of its own rows. It is above the tickets and not below them, as
//! contacts are, so that nothing that files a message waits for a change of the desk.

mod bulk;
mod catalogue;
mod context;
mod items;
mod macros;
mod service;
#[cfg(test)]
mod sight_tests;
mod texts;
mod time;
mod viewers;

use std::{sync::Arc, time::Duration};

use solmu_proto::ticket::v1::{
    catalogue_service_server::CatalogueServiceServer, desk_service_server::DeskServiceServer,
    time_service_server::TimeServiceServer,
};
use solmu_runtime::{Parts, Runtime};
use solmu_tickets::{TicketError, desk::Hands};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use crate::catalogue::{Ordering, Services};
use crate::{
    catalogue::service::Catalogue, context::Context, service::Desks, time::service::Times,
};

/// How often rows that are over are removed.
const TIDY: Duration = Duration::from_mins(1);

/// Starts what looks after the rows of the desk and returns its services. `hands` are those of the ticket service of
/// this process.
pub fn start(runtime: &Runtime, hands: Hands) -> Parts {
    let context = Arc::new(Context::new(runtime, hands));
    let drain = runtime.shutdown.drain.clone();
    runtime.spawn("tickets.desk", run(context.clone(), drain));
    let times = TimeServiceServer::new(Times {
        context: context.clone(),
    });
    let catalogue = CatalogueServiceServer::new(Catalogue {
        context: context.clone(),
    });
    let routes = Routes::new(DeskServiceServer::new(Desks::new(context)))
        .add_service(times)
        .add_service(catalogue);
    Parts {
        grpc: Some(routes),
        http: None,
    }
}

async fn run(context: Arc<Context>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TIDY) => {}
        }
        if let Err(error) = tidy(&context).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot remove old rows of the desk; trying again later"
            );
        }
    }
}

async fn tidy(context: &Context) -> Result<(), TicketError> {
    viewers::tidy(context.db.pool(), context.clock.now()).await
}

/// A small number as the `smallint` that it is stored as.
fn small(code: i32) -> i16 {
    i16::try_from(code).unwrap_or(0)
}
