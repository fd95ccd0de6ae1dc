//! Timers: one for each agent.

use std::sync::Arc;

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::ApiError;
use solmu_tickets::TicketError;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{MAX_SECONDS, Row, SELECT, Terms, checked_seconds, find, race, read, tell};
use crate::context::Context;

/// A timer to be started.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) ticket: Uuid,
    pub(super) terms: Terms,
    pub(super) stop_running: bool,
    pub(super) request_id: Option<String>,
    pub(super) by: Actor,
}

/// How a timer is to be stopped.
#[derive(Debug)]
pub(super) struct Stop {
    /// As long as it ran, if 0.
    pub(super) seconds: i64,
    /// As it is, if empty.
    pub(super) note: String,
    pub(super) request_id: Option<String>,
    pub(super) by: Actor,
}

/// The timer of an agent; locked if it is `held`.
async fn running(tx: &mut PgConnection, agent: &str, held: bool) -> Result<Option<Row>, ApiError> {
    let lock = if held { " FOR UPDATE OF entry" } else { "" };
    let sql = format!("{SELECT} WHERE entry.agent_id = $1 AND entry.seconds IS NULL{lock}");
    find(tx, &sql, agent).await
}

/// The timer of the caller.
pub(super) async fn get(context: &Context, by: &Actor) -> Result<proto::TimeEntry, ApiError> {
    let mut connection = context.connection().await?;
    let found = running(&mut connection, &by.id, false).await?;
    let found = found.ok_or_else(|| ApiError::not_found("running timer", &by.id))?;
    Ok(found.into())
}

/// Starts a timer; the same request id starts one.
pub(super) async fn start(
    context: &Arc<Context>,
    start: Start,
) -> Result<proto::TimeEntry, ApiError> {
    let start = Arc::new(start);
    context
        .db
        .tx("time.start", |tx| {
            let (context, start) = (context.clone(), start.clone());
            Box::pin(async move { start_in(tx, &context, &start).await })
        })
        .await
}

async fn start_in(
    tx: &mut PgConnection,
    context: &Context,
    start: &Start,
) -> Result<proto::TimeEntry, ApiError> {
    let same = |row: &Row| row.seconds.is_none() && start.terms.are_of(row);
    let whose = (&start.by, start.ticket);
    let known = super::entry::known(tx, whose, start.request_id.as_deref(), same).await?;
    if let Some(known) = known {
        return Ok(known.into());
    }
    let now = context.clock.now();
    let before = running(tx, &start.by.id, true).await?;
    if let Some(row) = &before {
        if !start.stop_running {
            return Err(ApiError::FailedPrecondition {
                reason: "TIMER_RUNNING",
                message: format!("a timer of yours runs on #{}: stop it first", row.number),
            });
        }
        // Of two tickets the lesser is locked first, so that nobody waits in a ring.
        if row.ticket_id < start.ticket {
            context.hands.hold_any(tx, row.ticket_id).await?;
        }
    }
    // Both before anything is booked: an export that waits for the booking must not have to wait for a ticket.
    context.hands.hold(tx, start.ticket).await?;
    if let Some(row) = &before {
        stop_row(tx, context, row, (0, ""), None, now, &start.by).await?;
    }
    let (id, terms) = (context.new_id(), &start.terms);
    let made = sqlx::query(
        "INSERT INTO tickets.time_entry (id, ticket_id, agent_id, started_at, billable, activity, rate, currency, note,
            created_by, created_at, updated_at, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7::text::numeric, $8, $9, $3, $4, $4, $10) ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(start.ticket)
    .bind(&start.by.id)
    .bind(now.to_sqlx())
    .bind(terms.billable)
    .bind(&terms.activity)
    .bind(terms.rate())
    .bind(&terms.currency)
    .bind(&terms.note)
    .bind(&start.request_id)
    .execute(&mut *tx)
    .await
    .map_err(TicketError::from)?;
    if made.rows_affected() == 0 {
        return Err(race());
    }
    Ok(read(tx, id, false).await?.into())
}

/// Stops the timer of the caller; the same request id stops one.
pub(super) async fn stop(context: &Arc<Context>, stop: Stop) -> Result<proto::TimeEntry, ApiError> {
    let stop = Arc::new(stop);
    context
        .db
        .tx("time.stop", |tx| {
            let (context, stop) = (context.clone(), stop.clone());
            Box::pin(async move { stop_in(tx, &context, &stop).await })
        })
        .await
}

async fn stop_in(
    tx: &mut PgConnection,
    context: &Context,
    stop: &Stop,
) -> Result<proto::TimeEntry, ApiError> {
    let running = running(tx, &stop.by.id, true).await?;
    // After the lock: who stopped it a moment ago under the same id has committed.
    if let Some(request_id) = &stop.request_id {
        let known: Option<Uuid> = sqlx::query_scalar(
            "SELECT id FROM tickets.time_entry WHERE agent_id = $1 AND stop_request_id = $2",
        )
        .bind(&stop.by.id)
        .bind(request_id)
        .fetch_optional(&mut *tx)
        .await
        .map_err(TicketError::from)?;
        if let Some(known) = known {
            return Ok(read(tx, known, false).await?.into());
        }
    }
    let row = running.ok_or_else(|| ApiError::FailedPrecondition {
        reason: "NO_TIMER",
        message: "no timer of yours runs".to_owned(),
    })?;
    let (what, id) = (
        (stop.seconds, stop.note.as_str()),
        stop.request_id.as_deref(),
    );
    let now = context.clock.now();
    stop_row(tx, context, &row, what, id, now, &stop.by).await?;
    Ok(read(tx, row.id, false).await?.into())
}

/// Makes an entry of a timer that is locked.
async fn stop_row(
    tx: &mut PgConnection,
    context: &Context,
    row: &Row,
    (seconds, note): (i64, &str),
    request_id: Option<&str>,
    now: Timestamp,
    by: &Actor,
) -> Result<(), ApiError> {
    let ran = now
        .as_second()
        .saturating_sub(row.started_at.to_jiff().as_second());
    let seconds = match seconds {
        0 if ran > MAX_SECONDS => {
            return Err(ApiError::FailedPrecondition {
                reason: "TIMER_TOO_LONG",
                message: format!("it ran for {ran} seconds: say how long the work was"),
            });
        }
        0 => ran.max(1),
        seconds => checked_seconds(seconds)?,
    };
    let mut held = context.hands.hold_any(tx, row.ticket_id).await?;
    sqlx::query(
        "UPDATE tickets.time_entry SET seconds = $2, note = CASE WHEN $3 = '' THEN note ELSE $3 END, updated_at = $4,
            stop_request_id = $5, version = version + 1 WHERE id = $1",
    )
    .bind(row.id)
    .bind(seconds)
    .bind(note)
    .bind(now.to_sqlx())
    .bind(request_id)
    .execute(&mut *tx)
    .await
    .map_err(TicketError::from)?;
    let stopped = read(tx, row.id, false).await?;
    tell(tx, context, &mut held, (String::new(), stopped.told()), by).await
}

/// Throws the timer of the caller away. Nothing was counted, so nothing is told.
pub(super) async fn discard(context: &Context, by: &Actor) -> Result<(), ApiError> {
    sqlx::query("DELETE FROM tickets.time_entry WHERE agent_id = $1 AND seconds IS NULL")
        .bind(&by.id)
        .execute(context.db.pool())
        .await
        .map_err(TicketError::from)?;
    Ok(())
}
