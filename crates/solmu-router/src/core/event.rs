//! What the router hears: events of the bus, parsed once into what it needs of them.

use std::collections::HashSet;

use jiff::Timestamp;
use solmu_bus::{
    EventBody as _, ReceivedEvent,
    envelope::{EnvelopeError, from_proto_time},
};
use solmu_conditions::values_by_key;
use solmu_domain::{
    ids::{AgentId, ContactId, DecisionId, ParseIdError, TeamId, TicketId},
    ticket::{Priority, Status},
};
use solmu_proto::{
    contact::v1::{
        ContactChanged, ContactErased, ContactMerged, ContactUnmerged, OrganizationChanged,
    },
    routing::v1::RosterChanged,
    ticket::v1::{
        AssignmentRejected, MessageFact, TicketAssigned, TicketChanged, TicketMessageAdded,
        TicketOpened, TicketState, assignment_rejected::Cause,
    },
    types::v1 as types,
};
use solmu_telemetry::TraceContext;

use super::{answers::OwnChange, ticket::Facts};

/// An event that the router acts on.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// Something happened to a ticket.
    Ticket(Box<TicketEvent>),
    /// Agents, teams or rules changed; what exactly is read from the tables.
    Roster,
    /// Fields of contacts or organisations changed.
    Own(OwnChange),
    /// Data of people was removed.
    Erased(Erasure),
    /// Nothing that routing depends on.
    Nothing,
}

/// People whose data was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Erasure {
    pub(crate) contacts: Vec<ContactId>,
    pub(crate) at: Timestamp,
}

/// Something that happened to a ticket.
#[derive(Debug, Clone)]
pub(crate) struct TicketEvent {
    /// Which ticket; unknown when a decision on a ticket that does not exist was rejected.
    pub(crate) ticket: Option<TicketId>,
    /// The ticket after it.
    pub(crate) facts: Option<Facts>,
    pub(crate) what: What,
    /// An agent answered the customer.
    pub(crate) answered: bool,
    /// Whom alone the ticket may go to; told when a decision was refused because of that.
    pub(crate) within: Option<Within>,
    pub(crate) time: Timestamp,
    pub(crate) trace: TraceContext,
}

/// Whom a restricted ticket names. An older ticket service does not tell: then nobody is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Within {
    pub(crate) agents: Vec<AgentId>,
    pub(crate) teams: Vec<TeamId>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// It was opened or changed.
    Told,
    /// It got an owner or a team, or lost one: by a decision of ours, or else by hand.
    Assigned { decision: Option<DecisionId> },
    /// A decision of ours came too late.
    Rejected {
        decision: DecisionId,
        cause: RejectCause,
    },
}

/// Why a decision was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RejectCause {
    StaleTicket,
    AlreadyAssigned,
    NotOpen,
    UnknownTicket,
    /// It is restricted to others.
    Restricted,
    Other,
}

impl RejectCause {
    /// Stable code, as stored and in metrics.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::StaleTicket => "stale_ticket",
            Self::AlreadyAssigned => "already_assigned",
            Self::NotOpen => "not_open",
            Self::UnknownTicket => "unknown_ticket",
            Self::Restricted => "restricted",
            Self::Other => "other",
        }
    }

    /// For people.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::StaleTicket => "the ticket had changed",
            Self::AlreadyAssigned => "the ticket had an owner",
            Self::NotOpen => "the ticket was not open",
            Self::UnknownTicket => "there is no such ticket",
            Self::Restricted => "the ticket is restricted to others",
            Self::Other => "the ticket service gave no cause",
        }
    }
}

/// An event that does not say what it has to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HearError {
    #[error("cannot decode an event of type '{event_type}'")]
    Decode {
        event_type: String,
        #[source]
        source: EnvelopeError,
    },
    #[error("an event has a bad '{field}'")]
    BadId {
        field: &'static str,
        #[source]
        source: ParseIdError,
    },
    #[error("an event has no '{0}'")]
    Missing(&'static str),
}

