//! Applies a macro: all of its steps in one transaction, or none.
//!
//! Each step is the change that a person could make by hand, through the same functions, so that no rule can be gone
//! around with a macro.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use solmu_domain::ticket::Status;
use solmu_proto::{
    ticket::v1::{FailedStep, Macro, MacroMessage, MacroOwner, macro_step::Step},
    types::v1::{Actor, actor::Kind},
};
use solmu_runtime::{ApiError, access::Caller, request::optional_uuid};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{canned, items};
use crate::{
    command::{self, Writing, lock_one},
    context::Context,
    edit::{self, Edit, Update},
    error::TicketError,
    model::{Ticket, priority_from_proto},
};

/// A macro on a ticket, as somebody asked for it.
#[derive(Debug, Clone)]
pub(crate) struct Applying {
    pub(crate) ticket: Uuid,
    pub(crate) macro_id: String,
    pub(crate) etag: String,
    pub(crate) request_id: Option<String>,
    pub(crate) seen: Option<i64>,
    pub(crate) forced: bool,
    pub(crate) by: Actor,
    pub(crate) caller: Caller,
}

/// Takes the steps; returns the messages that were written. The same request id takes them once.
pub(crate) async fn apply(
    context: &Arc<Context>,
    applying: Applying,
) -> Result<Vec<Uuid>, ApiError> {
    let applying = Arc::new(applying);
    context
        .db
        .tx("ticket.apply_macro", |tx| {
            let (context, applying) = (context.clone(), applying.clone());
            Box::pin(async move { apply_in(tx, &context, &applying).await })
        })
        .await
}

async fn apply_in(
    tx: &mut PgConnection,
    context: &Context,
    applying: &Applying,
) -> Result<Vec<Uuid>, ApiError> {
    let ticket = lock_one(tx, applying.ticket).await?;
    if let Some(request_id) = &applying.request_id {
        let asked = Sha256::digest(format!("{}\0{}", applying.macro_id, applying.etag)).to_vec();
        let now = context.clock.now();
        if edit::is_repeat(tx, ticket.id, request_id, &asked, now).await? {
            return written(tx, ticket.id, request_id).await;
        }
    }
    if !applying.etag.is_empty() && applying.etag != ticket.etag() {
        let current = ticket.version;
        return Err(TicketError::Stale { current }.into());
    }
    let steps: Macro = items::get(&mut *tx, &applying.caller, &applying.macro_id).await?;
    canned::same_team(&steps.team_id, &ticket)?;
    let mut messages = Vec::new();
    for (index, step) in steps.steps.into_iter().enumerate() {
        let place = i32::try_from(index).unwrap_or(i32::MAX);
        let taken = take(tx, context, applying, step.step, place).await;
        let failed = FailedStep { step: place };
        messages.extend(
            taken.map_err(|error| error.with_detail("solmu.ticket.v1.FailedStep", &failed))?,
        );
    }
    Ok(messages)
}

/// Takes one step; returns the message that it wrote.
async fn take(
    tx: &mut PgConnection,
    context: &Context,
    applying: &Applying,
    step: Option<Step>,
    place: i32,
) -> Result<Option<Uuid>, ApiError> {
    // As the steps before left it.
    let ticket = lock_one(tx, applying.ticket).await?;
    let edit = match step {
        None => Edit::default(),
        Some(Step::Reply(message)) => {
            let status = match message.set_status {
                0 => Status::WaitingOnCustomer,
                code => canned::status_of(code).unwrap_or(Status::WaitingOnCustomer),
            };
            let id = write(
                tx,
                context,
                applying,
                &ticket,
                message,
                (Some(status), place),
            )
            .await?;
            return Ok(Some(id));
        }
        Some(Step::Note(message)) => {
            let id = write(tx, context, applying, &ticket, message, (None, place)).await?;
            return Ok(Some(id));
        }
        Some(Step::SetStatus(code)) => Edit {
            status: canned::status_of(code),
            ..Edit::default()
        },
        Some(Step::SetPriority(code)) => Edit {
            priority: code.try_into().ok().and_then(priority_from_proto),
            ..Edit::default()
        },
        Some(Step::SetCategory(category)) => Edit {
            category: Some(category),
            ..Edit::default()
        },
        Some(Step::AddTag(tag)) => {
            let tags = ticket.tags.iter().cloned().chain([tag]).collect();
            tags_to(tags)
        }
        Some(Step::RemoveTag(tag)) => {
            let tags = ticket.tags.iter().filter(|it| **it != tag).cloned();
            tags_to(tags.collect())
        }
        Some(Step::SetField(value)) => Edit {
            fields: [(value.key, value.values)].into_iter().collect(),
            ..Edit::default()
        },
        Some(Step::Assign(owner)) => owner_to(&owner, &applying.by)?,
    };
    let update = Update {
        ticket: ticket.id,
        edit,
        parent: None,
        etag: String::new(),
        request: None,
        by: applying.by.clone(),
    };
    edit::update_in(tx, context, &update).await?;
    Ok(None)
}

fn tags_to(tags: Vec<String>) -> Edit {
    Edit {
        tags: Some(tags),
        ..Edit::default()
    }
}

fn owner_to(owner: &MacroOwner, by: &Actor) -> Result<Edit, ApiError> {
    let me = by.kind() == Kind::Agent;
    let agent = if owner.to_me {
        let id = Uuid::parse_str(&by.id).ok().filter(|_| me);
        let nobody = || ApiError::FailedPrecondition {
            reason: "NOT_AN_AGENT",
            message: "the caller is no agent: nobody can be given the ticket".to_owned(),
        };
        Some(id.ok_or_else(nobody)?)
    } else {
        optional_uuid("agent_id", &owner.agent_id)?
    };
    let team = optional_uuid("team_id", &owner.team_id)?;
    Ok(Edit {
        assignee: Some(agent),
        team: team.map(Some),
        ..Edit::default()
    })
}

async fn write(
    tx: &mut PgConnection,
    context: &Context,
    applying: &Applying,
    ticket: &Ticket,
    message: MacroMessage,
    (answer, place): (Option<Status>, i32),
) -> Result<Uuid, ApiError> {
    let by = &applying.by;
    let text = if message.canned_answer_id.is_empty() {
        canned::fill_in(tx, &message.text, ticket, by).await?
    } else {
        canned::render(tx, &applying.caller, &message.canned_answer_id, ticket, by).await?
    };
    let request_id = applying.request_id.as_ref();
    let writing = Writing {
        ticket: ticket.id,
        text: crate::api::tickets::checked_text(&text)?,
        request_id: request_id.map(|id| message_request(id, place)),
        author: by.clone(),
        answer,
        forced: applying.forced,
        seen: applying.seen,
    };
    Ok(command::write_in(tx, context, &writing).await?)
}

/// The request id of the message of a step.
fn message_request(request_id: &str, place: i32) -> String {
    format!("{request_id}/step-{place}")
}

/// What a macro wrote under a request id.
async fn written(
    tx: &mut PgConnection,
    ticket: Uuid,
    request_id: &str,
) -> Result<Vec<Uuid>, ApiError> {
    let wanted: Vec<String> = (0..20)
        .map(|place| message_request(request_id, place))
        .collect();
    let ids = sqlx::query_scalar(
        "SELECT id FROM tickets.message WHERE ticket_id = $1 AND request_id = ANY($2) ORDER BY sequence",
    )
    .bind(ticket)
    .bind(wanted)
    .fetch_all(tx)
    .await;
    Ok(ids.map_err(TicketError::from)?)
}
