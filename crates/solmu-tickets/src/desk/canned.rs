//! Canned answers, and what fills them in.

use solmu_proto::{
    ticket::v1::{CannedAnswer, Macro, MacroMessage, macro_step::Step},
    types::v1::Actor,
};
use solmu_runtime::{ApiError, access::Caller, api_error::Violation};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    items::{self, Item},
    template::{self, AgentValues, ContactValues, TicketValues, Unusable, Values},
};
use crate::{
    error::TicketError,
    model::{Ticket, priority_from_proto, status_from_proto},
};

/// Steps of a macro at most.
const MAX_STEPS: usize = 20;

impl Item for CannedAnswer {
    const KIND: i16 = 1;
    const RESOURCE: &'static str = "canned answer";
    const FIELD: &'static str = "canned_answer";
    items::head!();

    fn faults(&self) -> Vec<Violation> {
        let mut faults = fault_of("canned_answer.text", &self.text);
        if self.language.len() > 35 || self.language.contains(char::is_control) {
            let why = "not a language tag, as \"fi\" or \"sv-FI\"";
            faults.push(Violation::new("canned_answer.language", why));
        }
        faults
    }
}

impl Item for Macro {
    const KIND: i16 = 2;
    const RESOURCE: &'static str = "macro";
    const FIELD: &'static str = "macro";
    items::head!();

    fn faults(&self) -> Vec<Violation> {
        let mut faults = Vec::new();
        if self.steps.is_empty() || self.steps.len() > MAX_STEPS {
            faults.push(Violation::new(
                "macro.steps",
                format!("1 to {MAX_STEPS} steps"),
            ));
        }
        let replies = self
            .steps
            .iter()
            .filter(|it| matches!(it.step, Some(Step::Reply(_))));
        if replies.count() > 1 {
            faults.push(Violation::new("macro.steps", "more than one reply"));
        }
        for (index, step) in self.steps.iter().enumerate() {
            faults.extend(step_faults(
                &format!("macro.steps[{index}]"),
                step.step.as_ref(),
            ));
        }
        faults
    }
}

fn fault_of(field: &str, source: &str) -> Vec<Violation> {
    let empty = source.trim().is_empty().then(|| "is empty".to_owned());
    let fault = empty.or_else(|| template::check(source).err().map(|it| it.to_string()));
    fault
        .map(|why| Violation::new(field, why))
        .into_iter()
        .collect()
}

/// What can be said of a step before there is a ticket; the rest shows when it is taken.
fn step_faults(field: &str, step: Option<&Step>) -> Vec<Violation> {
    let wrong = |bad: bool, why: &str| -> Vec<Violation> {
        bad.then(|| Violation::new(field, why))
            .into_iter()
            .collect()
    };
    match step {
        None => wrong(true, "says nothing"),
        Some(Step::SetStatus(_)) => {
            let known = matches!(step, Some(Step::SetStatus(it)) if status_of(*it).is_some());
            wrong(!known, "there is no such status")
        }
        Some(Step::SetPriority(it)) => {
            let known = (*it).try_into().ok().and_then(priority_from_proto);
            wrong(known.is_none(), "there is no such priority")
        }
        Some(Step::AddTag(tag) | Step::RemoveTag(tag)) => {
            wrong(tag.trim().is_empty(), "names no tag")
        }
        Some(Step::SetField(value)) => wrong(value.key.is_empty(), "names no field"),
        Some(Step::Assign(owner)) => {
            let bad = [&owner.team_id, &owner.agent_id]
                .into_iter()
                .any(|id| !id.is_empty() && Uuid::parse_str(id).is_err());
            wrong(
                bad || (owner.to_me && !owner.agent_id.is_empty()),
                "names no team or agent, or two agents",
            )
        }
        Some(Step::Reply(text) | Step::Note(text)) => message_faults(field, text),
        Some(Step::SetCategory(_)) => Vec::new(),
    }
}

/// A status from the wire; `None` if it is none.
pub(super) fn status_of(code: i32) -> Option<solmu_domain::ticket::Status> {
    code.try_into().ok().and_then(status_from_proto)
}

fn message_faults(field: &str, message: &MacroMessage) -> Vec<Violation> {
    let bad_status = message.set_status != 0 && status_of(message.set_status).is_none();
    let both = message.canned_answer_id.is_empty() == message.text.is_empty();
    let bad_id =
        !message.canned_answer_id.is_empty() && Uuid::parse_str(&message.canned_answer_id).is_err();
    if both || bad_id || bad_status {
        let why = "a canned answer or a text, and a status that there is";
        return vec![Violation::new(field, why)];
    }
    if message.text.is_empty() {
        return Vec::new();
    }
    fault_of(field, &message.text)
}

/// The text of a canned answer for a ticket.
pub(super) async fn render(
    tx: &mut PgConnection,
    caller: &Caller,
    id: &str,
    ticket: &Ticket,
    by: &Actor,
) -> Result<String, ApiError> {
    let answer: CannedAnswer = items::get(&mut *tx, caller, id).await?;
    same_team(&answer.team_id, ticket)?;
    fill_in(tx, &answer.text, ticket, by).await
}

/// Fails unless an item of this team may be used on `ticket`.
pub(super) fn same_team(team: &str, ticket: &Ticket) -> Result<(), ApiError> {
    let of_ticket = ticket.team_id.map(|id| id.to_string()).unwrap_or_default();
    if team.is_empty() || team == of_ticket {
        return Ok(());
    }
    Err(ApiError::FailedPrecondition {
        reason: "OTHER_TEAM",
        message: "it is for tickets of another team".to_owned(),
    })
}

/// The text that a template gives for a ticket.
pub(super) async fn fill_in(
    tx: &mut PgConnection,
    source: &str,
    ticket: &Ticket,
    by: &Actor,
) -> Result<String, ApiError> {
    let values = values(tx, ticket, by).await?;
    template::render(source, &values).map_err(|error: Unusable| ApiError::FailedPrecondition {
        reason: "TEMPLATE_FAILED",
        message: error.to_string(),
    })
}

async fn values(tx: &mut PgConnection, ticket: &Ticket, by: &Actor) -> Result<Values, TicketError> {
    let (name, language, agent): (String, String, Option<String>) = sqlx::query_as(
        "SELECT display_name, language, (SELECT display_name FROM tickets.agent WHERE id = $2)
         FROM tickets.contact WHERE id = $1",
    )
    .bind(ticket.contact_id)
    .bind(Uuid::parse_str(&by.id).ok())
    .fetch_one(tx)
    .await?;
    // A contact without a name shows its address: nobody is greeted by that.
    let first = name.split_whitespace().next().unwrap_or_default();
    let first_name = if first.contains('@') { "" } else { first };
    Ok(Values {
        ticket: TicketValues {
            number: ticket.number,
            subject: ticket.subject.clone(),
            status: ticket.status.name().to_owned(),
            priority: ticket.priority.name().to_owned(),
            category: ticket.category.clone(),
        },
        contact: ContactValues {
            first_name: first_name.to_owned(),
            name,
            language,
        },
        agent: AgentValues {
            name: agent.unwrap_or_default(),
        },
    })
}
