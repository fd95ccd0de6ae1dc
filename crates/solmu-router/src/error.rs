//! What can go wrong in the router's loop.

use solmu_bus::Cause;
use solmu_db::{DbError, HasDbError};

/// The router could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the ticket service cannot be used.
    #[error("router.tickets_endpoint '{endpoint}' is not a URL such as http://127.0.0.1:7070")]
    BadEndpoint {
        /// As configured.
        endpoint: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// The token for the ticket service cannot be sent.
    #[error("router.tickets_token holds characters that a header cannot carry")]
    BadToken,
    /// There is no such order of choice.
    #[error(
        "router.matching.strategy '{0}' is none of balanced, round_robin, spare, fewest_skills"
    )]
    UnknownStrategy(String),
    /// There is no such zone.
    #[error("router.matching.time_zone '{0}' is no IANA time zone")]
    UnknownZone(String),
    /// A weight is too small or too large.
    #[error("a weight under router.matching must be 1 to 100000")]
    Weight,
    /// A lease would be lost all the time, or nobody would take over.
    #[error("router.lease_ttl_ms must be 500 to 60000")]
    LeaseTtl,
    /// A limit is 0.
    #[error("router.{0} must be at least 1")]
    Zero(&'static str),
    /// The database failed.
    #[error("cannot set up the router's tables")]
    Db(#[from] DbError),
}

impl HasDbError for Error {
    fn db_error(&self) -> Option<&DbError> {
        match self {
            Self::Db(error) => Some(error),
            Self::BadEndpoint { .. }
            | Self::BadToken
            | Self::UnknownStrategy(_)
            | Self::UnknownZone(_)
            | Self::Weight
            | Self::LeaseTtl
            | Self::Zero(_) => None,
        }
    }
}

/// A batch of events that could not be decided on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoundError {
    /// The database failed, or the lease went to somebody else.
    #[error("cannot store decisions")]
    Db(#[from] DbError),
    /// Somebody changed an agent while a decision on them was made.
    #[error("an agent changed while a decision was made")]
    RosterMoved,
    /// A row says what this release does not understand.
    #[error("a stored ticket has a bad '{0}'")]
    BadRow(&'static str),
}

impl HasDbError for RoundError {
    fn db_error(&self) -> Option<&DbError> {
        match self {
            Self::Db(error) => Some(error),
            Self::RosterMoved | Self::BadRow(_) => None,
        }
    }
}

impl From<sqlx::Error> for RoundError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl RoundError {
    /// Whether the events are not to blame, so that waiting helps.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::RosterMoved => true,
            Self::Db(error) => {
                matches!(error, DbError::LeaseLost { .. })
                    || error.is_unavailable()
                    || error.is_conflict()
            }
            Self::BadRow(_) => false,
        }
    }

    pub(crate) fn to_cause(&self) -> Cause {
        let code = match self {
            Self::Db(DbError::LeaseLost { .. }) => "lease_lost",
            Self::Db(error) if error.is_unavailable() => "database_away",
            Self::Db(_) => "database",
            Self::RosterMoved => "roster_moved",
            Self::BadRow(_) => "bad_row",
        };
        if self.is_passing() {
            Cause::passing(code, self)
        } else {
            Cause::new(code, self)
        }
    }
}
