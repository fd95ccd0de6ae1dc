//! What makes agents quick and keeps them out of each other's way: guarded answers, canned answers, macros, bulk changes,
//! time entries.

mod apply;
mod bulk;
mod canned;
mod config;
mod items;
pub(crate) mod missed;
pub(crate) mod service;
mod template;

use std::{sync::Arc, time::Duration};

use solmu_runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::{context::Context, error::TicketError, viewers};

pub use config::Desk;

/// How often rows that are over are removed.
const TIDY: Duration = Duration::from_mins(1);

/// Starts what looks after the rows of the desk.
pub(crate) fn start(runtime: &Runtime, context: &Arc<Context>) {
    let drain = runtime.shutdown.drain.clone();
    runtime.spawn("tickets.desk", run(context.clone(), drain));
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
