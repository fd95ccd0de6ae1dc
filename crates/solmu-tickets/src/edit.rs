//! Changes several fields of a ticket at once: all of them, or none.
//!
//! What changed is the difference of the ticket before and after, so that no change can be made without being told, and
//! nothing is told that was set to what it was.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::ToSqlx as _;
use solmu_domain::ticket::{Priority, Status};
use solmu_proto::{
    ticket::v1 as proto,
    types::v1::{Actor, actor::Kind},
};
use solmu_runtime::api_error::Violation;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    command::{Change, lock_one},
    context::Context,
    decide::close_time,
    error::TicketError,
    events::{EventSink, assigned, change},
    fields, hierarchy,
    model::{self, Ticket, Values},
    restrict, substatus,
};

/// Longest subject, in bytes.
const MAX_SUBJECT: usize = 1_000;
/// Tags of a ticket, and the longest one, in bytes.
const MAX_TAGS: usize = 100;
const MAX_TAG: usize = 100;
/// Organisations of a ticket.
const MAX_ORGANIZATIONS: usize = 20;

/// What is to be changed; `None` and keys that are not there: left as it is.
#[derive(Debug, Clone, Default)]
#[expect(clippy::option_option, reason = "left as it is, emptied, or set")]
pub(crate) struct Edit {
    pub(crate) subject: Option<String>,
    pub(crate) status: Option<Status>,
    /// Empty: none.
    pub(crate) substatus: Option<String>,
    pub(crate) priority: Option<Priority>,
    pub(crate) category: Option<String>,
    pub(crate) tags: Option<Vec<String>>,
    /// By key, as somebody wrote them. No value: removed.
    pub(crate) fields: Values,
    /// Fields that `fields` does not name lose their values.
    pub(crate) replace_fields: bool,
    pub(crate) team: Option<Option<Uuid>>,
    pub(crate) assignee: Option<Option<Uuid>>,
    pub(crate) organizations: Option<BTreeSet<Uuid>>,
}

impl From<Change> for Edit {
    fn from(change: Change) -> Self {
        match change {
            Change::Status(status) => Self {
                status: Some(status),
                ..Self::default()
            },
            Change::Priority(priority) => Self {
                priority: Some(priority),
                ..Self::default()
            },
            Change::Owner { agent, team } => Self {
                assignee: Some(agent),
                team: team.map(Some),
                ..Self::default()
            },
        }
    }
}

/// A change of one ticket, as somebody asked for it.
#[derive(Debug, Clone)]
#[expect(clippy::option_option, reason = "left as it is, emptied, or set")]
pub(crate) struct Update {
    pub(crate) ticket: Uuid,
    pub(crate) edit: Edit,
    /// The ticket that it becomes a part of, or that it is none any more.
    pub(crate) parent: Option<Option<Uuid>>,
    /// Of the version that was looked at; empty: whatever it is.
    pub(crate) etag: String,
    /// Request id, and a digest of what was asked under it.
    pub(crate) request: Option<(String, Vec<u8>)>,
    pub(crate) by: Actor,
}

/// Makes the change; the same request id makes it once.
pub(crate) async fn update(context: &Arc<Context>, update: Update) -> Result<(), TicketError> {
    let update = Arc::new(update);
    context
        .db
        .tx("ticket.update", |tx| {
            let (context, update) = (context.clone(), update.clone());
            Box::pin(async move { update_in(tx, &context, &update).await })
        })
        .await
}

pub(crate) async fn update_in(
    tx: &mut PgConnection,
    context: &Context,
    update: &Update,
) -> Result<(), TicketError> {
    update_because(tx, context, update, "by hand").await
}

