//! The pools, and named transactions that are retried when they collide.
//!
//! Lists and searches read on connections of their own ([`Db::reads`]). What they cost is decided by who asks, so each of
//! their statements has an end, and however many of them are slow, connections are left for those who file and answer.
//! The end is set when such a connection is made: a `SET LOCAL` for each call would be three more round trips. Dropping
//! a call does not end its statement (the driver sends no cancel request), so a caller who gave up is paid for until
//! then, and no longer.

use std::{future::Future, str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::Instrument as _;

use crate::error::{DbError, HasDbError};

/// How often a colliding transaction is run before its error is the answer.
const ATTEMPTS: u32 = 8;

/// A connection that was idle for longer than this is tried before it is used. One that came back a moment ago was tried
/// then: another round trip for every statement would buy nothing.
const FRESH: Duration = Duration::from_secs(1);

/// Of how many connections one is for lists and searches, unless configured.
const READS: u32 = 4;

/// Longest time that PostgreSQL takes for `statement_timeout`, in milliseconds.
const LONGEST: u128 = i32::MAX as u128;

/// How to reach PostgreSQL.
#[derive(Debug, Clone)]
pub struct DbConfig {
    /// Connections at most, for this process: at least 2.
    pub max_connections: u32,
    /// How many of them are for lists and searches, see [`Db::reads`]; 0: a quarter.
    pub max_read_connections: u32,
    /// How long one statement of a list or a search may take, to the millisecond; zero: without end. PostgreSQL knows no
    /// longer one than 24 days.
    pub read_timeout: Duration,
    /// How long a caller waits for a free connection.
    pub acquire_timeout: Duration,
}

impl Default for DbConfig {
    fn default() -> Self {
        Self {
            max_connections: 20,
            max_read_connections: 0,
            read_timeout: Duration::from_secs(10),
            acquire_timeout: Duration::from_secs(10),
        }
    }
}

impl DbConfig {
    /// Connections for lists and searches: some, and never all.
    fn reads(&self) -> u32 {
        let wanted = match self.max_read_connections {
            0 => self.max_connections / READS,
            wanted => wanted,
        };
        wanted.clamp(1, self.max_connections.saturating_sub(1).max(1))
    }
}

/// A handle to the database.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
    reads: PgPool,
}

impl Db {
    /// Makes the pools. Does not connect yet: services start in any order and wait for what they need.
    pub fn new(url: &str, config: &DbConfig) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(DbError::BadUrl)?
            .application_name("solmu");
        let reads = config.reads();
        let timeout = config.read_timeout.as_millis().min(LONGEST);
        let writes = config.max_connections.saturating_sub(reads).max(1);
        let pool = pool_of(writes, config, QUIET.to_owned()).connect_lazy_with(options.clone());
        let bounded = format!("{QUIET}; SET statement_timeout = {timeout}");
        let reads = pool_of(reads, config, bounded).connect_lazy_with(options);
        Ok(Self { pool, reads })
    }

    /// The pool, for single statements.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The pool for lists, searches and counts: for statements that only read, and whose cost depends on what is asked for.
    /// One that takes longer than [`DbConfig::read_timeout`] fails as [`DbError::is_timed_out`].
    #[must_use]
    pub fn reads(&self) -> &PgPool {
        &self.reads
    }

    /// Closes all connections; what runs on them ends first.
    pub async fn close(&self) {
        self.reads.close().await;
        self.pool.close().await;
    }

    /// Runs `body` in a transaction and commits it. A collision (serialisation failure, deadlock) runs it again, so
    /// `body` must have no effect outside the transaction. `name` is a stable dotted name for spans.
    ///
    /// Errors: those of `body`, which roll back, and [`DbError`].
    pub async fn tx<T, E>(
        &self,
        name: &'static str,
        mut body: impl for<'c> FnMut(&'c mut PgConnection) -> BoxTx<'c, T, E>,
    ) -> Result<T, E>
    where
        E: HasDbError,
    {
        let span = tracing::debug_span!(
            "db.tx",
            otel.name = name,
            otel.kind = "client",
            db.system.name = "postgresql"
        );
        async {
            let mut attempt = 1;
            loop {
                match self.tx_once(&mut body).await {
                    Err(error)
                        if attempt < ATTEMPTS
                            && error.db_error().is_some_and(DbError::is_conflict) =>
                    {
                        tokio::time::sleep(backoff(attempt)).await;
                        attempt += 1;
                    }
                    outcome => return outcome,
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn tx_once<T, E>(
        &self,
        body: &mut impl for<'c> FnMut(&'c mut PgConnection) -> BoxTx<'c, T, E>,
    ) -> Result<T, E>
    where
        E: HasDbError,
    {
        let mut connection = self.pool.acquire().await.map_err(DbError::from)?;
        let mut tx = connection.begin().await.map_err(DbError::from)?;
        let value = body(&mut tx).await?;
        tx.commit().await.map_err(DbError::from)?;
        Ok(value)
    }
}

/// Notices tell of nothing that is ours to mend: that a search has a word which no dictionary keeps, that something which
/// is made if it is missing is there.
const QUIET: &str = "SET client_min_messages = warning";

/// A pool of `size` connections; each begins with the statements `first`.
fn pool_of(size: u32, config: &DbConfig, first: String) -> PgPoolOptions {
    let first: Arc<str> = first.into();
    PgPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            let first = Arc::clone(&first);
            Box::pin(async move {
                // Text of this module and a number.
                sqlx::raw_sql(AssertSqlSafe(first))
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
}

/// What the body of a transaction returns: `Box::pin(async move { ... })`.
pub type BoxTx<'c, T, E> = std::pin::Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

/// 2, 4, 8 ... milliseconds, at most 100.
fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(2_u64.saturating_pow(attempt).min(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_some_connections_and_never_all() {
        for (all, wanted, reads) in [
            (20, 0, 5),
            (10, 0, 2),
            (2, 0, 1),
            (1, 0, 1),
            (20, 12, 12),
            (20, 20, 19),
            (2, 9, 1),
        ] {
            let config = DbConfig {
                max_connections: all,
                max_read_connections: wanted,
                ..DbConfig::default()
            };
            assert_eq!(config.reads(), reads, "{all} {wanted}");
        }
    }
}
