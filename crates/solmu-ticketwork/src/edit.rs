//! Changes several fields of a ticket at once: all of them, or none. What changed is told as [`crate::change`] finds it.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use solmu_domain::ticket::{Priority, Status};
use solmu_proto::types::v1::Actor;
use solmu_runtime::api_error::Violation;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    change::{check_finish, close_time, is_repeat, tell},
    command::Change,
    context::Context,
    error::TicketError,
    events::EventSink,
    fields, hierarchy,
    looked::Looked,
    model::{self, Ticket, Values, lock_one},
    restrict,
    strangers::{Named, Roster, Strangers},
    substatus,
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
pub struct Edit {
    /// What it is about.
    pub subject: Option<String>,
    /// Where it goes.
    pub status: Option<Status>,
    /// Empty: none.
    pub substatus: Option<String>,
    /// How much it presses.
    pub priority: Option<Priority>,
    /// As somebody wrote it; empty: none.
    pub category: Option<String>,
    /// All that it has then.
    pub tags: Option<Vec<String>>,
    /// By key, as somebody wrote them. No value: removed.
    pub fields: Values,
    /// Fields that `fields` does not name lose their values.
    pub replace_fields: bool,
    /// The team that it is with.
    pub team: Option<Option<Uuid>>,
    /// The agent who owns it.
    pub assignee: Option<Option<Uuid>>,
    /// All that it is of.
    pub organizations: Option<BTreeSet<Uuid>>,
    /// Who of the above is not there, as [`Edit::look_up`] found.
    pub strangers: Strangers,
}

impl Edit {
    /// Finds out whether the agent and the team are there, which the fields `agent` and `team` of the request name. No
    /// transaction may be open.
    pub async fn look_up(&mut self, roster: &Roster, (agent, team): (&str, &str)) {
        let (assignee, in_team) = (self.assignee.flatten(), self.team.flatten());
        let named = Named::owner((assignee, agent), (in_team, team));
        self.strangers = roster.strangers(&named).await;
    }

    /// What is wrong with the owner that it gives to `ticket`; what the ticket has already is not judged again.
    fn wrong_owner(&self, ticket: &Ticket) -> Vec<Violation> {
        let agent = self.assignee.flatten();
        let team = self.team.flatten();
        let new: Vec<Uuid> = agent
            .filter(|_| agent != ticket.assignee_id)
            .into_iter()
            .chain(team.filter(|_| team != ticket.team_id))
            .collect();
        self.strangers.among(&new)
    }
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
pub struct Update {
    /// The ticket.
    pub ticket: Uuid,
    /// What is to be changed.
    pub edit: Edit,
    /// The ticket that it becomes a part of, or that it is none any more.
    pub parent: Option<Option<Uuid>>,
    /// Of the version that was looked at; empty: whatever it is.
    pub etag: String,
    /// Request id, and a digest of what was asked under it.
    pub request: Option<(String, Vec<u8>)>,
    /// Who wants it.
    pub by: Actor,
}

/// Makes the change; the same request id makes it once.
pub async fn update(context: &Arc<Context>, update: Update) -> Result<(), TicketError> {
    let update = Arc::new(update);
    context
        .db
        .tx("ticket.update", |tx| {
            let (context, update) = (context.clone(), update.clone());
            Box::pin(async move { update_in(tx, &context, &update).await })
        })
        .await
}

async fn update_in(
    tx: &mut PgConnection,
    context: &Context,
    update: &Update,
) -> Result<(), TicketError> {
    update_because(tx, context, update, "by hand").await
}

/// As [`update_in`], with the reason that is told.
pub async fn update_because(
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
    let looked = &mut Looked::default();
    set(tx, context, looked, &mut ticket, &update.edit, now).await?;
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
        let held = vec![&mut ticket];
        restrict::later::changed(tx, looked, &before, held, &mut events, now).await?;
        let all: Vec<&Ticket> = [&ticket].into_iter().chain(&parent).collect();
        model::update(tx, &all).await?;
        activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    }
    Ok(())
}

/// Sets what `edit` names on a locked ticket, or says everything that is wrong with it. What changed is told by [`tell`].
pub async fn set(
    tx: &mut PgConnection,
    context: &Context,
    looked: &mut Looked,
    ticket: &mut Ticket,
    edit: &Edit,
    now: Timestamp,
) -> Result<(), TicketError> {
    let mut wrong = edit.wrong_owner(ticket);
    set_words(ticket, edit, &mut wrong);
    set_values(tx, looked, ticket, edit, &mut wrong).await?;
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
        check_finish(tx, looked, ticket, status).await?;
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
    looked: &mut Looked,
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
    let definitions = looked.definitions(tx).await?;
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