/// As [`update_in`], with the reason that is told.
pub(crate) async fn update_because(
    tx: &mut PgConnection,
    context: &Context,
    update: &Update,
    reason: &str,
) -> Result<(), TicketError> {
    let now = context.clock.now();
    if update.parent.is_some() {
        hierarchy::guard(tx).await?;
    }
    let (mut ticket, mut parent) = match update.parent.flatten() {
        Some(parent) => {
            let (ticket, parent) = hierarchy::lock_pair(tx, update.ticket, parent).await?;
            (ticket, Some(parent))
        }
        None => (lock_one(tx, update.ticket).await?, None),
    };
    if let Some((id, digest)) = &update.request
        && is_repeat(tx, update.ticket, id, digest, now).await?
    {
        return Ok(());
    }
    if !update.etag.is_empty() && update.etag != ticket.etag() {
        return Err(TicketError::Stale {
            current: ticket.version,
        });
    }
    let before = ticket.clone();
    if update.parent.is_some() {
        hierarchy::attach(tx, &mut ticket, parent.as_mut(), update.edit.status).await?;
    }
    set(tx, context, &mut ticket, &update.edit, now).await?;
    if update.parent.flatten().is_some() {
        restrict::inherit(tx, &mut ticket, parent.as_ref()).await?;
    }
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    if tell(&before, &mut ticket, &update.by, reason, now, &mut events) {
        ticket.touched = true;
        let all: Vec<&Ticket> = [&ticket].into_iter().chain(&parent).collect();
        model::update(tx, &all).await?;
        activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    }
    Ok(())
}

/// Whether the change was made already. The ticket is locked, so of many at once one is the first.
pub(crate) async fn is_repeat(
    tx: &mut PgConnection,
    ticket: Uuid,
    request_id: &str,
    digest: &[u8],
    now: Timestamp,
) -> Result<bool, TicketError> {
    let known: Option<Vec<u8>> = sqlx::query_scalar(
        "SELECT digest FROM tickets.change_request WHERE ticket_id = $1 AND request_id = $2",
    )
    .bind(ticket)
    .bind(request_id)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(known) = known {
        let same = known == digest;
        return same.then_some(true).ok_or_else(|| {
            let why = "the request id was used for another change of this ticket: take a new one";
            TicketError::refused("REQUEST_ID_REUSED", why)
        });
    }
    sqlx::query("INSERT INTO tickets.change_request (ticket_id, request_id, digest, created_at) VALUES ($1, $2, $3, $4)")
        .bind(ticket)
        .bind(request_id)
        .bind(digest)
        .bind(now.to_sqlx())
        .execute(tx)
        .await?;
    Ok(false)
}

/// Sets what `edit` names on a locked ticket, or says everything that is wrong with it. What changed is told by [`tell`].
pub(crate) async fn set(
    tx: &mut PgConnection,
    context: &Context,
    ticket: &mut Ticket,
    edit: &Edit,
    now: Timestamp,
) -> Result<(), TicketError> {
    let mut wrong = Vec::new();
    set_words(ticket, edit, &mut wrong);
    set_values(tx, ticket, edit, &mut wrong).await?;
    if let Some(wanted) = &edit.organizations {
        ticket.organization_ids = wanted.iter().copied().collect();
        if wanted.len() > MAX_ORGANIZATIONS {
            let why = format!("more than {MAX_ORGANIZATIONS}");
            wrong.push(Violation::new("ticket.organization_ids", why));
        } else if let Some(id) = fields::unknown(tx, &ticket.organization_ids).await? {
            let why = format!("there is no organization '{id}'");
            wrong.push(Violation::new("ticket.organization_ids", why));
        }
    }
    if !wrong.is_empty() {
        return Err(TicketError::Invalid(wrong));
    }
    ticket.priority = edit.priority.unwrap_or(ticket.priority);
    ticket.assignee_id = edit.assignee.unwrap_or(ticket.assignee_id);
    ticket.team_id = edit.team.unwrap_or(ticket.team_id);
    if edit.assignee.is_some() || edit.team.is_some() {
        restrict::check_owner(tx, ticket).await?;
    }
    if let Some(status) = substatus::set(tx, ticket, edit).await? {
        let status = ticket.status.move_to(status)?;
        check_finish(tx, ticket, status).await?;
        ticket.close_at = close_time(status, now, context.config.close_after_days);
        ticket.status = status;
    }
    Ok(())
}

