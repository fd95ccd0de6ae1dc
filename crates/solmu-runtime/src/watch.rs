//! Figures that nobody's work brings by itself: what waits on the bus, and how busy the database pool is.

use std::{sync::Arc, time::Duration};

use solmu_telemetry::metrics::Unit;

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
    let pool = runtime.db.pool().clone();
    let stop = runtime.shutdown.stop.clone();
    max.set([], f64::from(pool.options().get_max_connections()));
    runtime.spawn_background("watch.pool", async move {
        loop {
            let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
            count.set(["idle"], f64::from(idle));
            count.set(["used"], f64::from(pool.size().saturating_sub(idle)));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POOL_INTERVAL) => {}
            }
        }
    });
}
