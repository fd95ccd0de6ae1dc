//! How work on a ticket is organised: followers, tasks with reminders, snooze.
//!
//! Whoever changes a task locks it before its ticket, as the timers do.

pub mod followers;
pub mod list;
pub mod snooze;

use std::sync::Arc;

use jiff::Timestamp;
use solmu_bus::envelope::{from_proto_time, to_proto_time};
use solmu_db::ToSqlx as _;
use solmu_domain::ids::new_uuid;
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    context::Context,
    error::TicketError,
    events::{EventSink, change},
    model::{self, Ticket, lock_one},
};
use list::Row;

/// Tasks of one ticket.
const MAX_TASKS: i64 = 200;
/// Longest title, in bytes.
const MAX_TITLE: usize = 500;

/// What somebody says of a task.
#[derive(Debug, Clone)]
pub struct Wanted {
    title: String,
    assignee: Option<Uuid>,
    due: Option<Timestamp>,
    remind: Option<Timestamp>,
    done: bool,
}

impl Wanted {
    /// Checks what is of the task itself; a title only if it `needs_title`.
    pub fn of(task: &proto::Task, needs_title: bool) -> Result<Self, TicketError> {
        let title = task.title.trim();
        let bad = title.len() > MAX_TITLE || title.contains(char::is_control);
        if bad || (needs_title && title.is_empty()) {
            let why = format!("expected 1 to {MAX_TITLE} bytes on one line");
            return Err(TicketError::invalid("task.title", why));
        }
        let assignee = match task.assignee_id.as_str() {
            "" => None,
            id => Some(Uuid::parse_str(id).map_err(|_| {
                TicketError::invalid("task.assignee_id", format!("'{id}' is not a UUID"))
            })?),
        };
        Ok(Self {
            title: title.to_owned(),
            assignee,
            due: task.due_time.as_ref().map(stored_time),
            remind: task.remind_time.as_ref().map(stored_time),
            done: task.done,
        })
    }
}

/// A time of a request as it is stored: in whole microseconds.
pub fn stored_time(at: &prost_types::Timestamp) -> Timestamp {
    let at = from_proto_time(at);
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// Adds a task; the same request id adds one.
pub async fn create(
    context: &Arc<Context>,
    ticket: Uuid,
    wanted: Wanted,
    request_id: Option<String>,
    by: Actor,
) -> Result<proto::Task, TicketError> {
    let input = Arc::new((wanted, request_id, by));
    context
        .db
        .tx("task.create", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (wanted, request_id, by) = input.as_ref();
                create_in(tx, &context, ticket, wanted, request_id.as_deref(), by).await
            })
        })
        .await
}

/// As [`create`], in the transaction `tx`.
pub async fn create_in(
    tx: &mut PgConnection,
    context: &Context,
    ticket: Uuid,
    wanted: &Wanted,
    request_id: Option<&str>,
    by: &Actor,
) -> Result<proto::Task, TicketError> {
    let now = context.clock.now();
    let mut ticket = lock_one(tx, ticket).await?;
    let (count, known): (i64, Option<Uuid>) = sqlx::query_as(
        "SELECT count(*), (array_agg(id) FILTER (WHERE request_id = $2))[1] FROM tickets.task WHERE ticket_id = $1",
    )
    .bind(ticket.id)
    .bind(request_id)
    .fetch_one(&mut *tx)
    .await?;
    if let Some(known) = known {
        return Ok(list::read(tx, known, false).await?.into());
    }
    if count >= MAX_TASKS {
        let why = format!("the ticket has {MAX_TASKS} tasks already");
        return Err(TicketError::refused("TOO_MANY_TASKS", why));
    }
    let id = new_uuid(context.clock.as_ref(), context.rng.as_ref());
    sqlx::query(
        "INSERT INTO tickets.task (id, ticket_id, title, assignee_id, due_at, remind_at, done_at, done_by, created_by,
            created_at, updated_at, request_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11)",
    )
    .bind(id)
    .bind(ticket.id)
    .bind(&wanted.title)
    .bind(wanted.assignee)
    .bind(wanted.due.map(solmu_db::ToSqlx::to_sqlx))
    .bind(wanted.remind.map(solmu_db::ToSqlx::to_sqlx))
    .bind(wanted.done.then(|| now.to_sqlx()))
    .bind(if wanted.done { by.id.as_str() } else { "" })
    .bind(&by.id)
    .bind(now.to_sqlx())
    .bind(request_id)
    .execute(&mut *tx)
    .await?;
    tell(tx, context, &mut ticket, change("tasks", &"", &id), by).await?;
    Ok(list::read(tx, id, false).await?.into())
}