fn set_words(ticket: &mut Ticket, edit: &Edit, wrong: &mut Vec<Violation>) {
    if let Some(subject) = &edit.subject {
        let subject = subject.trim();
        if subject.is_empty() || subject.len() > MAX_SUBJECT || subject.contains(char::is_control) {
            let why = format!("expected 1 to {MAX_SUBJECT} bytes on one line");
            wrong.push(Violation::new("ticket.subject", why));
        }
        subject.clone_into(&mut ticket.subject);
    }
    if let Some(category) = &edit.category {
        match fields::category(category) {
            Ok(category) => ticket.category = category,
            Err(why) => wrong.push(Violation::new("ticket.category", why)),
        }
    }
    if let Some(tags) = &edit.tags {
        let mut kept: Vec<String> = Vec::new();
        for tag in tags.iter().map(|tag| tag.trim()) {
            if tag.is_empty() || tag.len() > MAX_TAG || tag.contains(char::is_control) {
                let why = format!("a tag has 1 to {MAX_TAG} bytes on one line");
                wrong.push(Violation::new("ticket.tags", why));
            } else if !kept.iter().any(|known| known == tag) {
                kept.push(tag.to_owned());
            }
        }
        if kept.len() > MAX_TAGS {
            let why = format!("more than {MAX_TAGS}");
            wrong.push(Violation::new("ticket.tags", why));
        }
        ticket.tags = kept;
    }
}

async fn set_values(
    tx: &mut PgConnection,
    ticket: &mut Ticket,
    edit: &Edit,
    wrong: &mut Vec<Violation>,
) -> Result<(), TicketError> {
    if edit.replace_fields {
        ticket.fields.retain(|key, _| edit.fields.contains_key(key));
    }
    if edit.fields.is_empty() {
        return Ok(());
    }
    let definitions = fields::definitions(tx).await?;
    for (key, values) in &edit.fields {
        // What is there already is not judged again: the definition may have changed.
        if ticket.fields.get(key) == Some(values) {
            continue;
        }
        let checked = match definitions.get(key) {
            Some(definition) => fields::canonical(definition, values),
            None => Err("there is no such field".to_owned()),
        };
        match checked {
            Ok(values) if values.is_empty() => drop(ticket.fields.remove(key)),
            Ok(values) => drop(ticket.fields.insert(key.clone(), values)),
            Err(why) => wrong.push(Violation::new(format!("ticket.fields.{key}"), why)),
        }
    }
    Ok(())
}

/// Whether a locked ticket may go to `status` by hand: one that is over has the values that it must have, and no open
/// sub-ticket.
pub(crate) async fn check_finish(
    tx: &mut PgConnection,
    ticket: &Ticket,
    status: Status,
) -> Result<(), TicketError> {
    if status.is_open() || status == ticket.status {
        return Ok(());
    }
    if ticket.status.is_open() {
        let definitions = fields::definitions(tx).await?;
        let missing = definitions.values().filter(|it| {
            it.required && it.archived_at.is_none() && !ticket.fields.contains_key(&it.key)
        });
        let missing: Vec<&str> = missing.map(|it| it.key.as_str()).collect();
        if !missing.is_empty() {
            let why = format!("a {status} ticket must have: {}", missing.join(", "));
            return Err(TicketError::refused("FIELDS_REQUIRED", why));
        }
    }
    let open = hierarchy::open_children(tx, &[ticket.id]).await?;
    if open.is_empty() {
        return Ok(());
    }
    let numbers: Vec<String> = open
        .iter()
        .map(|child| format!("#{}", child.number))
        .collect();
    let why = format!("sub-tickets are open: {}", numbers.join(", "));
    Err(TicketError::refused("SUBTICKETS_OPEN", why))
}

/// Tells how `ticket` differs from `before`, and counts the change; false if it does not.
pub(crate) fn tell(
    before: &Ticket,
    ticket: &mut Ticket,
    by: &Actor,
    reason: &str,
    now: Timestamp,
    events: &mut EventSink<'_>,
) -> bool {
    let (changes, mut routed) = differences(before, ticket);
    let owner = (before.assignee_id, before.team_id);
    let moved = owner != (ticket.assignee_id, ticket.team_id);
    if changes.is_empty() && !moved {
        return false;
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
        let text = |of: &Ticket| match of.sleeps() {
            None => String::new(),
            Some(model::Snooze(None)) => "customer".to_owned(),
            Some(model::Snooze(Some(at))) => at.to_string(),
        };
        changes.push(change("snooze", &text(before), &text(after)));
    }
    (changes, routed)
}
