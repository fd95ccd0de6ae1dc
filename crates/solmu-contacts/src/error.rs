//! What can go wrong with contacts.

use solmu_db::{DbError, HasDbError};
use solmu_runtime::ApiError;
use uuid::Uuid;

/// A failed operation on contacts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContactError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// There is no such thing.
    #[error("there is no {what} '{id}'")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// It is there already.
    #[error("{what} '{id}' exists already")]
    Exists {
        /// What kind of thing.
        what: &'static str,
        /// Its id or name.
        id: String,
    },
    /// It has changed since the caller looked at it.
    #[error("it has changed since: its etag is '{current}' now")]
    Stale {
        /// The etag that it has now.
        current: String,
    },
    /// The contact's data was removed.
    #[error("the data of contact '{0}' was removed: there is nothing to change")]
    Erased(Uuid),
    /// The merge does not hold any more.
    #[error("merge '{0}' was taken back already")]
    Undone(Uuid),
    /// The person is put together by a guess.
    #[error("merge '{0}' was guessed: take it back, and merge by hand if it is right")]
    Guessed(Uuid),
    /// The person would be made of more contacts than anybody has.
    #[error("a contact stands for at most {0} others: look for what they have in common")]
    TooLarge(usize),
    /// A field of the request cannot be used.
    #[error("{field}: {why}")]
    Invalid {
        /// Which one.
        field: String,
        /// What it should be.
        why: String,
    },
    /// The request id was used for something else.
    #[error("the request id was used for another call: take a new one")]
    RequestIdReused,
}

impl ContactError {
    pub(crate) fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            why: why.into(),
        }
    }

    pub(crate) fn unknown(what: &'static str, id: &impl ToString) -> Self {
        Self::Unknown {
            what,
            id: id.to_string(),
        }
    }
}

impl From<ContactError> for ApiError {
    fn from(error: ContactError) -> Self {
        match error {
            ContactError::Db(error) => Self::Database(error),
            ContactError::Unknown { what, id } => Self::not_found(what, &id),
            ContactError::Exists { what, id } => Self::AlreadyExists { resource: what, id },
            error @ ContactError::Stale { .. } => Self::Aborted {
                reason: "ETAG_MISMATCH",
                message: error.to_string(),
            },
            error @ ContactError::Erased(_) => Self::FailedPrecondition {
                reason: "CONTACT_ERASED",
                message: error.to_string(),
            },
            error @ ContactError::Undone(_) => Self::FailedPrecondition {
                reason: "MERGE_TAKEN_BACK",
                message: error.to_string(),
            },
            error @ ContactError::Guessed(_) => Self::FailedPrecondition {
                reason: "MERGE_GUESSED",
                message: error.to_string(),
            },
            error @ ContactError::TooLarge(_) => Self::FailedPrecondition {
                reason: "CONTACT_TOO_LARGE",
                message: error.to_string(),
            },
            ContactError::Invalid { field, why } => Self::invalid(&field, why),
            error @ ContactError::RequestIdReused => Self::FailedPrecondition {
                reason: "REQUEST_ID_REUSED",
                message: error.to_string(),
            },
        }
    }
}

impl From<sqlx::Error> for ContactError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl HasDbError for ContactError {
    fn db_error(&self) -> Option<&DbError> {
        match self {
            Self::Db(error) => Some(error),
            _ => None,
        }
    }
}
