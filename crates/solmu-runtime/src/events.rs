//! Events of a service, collected in a transaction and committed with it.

use jiff::Timestamp;
use prost::Message as _;
use solmu_bus::{Bus, Event, EventBody};
use solmu_db::outbox::OutboxEvent;
use solmu_domain::{clock::Clock, ids::EventId, rng::Rng};
use solmu_telemetry::TraceContext;

/// Makes the events of one transaction.
pub struct EventSink<'a> {
    bus: &'a Bus,
    clock: &'a dyn Clock,
    rng: &'a dyn Rng,
    now: Timestamp,
    rows: Vec<OutboxEvent>,
}

impl<'a> EventSink<'a> {
    /// None yet; all will be of the time `now`.
    pub fn new(bus: &'a Bus, clock: &'a dyn Clock, rng: &'a dyn Rng, now: Timestamp) -> Self {
        Self {
            bus,
            clock,
            rng,
            now,
            rows: Vec::new(),
        }
    }

    /// Adds an event in the trace of what caused it.
    pub fn add<B: EventBody>(&mut self, body: &B, trace: TraceContext) {
        let id = EventId::generate(self.clock, self.rng);
        let event = Event::traced(id, self.now, body, trace);
        self.rows.push(OutboxEvent {
            event_id: event.id.as_uuid(),
            family: event.family.token().to_owned(),
            shard: i32::from(self.bus.shard(&event.partition_key)),
            event: event.to_proto().encode_to_vec(),
        });
    }

    /// Adds the events of `other` after those that are there.
    pub fn append(&mut self, other: EventSink<'_>) {
        self.rows.extend(other.rows);
    }

    /// The events as rows of an outbox, in the order in which they were added.
    pub fn rows(self) -> Vec<OutboxEvent> {
        self.rows
    }
}
