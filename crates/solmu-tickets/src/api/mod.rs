//! The gRPC services of the ticket service. They check the caller and the request, and call commands and queries.

mod answer;
pub(crate) mod blocks;
mod experts;
pub(crate) mod fields;
pub(crate) mod links;
pub(crate) mod list;
pub(crate) mod merge;
pub(crate) mod quarantine;
mod restrict;
pub(crate) mod sight;
pub(crate) mod tickets;
pub(crate) mod update;
pub(crate) mod watch;
pub(crate) mod work;

pub(crate) use solmu_runtime::request::{optional_uuid, uuid};
use solmu_runtime::{ApiError, page};

use crate::error::TicketError;

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