/// Changes what `mask` names, or what is set.
pub async fn update(
    context: &Arc<Context>,
    task: proto::Task,
    mask: Vec<String>,
    by: Actor,
) -> Result<proto::Task, TicketError> {
    let id = Uuid::parse_str(&task.id)
        .map_err(|_| TicketError::invalid("task.id", format!("'{}' is not a UUID", task.id)))?;
    let known = ["title", "assignee_id", "due_time", "remind_time", "done"];
    if let Some(bad) = mask.iter().find(|it| !known.contains(&it.as_str())) {
        let why = format!("'{bad}' cannot be changed");
        return Err(TicketError::invalid("update_mask", why));
    }
    let wanted = Wanted::of(&task, mask.iter().any(|it| it == "title"))?;
    let input = Arc::new((task.etag, mask, wanted, by));
    context
        .db
        .tx("task.update", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (etag, mask, wanted, by) = input.as_ref();
                update_in(tx, &context, id, etag, mask, wanted, by).await
            })
        })
        .await
}

async fn update_in(
    tx: &mut PgConnection,
    context: &Context,
    id: Uuid,
    etag: &str,
    mask: &[String],
    wanted: &Wanted,
    by: &Actor,
) -> Result<proto::Task, TicketError> {
    let now = context.clock.now();
    let task = list::read(tx, id, true).await?;
    if !etag.is_empty() && etag != task.etag() {
        return Err(TicketError::Stale {
            current: task.version,
        });
    }
    let takes =
        |path: &str, set: bool| (mask.is_empty() && set) || mask.iter().any(|it| it == path);
    let mut next = Wanted {
        title: task.title.clone(),
        assignee: task.assignee_id,
        due: task.due_at.map(solmu_db::SqlTimestamp::to_jiff),
        remind: task.remind_at.map(solmu_db::SqlTimestamp::to_jiff),
        done: task.done_at.is_some(),
    };
    let reminder = next.remind;
    if takes("title", !wanted.title.is_empty()) {
        next.title.clone_from(&wanted.title);
    }
    if takes("assignee_id", wanted.assignee.is_some()) {
        next.assignee = wanted.assignee;
    }
    if takes("due_time", wanted.due.is_some()) {
        next.due = wanted.due;
    }
    if takes("remind_time", wanted.remind.is_some()) {
        next.remind = wanted.remind;
    }
    if takes("done", wanted.done) {
        next.done = wanted.done;
    }
    let changed_done = next.done != task.done_at.is_some();
    sqlx::query(
        "UPDATE tickets.task SET title = $2, assignee_id = $3, due_at = $4, remind_at = $5,
            reminded_at = CASE WHEN $6 THEN reminded_at END,
            done_at = CASE WHEN $7 THEN coalesce(done_at, $8) END,
            done_by = CASE WHEN NOT $7 THEN '' WHEN done_at IS NULL THEN $9 ELSE done_by END,
            version = version + 1, updated_at = $8 WHERE id = $1",
    )
    .bind(id)
    .bind(&next.title)
    .bind(next.assignee)
    .bind(next.due.map(solmu_db::ToSqlx::to_sqlx))
    .bind(next.remind.map(solmu_db::ToSqlx::to_sqlx))
    .bind(next.remind == reminder)
    .bind(next.done)
    .bind(now.to_sqlx())
    .bind(&by.id)
    .execute(&mut *tx)
    .await?;
    if changed_done {
        let word = |done: bool| {
            if done {
                format!("{id} done")
            } else {
                id.to_string()
            }
        };
        let told = change("tasks", &word(!next.done), &word(next.done));
        let mut ticket = of_task(tx, &task).await?;
        tell(tx, context, &mut ticket, told, by).await?;
    }
    Ok(list::read(tx, id, false).await?.into())
}

/// Removes a task.
pub async fn delete(context: &Arc<Context>, id: Uuid, by: Actor) -> Result<(), TicketError> {
    let by = Arc::new(by);
    context
        .db
        .tx("task.delete", |tx| {
            let (context, by) = (context.clone(), by.clone());
            Box::pin(async move {
                let task = list::read(tx, id, true).await?;
                sqlx::query("DELETE FROM tickets.task WHERE id = $1")
                    .bind(id)
                    .execute(&mut *tx)
                    .await?;
                let mut ticket = of_task(tx, &task).await?;
                tell(tx, &context, &mut ticket, change("tasks", &id, &""), &by).await
            })
        })
        .await
}

/// Locks the ticket of a task, which is locked; it may be part of another one by now.
async fn of_task(tx: &mut PgConnection, task: &Row) -> Result<Ticket, TicketError> {
    let ticket = model::lock(tx, &[task.ticket_id]).await?.pop();
    ticket.ok_or_else(|| TicketError::UnknownTicket(task.ticket_id.to_string()))
}

/// Tells a change that nothing but the ticket's version shows.
pub async fn tell(
    tx: &mut PgConnection,
    context: &Context,
    ticket: &mut Ticket,
    told: proto::FieldChange,
    by: &Actor,
) -> Result<(), TicketError> {
    let now = context.clock.now();
    ticket.touched = true;
    ticket.touch(now, false);
    let body = proto::TicketChanged {
        ticket: Some(ticket.state()),
        changes: vec![told],
        actor: Some(by.clone()),
        change_time: Some(to_proto_time(now)),
        reason: "by hand".to_owned(),
    };
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(&context.bus, clock, rng, now);
    events.add(&body, TraceContext::current());
    model::update(tx, &[ticket]).await?;
    activity::commit(tx, events.rows(), rng, now).await
}
