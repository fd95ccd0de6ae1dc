//! What every part of the ticket service works with.

use std::sync::Arc;

use solmu_answers::Keep;
use solmu_bus::Bus;
use solmu_db::Db;
use solmu_domain::{clock::SharedClock, rng::SharedRng};
use solmu_matter::Reader;
use solmu_runtime::Runtime;

use crate::{config::Config, matters::Matter, metrics::TicketMetrics};

/// Shared by handlers, commands and loops.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) db: Db,
    pub(crate) bus: Bus,
    pub(crate) config: Config,
    pub(crate) metrics: TicketMetrics,
    /// Where files of answers go; none where this process has no object store.
    pub(crate) files: Option<Arc<dyn Keep>>,
    /// What compares messages with tickets.
    pub(crate) matters: Reader,
    pub(crate) runtime: Runtime,
}

impl Context {
    pub(crate) fn new(runtime: &Runtime, config: Config) -> Self {
        // A pattern that cannot be read was refused when the settings were checked.
        let matters = config
            .matter
            .reader()
            .or_else(|_| Matter::default().reader());
        Self {
            matters: matters.expect("the default has no pattern of its own"),
            clock: runtime.clock.clone(),
            rng: runtime.rng.clone(),
            db: runtime.db.clone(),
            bus: runtime.bus.clone(),
            config,
            metrics: TicketMetrics::new(&runtime.metrics),
            files: None,
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
