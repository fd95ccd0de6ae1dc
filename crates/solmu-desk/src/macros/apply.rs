//! Applies a macro: all of its steps in one transaction, or none.
//!
//! Each step is the change that a person could make by hand, through the same functions, so that no rule can be gone
//! around with a macro. Its name is the reason of all that it does.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use solmu_domain::ticket::Status;
use solmu_proto::{
    ticket::v1::{FailedStep, Macro, MacroMessage, MacroOwner, Ticket, macro_step::Step},
    types::v1::{Actor, actor::Kind},
};
use solmu_runtime::{ApiError, access::Caller, request::optional_uuid};
use solmu_tickets::{
    TicketError,
    desk::{Content, Strangers, Writing, checked_text},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::status_of;
use crate::{context::Context, items, texts};

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

impl Applying {
    /// What is the same in the same call under a request id.
    fn words(&self) -> String {
        let seen = self.seen.unwrap_or_default();
        let (id, etag, forced) = (&self.macro_id, &self.etag, self.forced);
        format!("macro\0{id}\0{etag}\0{seen}\0{forced}")
    }
}

/// What all steps of one macro have in common.
struct Steps<'a> {
    context: &'a Context,
    applying: &'a Applying,
    /// Who is not there.
    strangers: &'a Strangers,
    /// What the log says why.
    reason: String,
}

/// A change as `UpdateTicket` takes it: values, and the paths of what is changed.
#[derive(Default)]
struct Edit {
    ticket: Ticket,
    mask: Vec<String>,
}

impl Edit {
    fn of(path: impl Into<String>, ticket: Ticket) -> Self {
        Self {
            ticket,
            mask: vec![path.into()],
        }
    }
}

/// Takes the steps; returns the messages that were written. The same request id takes them once.
pub(crate) async fn apply(
    context: &Arc<Context>,
    applying: Applying,
) -> Result<Vec<Uuid>, ApiError> {
    let strangers = Arc::new(strangers(context, &applying).await?);
    let applying = Arc::new(applying);
    context
        .db
        .tx("ticket.apply_macro", |tx| {
            let (context, applying) = (context.clone(), applying.clone());
            let strangers = strangers.clone();
            Box::pin(async move { apply_in(tx, &context, &applying, &strangers).await })
        })
        .await
}

/// Whom the macro gives tickets to who is not there: they may have been removed since it was made. A macro that is not
/// there is found out later, as a repeat has its answer without it.
async fn strangers(context: &Context, applying: &Applying) -> Result<Strangers, ApiError> {
    let mut connection = context.connection().await?;
    let found: Result<Macro, _> =
        items::get(&mut connection, &applying.caller, &applying.macro_id).await;
    // Given back before the network is asked.
    drop(connection);
    let named = found.map(|it| super::assigns(&it)).unwrap_or_default();
    Ok(context.hands.strangers(&named).await)
}

async fn apply_in(
    tx: &mut PgConnection,
    context: &Context,
    applying: &Applying,
    strangers: &Strangers,
) -> Result<Vec<Uuid>, ApiError> {
    let held = context.hands.hold(tx, applying.ticket).await?;
    if let Some(request_id) = &applying.request_id {
        let asked = Sha256::digest(applying.words()).to_vec();
        if context
            .hands
            .is_repeat(tx, &held, request_id, &asked)
            .await?
        {
            return written(tx, held.id(), request_id).await;
        }
    }
    let ticket = held.view();
    if !applying.etag.is_empty() && applying.etag != ticket.etag {
        let current = ticket.version;
        return Err(TicketError::Stale { current }.into());
    }
    let found: Macro = items::get(&mut *tx, &applying.caller, &applying.macro_id).await?;
    texts::same_team(&found.team_id, &ticket)?;
    let steps = Steps {
        context,
        applying,
        strangers,
        reason: format!("macro '{}'", found.name),
    };
    let mut messages = Vec::new();
    for (index, step) in found.steps.into_iter().enumerate() {
        let place = i32::try_from(index).unwrap_or(i32::MAX);
        let taken = steps.take(tx, step.step, place).await;
        let failed = FailedStep { step: place };
        messages.extend(
            taken.map_err(|error| error.with_detail("solmu.ticket.v1.FailedStep", &failed))?,
        );
    }
    Ok(messages)
}

