//! What can go wrong with the database, and which of it a retry may cure.

/// A failed database operation.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The statement or the connection failed.
    #[error("database operation failed")]
    Sqlx(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Another process holds the lease now.
    #[error("lease '{name}' shard {shard} was lost")]
    LeaseLost {
        /// Group of leases.
        name: String,
        /// Which of them.
        shard: i32,
    },
    /// Another transaction made the same thing first; running again finds it.
    #[error("another transaction made it first")]
    Race,
    /// The URL cannot be used.
    #[error("cannot use the database URL: expected postgres://user@host/database")]
    BadUrl(#[source] sqlx::Error),
}

impl DbError {
    /// Whether the same transaction may succeed at once when it is run again (SQLSTATE 40001, 40P01).
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Race) || matches!(self.sqlstate().as_deref(), Some("40001" | "40P01"))
    }

    /// Whether the database is away, so that waiting helps and the input is not to blame.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Sqlx(
                sqlx::Error::Io(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::WorkerCrashed,
            ) => true,
            // Class 08: connection; 57P: shutting down or starting; 53: out of resources; 25P03: the transaction did nothing
            // for too long, because this process was stopped.
            _ => self.sqlstate().is_some_and(|code| {
                code.starts_with("08")
                    || code.starts_with("57P")
                    || code.starts_with("53")
                    || code == "25P03"
            }),
        }
    }

    /// Whether the user of the database may not do this (SQLSTATE 42501).
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        let migrating = match self {
            Self::Migrate(
                sqlx::migrate::MigrateError::Execute(error)
                | sqlx::migrate::MigrateError::ExecuteMigration(error, _),
            ) => error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code),
            _ => None,
        };
        migrating.as_deref() == Some("42501") || self.sqlstate().as_deref() == Some("42501")
    }

    /// Whether a statement took longer than it may (SQLSTATE 57014), see [`crate::Db::reads`].
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        self.sqlstate().as_deref() == Some("57014")
    }

    fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Sqlx(sqlx::Error::Database(error)) => {
                error.code().map(std::borrow::Cow::into_owned)
            }
            _ => None,
        }
    }
}

/// Whether PostgreSQL refused a text because it cannot hold it, a NUL above all (SQLSTATE 22021, and 22P05 within JSON).
/// Such a text came from outside: nothing of ours makes one.
#[must_use]
pub fn is_unstorable_text(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut at = Some(error);
    while let Some(error) = at {
        if let Some(sqlx::Error::Database(refused)) = error.downcast_ref::<sqlx::Error>() {
            return matches!(refused.code().as_deref(), Some("22021" | "22P05"));
        }
        at = error.source();
    }
    false
}

/// An error that may have come from the database: what `Db::tx` needs to know to retry.
pub trait HasDbError: From<DbError> {
    /// The database error, if that was the cause.
    fn db_error(&self) -> Option<&DbError>;
}

impl HasDbError for DbError {
    fn db_error(&self) -> Option<&DbError> {
        Some(self)
    }
}
