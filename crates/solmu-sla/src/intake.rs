//! Ticket events as clocks want them.
//!
//! The time of a clock event is when the fact happened, never when it arrived. A message counts only when a person
//! wrote it for the other side to read: automatic mail, notes and bots neither answer nor ask.

use jiff::Timestamp;
use solmu_bus::{EventBody as _, ReceivedEvent, envelope::from_proto_time};
use solmu_domain::{
    ids::TicketId,
    sla::{ClockEvent, ClockEventKind, ClockStatus},
};
use solmu_proto::{
    contact::v1::{
        ContactChanged, ContactErased, ContactMerged, ContactUnmerged, OrganizationChanged,
    },
    ticket::v1::{
        MessageFact, TicketAssigned, TicketChanged, TicketMerged, TicketMessageAdded, TicketOpened,
        TicketState, TicketUnmerged,
    },
    types::v1::{Actor, AutomaticClass, TicketStatus, actor},
};
use uuid::Uuid;

use crate::{
    error::Malformed,
    facts::{TicketFacts, priority_name},
};

/// An event that the service acts on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// Something happened to a ticket.
    Ticket(Arrival),
    /// Fields of contacts or organisations changed.
    Own(OwnChange),
    /// Data of these people was removed.
    Erased { contacts: Vec<Uuid>, at: Timestamp },
}

/// Contacts or organisations whose fields changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnChange {
    pub(crate) ids: Vec<Uuid>,
    /// Otherwise contacts.
    pub(crate) organizations: bool,
    /// None: any.
    pub(crate) fields: Option<Vec<String>>,
    pub(crate) at: Timestamp,
}

impl Heard {
    /// The ticket event, if it is one.
    pub(crate) const fn ticket(&self) -> Option<&Arrival> {
        match self {
            Self::Ticket(arrival) => Some(arrival),
            Self::Own(_) | Self::Erased { .. } => None,
        }
    }
}

/// A ticket event that concerns its clocks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arrival {
    pub(crate) ticket: TicketId,
    /// Version of the ticket after the event.
    pub(crate) version: i64,
    pub(crate) what: What,
    /// When it was told.
    pub(crate) told_at: Timestamp,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    Opened(Box<Opening>),
    /// In the order in which clocks want them, with what policies look at where that may have changed, and since when.
    Clock(Vec<ClockEvent>, Option<(Timestamp, Box<TicketFacts>)>),
    /// The other ticket became part of this one.
    Merged {
        source: TicketId,
        at: Timestamp,
    },
    /// The other ticket, which was part of this one, stands for itself again.
    Unmerged {
        source: TicketId,
        at: Timestamp,
    },
}

impl Arrival {
    /// Whether it changes the clocks of `ticket`: a merge changes those of two, and so does its undoing.
    pub(crate) fn concerns(&self, ticket: TicketId) -> bool {
        let source = matches!(self.what,
            What::Merged { source, .. } | What::Unmerged { source, .. } if source == ticket);
        self.ticket == ticket || source
    }

    /// The tickets whose clocks it changes.
    pub(crate) fn tickets(&self) -> impl Iterator<Item = TicketId> {
        let source = match self.what {
            What::Merged { source, .. } | What::Unmerged { source, .. } => Some(source),
            What::Opened(_) | What::Clock(..) => None,
        };
        std::iter::once(self.ticket).chain(source)
    }

    /// What policies look at, if the event says it.
    pub(crate) fn facts(&self) -> Option<&TicketFacts> {
        match &self.what {
            What::Opened(opening) => Some(&opening.facts),
            What::Clock(_, facts) => facts.as_ref().map(|(_, facts)| facts.as_ref()),
            What::Merged { .. } | What::Unmerged { .. } => None,
        }
    }

    pub(crate) fn facts_mut(&mut self) -> Option<&mut TicketFacts> {
        match &mut self.what {
            What::Opened(opening) => Some(&mut opening.facts),
            What::Clock(_, facts) => facts.as_mut().map(|(_, facts)| facts.as_mut()),
            What::Merged { .. } | What::Unmerged { .. } => None,
        }
    }
}

/// Fields that conditions of policies look at.
const LOOKED_AT: [&str; 12] = [
    "category",
    "organizations",
    "organization_ids",
    "organization",
    "fields",
    "priority",
    "tags",
    "team",
    "team_id",
    "language",
    "contact",
    "contact_id",
];

/// The opening of a ticket. The customer's message that opened it is part of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Opening {
    pub(crate) at: Timestamp,
    pub(crate) status: ClockStatus,
    pub(crate) outbound: bool,
    pub(crate) facts: TicketFacts,
}

