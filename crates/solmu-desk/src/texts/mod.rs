//! Canned answers, and what fills in texts with variables.

pub(crate) mod template;

use solmu_proto::{
    ticket::v1::{CannedAnswer, Ticket},
    types::v1::{Actor, Priority, TicketStatus},
};
use solmu_runtime::{ApiError, access::Caller, api_error::Violation};
use solmu_tickets::TicketError;
use sqlx::PgConnection;
use uuid::Uuid;

use self::template::{AgentValues, ContactValues, TicketValues, Unusable, Values};
use crate::items::{self, Item};

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

/// What is wrong with a text that is filled in for a ticket.
pub(crate) fn fault_of(field: &str, source: &str) -> Vec<Violation> {
    let empty = source.trim().is_empty().then(|| "is empty".to_owned());
    let fault = empty.or_else(|| template::check(source).err().map(|it| it.to_string()));
    fault
        .map(|why| Violation::new(field, why))
        .into_iter()
        .collect()
}

/// The text of a canned answer for a ticket.
pub(crate) async fn render(
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
pub(crate) fn same_team(team: &str, ticket: &Ticket) -> Result<(), ApiError> {
    if team.is_empty() || team == ticket.team_id {
        return Ok(());
    }
    Err(ApiError::FailedPrecondition {
        reason: "OTHER_TEAM",
        message: "it is for tickets of another team".to_owned(),
    })
}

/// The text that a template gives for a ticket.
pub(crate) async fn fill_in(
    tx: &mut PgConnection,
    source: &str,
    ticket: &Ticket,
    by: &Actor,
) -> Result<String, ApiError> {
    let values = values(tx, ticket, by).await?;
    template::render(source, &values).map_err(|error| failed(&error))
}

/// A template that could not be filled in.
pub(crate) fn failed(error: &Unusable) -> ApiError {
    ApiError::FailedPrecondition {
        reason: "TEMPLATE_FAILED",
        message: error.to_string(),
    }
}

async fn values(tx: &mut PgConnection, ticket: &Ticket, by: &Actor) -> Result<Values, TicketError> {
    let contact = Uuid::parse_str(&ticket.contact_id).unwrap_or_default();
    let (name, language): (String, String) =
        sqlx::query_as("SELECT display_name, language FROM tickets.contact WHERE id = $1")
            .bind(contact)
            .fetch_one(&mut *tx)
            .await?;
    Ok(Values {
        ticket: TicketValues {
            number: ticket.number,
            subject: ticket.subject.clone(),
            status: status_name(ticket.status()),
            priority: priority_name(ticket.priority()),
            category: ticket.category.clone(),
        },
        contact: ContactValues::of(&name, &language),
        agent: agent(tx, by).await?,
        ..Values::default()
    })
}

/// What is said of who writes.
pub(crate) async fn agent(tx: &mut PgConnection, by: &Actor) -> Result<AgentValues, TicketError> {
    let name: Option<String> =
        sqlx::query_scalar("SELECT display_name FROM tickets.agent WHERE id = $1")
            .bind(Uuid::parse_str(&by.id).ok())
            .fetch_optional(tx)
            .await?;
    Ok(AgentValues {
        name: name.unwrap_or_default(),
    })
}

/// The name of a status everywhere but on the wire.
pub(crate) fn status_name(status: TicketStatus) -> String {
    name_of(status.as_str_name(), "TICKET_STATUS_")
}

fn priority_name(priority: Priority) -> String {
    name_of(priority.as_str_name(), "PRIORITY_")
}

fn name_of(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_domain() {
        for status in solmu_domain::ticket::Status::ALL {
            let code = TicketStatus::from_str_name(&format!(
                "TICKET_STATUS_{}",
                status.name().to_uppercase()
            ));
            assert_eq!(status_name(code.unwrap()), status.name());
        }
        for priority in solmu_domain::ticket::Priority::ALL {
            let code =
                Priority::from_str_name(&format!("PRIORITY_{}", priority.name().to_uppercase()));
            assert_eq!(priority_name(code.unwrap()), priority.name());
        }
    }
}
