//! What every change of a ticket has in common: it is made once, may be made, and is told.
//!
//! What changed is the difference of the ticket before and after, so that no change can be made without being told, and
//! nothing is told that was set to what it was.

use std::collections::BTreeSet;

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::ToSqlx as _;
use solmu_domain::{rng::Rng, ticket::Status};
use solmu_proto::{
    ticket::v1 as proto,
    types::v1::{Actor, actor::Kind},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    calls::Asked,
    config::Config,
    error::TicketError,
    events::{EventSink, assigned, change},
    looked::Looked,
    model::{self, Snooze, Ticket, Values},
};

/// Whether the change was made already. The ticket is locked, so of many at once one is the first.
pub async fn is_repeat(
    tx: &mut PgConnection,
    ticket: Uuid,
    request_id: &str,
    digest: &[u8],
    now: Timestamp,
) -> Result<bool, TicketError> {
    if is_known(tx, ticket, request_id, digest).await? {
        return Ok(true);
    }
    remember(tx, ticket, request_id, digest, now).await?;
    Ok(false)
}

/// As [`is_repeat`] of a call that may have no request id.
pub async fn made_before(
    tx: &mut PgConnection,
    ticket: Uuid,
    asked: Option<&Asked>,
    now: Timestamp,
) -> Result<bool, TicketError> {
    match asked {
        Some((id, digest)) => is_repeat(tx, ticket, id, digest, now).await,
        None => Ok(false),
    }
}

/// Whether the change was made already; it is not remembered.
pub async fn is_known(
    tx: &mut PgConnection,
    ticket: Uuid,
    request_id: &str,
    digest: &[u8],
) -> Result<bool, TicketError> {
    let known: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT digest FROM tickets.change_request WHERE ticket_id = $1 AND request_id = $2",
    )
    .bind(ticket)
    .bind(request_id)
    .fetch_optional(tx)
    .await?;
    match known {
        Some(known) if known == digest => Ok(true),
        Some(_) => Err(reused()),
        None => Ok(false),
    }
}

/// Remembers that the change was made under its request id.
pub async fn remember(
    tx: &mut PgConnection,
    ticket: Uuid,
    request_id: &str,
    digest: &[u8],
    now: Timestamp,
) -> Result<(), TicketError> {
    let done = sqlx::query(
        "INSERT INTO tickets.change_request (ticket_id, request_id, digest, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
    )
    .bind(ticket)
    .bind(request_id)
    .bind(digest)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    // Somebody who did not have to lock the ticket was faster: what it was is seen at the next look.
    if done.rows_affected() == 0 {
        return Err(TicketError::race());
    }
    Ok(())
}

/// Another change under a request id that was used.
pub fn reused() -> TicketError {
    let why = "the request id was used for another change of this ticket: take a new one";
    TicketError::refused("REQUEST_ID_REUSED", why)
}

/// Moves the ticket to another status, if one is asked for.
pub async fn move_status(
    tx: &mut PgConnection,
    ticket: &mut Ticket,
    to: Option<Status>,
    now: Timestamp,
    config: &Config,
) -> Result<(), TicketError> {
    if let Some(status) = to {
        let status = ticket.status.move_to(status)?;
        check_finish(tx, &mut Looked::default(), ticket, status).await?;
        ticket.status = status;
        ticket.close_at = close_time(status, now, config.close_after_days);
    }
    Ok(())
}

/// Whether a locked ticket may go to `status` by hand: one that is over has the values that it must have, and no open
/// sub-ticket.
pub async fn check_finish(
    tx: &mut PgConnection,
    looked: &mut Looked,
    ticket: &Ticket,
    status: Status,
) -> Result<(), TicketError> {
    if status.is_open() || status == ticket.status {
        return Ok(());
    }
    if ticket.status.is_open() {
        let definitions = looked.definitions(tx).await?;
        let missing = definitions.values().filter(|it| {
            it.required && it.archived_at.is_none() && !ticket.fields.contains_key(&it.key)
        });
        let missing: Vec<&str> = missing.map(|it| it.key.as_str()).collect();
        if !missing.is_empty() {
            let why = format!("a {status} ticket must have: {}", missing.join(", "));
            return Err(TicketError::refused("FIELDS_REQUIRED", why));
        }
    }
    let open = looked.open_children(tx, ticket.id).await?;
    if open == 0 {
        return Ok(());
    }
    // Not which: it may be one that the caller does not see. The ticket names those that they do.
    let why = match open {
        1 => "a sub-ticket is open: the ticket says which, if you see it".to_owned(),
        open => format!("{open} sub-tickets are open: the ticket names those that you see"),
    };
    Err(TicketError::refused("SUBTICKETS_OPEN", why))
}

/// Whether a status stops the clock of closing: only a resolved ticket closes itself.
pub fn close_time(status: Status, now: Timestamp, days: u32) -> Option<Timestamp> {
    let span = jiff::SignedDuration::from_hours(i64::from(days) * 24);
    (status == Status::Resolved).then(|| now.saturating_add(span).unwrap_or(Timestamp::MAX))
}

