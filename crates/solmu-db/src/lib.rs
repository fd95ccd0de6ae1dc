//! PostgreSQL for every service: the pool, named retried transactions, the migrator, leases, outbox and inbox.
//!
//! Knows no ticket. Services write their own SQL; what they share is how a transaction is retried, how a change and
//! its event commit together, and how a replica proves that it still holds what it acts on.

pub mod error;
pub mod expected;
pub mod inbox;
pub mod lease;
pub mod migrate;
pub mod outbox;
pub mod pool;
mod row;

pub use error::{DbError, HasDbError, is_unstorable_text};
pub use pool::{Db, DbConfig};
#[doc(hidden)]
pub use row::named;

/// A timestamp as PostgreSQL stores it.
pub use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
