//! What happens at its time: reminders of tasks, tickets that wake, and resolved tickets that close.
//!
//! The times stand in the database, so a restart loses nothing. Any replica may take what is due; it is locked while it
//! is told, and marked in the same transaction, so it is told once. Between two looks a replica sleeps until the earliest
//! time that it knows of, and never longer than a second: what another replica or a person sets meanwhile is late by no
//! more than that, and nothing has to be told between them. What was late all the same (nobody ran, or the database was
//! away) says so. What a timer does is a trace of its own, linked with the one that opened the ticket.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use solmu_bus::envelope::to_proto_time;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_proto::{ticket::v1 as proto, types::v1::actor::Kind};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    activity,
    beginnings::Beginnings,
    change::tell,
    close,
    context::Context,
    error::TicketError,
    events::{EventSink, actor},
    hierarchy,
    model::{self, Ticket},
    tasks::snooze,
};

/// How late something may be.
const ROUND: Duration = Duration::from_secs(1);
/// When something is looked at again that was due and could not be taken: another replica may have it.
const AGAIN: Duration = Duration::from_millis(50);
/// From here on something is late.
const LATE: SignedDuration = SignedDuration::from_secs(1);
/// What one transaction takes.
const BATCH: i64 = 100;

/// Runs until `stop`.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken) {
    let mut stuck: Option<Timestamp> = None;
    loop {
        let more = take_due(&context).await;
        let next = next_due(&context).await.unwrap_or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot see what is due next; looking again"
            );
            None
        });
        let now = context.clock.now();
        let pause = match next {
            _ if more => Duration::ZERO,
            Some(at) if at > now => ROUND.min(at.duration_since(now).unsigned_abs()),
            // It fell due since, or somebody has it; what nobody can take must not keep us busy.
            Some(at) if stuck != Some(at) => AGAIN,
            _ => ROUND,
        };
        stuck = next.filter(|at| *at <= now);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Does what is due; says whether there may be more.
async fn take_due(context: &Arc<Context>) -> bool {
    let batch = usize::try_from(BATCH).unwrap_or(usize::MAX);
    let taken = [
        remind(context).await,
        wake(context).await,
        close::close_due(context).await,
    ];
    let mut more = false;
    for done in taken {
        match done {
            Ok(done) => more |= done >= batch,
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot do what is due; trying again"
            ),
        }
    }
    more
}

/// The earliest time at which something falls due: the first entry of each of three indexes.
const NEXT: &str = "SELECT least(
        (SELECT min(close_at) FROM tickets.ticket WHERE close_at IS NOT NULL),
        (SELECT min(wake_at) FROM tickets.ticket WHERE wake_at IS NOT NULL),
        (SELECT min(remind_at) FROM tickets.task
            WHERE reminded_at IS NULL AND done_at IS NULL AND remind_at IS NOT NULL))";

async fn next_due(context: &Context) -> Result<Option<Timestamp>, TicketError> {
    let at: Option<SqlTimestamp> = sqlx::query_scalar(NEXT)
        .fetch_one(context.db.pool())
        .await?;
    Ok(at.map(SqlTimestamp::to_jiff))
}

/// A reason, and by how much it came too late.
pub(crate) fn with_lateness(reason: &str, late: SignedDuration) -> String {
    if late > LATE {
        format!("{reason} ({} s late)", late.as_secs())
    } else {
        reason.to_owned()
    }
}

/// A task whose reminder has come.
type Due = (Uuid, Uuid, Option<Uuid>, SqlTimestamp, Option<SqlTimestamp>);

/// Tells reminders that are due; says how many.
async fn remind(context: &Arc<Context>) -> Result<usize, TicketError> {
    context
        .db
        .tx("task.remind", |tx| {
            let context = context.clone();
            Box::pin(async move { remind_in(tx, &context).await })
        })
        .await
}

async fn remind_in(tx: &mut PgConnection, context: &Context) -> Result<usize, TicketError> {
    let now = context.clock.now();
    let due: Vec<Due> = sqlx::query_as(
        "SELECT id, ticket_id, assignee_id, remind_at, due_at FROM tickets.task
         WHERE remind_at <= $1 AND reminded_at IS NULL AND done_at IS NULL
         ORDER BY remind_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(now.to_sqlx())
    .bind(BATCH)
    .fetch_all(&mut *tx)
    .await?;
    if due.is_empty() {
        return Ok(0);
    }
    // A ticket that became part of another one is looked after there.
    let of_tasks: Vec<Uuid> = due.iter().map(|(_, ticket, ..)| *ticket).collect();
    let heads = hierarchy::heads(tx, &of_tasks).await?;
    let wanted: Vec<Uuid> = heads.values().copied().collect();
    let tickets = model::lock(tx, &wanted).await?;
    let beginnings = Beginnings::of(tx, &of_tasks).await?;
    let of = |id: &Uuid| tickets.iter().find(|it| Some(&it.id) == heads.get(id));
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(&context.bus, clock, rng, now);
    for (id, ticket, assignee, remind_at, due_at) in &due {
        let body = proto::TaskDue {
            ticket: of(ticket).map(Ticket::state),
            task_id: id.to_string(),
            assignee_id: assignee.map(|id| id.to_string()).unwrap_or_default(),
            remind_time: Some(to_proto_time(remind_at.to_jiff())),
            due_time: due_at.map(|at| to_proto_time(at.to_jiff())),
        };
        let span = beginnings.timer(*ticket, "reminder");
        events.add(&body, TraceContext::of(&span));
    }
    sqlx::query("UPDATE tickets.task SET reminded_at = $2 WHERE id = ANY($1)")
        .bind(due.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    activity::commit(tx, events.rows(), rng, now).await?;
    Ok(due.len())
}

/// Wakes tickets whose time has come; says how many.
async fn wake(context: &Arc<Context>) -> Result<usize, TicketError> {
    context
        .db
        .tx("ticket.wake", |tx| {
            let context = context.clone();
            Box::pin(async move { wake_in(tx, &context).await })
        })
        .await
}

async fn wake_in(tx: &mut PgConnection, context: &Context) -> Result<usize, TicketError> {
    let now = context.clock.now();
    let due: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM tickets.ticket WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(now.to_sqlx())
    .bind(BATCH)
    .fetch_all(&mut *tx)
    .await?;
    if due.is_empty() {
        return Ok(0);
    }
    let mut tickets = model::lock(tx, &due).await?;
    let beginnings = Beginnings::of(tx, &due).await?;
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(&context.bus, clock, rng, now);
    let timer = actor(Kind::Timer, "timer");
    for ticket in &mut tickets {
        let before = ticket.clone();
        let until = ticket.sleeps().and_then(|it| it.0).unwrap_or(now);
        snooze::wake(ticket);
        let reason = with_lateness("it has slept long enough", now.duration_since(until));
        let span = beginnings.timer(ticket.id, "wake");
        span.in_scope(|| tell(&before, ticket, &timer, &reason, now, &mut events));
    }
    model::update(tx, &tickets.iter().collect::<Vec<_>>()).await?;
    activity::commit(tx, events.rows(), rng, now).await?;
    Ok(tickets.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_late_says_so() {
        let reason = |seconds| with_lateness("over", SignedDuration::from_secs(seconds));
        assert_eq!(reason(0), "over");
        assert_eq!(reason(1), "over");
        assert_eq!(reason(90), "over (90 s late)");
    }
}
