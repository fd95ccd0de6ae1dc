//! What a batch does: messages to be filed, contacts to be made, messages that wait.

use jiff::Timestamp;
use solmu_domain::ticket::Status;
use solmu_proto::{inbound::v1::MessageReceived, types::v1::actor::Kind};
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use super::{author::Author, repeat::Names};
use crate::{
    events::{MessageFacts, actor},
    matters::{Finding, Found},
    model::{Ticket, small},
    row::notices_column,
};

/// A message, and what is known of it before its place is.
pub(crate) struct Incoming<'a> {
    pub(crate) names: Names,
    pub(crate) message: &'a MessageReceived,
    pub(crate) author: Author,
    /// What the reader is told besides the connector's notices.
    pub(crate) notices: Vec<String>,
    /// The ticket that it is about, though it does not answer it.
    pub(crate) same: Option<Finding>,
    /// What the sender said of themselves.
    pub(crate) sighting: Option<Uuid>,
    pub(crate) trace: TraceContext,
}

/// A message to be written, with the ticket as it was right after.
pub(crate) struct Filed<'a> {
    pub(crate) names: Names,
    pub(crate) ticket: Ticket,
    pub(crate) message: &'a MessageReceived,
    pub(crate) sequence: i64,
    pub(crate) contact_id: Uuid,
    pub(crate) author: Author,
    pub(crate) notices: Vec<String>,
    pub(crate) verified: bool,
    pub(crate) same: Option<Found>,
    pub(crate) sighting: Option<Uuid>,
    /// Where an answer goes, if not to the author.
    pub(crate) reply_to: Option<String>,
    pub(crate) at: Timestamp,
    pub(crate) trace: TraceContext,
    pub(crate) effect: Effect,
}

/// What a message did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Opened { previous: Option<Uuid> },
    Joined { status_before: Status },
}

/// What a new ticket comes after.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before {
    Nothing,
    /// A closed ticket that the sender takes part in: later answers go to the new one.
    Closed(Uuid),
    /// A ticket that the sender named without proof: it goes on by itself, so that a stranger who knows a Message-ID
    /// gets neither its messages nor those that follow.
    Unproven(Uuid),
    /// A closed ticket of others whose mail reached the sender, and which it may quote: as [`Before::Unproven`], but who
    /// alone saw that one alone sees this one.
    Overheard(Uuid),
    /// A ticket of others that names this message: a link, and nothing more.
    NamedBy(Uuid),
}

impl Before {
    pub(crate) const fn previous(self) -> Option<Uuid> {
        match self {
            Self::Nothing | Self::NamedBy(_) => None,
            Self::Closed(id) | Self::Unproven(id) | Self::Overheard(id) => Some(id),
        }
    }
}

/// Two tickets that have to do with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) ticket: Uuid,
    pub(crate) other: Uuid,
    pub(crate) kind: LinkKind,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LinkKind {
    /// A mail of the ticket named the other one without proof.
    Mentions,
    /// A mail named messages of both.
    SameThread,
}

impl LinkKind {
    /// As it is stored.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mentions => "mentions",
            Self::SameThread => "same_thread",
        }
    }
}

/// A message that waits for somebody to decide.
pub(crate) struct Quarantined<'a> {
    pub(crate) id: Uuid,
    pub(crate) message: &'a MessageReceived,
    pub(crate) sender: String,
    pub(crate) cause: &'static str,
    /// Whether it may be filed when what it answers turns up.
    pub(crate) awaits: bool,
    pub(crate) trace: TraceContext,
}

impl Filed<'_> {
    /// The message as events tell of it.
    pub(crate) fn facts(&self) -> MessageFacts {
        MessageFacts {
            message_id: self.names.id,
            author: actor(Kind::Customer, self.contact_id),
            public: true,
            class: self.message.automatic_class(),
            at: self.at,
            sequence: self.sequence,
            channel: self.message.channel(),
        }
    }

    pub(crate) fn channel_code(&self) -> i16 {
        small(self.message.channel)
    }

    /// Everything that the reader is told.
    pub(crate) fn all_notices(&self) -> String {
        notices_column(self.notices.iter().chain(&self.message.notices))
    }
}
