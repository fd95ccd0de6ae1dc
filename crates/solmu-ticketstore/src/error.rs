//! What can go wrong in the ticket service.

use solmu_db::{DbError, HasDbError};
use solmu_domain::ticket::{IllegalMove, UnknownName};
use solmu_proto::ticket::v1::MissedMessages;
use solmu_runtime::{ApiError, api_error::Violation};

/// A failed operation on tickets.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// There is no such ticket.
    #[error("there is no ticket '{0}'")]
    UnknownTicket(String),
    /// The status does not allow it.
    #[error(transparent)]
    IllegalMove(#[from] IllegalMove),
    /// The ticket has changed since the caller looked at it.
    #[error("the ticket has changed since: it is at version {current}")]
    Stale {
        /// Version that it has now.
        current: i64,
    },
    /// The ticket became part of another one.
    #[error("the ticket was merged into ticket '{target}': use that one")]
    Merged {
        /// The other one.
        target: uuid::Uuid,
    },
    /// A ticket cannot be part of itself.
    #[error("a ticket cannot be merged with itself")]
    MergeWithItself,
    /// Nothing becomes part of a closed ticket: later mail would open yet another one.
    #[error("the ticket is closed: reopen the matter on another one")]
    Closed,
    /// There is no merge to be taken back.
    #[error("the ticket is not part of another one")]
    NotMerged,
    /// The message cannot have a ticket of its own.
    #[error("the message cannot be split out: {0}")]
    NotSplittable(&'static str),
    /// There is no such message.
    #[error("there is no message '{0}'")]
    UnknownMessage(uuid::Uuid),
    /// A stored name is none of ours: written by a newer release.
    #[error("a stored value is unknown to this release")]
    UnknownName(#[from] UnknownName),
    /// There is nothing to answer: the requester cannot be reached on this channel.
    #[error("the requester cannot be reached: {0}")]
    NoRecipient(&'static str),
    /// Mail to the requester's address comes back.
    #[error("the address '{address}' takes no mail: {cause} ({since})")]
    Undeliverable {
        /// Where the answer would have gone.
        address: String,
        /// When it was found out last.
        since: jiff::Timestamp,
        /// What the last report said.
        cause: String,
    },
    /// Another replica opened the same conversation at the same time. Running it again finds what it made.
    #[error("another replica filed the same conversation")]
    Race(#[source] DbError),
    /// The request id was used for something else on this ticket.
    #[error("the request id was used for another message of this ticket: take a new one")]
    RequestIdReused,
    /// There are messages that the author of an answer has not seen.
    #[error("there are {} messages that you have not seen: nothing was sent", .0.total)]
    NewerMessages(Box<MissedMessages>),
    /// There is no such message in the quarantine.
    #[error("there is no message '{0}' in the quarantine")]
    NotQuarantined(String),
    /// A message that cannot go to somebody outside.
    #[error("the ticket has no public message '{0}'")]
    NotShown(uuid::Uuid),
    /// What the caller wants cannot be right; each violation names a field.
    #[error("the request is not valid")]
    Invalid(Vec<Violation>),
    /// The state does not allow it.
    #[error("{message}")]
    Refused {
        /// Stable code.
        reason: &'static str,
        /// A safe sentence.
        message: String,
    },
    /// Something that belongs to tickets is not there.
    #[error("there is no {what} '{id}'")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// As the caller named it.
        id: String,
    },
    /// An event's content cannot be used.
    #[error("the event has no usable '{0}'")]
    BadEvent(&'static str),
}

impl From<sqlx::Error> for TicketError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl TicketError {
    /// One thing that is wrong with the request.
    #[must_use]
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid(vec![Violation::new(field, why)])
    }

    /// The state does not allow it.
    #[must_use]
    pub fn refused(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Refused {
            reason,
            message: message.into(),
        }
    }

    /// The conflict that makes `Db::tx` run the transaction again.
    pub fn race() -> Self {
        Self::Race(DbError::Race)
    }
}

impl HasDbError for TicketError {
    fn db_error(&self) -> Option<&DbError> {
        match self {
            Self::Db(error) | Self::Race(error) => Some(error),
            _ => None,
        }
    }
}

impl From<TicketError> for ApiError {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Db(error) | TicketError::Race(error) => Self::Database(error),
            TicketError::UnknownTicket(id) => Self::not_found("ticket", &id),
            TicketError::NotQuarantined(id) => Self::not_found("quarantined message", &id),
            TicketError::IllegalMove(error) => Self::FailedPrecondition {
                reason: "ILLEGAL_STATUS_MOVE",
                message: error.to_string(),
            },
            error @ TicketError::Stale { .. } => Self::Aborted {
                reason: "ETAG_MISMATCH",
                message: error.to_string(),
            },
            TicketError::UnknownMessage(id) => Self::not_found("message", &id),
            error @ TicketError::MergeWithItself => Self::FailedPrecondition {
                reason: "MERGE_WITH_ITSELF",
                message: error.to_string(),
            },
            error @ TicketError::Closed => Self::FailedPrecondition {
                reason: "TICKET_CLOSED",
                message: error.to_string(),
            },
            error @ TicketError::NotMerged => Self::FailedPrecondition {
                reason: "NOT_MERGED",
                message: error.to_string(),
            },
            error @ TicketError::NotSplittable(_) => Self::FailedPrecondition {
                reason: "NOT_SPLITTABLE",
                message: error.to_string(),
            },
            error @ TicketError::Merged { .. } => Self::FailedPrecondition {
                reason: "TICKET_MERGED",
                message: error.to_string(),
            },
            TicketError::NewerMessages(ref missed) => Self::Aborted {
                reason: "NEWER_MESSAGES",
                message: error.to_string(),
            }
            .with_detail("solmu.ticket.v1.MissedMessages", missed.as_ref()),
            error @ TicketError::NotShown(_) => Self::invalid("message_ids", error.to_string()),
            error @ TicketError::RequestIdReused => Self::FailedPrecondition {
                reason: "REQUEST_ID_REUSED",
                message: error.to_string(),
            },
            error @ TicketError::NoRecipient(_) => Self::FailedPrecondition {
                reason: "NO_RECIPIENT",
                message: error.to_string(),
            },
            error @ TicketError::Undeliverable { .. } => Self::FailedPrecondition {
                reason: "RECIPIENT_UNDELIVERABLE",
                message: error.to_string(),
            },
            TicketError::Invalid(violations) => Self::InvalidArgument { violations },
            TicketError::Refused { reason, message } => {
                Self::FailedPrecondition { reason, message }
            }
            TicketError::Unknown { what, id } => Self::not_found(what, &id),
            error @ (TicketError::UnknownName(_) | TicketError::BadEvent(_)) => {
                Self::internal(error)
            }
        }
    }
}