/// Parses an event; decisions on its behalf continue `trace`. Types of later releases are [`Heard::Nothing`].
pub(crate) fn hear(event: &ReceivedEvent, trace: TraceContext) -> Result<Heard, HearError> {
    let kind = event.event_type.as_str();
    let mut answered = false;
    let mut within = None;
    let (state, what) = if kind == TicketOpened::TYPE {
        (decode::<TicketOpened>(event)?.ticket, What::Told)
    } else if kind == TicketMessageAdded::TYPE {
        let body = decode::<TicketMessageAdded>(event)?;
        answered = body.message.as_ref().is_some_and(is_answer);
        (body.ticket, What::Told)
    } else if kind == TicketChanged::TYPE {
        (decode::<TicketChanged>(event)?.ticket, What::Told)
    } else if kind == TicketAssigned::TYPE {
        let body = decode::<TicketAssigned>(event)?;
        let decision = optional("decision_id", &body.decision_id)?;
        (body.ticket, What::Assigned { decision })
    } else if kind == AssignmentRejected::TYPE {
        let body = decode::<AssignmentRejected>(event)?;
        let what = What::Rejected {
            decision: optional("decision_id", &body.decision_id)?
                .ok_or(HearError::Missing("decision_id"))?,
            cause: cause_of(body.cause()),
        };
        within = (body.cause() == Cause::Restricted).then(|| Within {
            agents: ids(&body.restricted_agent_ids),
            teams: ids(&body.restricted_team_ids),
        });
        (body.ticket, what)
    } else if kind == RosterChanged::TYPE {
        return Ok(Heard::Roster);
    } else {
        return hear_of_people(event);
    };
    let rejected = matches!(what, What::Rejected { .. });
    let (ticket, facts) = match state {
        // A ticket that does not exist has an id at most.
        Some(state) if rejected && state.version == 0 => {
            (optional("ticket.ticket_id", &state.ticket_id)?, None)
        }
        Some(state) => {
            let ticket = optional("ticket.ticket_id", &state.ticket_id)?
                .ok_or(HearError::Missing("ticket.ticket_id"))?;
            (Some(ticket), Some(facts_of(state, event.time)?))
        }
        None if rejected => (None, None),
        None => return Err(HearError::Missing("ticket")),
    };
    Ok(Heard::Ticket(Box::new(TicketEvent {
        ticket,
        facts,
        what,
        answered,
        within,
        time: event.time,
        trace,
    })))
}

/// Those that are ids: what a later release may name besides is nobody whom we know.
fn ids<T: std::str::FromStr>(texts: &[String]) -> Vec<T> {
    texts.iter().filter_map(|it| it.parse().ok()).collect()
}

/// Reads what is about contacts and organisations.
fn hear_of_people(event: &ReceivedEvent) -> Result<Heard, HearError> {
    let kind = event.event_type.as_str();
    let own = |contacts: &[String], fields: Option<Vec<String>>| OwnChange {
        contacts: contacts.iter().filter_map(|id| id.parse().ok()).collect(),
        organizations: HashSet::new(),
        fields,
    };
    Ok(if kind == ContactChanged::TYPE {
        let body = decode::<ContactChanged>(event)?;
        Heard::Own(own(&body.contact_ids, Some(body.fields)))
    } else if kind == OrganizationChanged::TYPE {
        let body = decode::<OrganizationChanged>(event)?;
        Heard::Own(OwnChange {
            organizations: HashSet::from([body.organization_id]),
            ..own(&[], Some(body.fields))
        })
    } else if kind == ContactMerged::TYPE {
        let body = decode::<ContactMerged>(event)?;
        Heard::Own(own(&[body.contact_id, body.merged_contact_id], None))
    } else if kind == ContactUnmerged::TYPE {
        let body = decode::<ContactUnmerged>(event)?;
        Heard::Own(own(&[body.contact_id, body.unmerged_contact_id], None))
    } else if kind == ContactErased::TYPE {
        let body = decode::<ContactErased>(event)?;
        let ids = body.contact_ids.iter();
        let contacts = ids.map(|id| optional("contact_ids", id));
        let contacts: Vec<Option<ContactId>> = contacts.collect::<Result<_, _>>()?;
        Heard::Erased(Erasure {
            contacts: contacts.into_iter().flatten().collect(),
            at: body.erase_time.as_ref().map_or(event.time, from_proto_time),
        })
    } else {
        Heard::Nothing
    })
}

