//! The pool, and named transactions that are retried when they collide.

use std::{future::Future, str::FromStr, time::Duration};

use sqlx::{
    Connection as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tracing::Instrument as _;

use crate::error::{DbError, HasDbError};

/// How often a colliding transaction is run before its error is the answer.
const ATTEMPTS: u32 = 8;

/// A connection that was idle for longer than this is tried before it is used. One that came back a moment ago was tried
/// then: another round trip for every statement would buy nothing.
const FRESH: Duration = Duration::from_secs(1);

/// How to reach PostgreSQL.
#[derive(Debug, Clone)]
pub struct DbConfig {
    /// Connections at most, for this process.
    pub max_connections: u32,
    /// How long a caller waits for a free connection.
    pub acquire_timeout: Duration,
}

impl Default for DbConfig {
    fn default() -> Self {
        Self {
            max_connections: 20,
            acquire_timeout: Duration::from_secs(10),
        }
    }
}

/// A handle to the database.
#[derive(Debug, Clone)]
pub struct Db {
    pool: PgPool,
}

impl Db {
    /// Makes the pool. Does not connect yet: services start in any order and wait for what they need.
    pub fn new(url: &str, config: &DbConfig) -> Result<Self, DbError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(DbError::BadUrl)?
            .application_name("solmu");
        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
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
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// The pool, for single statements.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
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

/// What the body of a transaction returns: `Box::pin(async move { ... })`.
pub type BoxTx<'c, T, E> = std::pin::Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'c>>;

/// 2, 4, 8 ... milliseconds, at most 100.
fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(2_u64.saturating_pow(attempt).min(100))
}
