//! Tells the owner of a ticket by mail that the customer wrote, if that is wanted.
//!
//! The mail is automatic (no responder answers it, and a bounce of it comes back to nobody), and its reply address is
//! the ticket's: what the agent answers goes to the customer. It is no message of the ticket, so a report about it
//! changes nothing. Answers of machines and of people who are not part of the ticket are told of as all others; caps
//! hold, as for every mail that nobody wrote.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::ids::new_uuid;
use solmu_proto::{
    outbound::v1::{MessageQueued, Purpose},
    types::v1::{Assurance, Channel, Identity, IdentityKind},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Agent;
use crate::{
    context::Context,
    error::TicketError,
    file::{
        Filed, Plan,
        budget::{Budgets, Kind},
        visible,
    },
    model::class_from_proto,
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
    let addresses: HashSet<String> = agents.values().map(|agent| agent.address.clone()).collect();
    let tickets = told.iter().map(|(filed, _)| filed.ticket.id);
    let mut budgets = Budgets::load(tx, &addresses, tickets).await?;
    let loops = &context.config.loops;
    let mut queued = Vec::new();
    for (filed, owner) in told {
        let Some(agent) = agents.get(&owner) else {
            continue;
        };
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

async fn owners(
    tx: &mut PgConnection,
    ids: impl Iterator<Item = Uuid>,
) -> Result<HashMap<Uuid, Agent>, TicketError> {
    let ids: Vec<Uuid> = ids.collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, String, String)> =
        sqlx::query_as("SELECT id, display_name, address FROM tickets.agent WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(tx)
            .await?;
    let agents = rows
        .into_iter()
        .map(|(id, name, address)| (id, Agent { id, name, address }));
    Ok(agents.collect())
}

fn notification(
    context: &Context,
    filed: &Filed<'_>,
    agent: &Agent,
    now: Timestamp,
) -> MessageQueued {
    let (ticket, message) = (&filed.ticket, filed.message);
    let by_mail = ticket.channel == Channel::Email;
    let own = |text: &String| if by_mail { text.clone() } else { String::new() };
    let sender = message.sender.as_ref();
    let name = sender.map_or("", |sender| sender.display_name.trim());
    let name = if name.is_empty() {
        "The customer"
    } else {
        name
    };
    let text: String = visible(message).chars().take(MAX_TEXT).collect();
    let id = new_uuid(context.clock.as_ref(), context.rng.as_ref());
    MessageQueued {
        message_id: id.to_string(),
        ticket_id: ticket.id.to_string(),
        ticket_number: ticket.number,
        channel: Channel::Email.into(),
        account: own(&ticket.account),
        // Not the ticket's: a mailbox of an agent that does not answer must not hold up the customer's mail.
        conversation_key: format!("agent:{}", agent.id),
        recipient: Some(Identity {
            kind: IdentityKind::Email.into(),
            value: agent.address.clone(),
            raw: agent.address.clone(),
            assurance: Assurance::Claimed.into(),
            ..Identity::default()
        }),
        recipient_name: agent.name.clone(),
        subject: format!("[#{}] {}", ticket.number, ticket.subject),
        text: format!(
            "{name} wrote on ticket #{}. Answer this mail to answer them: what you write goes to the customer, what is \
             quoted does not.\n\n{text}\n",
            ticket.number
        ),
        from_address: own(&ticket.recipient),
        automatic: true,
        create_time: Some(to_proto_time(now)),
        purpose: Purpose::Notification.into(),
        language: ticket.language.clone(),
        ..MessageQueued::default()
    }
}