/// Reads an event. None when clocks do not care.
pub(crate) fn read(event: &ReceivedEvent) -> Result<Option<Heard>, Malformed> {
    if let Some(heard) = people(event)? {
        return Ok(Some(heard));
    }
    let arrival = ticket(event)?;
    Ok(arrival.map(|arrival| {
        Heard::Ticket(Arrival {
            told_at: event.time,
            ..arrival
        })
    }))
}

/// Reads what is about contacts and organisations.
fn people(event: &ReceivedEvent) -> Result<Option<Heard>, Malformed> {
    let ids = |texts: &[String]| -> Vec<Uuid> {
        let ids = texts.iter().filter_map(|text| Uuid::parse_str(text).ok());
        ids.collect()
    };
    let own = |texts: &[String], fields| OwnChange {
        ids: ids(texts),
        organizations: false,
        fields,
        at: event.time,
    };
    let kind = event.event_type.as_str();
    Ok(Some(if kind == ContactChanged::TYPE {
        let body: ContactChanged = event.decode()?;
        Heard::Own(own(&body.contact_ids, Some(body.fields)))
    } else if kind == OrganizationChanged::TYPE {
        let body: OrganizationChanged = event.decode()?;
        Heard::Own(OwnChange {
            organizations: true,
            ..own(&[body.organization_id], Some(body.fields))
        })
    } else if kind == ContactMerged::TYPE {
        let body: ContactMerged = event.decode()?;
        Heard::Own(own(&[body.contact_id, body.merged_contact_id], None))
    } else if kind == ContactUnmerged::TYPE {
        let body: ContactUnmerged = event.decode()?;
        Heard::Own(own(&[body.contact_id, body.unmerged_contact_id], None))
    } else if kind == ContactErased::TYPE {
        let body: ContactErased = event.decode()?;
        Heard::Erased {
            contacts: ids(&body.contact_ids),
            at: body.erase_time.as_ref().map_or(event.time, from_proto_time),
        }
    } else {
        return Ok(None);
    }))
}

fn ticket(event: &ReceivedEvent) -> Result<Option<Arrival>, Malformed> {
    match event.event_type.as_str() {
        TicketOpened::TYPE => opened(event.decode()?, event.time).map(Some),
        TicketMessageAdded::TYPE => message_added(event.decode()?, event.time),
        TicketChanged::TYPE => changed(event.decode()?, event.time),
        TicketAssigned::TYPE => assigned(event.decode()?, event.time),
        TicketMerged::TYPE => merged(event.decode()?, event.time).map(Some),
        TicketUnmerged::TYPE => unmerged(event.decode()?, event.time).map(Some),
        _ => Ok(None),
    }
}

fn opened(event: TicketOpened, fallback: Timestamp) -> Result<Arrival, Malformed> {
    let state = event.ticket.ok_or(Malformed::Missing("ticket"))?;
    let author = event
        .message
        .as_ref()
        .map_or(actor::Kind::Unspecified, author_of);
    let sent = event.message.and_then(|message| message.create_time);
    let at = state.create_time.or(sent);
    Ok(Arrival {
        ticket: state.ticket_id.parse()?,
        version: state.version,
        what: What::Opened(Box::new(Opening {
            at: at.as_ref().map_or(fallback, from_proto_time),
            status: clock_status(state.status()).unwrap_or(ClockStatus::New),
            outbound: author == actor::Kind::Agent,
            facts: TicketFacts::of(state),
        })),
        told_at: fallback,
    })
}

fn message_added(
    event: TicketMessageAdded,
    fallback: Timestamp,
) -> Result<Option<Arrival>, Malformed> {
    let before = event.previous_status();
    let state = event.ticket.ok_or(Malformed::Missing("ticket"))?;
    let message = event.message.ok_or(Malformed::Missing("message"))?;
    let at = message
        .create_time
        .as_ref()
        .map_or(fallback, from_proto_time);
    let counts = message.public && by_a_person(&message);
    let author = author_of(&message);
    let mut kinds = Vec::new();
    if counts && author == actor::Kind::Agent {
        kinds.push(ClockEventKind::AgentReply);
    }
    // An event without the status before tells of no change.
    if before != TicketStatus::Unspecified && before != state.status() {
        kinds.extend(status_change(&state));
    }
    if counts && author == actor::Kind::Customer {
        kinds.push(ClockEventKind::CustomerMessage);
    }
    arrival(state, at, kinds, false)
}

