//! Closes tickets that have been resolved for long enough, and looks after what waits and what is over.
//!
//! The time stands on the ticket, so a restart loses nothing; any replica may close, and each ticket is closed once, by
//! the loop of all that falls due ([`crate::timers`]).

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use solmu_db::ToSqlx as _;
use solmu_domain::ticket::Status;
use solmu_proto::types::v1::actor::Kind;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    activity,
    beginnings::Beginnings,
    context::Context,
    delivery,
    error::TicketError,
    events::{EventSink, change, changed_event},
    file::{awaited, budget},
    hierarchy, lateness, model, quarantine,
    timers::with_lateness,
};

/// How often what waits is looked through.
const ROUND: Duration = Duration::from_secs(30);
/// Tickets that one transaction closes.
const BATCH: i64 = 200;
/// When a ticket with open sub-tickets is looked at again.
const WAIT_FOR_PARTS: SignedDuration = SignedDuration::from_hours(1);
/// Sweeps of the quarantine in one round at most.
const SWEEPS: usize = 20;
/// How often old rows are removed.
const TIDY: Duration = Duration::from_hours(1);
/// A report that nobody wanted for so long is about a message that is not ours.
const KEEP_REPORTS: SignedDuration = SignedDuration::from_hours(30 * 24);
/// A bucket that nobody spent from for so long is full, whatever its cap.
const KEEP_BUDGETS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long a request id is known.
const KEEP_REQUESTS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long the bus keeps inbound events after they were filed, so that they can be looked at.
const KEEP_FILED: SignedDuration = SignedDuration::from_hours(72);

/// Runs until `stop`.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken) {
    let mut tidied: Option<Instant> = None;
    loop {
        if let Err(error) = look_after_waiting(&context).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot look through what waits; trying again"
            );
        }
        if tidied.is_none_or(|at| at.elapsed() > TIDY) {
            tidied = Some(Instant::now());
            if let Err(error) = tidy(&context).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot remove old rows; trying again later"
                );
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

/// Lets in what may come in now, a bounded part of it, and tells how much waits. The same for reports that wait.
async fn look_after_waiting(context: &Arc<Context>) -> Result<(), TicketError> {
    for _ in 0..SWEEPS {
        if awaited::sweep(context).await? < awaited::BATCH {
            break;
        }
    }
    quarantine::measure(context).await?;
    lateness::measure(context).await?;
    delivery::early::sweep(context).await?;
    make_room(context).await;
    Ok(())
}

/// Filed messages are kept for looking back, and go earlier than that rather than keep new ones out.
async fn make_room(context: &Context) {
    match context.bus.make_room("INBOUND").await {
        Ok(0) => {}
        Ok(messages) => tracing::warn!(
            messages,
            "removed filed messages before their time, because the stream of inbound messages was nearly full"
        ),
        Err(error) => tracing::debug!(
            error = &error as &dyn std::error::Error,
            "cannot see how full the stream of inbound messages is; looking again"
        ),
    }
}

async fn tidy(context: &Context) -> Result<(), TicketError> {
    let now = context.clock.now();
    let before = now.saturating_sub(KEEP_REPORTS).unwrap_or(Timestamp::MIN);
    sqlx::query("DELETE FROM tickets.early_report WHERE reported_at < $1")
        .bind(before.to_sqlx())
        .execute(context.db.pool())
        .await?;
    let before = now.saturating_sub(KEEP_REQUESTS).unwrap_or(Timestamp::MIN);
    for statement in [
        "DELETE FROM tickets.change_request WHERE created_at < $1",
        "DELETE FROM tickets.contact_call WHERE created_at < $1",
    ] {
        sqlx::query(statement)
            .bind(before.to_sqlx())
            .execute(context.db.pool())
            .await?;
    }
    let full = now.saturating_sub(KEEP_BUDGETS).unwrap_or(Timestamp::MIN);
    context
        .db
        .tx("ticket.purge_budgets", |tx| {
            Box::pin(async move { budget::purge(tx, full).await })
        })
        .await?;
    let purged = quarantine::purge(context).await?;
    context.metrics.purged(purged);
    if purged > 0 {
        tracing::info!(
            messages = purged,
            "removed old messages from the quarantine"
        );
    }
    let filed_before = now.saturating_sub(KEEP_FILED).unwrap_or(Timestamp::MIN);
    match context.bus.reap("INBOUND", filed_before).await {
        Ok(0) => {}
        Ok(events) => tracing::info!(events, "removed filed messages from the bus"),
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot remove filed messages from the bus; trying again later"
        ),
    }
    Ok(())
}

/// Closes what is due now; says how many it looked at.
pub(crate) async fn close_due(context: &Arc<Context>) -> Result<usize, TicketError> {
    context
        .db
        .tx("ticket.close_resolved", |tx| {
            let context = context.clone();
            Box::pin(async move { close_in(tx, &context).await })
        })
        .await
}

async fn close_in(tx: &mut PgConnection, context: &Context) -> Result<usize, TicketError> {
    let now = context.clock.now();
    let due: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM tickets.ticket WHERE close_at <= $1 AND status = $3
         ORDER BY close_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(now.to_sqlx())
    .bind(BATCH)
    .bind(Status::Resolved.name())
    .fetch_all(&mut *tx)
    .await?;
    if due.is_empty() {
        return Ok(0);
    }
    let waiting = hierarchy::children(tx, &due, false, i64::MAX).await?;
    let heads: Vec<Uuid> = waiting.iter().map(|child| child.head).collect();
    let later = now.saturating_add(WAIT_FOR_PARTS).unwrap_or(now);
    sqlx::query("UPDATE tickets.ticket SET close_at = $2 WHERE id = ANY($1)")
        .bind(&heads)
        .bind(later.to_sqlx())
        .execute(&mut *tx)
        .await?;
    let ready = due.iter().copied().filter(|id| !heads.contains(id));
    let mut tickets = model::lock(tx, &ready.collect::<Vec<_>>()).await?;
    let beginnings = Beginnings::of(tx, &due).await?;
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(&context.bus, clock, rng, now);
    for ticket in &mut tickets {
        let before = ticket.status;
        let at = ticket.close_at.take().unwrap_or(now);
        ticket.status = before.move_to(Status::Closed)?;
        ticket.touch(now, true);
        let reason = with_lateness("resolved for long enough", now.duration_since(at));
        let changes = vec![change("status", &before, &Status::Closed)];
        let body = changed_event(ticket, changes, Kind::Timer, &reason, now);
        let span = beginnings.timer(ticket.id, "close");
        events.add(&body, TraceContext::of(&span));
    }
    model::update(tx, &tickets.iter().collect::<Vec<_>>()).await?;
    activity::commit(tx, events.rows(), rng, now).await?;
    Ok(due.len())
}