/// Tells how `ticket` differs from `before`, and counts the change; false if it does not.
pub fn tell(
    before: &Ticket,
    ticket: &mut Ticket,
    by: &Actor,
    reason: &str,
    now: Timestamp,
    events: &mut EventSink<'_>,
) -> bool {
    tell_also(before, ticket, by, (reason, None), now, events)
}

/// As [`tell`], with one more thing to tell of a change.
pub fn tell_also(
    before: &Ticket,
    ticket: &mut Ticket,
    by: &Actor,
    (reason, also): (&str, Option<proto::FieldChange>),
    now: Timestamp,
    events: &mut EventSink<'_>,
) -> bool {
    let (mut changes, mut routed) = differences(before, ticket);
    let owner = (before.assignee_id, before.team_id);
    let moved = owner != (ticket.assignee_id, ticket.team_id);
    if changes.is_empty() && !moved {
        return false;
    }
    if !changes.is_empty() {
        changes.extend(also);
    }
    routed |= moved;
    ticket.touch(now, routed);
    let trace = TraceContext::current();
    if moved {
        let service = by.kind() != Kind::Agent;
        let who = if service { "service" } else { "agent" };
        ticket.assign_reason = format!("{reason} ({who})");
        let body = assigned(ticket, owner, by.clone(), "", now);
        events.add(&body, trace.clone());
    }
    if !changes.is_empty() {
        let body = proto::TicketChanged {
            ticket: Some(ticket.state()),
            changes,
            actor: Some(by.clone()),
            change_time: Some(to_proto_time(now)),
            reason: reason.to_owned(),
        };
        events.add(&body, trace);
    }
    true
}

/// Tells a change of a locked ticket that nothing but its version shows, and stores it.
pub async fn tell_alone(
    tx: &mut PgConnection,
    ticket: &mut Ticket,
    changes: Vec<proto::FieldChange>,
    (by, reason): (&Actor, &str),
    (mut events, rng): (EventSink<'_>, &dyn Rng),
    now: Timestamp,
) -> Result<(), TicketError> {
    ticket.touched = true;
    ticket.touch(now, false);
    let body = proto::TicketChanged {
        ticket: Some(ticket.state()),
        changes,
        actor: Some(by.clone()),
        change_time: Some(to_proto_time(now)),
        reason: reason.to_owned(),
    };
    events.add(&body, TraceContext::current());
    model::update(tx, &[ticket]).await?;
    activity::commit(tx, events.rows(), rng, now).await
}

/// What differs, and whether a router decides on it. Of a subject only that it did: events carry nobody's words.
fn differences(before: &Ticket, after: &Ticket) -> (Vec<proto::FieldChange>, bool) {
    let mut changes = Vec::new();
    if before.status != after.status {
        changes.push(change("status", &before.status, &after.status));
    }
    if before.held_substatus() != after.held_substatus() {
        let (from, to) = (before.held_substatus(), after.held_substatus());
        changes.push(change("substatus", &from, &to));
    }
    if before.priority != after.priority {
        changes.push(change("priority", &before.priority, &after.priority));
    }
    if before.category != after.category {
        changes.push(change("category", &before.category, &after.category));
    }
    for tag in before.tags.iter().filter(|tag| !after.tags.contains(tag)) {
        changes.push(change("tags", tag, &""));
    }
    for tag in after.tags.iter().filter(|tag| !before.tags.contains(tag)) {
        changes.push(change("tags", &"", tag));
    }
    let keys: BTreeSet<&String> = before.fields.keys().chain(after.fields.keys()).collect();
    for key in keys {
        let value = |of: &Values| of.get(key).map(|it| it.join(",")).unwrap_or_default();
        if before.fields.get(key) != after.fields.get(key) {
            let (from, to) = (value(&before.fields), value(&after.fields));
            changes.push(change(&format!("fields.{key}"), &from, &to));
        }
    }
    if before.organization_ids != after.organization_ids {
        let text = |of: &Ticket| of.organization_texts().join(",");
        changes.push(change("organization_ids", &text(before), &text(after)));
    }
    let routed = !changes.is_empty();
    if before.subject != after.subject {
        changes.push(change("subject", &"", &""));
    }
    if before.parent_id != after.parent_id {
        let text = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let (from, to) = (text(before.parent_id), text(after.parent_id));
        changes.push(change("parent_id", &from, &to));
    }
    if before.restricted_to != after.restricted_to {
        let names = |of: &Ticket| -> Vec<String> {
            let named = of.restricted_to.iter().flatten();
            named.map(Uuid::to_string).collect()
        };
        let (from, to) = (names(before).join(","), names(after).join(","));
        changes.push(change("restricted", &from, &to));
    }
    if before.sleeps() != after.sleeps() {
        let (from, to) = (snooze_text(before.sleeps()), snooze_text(after.sleeps()));
        changes.push(change("snooze", &from, &to));
    }
    (changes, routed)
}

/// A snooze as events tell of it: until when, `customer`, or nothing.
pub fn snooze_text(snooze: Option<Snooze>) -> String {
    match snooze {
        None => String::new(),
        Some(Snooze(None)) => "customer".to_owned(),
        Some(Snooze(Some(at))) => at.to_string(),
    }
}