fn changed(event: TicketChanged, fallback: Timestamp) -> Result<Option<Arrival>, Malformed> {
    let state = event.ticket.ok_or(Malformed::Missing("ticket"))?;
    let at = event.change_time.as_ref().map_or(fallback, from_proto_time);
    let has = |field: &str| event.changes.iter().any(|change| change.field == field);
    let mut kinds = Vec::new();
    if has("priority") {
        let to = priority_name(state.priority()).to_owned();
        kinds.push(ClockEventKind::Priority { to });
    }
    if has("status") {
        kinds.extend(status_change(&state));
    }
    let is_looked_at = |field: &str| {
        let field = field.split_once('.').map_or(field, |(map, _)| map);
        LOOKED_AT.contains(&field)
    };
    let looked_at = event.changes.iter().any(|it| is_looked_at(&it.field));
    arrival(state, at, kinds, looked_at)
}

fn assigned(event: TicketAssigned, fallback: Timestamp) -> Result<Option<Arrival>, Malformed> {
    let state = event.ticket.ok_or(Malformed::Missing("ticket"))?;
    let at = event.assign_time.as_ref().map_or(fallback, from_proto_time);
    if state.team_id == event.previous_team_id {
        return Ok(None);
    }
    let to = (!state.team_id.is_empty()).then(|| state.team_id.clone());
    arrival(state, at, vec![ClockEventKind::Team { to }], true)
}

fn merged(event: TicketMerged, fallback: Timestamp) -> Result<Arrival, Malformed> {
    let state = event.ticket.ok_or(Malformed::Missing("ticket"))?;
    Ok(Arrival {
        ticket: state.ticket_id.parse()?,
        version: state.version,
        what: What::Merged {
            source: event.source_ticket_id.parse()?,
            at: event.merge_time.as_ref().map_or(fallback, from_proto_time),
        },
        told_at: fallback,
    })
}

fn unmerged(event: TicketUnmerged, fallback: Timestamp) -> Result<Arrival, Malformed> {
    let state = event.ticket.ok_or(Malformed::Missing("ticket"))?;
    Ok(Arrival {
        ticket: state.ticket_id.parse()?,
        version: state.version,
        what: What::Unmerged {
            source: event.source_ticket_id.parse()?,
            at: event
                .unmerge_time
                .as_ref()
                .map_or(fallback, from_proto_time),
        },
        told_at: fallback,
    })
}

fn arrival(
    state: TicketState,
    at: Timestamp,
    kinds: Vec<ClockEventKind>,
    looked_at: bool,
) -> Result<Option<Arrival>, Malformed> {
    if kinds.is_empty() && !looked_at {
        return Ok(None);
    }
    let events = kinds.into_iter().map(|kind| ClockEvent::new(at, kind));
    Ok(Some(Arrival {
        ticket: state.ticket_id.parse()?,
        version: state.version,
        what: What::Clock(
            events.collect(),
            looked_at.then(|| (at, Box::new(TicketFacts::of(state)))),
        ),
        told_at: at,
    }))
}

fn status_change(state: &TicketState) -> Option<ClockEventKind> {
    clock_status(state.status()).map(|to| ClockEventKind::Status { to })
}

fn author_of(message: &MessageFact) -> actor::Kind {
    message
        .author
        .as_ref()
        .map_or(actor::Kind::Unspecified, Actor::kind)
}

fn by_a_person(message: &MessageFact) -> bool {
    matches!(
        message.automatic_class(),
        AutomaticClass::Human | AutomaticClass::Unspecified
    )
}

const fn clock_status(status: TicketStatus) -> Option<ClockStatus> {
    match status {
        TicketStatus::Unspecified => None,
        TicketStatus::New => Some(ClockStatus::New),
        TicketStatus::Open => Some(ClockStatus::Open),
        TicketStatus::WaitingOnCustomer => Some(ClockStatus::WaitingOnCustomer),
        TicketStatus::CustomerReplied => Some(ClockStatus::CustomerReplied),
        TicketStatus::WaitingOnThirdParty => Some(ClockStatus::WaitingOnThirdParty),
        TicketStatus::Resolved => Some(ClockStatus::Resolved),
        TicketStatus::Closed => Some(ClockStatus::Closed),
    }
}

#[cfg(test)]
mod tests {
    use solmu_proto::ticket::v1::FieldChange;

    use super::*;

    const ID: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120002";

    fn state(status: TicketStatus) -> TicketState {
        TicketState {
            ticket_id: ID.to_owned(),
            status: status.into(),
            version: 3,
            ..TicketState::default()
        }
    }

    fn message(kind: actor::Kind, class: AutomaticClass, public: bool) -> MessageFact {
        MessageFact {
            author: Some(Actor {
                kind: kind.into(),
                id: String::new(),
            }),
            automatic_class: class.into(),
            public,
            ..MessageFact::default()
        }
    }

