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

/// Takes calls that are due, for so many milliseconds by the clock of the database. One that was taken and is not theirs any
/// more is due, too: who had it is dead. Who runs the release before looks at `next_at` alone, which therefore moves on to
/// `until`.
pub(crate) async fn call_claim(
    tx: &mut PgConnection,
    now: Timestamp,
    until: Timestamp,
    lease_ms: i64,
    limit: i64,
) -> Result<Vec<ClaimedRow>, DbError> {
    Ok(sqlx::query_as(
        "UPDATE sla.webhook_call SET next_at = $2, attempts = attempts + 1,
            claimed_until = clock_timestamp() + $3 * interval '1 millisecond'
         WHERE id IN (SELECT id FROM sla.webhook_call
                      WHERE (next_at <= $1 AND claimed_until IS NULL) OR claimed_until < now()
                      ORDER BY next_at LIMIT $4 FOR UPDATE SKIP LOCKED)
         RETURNING id, name, body, attempts",
    )
    .bind(now.to_sqlx())
    .bind(until.to_sqlx())
    .bind(lease_ms)
    .bind(limit)
    .fetch_all(tx)
    .await?)
}

/// Keeps claimed calls for another while: those that still run, and that nobody else has taken.
pub(crate) async fn call_renew(
    tx: &mut PgConnection,
    calls: &[(Uuid, i32)],
    lease_ms: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE sla.webhook_call AS call SET claimed_until = clock_timestamp() + $3 * interval '1 millisecond'
         FROM unnest($1::uuid[], $2::integer[]) AS ours (id, attempts)
         WHERE call.id = ours.id AND call.attempts = ours.attempts AND call.claimed_until IS NOT NULL",
    )
    .bind(calls.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(calls.iter().map(|(_, attempts)| *attempts).collect::<Vec<_>>())
    .bind(lease_ms)
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes what a call came to, and when it is to be made again. Of one that somebody else has taken meanwhile only a success
/// counts: it is not made again.
pub(crate) async fn call_note(
    tx: &mut PgConnection,
    (id, attempts): (Uuid, i32),
    outcome: &str,
    next_at: Option<Timestamp>,
    succeeded: bool,
) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE sla.webhook_call SET outcome = $3, next_at = $4, succeeded = $5, claimed_until = NULL
         WHERE id = $1 AND ($5 OR (attempts = $2 AND NOT succeeded))",
    )
    .bind(id)
    .bind(attempts)
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