/// Whether a message is what a customer waits for.
fn is_answer(message: &MessageFact) -> bool {
    let by = message.author.as_ref();
    message.public && by.is_some_and(|by| by.kind() == types::actor::Kind::Agent)
}

fn decode<M: prost::Message + Default>(event: &ReceivedEvent) -> Result<M, HearError> {
    event.decode().map_err(|source| HearError::Decode {
        event_type: event.event_type.clone(),
        source,
    })
}

fn optional<T: std::str::FromStr<Err = ParseIdError>>(
    field: &'static str,
    text: &str,
) -> Result<Option<T>, HearError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|source| HearError::BadId { field, source })
}

fn facts_of(state: TicketState, time: Timestamp) -> Result<Facts, HearError> {
    let team: Option<TeamId> = optional("ticket.team_id", &state.team_id)?;
    let assignee: Option<AgentId> = optional("ticket.assignee_id", &state.assignee_id)?;
    Ok(Facts {
        number: state.number,
        version: state.version,
        routing_version: state.routing_version,
        status: status_of(state.status()).ok_or(HearError::Missing("ticket.status"))?,
        priority: priority_of(state.priority()).unwrap_or(Priority::Normal),
        channel: channel_name(state.channel()).to_owned(),
        team,
        assignee,
        created: state.create_time.as_ref().map_or(time, from_proto_time),
        next_due: state.next_due_time.as_ref().map(from_proto_time),
        contact: state.contact_id.parse().ok(),
        account: state.account,
        recipient: state.recipient,
        language: state.language,
        tags: state.tags,
        category: state.category,
        organizations: state.organization_ids,
        fields: values_by_key(
            state
                .fields
                .into_iter()
                .map(|field| (field.key, field.values)),
        ),
    })
}

const fn status_of(status: types::TicketStatus) -> Option<Status> {
    Some(match status {
        types::TicketStatus::Unspecified => return None,
        types::TicketStatus::New => Status::New,
        types::TicketStatus::Open => Status::Open,
        types::TicketStatus::WaitingOnCustomer => Status::WaitingOnCustomer,
        types::TicketStatus::CustomerReplied => Status::CustomerReplied,
        types::TicketStatus::WaitingOnThirdParty => Status::WaitingOnThirdParty,
        types::TicketStatus::Resolved => Status::Resolved,
        types::TicketStatus::Closed => Status::Closed,
    })
}

const fn priority_of(priority: types::Priority) -> Option<Priority> {
    Some(match priority {
        types::Priority::Unspecified => return None,
        types::Priority::Low => Priority::Low,
        types::Priority::Normal => Priority::Normal,
        types::Priority::High => Priority::High,
        types::Priority::Urgent => Priority::Urgent,
    })
}

/// The name of a channel in conditions and in tables; empty for one that this release does not know.
pub(crate) const fn channel_name(channel: types::Channel) -> &'static str {
    match channel {
        types::Channel::Unspecified => "",
        types::Channel::Email => "email",
        types::Channel::Chat => "chat",
        types::Channel::Form => "form",
        types::Channel::Whatsapp => "whatsapp",
        types::Channel::Telegram => "telegram",
    }
}

const fn cause_of(cause: Cause) -> RejectCause {
    match cause {
        Cause::StaleTicket => RejectCause::StaleTicket,
        Cause::AlreadyAssigned => RejectCause::AlreadyAssigned,
        Cause::NotOpen => RejectCause::NotOpen,
        Cause::UnknownTicket => RejectCause::UnknownTicket,
        Cause::Restricted => RejectCause::Restricted,
        Cause::Unspecified => RejectCause::Other,
    }
}
