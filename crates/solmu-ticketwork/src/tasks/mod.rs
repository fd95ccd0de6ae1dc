//! How work on a ticket is organised: followers, tasks with reminders, snooze.
//!
//! Whoever changes a task locks it before its ticket, as the timers do.

pub mod followers;
pub mod list;
pub mod snooze;

use std::sync::Arc;

use jiff::Timestamp;
use solmu_bus::envelope::from_proto_time;
use solmu_db::ToSqlx as _;
use solmu_domain::ids::new_uuid;
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    calls::Asked,
    change::{made_before, tell_alone},
    context::Context,
    error::TicketError,
    events::{EventSink, change},
    model::{self, Ticket, lock_one},
    strangers::{Named, Roster, Strangers},
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
    /// Whether the assignee is not there.
    strangers: Strangers,
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
            strangers: Strangers::default(),
        })
    }

    /// Finds out whether the assignee is there. No transaction may be open.
    async fn look_up(&mut self, roster: &Roster) {
        let named = self
            .assignee
            .map(|id| Named::Agent(id, "task.assignee_id".to_owned()));
        self.strangers = roster.strangers(named.as_slice()).await;
    }

    /// Refuses an assignee who is not there, unless the task has them already.
    fn check_assignee(&self, present: Option<Uuid>) -> Result<(), TicketError> {
        if self.strangers.is_empty() || self.assignee == present {
            return Ok(());
        }
        Err(TicketError::Invalid(self.strangers.clone().violations()))
    }
}

/// A time of a request as it is stored: in whole microseconds.
pub fn stored_time(at: &prost_types::Timestamp) -> Timestamp {
    let at = from_proto_time(at);
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// Adds a task; the same call under a request id adds one.
pub async fn create(
    context: &Arc<Context>,
    ticket: Uuid,
    mut wanted: Wanted,
    asked: Option<Asked>,
    by: Actor,
) -> Result<proto::Task, TicketError> {
    wanted.look_up(&context.roster).await;
    let input = Arc::new((wanted, asked, by));
    context
        .db
        .tx("task.create", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (wanted, asked, by) = input.as_ref();
                create_in(tx, &context, ticket, wanted, asked.as_ref(), by).await
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
    asked: Option<&Asked>,
    by: &Actor,
) -> Result<proto::Task, TicketError> {
    let now = context.clock.now();
    let mut ticket = lock_one(tx, ticket).await?;
    let request_id = asked.map(|(id, _)| id.as_str());
    let repeated = made_before(tx, ticket.id, asked, now).await?;
    let (count, known): (i64, Option<Uuid>) = sqlx::query_as(
        "SELECT count(*), (array_agg(id) FILTER (WHERE request_id = $2))[1] FROM tickets.task WHERE ticket_id = $1",
    )
    .bind(ticket.id)
    .bind(request_id)
    .fetch_one(&mut *tx)
    .await?;
    match (known, request_id) {
        (Some(known), _) => return Ok(list::read(tx, known, false).await?.into()),
        (None, Some(id)) if repeated => {
            // It was made under this id, and removed since.
            let id = id.to_owned();
            return Err(TicketError::Unknown { what: "task", id });
        }
        _ => {}
    }
    wanted.check_assignee(None)?;
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
    asked: Option<Asked>,
    by: Actor,
) -> Result<proto::Task, TicketError> {
    let id = Uuid::parse_str(&task.id)
        .map_err(|_| TicketError::invalid("task.id", format!("'{}' is not a UUID", task.id)))?;
    let known = ["title", "assignee_id", "due_time", "remind_time", "done"];
    if let Some(bad) = mask.iter().find(|it| !known.contains(&it.as_str())) {
        let why = format!("'{bad}' cannot be changed");
        return Err(TicketError::invalid("update_mask", why));
    }
    let mut wanted = Wanted::of(&task, mask.iter().any(|it| it == "title"))?;
    wanted.look_up(&context.roster).await;
    let input = Arc::new((task.etag, mask, wanted, asked, by));
    context
        .db
        .tx("task.update", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (etag, mask, wanted, asked, by) = input.as_ref();
                let task = list::read(tx, id, true).await?;
                let now = context.clock.now();
                if made_before(tx, task.ticket_id, asked.as_ref(), now).await? {
                    return Ok(task.into());
                }
                let how = (etag.as_str(), mask.as_slice());
                update_in(tx, &context, task, how, wanted, by).await
            })
        })
        .await
}

async fn update_in(
    tx: &mut PgConnection,
    context: &Context,
    task: Row,
    (etag, mask): (&str, &[String]),
    wanted: &Wanted,
    by: &Actor,
) -> Result<proto::Task, TicketError> {
    let (now, id) = (context.clock.now(), task.id);
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
        strangers: Strangers::default(),
    };
    let reminder = next.remind;
    if takes("title", !wanted.title.is_empty()) {
        next.title.clone_from(&wanted.title);
    }
    if takes("assignee_id", wanted.assignee.is_some()) {
        wanted.check_assignee(task.assignee_id)?;
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
    let changes = differences(&task, &next);
    if !changes.is_empty() {
        let mut ticket = of_task(tx, &task).await?;
        tell_all(tx, context, &mut ticket, changes, by).await?;
    }
    Ok(list::read(tx, id, false).await?.into())
}

/// What changed of a task, as the log has it: the id, what of it, and the value. Of a title only that it did: the log keeps
/// nobody's words.
fn differences(task: &Row, next: &Wanted) -> Vec<proto::FieldChange> {
    let id = task.id;
    let mut changes = Vec::new();
    let mut add = |what: &str, from: String, to: String| {
        if from != to {
            let word = |value: String| match value.as_str() {
                "" => String::new(),
                value => format!("{id} {what} {value}"),
            };
            changes.push(change("tasks", &word(from), &word(to)));
        }
    };
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let stored = |at: Option<solmu_db::SqlTimestamp>| time(at.map(solmu_db::SqlTimestamp::to_jiff));
    let agent = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    add("assignee_id", agent(task.assignee_id), agent(next.assignee));
    add("due_time", stored(task.due_at), time(next.due));
    add("remind_time", stored(task.remind_at), time(next.remind));
    if task.title != next.title {
        let to = format!("{id} title");
        changes.push(change("tasks", &id, &to));
    }
    let word = |done: bool| {
        if done {
            format!("{id} done")
        } else {
            id.to_string()
        }
    };
    if task.done_at.is_some() != next.done {
        let (from, to) = (word(!next.done), word(next.done));
        changes.push(change("tasks", &from, &to));
    }
    changes
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
    tell_all(tx, context, ticket, vec![told], by).await
}

async fn tell_all(
    tx: &mut PgConnection,
    context: &Context,
    ticket: &mut Ticket,
    changes: Vec<proto::FieldChange>,
    by: &Actor,
) -> Result<(), TicketError> {
    let now = context.clock.now();
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let events = EventSink::new(&context.bus, clock, rng, now);
    tell_alone(tx, ticket, changes, (by, "by hand"), (events, rng), now).await
}