impl Steps<'_> {
    /// Takes one step; returns the message that it wrote.
    async fn take(
        &self,
        tx: &mut PgConnection,
        step: Option<Step>,
        place: i32,
    ) -> Result<Option<Uuid>, ApiError> {
        // As the steps before left it.
        let held = self.context.hands.hold(tx, self.applying.ticket).await?;
        let ticket = held.view();
        let edit = match step {
            None => Edit::default(),
            Some(Step::Reply(message)) => {
                let asked = status_of(message.set_status);
                let status = asked.unwrap_or(Status::WaitingOnCustomer);
                let id = self
                    .write(tx, &ticket, message, Some(status), place)
                    .await?;
                return Ok(Some(id));
            }
            Some(Step::Note(message)) => {
                let id = self.write(tx, &ticket, message, None, place).await?;
                return Ok(Some(id));
            }
            Some(step) => self.edit(step, ticket)?,
        };
        let change = (&edit.ticket, edit.mask.as_slice(), self.strangers);
        let why = (&self.applying.by, self.reason.as_str());
        self.context.hands.edit(tx, held.id(), change, why).await?;
        Ok(None)
    }

    /// What a step that writes nothing changes.
    fn edit(&self, step: Step, before: Ticket) -> Result<Edit, ApiError> {
        let blank = Ticket::default();
        Ok(match step {
            Step::SetStatus(status) => Edit::of("status", Ticket { status, ..blank }),
            Step::SetPriority(priority) => Edit::of("priority", Ticket { priority, ..blank }),
            Step::SetCategory(category) => Edit::of("category", Ticket { category, ..blank }),
            Step::AddTag(tag) => {
                let tags = before.tags.into_iter().chain([tag]).collect();
                Edit::of("tags", Ticket { tags, ..blank })
            }
            Step::RemoveTag(tag) => {
                let tags = before.tags.into_iter().filter(|it| *it != tag).collect();
                Edit::of("tags", Ticket { tags, ..blank })
            }
            Step::SetField(value) => {
                let path = format!("fields.{}", value.key);
                let fields = vec![value];
                Edit::of(path, Ticket { fields, ..blank })
            }
            Step::Assign(owner) => owner_to(&owner, &self.applying.by)?,
            Step::Reply(_) | Step::Note(_) => Edit::default(),
        })
    }

    async fn write(
        &self,
        tx: &mut PgConnection,
        ticket: &Ticket,
        message: MacroMessage,
        answer: Option<Status>,
        place: i32,
    ) -> Result<Uuid, ApiError> {
        let (applying, by) = (self.applying, &self.applying.by);
        let text = if message.canned_answer_id.is_empty() {
            texts::fill_in(tx, &message.text, ticket, by).await?
        } else {
            let id = &message.canned_answer_id;
            texts::render(tx, &applying.caller, id, ticket, by).await?
        };
        let request_id = applying.request_id.as_ref();
        let writing = Writing {
            ticket: applying.ticket,
            text: checked_text(&text)?,
            request_id: request_id.map(|id| message_request(id, place)),
            author: by.clone(),
            answer,
            forced: applying.forced,
            seen: applying.seen,
            content: Content::default(),
        };
        let hands = &self.context.hands;
        Ok(hands.write(tx, &writing, &self.reason).await?)
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
    let mut edit = Edit::of(
        "assignee_id",
        Ticket {
            assignee_id: agent.map(|id| id.to_string()).unwrap_or_default(),
            team_id: owner.team_id.clone(),
            ..Ticket::default()
        },
    );
    if optional_uuid("team_id", &owner.team_id)?.is_some() {
        edit.mask.push("team_id".to_owned());
    }
    Ok(edit)
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
