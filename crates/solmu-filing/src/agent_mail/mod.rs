//! Agents by mail: who they are, what they answer, what they open, and what they are told.
//!
//! The address in a From header says nothing, so an agent is only who the roster knows under an address that the mail
//! proves to be its sender's (DMARC passed, one author, nobody rewrote it). All other mail from such an address is
//! anybody's mail and says so to its readers.

pub(crate) mod answer;
pub mod escalation;
pub(crate) mod forwarded;
pub(crate) mod notify;
pub mod roster;
pub(crate) mod start;

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::ids::new_uuid;
use solmu_proto::{
    inbound::v1::{MessageReceived, authenticity::Verdict},
    outbound::v1::{MessageQueued, Purpose},
    types::v1::{Assurance, Channel, Identity, IdentityKind},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{context::Context, error::TicketError, model::Ticket};

/// An agent as mail knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    /// Normalised.
    pub(crate) address: String,
}

/// The agents among `addresses`, by address.
pub(crate) async fn among(
    tx: &mut PgConnection,
    addresses: &HashSet<String>,
) -> Result<HashMap<String, Agent>, TicketError> {
    if addresses.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
        "SELECT id, display_name, address FROM tickets.agent WHERE address = ANY($1)",
    )
    .bind(addresses.iter().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let agents = rows.into_iter().map(|(id, name, address)| {
        let agent = Agent { id, name, address };
        (agent.address.clone(), agent)
    });
    Ok(agents.collect())
}

/// The beginning of a mail to an agent about a ticket. It is automatic and no message of the ticket: nobody's responder
/// answers it, and a report about it changes nothing.
pub(crate) fn envelope(
    context: &Context,
    ticket: &Ticket,
    agent: &Agent,
    now: Timestamp,
) -> MessageQueued {
    let by_mail = ticket.channel == Channel::Email;
    let own = |text: &String| if by_mail { text.clone() } else { String::new() };
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
        from_address: own(&ticket.recipient),
        automatic: true,
        create_time: Some(to_proto_time(now)),
        purpose: Purpose::Notification.into(),
        language: ticket.language.clone(),
        ..MessageQueued::default()
    }
}

/// The address that a mail proves to be its sender's.
pub(crate) fn proven_address(message: &MessageReceived) -> Option<String> {
    let verdict = message.authenticity.as_ref()?.verdict();
    if message.channel() != Channel::Email || verdict != Verdict::Verified {
        return None;
    }
    // A list that names the author in a header of its own proves itself and not them: the connector says so here.
    let identities = &message.sender.as_ref()?.identities;
    let proven = identities.iter().find(|identity| {
        identity.kind() == IdentityKind::Email && identity.assurance() == Assurance::Proven
    });
    proven.map(|identity| identity.value.clone())
}
