//! What every part of the ticket service works with.

use std::sync::Arc;

use solmu_answers::Keep;
use solmu_bus::Bus;
use solmu_db::Db;
use solmu_domain::{clock::SharedClock, rng::SharedRng};
use solmu_matter::Reader;
use solmu_runtime::Runtime;

use crate::{
    config::{Config, Matter},
    metrics::TicketMetrics,
    strangers::Roster,
};

/// Shared by handlers, commands and loops.
#[derive(Debug)]
pub struct Context {
    /// Tells the time.
    pub clock: SharedClock,
    /// Makes ids.
    pub rng: SharedRng,
    /// Where tickets are.
    pub db: Db,
    /// Where events go.
    pub bus: Bus,
    /// What the operators want.
    pub config: Config,
    /// What is counted.
    pub metrics: TicketMetrics,
    /// Where files of answers go; none where this process has no object store.
    pub files: Option<Arc<dyn Keep>>,
    /// What compares messages with tickets.
    pub matters: Reader,
    /// Who exists that a call may name.
    pub roster: Roster,
    /// What the role runs in.
    pub runtime: Runtime,
}

impl Context {
    /// Of a role that runs in `runtime`; without a place for files.
    ///
    /// # Panics
    /// Never: the settings of matters are read, or the default ones, which hold no pattern.
    pub fn new(runtime: &Runtime, config: Config) -> Self {
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
            roster: Roster::new(&config.agent_mail),
            config,
            metrics: TicketMetrics::new(&runtime.metrics),
            files: None,
            runtime: runtime.clone(),
        }
    }

    /// Name of a lease group on this bus: deployments that share a database server by mistake do not share leases.
    pub fn group(&self, name: &str) -> String {
        format!("{}.{name}", self.bus.config().namespace)
    }

    /// Ends when the process takes no more work.
    pub fn drained(&self) -> impl Future<Output = ()> + Send + use<> {
        self.runtime.shutdown.drain.clone().cancelled_owned()
    }
}
