//! Rules that restrict a ticket as it is opened (`solmu-restrict`).
//!
//! They are asked in the transaction that opens it: nobody else ever sees it, whether or not the router is there. Asked
//! are the ticket and its first message; what is written and changed later is asked about by [`super::later`].

use solmu_proto::ticket::v1 as proto;
use solmu_restrict::{Question, Restricting, Text};
use solmu_runtime::access::Restriction;
use sqlx::PgConnection;
use uuid::Uuid;

use super::inherit;
use crate::{
    error::TicketError,
    metrics::channel_name,
    model::{self, Ticket},
};

/// What a rule did to a ticket.
#[derive(Debug, Clone)]
pub struct ByRule {
    /// Who sees it.
    pub restriction: Restriction,
    /// As the event of the ticket tells of it.
    pub told: proto::RestrictedByRule,
}

/// Restricts a ticket that somebody opened by hand, which is in its table already: as the one that it is a part of, or as a
/// rule says.
pub async fn opened_by_hand(
    tx: &mut PgConnection,
    ticket: &mut Ticket,
    parent: Option<Uuid>,
    (subject, text): (&str, &str),
) -> Result<Option<ByRule>, TicketError> {
    let rules = solmu_restrict::all(tx).await?;
    if rules.is_empty() {
        return Ok(None);
    }
    let above: Vec<Uuid> = parent.into_iter().collect();
    let above = model::lock(tx, &above).await?;
    inherit(tx, ticket, above.first()).await?;
    let done = ask(&rules, ticket, &Text::new(subject, text, ""));
    if let Some(done) = &done {
        super::store(tx, &[ticket.id], Some(&done.restriction)).await?;
    }
    Ok(done)
}

/// Restricts a ticket in memory by the first rule that holds. What is restricted already stays as it is.
pub fn ask(rules: &[Restricting], ticket: &mut Ticket, text: &Text) -> Option<ByRule> {
    if ticket.restricted_to.is_some() {
        return None;
    }
    let organizations = ticket.organization_texts();
    let rule = solmu_restrict::first(rules, &question(ticket, &organizations, text))?;
    let restriction = Restriction::new(rule.agents.clone(), rule.teams.clone());
    let names = restriction.names();
    ticket.team_id = Some(rule.team);
    ticket.assignee_id = ticket
        .assignee_id
        .filter(|it| restriction.agents.contains(it));
    ticket.assign_reason = format!("rule '{}' restricts it", rule.name);
    // As in the order of urgency, the more urgent one counts.
    ticket.priority = ticket
        .priority
        .max(rule.priority.unwrap_or(ticket.priority));
    for tag in &rule.tags {
        if !ticket.tags.contains(tag) {
            ticket.tags.push(tag.clone());
        }
    }
    ticket.restricted_to = Some(names.clone());
    Some(ByRule {
        restriction,
        told: proto::RestrictedByRule {
            rule_id: rule.id.to_string(),
            rule_version: rule.version,
            rule_name: rule.name.clone(),
            names: names.iter().map(Uuid::to_string).collect(),
        },
    })
}

/// A ticket as rules see it. `organizations` are its own.
pub(super) fn question<'a>(
    ticket: &'a Ticket,
    organizations: &'a [String],
    text: &'a Text,
) -> Question<'a> {
    Question {
        channel: channel_name(ticket.channel),
        account: &ticket.account,
        recipient: &ticket.recipient,
        language: &ticket.language,
        tags: &ticket.tags,
        category: &ticket.category,
        organizations,
        fields: &ticket.fields,
        priority: ticket.priority,
        contact: ticket.contact_id,
        created: ticket.created_at,
        text,
    }
}
