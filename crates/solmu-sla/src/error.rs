//! What can go wrong at the seams of the crate.

use solmu_db::{DbError, HasDbError};
use solmu_domain::{
    ids::{ParseIdError, PolicyId, TicketId},
    sla::{CalendarError, ClockError, PolicyError},
};

/// Why the SLA service does not start, or cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is out of its range.
    #[error("sla.{field}: expected {expected}")]
    Config {
        /// The setting.
        field: &'static str,
        /// Its range.
        expected: &'static str,
    },
    /// A webhook that cannot be called.
    #[error("sla.webhooks.{name}: {problem}")]
    Webhook {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The client of the webhooks cannot be made.
    #[error("cannot make the client of the webhooks")]
    Client(#[from] solmu_connector::http::HttpError),
    /// The ticket service can never be asked so.
    #[error("sla.tickets_endpoint or sla.tickets_token cannot be used")]
    Tickets(#[from] solmu_inquiry::BadAddress),
    /// The database failed.
    #[error("cannot set up the SLA service")]
    Db(#[from] DbError),
    /// The built-in calendar is refused.
    #[error("the default calendar is not valid")]
    DefaultCalendar(#[from] CalendarError),
    /// The built-in policy is refused.
    #[error("the default policy is not valid")]
    DefaultPolicy(#[from] PolicyError),
}

impl HasDbError for Error {
    fn db_error(&self) -> Option<&DbError> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}

/// An event that is not what its type says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("cannot decode the event")]
    Envelope(#[from] solmu_bus::envelope::EnvelopeError),
    #[error("the event has no {0}")]
    Missing(&'static str),
    #[error("the event names no ticket")]
    BadId(#[from] ParseIdError),
}

/// Why the clocks of a ticket cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoldError {
    #[error("the clocks refuse an event")]
    Clock(#[from] ClockError),
    #[error("there is no version {version} of policy {id}")]
    UnknownPolicy { id: PolicyId, version: i32 },
}

/// Why a batch was rolled back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchError {
    #[error("the database failed")]
    Db(#[from] DbError),
    /// One ticket is to blame: the others are done without it.
    #[error("cannot apply the events of ticket {ticket}")]
    Ticket {
        ticket: TicketId,
        #[source]
        source: FoldError,
    },
    /// Policies look at more of contacts and organisations than was asked for: they have just changed.
    #[error("the policies changed meanwhile")]
    AskAgain,
}

impl HasDbError for BatchError {
    fn db_error(&self) -> Option<&DbError> {
        match self {
            Self::Db(error) => Some(error),
            Self::Ticket { .. } | Self::AskAgain => None,
        }
    }
}
