//! What the events of the ticket service say.

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_proto::{ticket::v1 as proto, types::v1 as types};
pub use solmu_runtime::events::EventSink;
use uuid::Uuid;

use crate::model::Ticket;

/// Tells that a ticket, which was `before` with an agent and a team, is with others now; the reason is the ticket's.
pub fn assigned(
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
pub fn actor(kind: types::actor::Kind, id: impl Into<String>) -> types::Actor {
    types::Actor {
        kind: kind.into(),
        id: id.into(),
    }
}

/// One changed field.
pub fn change(field: &str, from: &impl ToString, to: &impl ToString) -> proto::FieldChange {
    proto::FieldChange {
        field: field.to_owned(),
        from: from.to_string(),
        to: to.to_string(),
    }
}

/// A `TicketChanged` event.
pub fn changed_event(
    ticket: &Ticket,
    changes: Vec<proto::FieldChange>,
    kind: types::actor::Kind,
    reason: &str,
    now: Timestamp,
) -> proto::TicketChanged {
    let name = match kind {
        types::actor::Kind::Router => "router",
        types::actor::Kind::Sla => "sla",
        types::actor::Kind::Timer => "timer",
        _ => "tickets",
    };
    proto::TicketChanged {
        ticket: Some(ticket.state()),
        changes,
        actor: Some(actor(kind, name)),
        change_time: Some(to_proto_time(now)),
        reason: reason.to_owned(),
    }
}

/// A message as events tell of it.
#[derive(Debug)]
pub struct MessageFacts {
    /// Its id.
    pub message_id: uuid::Uuid,
    /// Who wrote it.
    pub author: types::Actor,
    /// Whether the requester sees it.
    pub public: bool,
    /// How automatic it is.
    pub class: types::AutomaticClass,
    /// When it came or was written.
    pub at: Timestamp,
    /// Its place on the ticket.
    pub sequence: i64,
    /// The channel that it is on.
    pub channel: types::Channel,
}

impl MessageFacts {
    /// On the wire.
    pub fn to_proto(&self) -> proto::MessageFact {
        proto::MessageFact {
            message_id: self.message_id.to_string(),
            author: Some(self.author.clone()),
            public: self.public,
            automatic_class: self.class.into(),
            create_time: Some(to_proto_time(self.at)),
            sequence: self.sequence,
            channel: self.channel.into(),
            ..proto::MessageFact::default()
        }
    }
}
