//! What every part of the ticket service works with.

use solmu_bus::Bus;
use solmu_db::Db;
use solmu_domain::{clock::SharedClock, rng::SharedRng};
use solmu_runtime::Runtime;

use crate::{config::Config, metrics::TicketMetrics};

/// Shared by handlers, commands and loops.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) db: Db,
    pub(crate) bus: Bus,
    pub(crate) config: Config,
    pub(crate) metrics: TicketMetrics,
    runtime: Runtime,
}

impl Context {
    pub(crate) fn new(runtime: &Runtime, config: Config) -> Self {
        Self {
            clock: runtime.clock.clone(),
            rng: runtime.rng.clone(),
            db: runtime.db.clone(),
            bus: runtime.bus.clone(),
            config,
            metrics: TicketMetrics::new(&runtime.metrics),
            runtime: runtime.clone(),
        }
    }

    /// Name of a lease group on this bus: deployments that share a database server by mistake do not share leases.
    pub(crate) fn group(&self, name: &str) -> String {
        format!("{}.{name}", self.bus.config().namespace)
    }

    /// Ends when the process takes no more work.
    pub(crate) fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        self.runtime.shutdown.drain.clone().cancelled_owned()
    }
}
