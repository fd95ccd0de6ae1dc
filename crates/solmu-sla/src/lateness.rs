//! How late the timers are, as the table says it.
//!
//! The lag of a timer is known when it fires; one that never fires has none. So every process of the role, whether it leads
//! or not, asks for the oldest timer that is due: also when the leader hangs, and also when nobody leads.

use std::time::Duration;

use jiff::Timestamp;
use solmu_db::DbError;
use tokio_util::sync::CancellationToken;

use crate::{store::clocks, worker::Worker};

/// How often the table is asked: one entry of an index.
const EVERY: Duration = Duration::from_secs(10);

/// Tells until `stop`.
pub(crate) async fn run(worker: Worker, stop: CancellationToken) {
    loop {
        match oldest(&worker).await {
            Ok(oldest) => {
                let now = worker.maker.clock.now();
                let late = oldest.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0));
                worker.metrics.overdue.set([], late);
            }
            // What is not known is not told: a figure that stands still would look like calm.
            Err(error) => {
                worker.metrics.overdue.remove([]);
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "cannot see how late timers are; looking again"
                );
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn oldest(worker: &Worker) -> Result<Option<Timestamp>, DbError> {
    let mut connection = worker.db.pool().acquire().await.map_err(DbError::from)?;
    Ok(clocks::next_wake(&mut connection).await?.0)
}
