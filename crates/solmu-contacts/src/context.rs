//! What every part of the crate works with.

use jiff::{SignedDuration, Timestamp};
use solmu_bus::Bus;
use solmu_db::Db;
use solmu_domain::{clock::SharedClock, rng::SharedRng};
use solmu_runtime::{Runtime, events::EventSink};

/// What callers may ask for at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries of one page.
    pub max_page_size: u32,
    /// How long the files of an erased contact stay: a message with the same file may be on its way.
    pub erased_files: SignedDuration,
}

/// Shared by calls and loops.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
    pub(crate) db: Db,
    pub(crate) limits: Limits,
    bus: Bus,
}

impl Context {
    pub(crate) fn new(runtime: &Runtime, limits: Limits) -> Self {
        Self {
            clock: runtime.clock.clone(),
            rng: runtime.rng.clone(),
            db: runtime.db.clone(),
            limits,
            bus: runtime.bus.clone(),
        }
    }

    /// The events of one transaction.
    pub(crate) fn events(&self, now: Timestamp) -> EventSink<'_> {
        EventSink::new(&self.bus, self.clock.as_ref(), self.rng.as_ref(), now)
    }
}
