//! Calls of webhooks on their way.

use jiff::Timestamp;
use solmu_db::{DbError, ToSqlx as _};
use sqlx::PgConnection;
use uuid::Uuid;

/// A call that a step asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallRow {
    /// That of the step's event.
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) body: String,
}

/// A call that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimedRow {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) body: String,
    /// This one included.
    pub(crate) attempts: i32,
}
solmu_db::from_row!(ClaimedRow {
    id,
    name,
    body,
    attempts
});

/// Adds calls that are to be made at once. One that is there already is left as it is.
pub(crate) async fn call_insert(
    tx: &mut PgConnection,
    calls: &[CallRow],
    now: Timestamp,
) -> Result<(), DbError> {
    if calls.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO sla.webhook_call (id, name, body, next_at, created_at)
         SELECT id, name, body, $4, $4 FROM unnest($1::uuid[], $2::text[], $3::text[]) AS row (id, name, body)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(calls.iter().map(|call| call.id).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.name.as_str()).collect::<Vec<_>>())
    .bind(calls.iter().map(|call| call.body.as_str()).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes calls that are due, so that nobody else makes them before `until`.
pub(crate) async fn call_claim(
    tx: &mut PgConnection,
    now: Timestamp,
    until: Timestamp,
    limit: i64,
) -> Result<Vec<ClaimedRow>, DbError> {
    Ok(sqlx::query_as(
        "UPDATE sla.webhook_call SET next_at = $2, attempts = attempts + 1
         WHERE id IN (SELECT id FROM sla.webhook_call WHERE next_at <= $1 ORDER BY next_at LIMIT $3
                      FOR UPDATE SKIP LOCKED)
         RETURNING id, name, body, attempts",
    )
    .bind(now.to_sqlx())
    .bind(until.to_sqlx())
    .bind(limit)
    .fetch_all(tx)
    .await?)
}

/// Notes what a call came to, and when it is to be made again.
pub(crate) async fn call_note(
    tx: &mut PgConnection,
    id: Uuid,
    outcome: &str,
    next_at: Option<Timestamp>,
    succeeded: bool,
) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE sla.webhook_call SET outcome = $2, next_at = $3, succeeded = $4 WHERE id = $1",
    )
    .bind(id)
    .bind(outcome)
    .bind(next_at.map(Timestamp::to_sqlx))
    .bind(succeeded)
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets calls that are over.
pub(crate) async fn call_purge(tx: &mut PgConnection, before: Timestamp) -> Result<(), DbError> {
    sqlx::query("DELETE FROM sla.webhook_call WHERE created_at < $1 AND next_at IS NULL")
        .bind(before.to_sqlx())
        .execute(tx)
        .await?;
    Ok(())
}
