//! Entries by hand.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use solmu_db::ToSqlx as _;
use solmu_proto::{
    ticket::v1::{self as proto, TimeEntry},
    types::v1::Actor,
};
use solmu_runtime::{
    ApiError,
    access::{Caller, Role},
    request::uuid,
};
use solmu_tickets::TicketError;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Row, SELECT, Terms, checked_seconds, checked_start, race, read, tell};
use crate::{context::Context, items::reused};

/// What can be changed.
const PATHS: [&str; 7] = [
    "start_time",
    "seconds",
    "billable",
    "activity",
    "hourly_rate",
    "currency",
    "note",
];

/// Time to be added.
#[derive(Debug)]
pub(super) struct New {
    ticket: Uuid,
    agent: String,
    start: Timestamp,
    seconds: i64,
    terms: Terms,
    request_id: Option<String>,
    by: Actor,
}

impl New {
    /// What is asked, if it can be.
    pub(super) fn of(
        entry: TimeEntry,
        ticket: Uuid,
        request_id: Option<String>,
        (caller, by): (&Caller, Actor),
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let seconds = checked_seconds(entry.seconds)?;
        let start = match &entry.start_time {
            Some(at) => checked_start(at, now)?,
            None => now
                .saturating_add(SignedDuration::from_secs(-seconds))
                .unwrap_or(now),
        };
        let agent = match entry.agent_id.as_str() {
            "" => by.id.clone(),
            id if id == by.id => by.id.clone(),
            id if caller.role == Role::Admin => uuid("entry.agent_id", id)?.to_string(),
            _ => {
                return Err(ApiError::PermissionDenied {
                    reason: "NOT_YOURS",
                    message: "agents add their own time; that of others is an admin's".to_owned(),
                });
            }
        };
        Ok(Self {
            ticket,
            agent,
            start,
            seconds,
            terms: terms_of(entry).check()?,
            request_id,
            by,
        })
    }
}

fn terms_of(entry: TimeEntry) -> Terms {
    Terms {
        billable: entry.billable,
        activity: entry.activity.trim().to_owned(),
        rate: entry.hourly_rate,
        currency: entry.currency,
        note: entry.note,
    }
}

/// What the caller made under a request id; REQUEST_ID_REUSED if that is not the `same` on this ticket. An entry that was
/// changed since no longer says what was asked.
pub(super) async fn known(
    tx: &mut PgConnection,
    (by, ticket): (&Actor, Uuid),
    request_id: Option<&str>,
    same: impl Fn(&Row) -> bool + Send,
) -> Result<Option<Row>, ApiError> {
    let Some(request_id) = request_id else {
        return Ok(None);
    };
    let sql = format!("{SELECT} WHERE entry.created_by = $1 AND entry.request_id = $2");
    let found = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(&by.id)
        .bind(request_id)
        .fetch_optional(tx)
        .await;
    let found: Option<Row> = found.map_err(TicketError::from)?;
    if let Some(row) = &found
        && (row.ticket_id != ticket || (row.version == 1 && !same(row)))
    {
        return Err(reused());
    }
    Ok(found)
}

/// Adds an entry; the same request id adds one.
pub(super) async fn create(context: &Arc<Context>, new: New) -> Result<TimeEntry, ApiError> {
    let new = Arc::new(new);
    context
        .db
        .tx("time.create", |tx| {
            let (context, new) = (context.clone(), new.clone());
            Box::pin(async move { create_in(tx, &context, &new).await })
        })
        .await
}

async fn create_in(
    tx: &mut PgConnection,
    context: &Context,
    new: &New,
) -> Result<TimeEntry, ApiError> {
    let mut held = context.hands.hold(tx, new.ticket).await?;
    let same = |row: &Row| {
        let (terms, agent) = (&new.terms, &new.agent);
        row.seconds == Some(new.seconds) && row.agent_id == *agent && terms.are_of(row)
    };
    let whose = (&new.by, new.ticket);
    if let Some(known) = known(tx, whose, new.request_id.as_deref(), same).await? {
        return Ok(known.into());
    }
    let (id, now, terms) = (context.new_id(), context.clock.now(), &new.terms);
    let made = sqlx::query(
        "INSERT INTO tickets.time_entry (id, ticket_id, agent_id, started_at, seconds, billable, activity, rate, currency,
            note, created_by, created_at, updated_at, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::numeric, $9, $10, $11, $12, $12, $13) ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(new.ticket)
    .bind(&new.agent)
    .bind(new.start.to_sqlx())
    .bind(new.seconds)
    .bind(terms.billable)
    .bind(&terms.activity)
    .bind(terms.rate())
    .bind(&terms.currency)
    .bind(&terms.note)
    .bind(&new.by.id)
    .bind(now.to_sqlx())
    .bind(&new.request_id)
    .execute(&mut *tx)
    .await
    .map_err(TicketError::from)?;
    if made.rows_affected() == 0 {
        return Err(race());
    }
    let row = read(tx, id, false).await?;
    let told = (String::new(), row.told());
    tell(tx, context, &mut held, told, &new.by).await?;
    Ok(row.into())
}

/// A change of an entry.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) id: Uuid,
    pub(super) entry: TimeEntry,
    pub(super) mask: Vec<String>,
    pub(super) caller: Caller,
    pub(super) by: Actor,
}

