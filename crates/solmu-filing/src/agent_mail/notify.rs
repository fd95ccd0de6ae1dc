//! Tells the owner of a ticket by mail that the customer wrote, if that is wanted.
//!
//! The mail is automatic (no responder answers it, and a bounce of it comes back to nobody), and its reply address is
//! the ticket's: what the agent answers goes to the customer. It is no message of the ticket, so a report about it
//! changes nothing. Answers of machines and of people who are not part of the ticket are told of as all others; caps
//! hold, as for every mail that nobody wrote.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use solmu_proto::outbound::v1::MessageQueued;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Agent, envelope};
use crate::{
    context::Context,
    error::TicketError,
    file::{
        Filed, Plan,
        budget::{Budgets, Kind},
        visible,
    },
    model::{Ticket, class_from_proto},
};

/// Longest text of a customer that is repeated, in characters.
const MAX_TEXT: usize = 20_000;

/// The notifications of what was filed. After it was written: the ticket has its number and its owner.
pub(crate) async fn about(
    tx: &mut PgConnection,
    context: &Context,
    plan: &Plan<'_>,
) -> Result<Vec<(MessageQueued, solmu_telemetry::TraceContext)>, TicketError> {
    if !context.config.agent_mail.notify_assignee || plan.filed.is_empty() {
        return Ok(Vec::new());
    }
    let told: Vec<(&Filed<'_>, Uuid)> = plan
        .filed
        .iter()
        .filter(|filed| class_from_proto(filed.message.automatic_class()).is_human())
        .filter_map(|filed| Some((filed, filed.ticket.assignee_id?)))
        .collect();
    let agents = owners(tx, told.iter().map(|(_, owner)| *owner)).await?;
    if agents.is_empty() {
        return Ok(Vec::new());
    }
    let addresses: HashSet<String> = agents
        .values()
        .map(|(agent, _)| agent.address.clone())
        .collect();
    let tickets = told.iter().map(|(filed, _)| filed.ticket.id);
    let mut budgets = Budgets::load(tx, &addresses, tickets).await?;
    let loops = &context.config.loops;
    let mut queued = Vec::new();
    for (filed, owner) in told {
        let Some((agent, teams)) = agents.get(&owner) else {
            continue;
        };
        if !is_named(&filed.ticket, owner, teams) {
            continue;
        }
        let own = filed.author.address == agent.address;
        let ticket = filed.ticket.id;
        if !own && budgets.spend(Kind::Notification, &agent.address, ticket, loops, plan.now) {
            queued.push((
                notification(context, filed, agent, plan.now),
                filed.trace.clone(),
            ));
        }
    }
    budgets.write(tx).await?;
    Ok(queued)
}

/// Whether an owner sees the ticket: of a restricted one only those who are named, or whose team is.
fn is_named(ticket: &Ticket, owner: Uuid, teams: &[Uuid]) -> bool {
    let Some(names) = &ticket.restricted_to else {
        return true;
    };
    names.contains(&owner) || teams.iter().any(|team| names.contains(team))
}

/// Owners with their teams.
async fn owners(
    tx: &mut PgConnection,
    ids: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, (Agent, Vec<Uuid>)>, TicketError> {
    let ids: Vec<Uuid> = ids.collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, String, String, Vec<Uuid>)> = sqlx::query_as(
        "SELECT id, display_name, address, team_ids FROM tickets.agent WHERE id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let agents = rows
        .into_iter()
        .map(|(id, name, address, teams)| (id, (Agent { id, name, address }, teams)));
    Ok(agents.collect())
}

fn notification(
    context: &Context,
    filed: &Filed<'_>,
    agent: &Agent,
    now: Timestamp,
) -> MessageQueued {
    let (ticket, message) = (&filed.ticket, filed.message);
    let sender = message.sender.as_ref();
    let name = sender.map_or("", |sender| sender.display_name.trim());
    let name = if name.is_empty() {
        "The customer"
    } else {
        name
    };
    let text: String = visible(message).chars().take(MAX_TEXT).collect();
    MessageQueued {
        subject: format!("[#{}] {}", ticket.number, ticket.subject),
        text: format!(
            "{name} wrote on ticket #{}. Answer this mail to answer them: what you write goes to the customer, what is \
             quoted does not.\n\n{text}\n",
            ticket.number
        ),
        ..envelope(context, ticket, agent, now)
    }
}
