//! What happens at its time: reminders of tasks, and tickets that wake.
//!
//! The times stand in the database, so a restart loses nothing. Any replica may take what is due; it is locked while it
//! is told, and marked in the same transaction, so it is told once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use solmu_bus::envelope::to_proto_time;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_proto::{ticket::v1 as proto, types::v1::actor::Kind};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::snooze;
use crate::{
    activity,
    context::Context,
    edit::tell,
    error::TicketError,
    events::{EventSink, actor},
    hierarchy,
    model::{self, Ticket},
};

/// How late something may be.
const ROUND: Duration = Duration::from_secs(1);
/// What one transaction takes.
const BATCH: i64 = 100;

/// Runs until `stop`.
pub(crate) async fn run(context: Arc<Context>, stop: CancellationToken) {
    let full = usize::try_from(BATCH).unwrap_or(usize::MAX);
    loop {
        let (reminded, woken) = (remind(&context).await, wake(&context).await);
        let mut more = false;
        for done in [reminded, woken] {
            match done {
                Ok(done) => more |= done == full,
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot do what is due; trying again"
                ),
            }
        }
        let pause = if more { Duration::ZERO } else { ROUND };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
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
    let mut heads: BTreeMap<Uuid, Uuid> = BTreeMap::new();
    for (_, ticket, ..) in &due {
        if !heads.contains_key(ticket) {
            let above = hierarchy::ancestors(tx, *ticket).await?;
            heads.insert(*ticket, above.first().copied().unwrap_or(*ticket));
        }
    }
    let wanted: Vec<Uuid> = heads.values().copied().collect();
    let tickets = model::lock(tx, &wanted).await?;
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
        events.add(&body, TraceContext::current());
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
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(&context.bus, clock, rng, now);
    let timer = actor(Kind::Timer, "timer");
    for ticket in &mut tickets {
        let before = ticket.clone();
        snooze::wake(ticket);
        tell(
            &before,
            ticket,
            &timer,
            "it has slept long enough",
            now,
            &mut events,
        );
    }
    model::update(tx, &tickets.iter().collect::<Vec<_>>()).await?;
    activity::commit(tx, events.rows(), rng, now).await?;
    Ok(tickets.len())
}