/// Makes the change.
pub(super) async fn update(context: &Arc<Context>, change: Change) -> Result<TimeEntry, ApiError> {
    let bad = change.mask.iter().find(|it| !PATHS.contains(&it.as_str()));
    if let Some(bad) = bad {
        let why = format!("'{bad}' cannot be changed");
        return Err(ApiError::invalid("update_mask", why));
    }
    let change = Arc::new(change);
    context
        .db
        .tx("time.update", |tx| {
            let (context, change) = (context.clone(), change.clone());
            Box::pin(async move { update_in(tx, &context, &change).await })
        })
        .await
}

async fn update_in(
    tx: &mut PgConnection,
    context: &Context,
    change: &Change,
) -> Result<TimeEntry, ApiError> {
    let now = context.clock.now();
    let row = read(tx, change.id, true).await?;
    row.check_owner(&change.caller, &change.by)?;
    check_etag(&row, &change.entry.etag)?;
    let next = next(&row, change, now)?;
    let mut held = context.hands.hold_any(tx, row.ticket_id).await?;
    let (start, seconds, terms) = next;
    let changed = sqlx::query(
        "UPDATE tickets.time_entry SET started_at = $2, seconds = $3, billable = $4, activity = $5,
            rate = $6::text::numeric, currency = $7, note = $8, updated_at = $9, version = version + 1
         WHERE id = $1 AND (started_at, seconds, billable, activity, rate, currency, note)
            IS DISTINCT FROM ($2, $3, $4, $5, $6::text::numeric, $7, $8)",
    )
    .bind(row.id)
    .bind(start.to_sqlx())
    .bind(seconds)
    .bind(terms.billable)
    .bind(&terms.activity)
    .bind(terms.rate())
    .bind(&terms.currency)
    .bind(&terms.note)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await
    .map_err(TicketError::from)?;
    let after = read(tx, row.id, false).await?;
    // A timer is no time yet: nothing is told of it.
    if changed.rows_affected() > 0 && after.seconds.is_some() {
        let told = (row.told(), after.told());
        tell(tx, context, &mut held, told, &change.by).await?;
    }
    Ok(after.into())
}

fn check_etag(row: &Row, etag: &str) -> Result<(), ApiError> {
    if etag.is_empty() || etag == row.etag() {
        return Ok(());
    }
    Err(ApiError::Aborted {
        reason: "ETAG_MISMATCH",
        message: format!("the entry has changed since: it is at {}", row.etag()),
    })
}

/// When it began, how long it was, and the rest, after the change.
fn next(
    row: &Row,
    change: &Change,
    now: Timestamp,
) -> Result<(Timestamp, Option<i64>, Terms), ApiError> {
    let (entry, mask) = (&change.entry, &change.mask);
    let takes =
        |path: &str, set: bool| (mask.is_empty() && set) || mask.iter().any(|it| it == path);
    let mut start = row.started_at.to_jiff();
    if takes("start_time", entry.start_time.is_some()) {
        let at = entry.start_time.as_ref();
        let at = at.ok_or_else(|| ApiError::invalid("start_time", "is missing"))?;
        start = checked_start(at, now)?;
    }
    let mut seconds = row.seconds;
    if takes("seconds", entry.seconds != 0) {
        if seconds.is_none() {
            return Err(ApiError::invalid("seconds", "its timer runs: stop it"));
        }
        seconds = Some(checked_seconds(entry.seconds)?);
    }
    let mut terms = Terms {
        billable: row.billable,
        activity: row.activity.clone(),
        rate: row.rate.clone(),
        currency: row.currency.clone(),
        note: row.note.clone(),
    };
    let wanted = terms_of(entry.clone());
    if takes("billable", wanted.billable) {
        terms.billable = wanted.billable;
    }
    if takes("activity", !wanted.activity.is_empty()) {
        terms.activity = wanted.activity;
    }
    if takes("hourly_rate", !wanted.rate.is_empty()) {
        terms.rate = wanted.rate;
    }
    if takes("currency", !wanted.currency.is_empty()) {
        terms.currency = wanted.currency;
    }
    if takes("note", !wanted.note.is_empty()) {
        terms.note = wanted.note;
    }
    Ok((start, seconds, terms.check()?))
}

/// Removes an entry.
pub(super) async fn delete(
    context: &Arc<Context>,
    request: proto::DeleteTimeEntryRequest,
    (caller, by): (Caller, Actor),
) -> Result<(), ApiError> {
    let id = uuid("id", &request.id)?;
    let input = Arc::new((request.etag, caller, by));
    context
        .db
        .tx("time.delete", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (etag, caller, by) = input.as_ref();
                let row = read(tx, id, true).await?;
                row.check_owner(caller, by)?;
                check_etag(&row, etag)?;
                let mut held = context.hands.hold_any(tx, row.ticket_id).await?;
                sqlx::query("DELETE FROM tickets.time_entry WHERE id = $1")
                    .bind(id)
                    .execute(&mut *tx)
                    .await
                    .map_err(TicketError::from)?;
                if row.seconds.is_none() {
                    return Ok(());
                }
                let told = (row.told(), String::new());
                tell(tx, &context, &mut held, told, by).await
            })
        })
        .await
}
