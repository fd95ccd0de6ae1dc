//! Events of the ticket service, collected in a transaction and committed with it.

use jiff::Timestamp;
use prost::Message as _;
use solmu_bus::{Bus, Event, EventBody, envelope::to_proto_time};
use solmu_db::outbox::OutboxEvent;
use solmu_domain::{clock::Clock, ids::EventId, rng::Rng};
use solmu_proto::{ticket::v1 as proto, types::v1 as types};
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use crate::model::Ticket;

/// Makes the events of one transaction.
pub(crate) struct EventSink<'a> {
    bus: &'a Bus,
    clock: &'a dyn Clock,
    rng: &'a dyn Rng,
    now: Timestamp,
    rows: Vec<OutboxEvent>,
}

impl<'a> EventSink<'a> {
    pub(crate) fn new(
        bus: &'a Bus,
        clock: &'a dyn Clock,
        rng: &'a dyn Rng,
        now: Timestamp,
    ) -> Self {
        Self {
            bus,
            clock,
            rng,
            now,
            rows: Vec::new(),
        }
    }

    /// Adds an event in the trace of what caused it.
    pub(crate) fn add<B: EventBody>(&mut self, body: &B, trace: TraceContext) {
        let event = Event::traced(
            EventId::generate(self.clock, self.rng),
            self.now,
            body,
            trace,
        );
        self.rows.push(OutboxEvent {
            event_id: event.id.as_uuid(),
            family: event.family.token().to_owned(),
            shard: i32::from(self.bus.shard(&event.partition_key)),
            event: event.to_proto().encode_to_vec(),
        });
    }

    pub(crate) fn rows(self) -> Vec<OutboxEvent> {
        self.rows
    }
}

/// Tells that a ticket, which was `before` with an agent and a team, is with others now; the reason is the ticket's.
pub(crate) fn assigned(
    ticket: &Ticket,
    before: (Option<Uuid>, Option<Uuid>),
    actor: types::Actor,
    decision_id: &str,
    now: Timestamp,
) -> proto::TicketAssigned {
    let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    proto::TicketAssigned {
        ticket: Some(ticket.state()),
        previous_assignee_id: text(before.0),
        previous_team_id: text(before.1),
        actor: Some(actor),
        reason: ticket.assign_reason.clone(),
        decision_id: decision_id.to_owned(),
        assign_time: Some(to_proto_time(now)),
    }
}

/// An actor on the wire.
pub(crate) fn actor(kind: types::actor::Kind, id: impl Into<String>) -> types::Actor {
    types::Actor {
        kind: kind.into(),
        id: id.into(),
    }
}

/// One changed field.
pub(crate) fn change(field: &str, from: &impl ToString, to: &impl ToString) -> proto::FieldChange {
    proto::FieldChange {
        field: field.to_owned(),
        from: from.to_string(),
        to: to.to_string(),
    }
}

/// A message as events tell of it.
pub(crate) struct MessageFacts {
    pub(crate) message_id: uuid::Uuid,
    pub(crate) author: types::Actor,
    pub(crate) public: bool,
    pub(crate) class: types::AutomaticClass,
    pub(crate) at: Timestamp,
    pub(crate) sequence: i64,
    pub(crate) channel: types::Channel,
}

impl MessageFacts {
    pub(crate) fn to_proto(&self) -> proto::MessageFact {
        proto::MessageFact {
            message_id: self.message_id.to_string(),
            author: Some(self.author.clone()),
            public: self.public,
            automatic_class: self.class.into(),
            create_time: Some(to_proto_time(self.at)),
            sequence: self.sequence,
            channel: self.channel.into(),
        }
    }
}
