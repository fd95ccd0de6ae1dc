//! Figures that nobody's work brings by itself: what waits on the bus, and how busy the database pool is.

use std::{sync::Arc, time::Duration};

use solmu_telemetry::metrics::Unit;
use sqlx::PgPool;

use crate::runtime::Runtime;

/// How often the pool is looked at. It costs nothing; shorter than any scrape.
const POOL_INTERVAL: Duration = Duration::from_secs(1);

/// Watches what waits for the consumers of the bus, until the process stops. One role of a deployment does it, whose
/// user of the bus may look at all streams: `tickets`.
pub fn bus(runtime: &Runtime) {
    let watching = solmu_bus::lag::watch(
        runtime.bus.clone(),
        Arc::clone(&runtime.clock),
        runtime.metrics.clone(),
        runtime.shutdown.stop.clone(),
    );
    runtime.spawn_background("watch.bus", watching);
}

/// Watches the connections of this process to the database, until the process stops.
pub fn pool(runtime: &Runtime) {
    let count = runtime.metrics.gauge(
        "db_client_connection_count",
        "Connections to the database, by state",
        Unit::Count,
        ["state"],
    );
    let max = runtime.metrics.gauge(
        "db_client_connection_max",
        "Connections to the database at most",
        Unit::Count,
        [],
    );
    let pools = [runtime.db.pool().clone(), runtime.db.reads().clone()];
    let stop = runtime.shutdown.stop.clone();
    let most = pools
        .iter()
        .map(|pool| pool.options().get_max_connections());
    max.set([], f64::from(most.sum::<u32>()));
    runtime.spawn_background("watch.pool", async move {
        let all = |figure: fn(&PgPool) -> u32| pools.iter().map(figure).sum::<u32>();
        loop {
            let (idle, open) = (all(idle), all(PgPool::size));
            count.set(["idle"], f64::from(idle));
            count.set(["used"], f64::from(open.saturating_sub(idle)));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POOL_INTERVAL) => {}
            }
        }
    });
}

fn idle(pool: &PgPool) -> u32 {
    u32::try_from(pool.num_idle()).unwrap_or(u32::MAX)
}