    fn kinds(arrival: Option<Arrival>) -> Vec<ClockEventKind> {
        match arrival.map(|arrival| arrival.what) {
            Some(What::Clock(events, _)) => events.into_iter().map(|event| event.kind).collect(),
            _ => Vec::new(),
        }
    }

    fn added(message: MessageFact, from: TicketStatus, to: TicketStatus) -> Vec<ClockEventKind> {
        let event = TicketMessageAdded {
            ticket: Some(state(to)),
            message: Some(message),
            previous_status: from.into(),
            ..TicketMessageAdded::default()
        };
        kinds(message_added(event, Timestamp::UNIX_EPOCH).unwrap())
    }

    #[test]
    fn only_people_answer_and_ask() {
        use TicketStatus::Open;
        let (agent, customer) = (actor::Kind::Agent, actor::Kind::Customer);
        let human = AutomaticClass::Human;
        let says = |kind, class, public| added(message(kind, class, public), Open, Open);
        assert_eq!(says(agent, human, true), [ClockEventKind::AgentReply]);
        assert_eq!(
            says(customer, human, true),
            [ClockEventKind::CustomerMessage]
        );
        assert!(says(agent, human, false).is_empty(), "a note");
        assert!(says(agent, AutomaticClass::AutoReply, true).is_empty());
        assert!(says(customer, AutomaticClass::OutOfOffice, true).is_empty());
        assert!(says(actor::Kind::Service, human, true).is_empty(), "a bot");
    }

    #[test]
    fn a_message_may_change_the_status() {
        let reply = message(actor::Kind::Customer, AutomaticClass::Human, true);
        let waiting = TicketStatus::WaitingOnCustomer;
        assert_eq!(
            added(reply, waiting, TicketStatus::CustomerReplied),
            [
                ClockEventKind::Status {
                    to: ClockStatus::CustomerReplied
                },
                ClockEventKind::CustomerMessage
            ]
        );
    }

    #[test]
    fn changes_of_other_fields_are_nothing() {
        let mut event = TicketChanged {
            ticket: Some(state(TicketStatus::Resolved)),
            ..TicketChanged::default()
        };
        let change = |field: &str| FieldChange {
            field: field.to_owned(),
            ..FieldChange::default()
        };
        event.changes = vec![change("breached"), change("next_due_time")];
        assert_eq!(changed(event.clone(), Timestamp::UNIX_EPOCH).unwrap(), None);
        event.changes = vec![change("tags")];
        let tagged = changed(event.clone(), Timestamp::UNIX_EPOCH).unwrap();
        let what = tagged.unwrap().what;
        assert!(matches!(what, What::Clock(events, Some(_)) if events.is_empty()));
        for field in ["category", "fields", "fields.tier", "organization_ids"] {
            event.changes = vec![change(field)];
            let looked_at = changed(event.clone(), Timestamp::UNIX_EPOCH).unwrap();
            assert!(looked_at.is_some(), "{field}");
        }
        event.changes = vec![change("status"), change("priority")];
        assert_eq!(
            kinds(changed(event, Timestamp::UNIX_EPOCH).unwrap()).len(),
            2
        );
    }

    #[test]
    fn only_another_team_is_news() {
        let mut event = TicketAssigned {
            ticket: Some(state(TicketStatus::Open)),
            ..TicketAssigned::default()
        };
        let read = |event: &TicketAssigned| assigned(event.clone(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(read(&event), None, "another agent of the same team");
        event.previous_team_id = ID.to_owned();
        assert_eq!(kinds(read(&event)), [ClockEventKind::Team { to: None }]);
    }

    #[test]
    fn a_merge_names_both_tickets() {
        let event = TicketMerged {
            ticket: Some(state(TicketStatus::Open)),
            ..TicketMerged::default()
        };
        let refused = merged(event.clone(), Timestamp::UNIX_EPOCH);
        assert!(matches!(refused, Err(Malformed::BadId(_))));
        let event = TicketMerged {
            source_ticket_id: ID.replace("0002", "0003"),
            ..event
        };
        let arrival = merged(event, Timestamp::UNIX_EPOCH).unwrap();
        assert!(matches!(arrival.what, What::Merged { source, .. } if source != arrival.ticket));
    }

    #[test]
    fn an_event_without_a_ticket_is_malformed() {
        let event = TicketOpened::default();
        assert!(opened(event, Timestamp::UNIX_EPOCH).is_err());
        let event = TicketOpened {
            ticket: Some(TicketState::default()),
            ..TicketOpened::default()
        };
        assert!(matches!(
            opened(event, Timestamp::UNIX_EPOCH),
            Err(Malformed::BadId(_))
        ));
    }
}
