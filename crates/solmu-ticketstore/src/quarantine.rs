//! Looks after the quarantine: what is not wanted is rejected, what is old goes, and how much waits is told.
//!
//! Nothing is dropped unseen: a message is gone only `quarantine.keep_days` after it came, in which time it is listed,
//! counted, and its age stands in a metric that an alert can look at.

use jiff::{SignedDuration, Timestamp};
use solmu_db::{SqlTimestamp, ToSqlx as _};
use uuid::Uuid;

use crate::{context::Context, error::TicketError};

/// Longest reason that is kept, in bytes.
pub const MAX_REASON: usize = 1_000;
/// Messages that one transaction forgets.
const PURGE: i64 = 500;

/// Marks a waiting message as not wanted. One that does not wait is an error.
pub async fn reject(
    context: &Context,
    message: Uuid,
    reason: &str,
    by: &str,
) -> Result<(), TicketError> {
    let done = sqlx::query(
        "UPDATE tickets.quarantine SET rejected_at = $2, rejected_by = $3, reject_reason = $4, sweep_at = NULL
         WHERE message_id = $1 AND released_at IS NULL AND rejected_at IS NULL",
    )
    .bind(message)
    .bind(context.clock.now().to_sqlx())
    .bind(by)
    .bind(reason.replace('\0', ""))
    .execute(context.db.pool())
    .await?;
    if done.rows_affected() == 0 {
        return Err(TicketError::NotQuarantined(message.to_string()));
    }
    Ok(())
}

/// Forgets messages that came too long ago, with their originals; returns how many. What was filed stays: it is on its
/// ticket.
pub async fn purge(context: &Context) -> Result<u64, TicketError> {
    let days = context.config.quarantine.keep_days;
    let age = SignedDuration::from_hours(24 * i64::from(days));
    let before = context
        .clock
        .now()
        .saturating_sub(age)
        .unwrap_or(Timestamp::MIN);
    let mut total = 0;
    loop {
        let gone: i64 = context
            .db
            .tx("ticket.purge_quarantine", |tx| {
                Box::pin(async move {
                    let gone: i64 = sqlx::query_scalar(
                        "WITH old AS (
                            SELECT message_id FROM tickets.quarantine WHERE quarantined_at < $1
                            ORDER BY quarantined_at LIMIT $2 FOR UPDATE SKIP LOCKED
                         ), keys AS (
                            DELETE FROM tickets.quarantine_key WHERE message_id IN (SELECT message_id FROM old)
                         ), originals AS (
                            DELETE FROM tickets.raw_original AS raw USING old WHERE raw.message_id = old.message_id
                                AND NOT EXISTS (SELECT 1 FROM tickets.message WHERE message.id = old.message_id)
                         ), gone AS (
                            DELETE FROM tickets.quarantine WHERE message_id IN (SELECT message_id FROM old) RETURNING 1
                         )
                         SELECT count(*) FROM gone",
                    )
                    .bind(before.to_sqlx())
                    .bind(PURGE)
                    .fetch_one(tx)
                    .await?;
                    Ok::<_, TicketError>(gone)
                })
            })
            .await?;
        total += u64::try_from(gone).unwrap_or(0);
        if gone < PURGE {
            return Ok(total);
        }
    }
}

/// Tells how many wait, and for how long the oldest has.
pub async fn measure(context: &Context) -> Result<(), TicketError> {
    let (waiting, oldest): (i64, Option<SqlTimestamp>) = sqlx::query_as(
        "SELECT count(*), min(quarantined_at) FROM tickets.quarantine WHERE released_at IS NULL AND rejected_at IS NULL",
    )
    .fetch_one(context.db.pool())
    .await?;
    let now = context.clock.now();
    let age = oldest.map_or(0.0, |at| {
        now.duration_since(at.to_jiff()).as_secs_f64().max(0.0)
    });
    context.metrics.quarantine(waiting, age);
    Ok(())
}
