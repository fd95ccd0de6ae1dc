//! Tells people by mail of a step of an SLA policy that notifies them.
//!
//! The SLA service says when, the policy says whom by what they are to the ticket, and the ticket says who that is now.
//! The mails are written in the transaction that claims the step's event, so each goes out once. They are automatic, as
//! all that agents are told by mail, and caps hold; business hours are the policy's business (`quiet`).

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use solmu_bus::envelope::from_proto_time;
use solmu_proto::{
    outbound::v1::MessageQueued,
    sla::v1::{Metric, SlaEscalated},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Agent, envelope};
use crate::{
    context::Context,
    error::TicketError,
    file::budget::{Budgets, Kind},
    followers,
    model::Ticket,
};

/// Agents that one step tells at most.
const MAX_TOLD: i64 = 100;

/// The mails of a step. None if it is only an event, if that is not wanted, or if nobody with an address is meant.
pub async fn mails(
    tx: &mut PgConnection,
    context: &Context,
    step: &SlaEscalated,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Vec<MessageQueued>, TicketError> {
    if step.event_only || !context.config.agent_mail.notify_escalations {
        return Ok(Vec::new());
    }
    let agents = meant(tx, step, ticket).await?;
    if agents.is_empty() {
        tracing::warn!(ticket.id = %ticket.id, step = step.step, "a step of an SLA policy notifies nobody: there is no agent with an address whom it means");
        return Ok(Vec::new());
    }
    let addresses: HashSet<String> = agents.iter().map(|it| it.address.clone()).collect();
    let mut budgets = Budgets::load(tx, &addresses, [ticket.id].into_iter()).await?;
    let loops = &context.config.loops;
    let (subject, text) = words(step, ticket, context.config.agent_mail.answers, now);
    let mut mails = Vec::new();
    for agent in &agents {
        if budgets.spend(Kind::Notification, &agent.address, ticket.id, loops, now) {
            mails.push(MessageQueued {
                subject: subject.clone(),
                text: text.clone(),
                ..envelope(context, ticket, agent, now)
            });
        }
    }
    budgets.write(tx).await?;
    Ok(mails)
}

/// Whom the step means, as far as they have an address. While nobody owns the ticket, its team is in the owner's place.
async fn meant(
    tx: &mut PgConnection,
    step: &SlaEscalated,
    ticket: &Ticket,
) -> Result<Vec<Agent>, TicketError> {
    let id = |text: &str| text.parse::<Uuid>().ok();
    let (mut agents, mut team) = (Vec::new(), None);
    match step.target.as_str() {
        "assignee" => match ticket.assignee_id {
            Some(owner) => agents.push(owner),
            None => team = ticket.team_id,
        },
        "team" => team = ticket.team_id,
        "followers" => agents = followers::of(tx, ticket.id).await?,
        "team_lead" | "manager" => agents.extend(step.agent_ids.iter().filter_map(|it| id(it))),
        target => match target.strip_prefix("team:") {
            Some(other) => team = id(other),
            None => agents.extend(id(target)),
        },
    }
    let rows: Vec<(Uuid, String, String)> = sqlx::query_as(
        "SELECT id, display_name, address FROM tickets.agent WHERE (id = ANY($1) OR $2 = ANY(team_ids))
            AND ($4::uuid[] IS NULL OR id = ANY($4) OR team_ids && $4)
         ORDER BY address LIMIT $3",
    )
    .bind(agents)
    .bind(team)
    .bind(MAX_TOLD)
    // Of a restricted ticket, only those whom it names are told.
    .bind(ticket.restricted_to.as_ref())
    .fetch_all(tx)
    .await?;
    let agents = rows.into_iter();
    Ok(agents
        .map(|(id, name, address)| Agent { id, name, address })
        .collect())
}

/// Subject and text.
fn words(step: &SlaEscalated, ticket: &Ticket, answers: bool, now: Timestamp) -> (String, String) {
    let clock = match step.metric() {
        Metric::Unspecified => "Deadline",
        Metric::FirstResponse => "First response",
        Metric::NextResponse => "Next response",
        Metric::Resolution => "Resolution",
        Metric::PeriodicUpdate => "Update for the customer",
        Metric::AgentWork => "Agent work",
        Metric::Ownership => "The team's part",
    };
    let due = step.due_time.as_ref().map_or(now, from_proto_time);
    let far = span(due.duration_since(now).abs());
    let (short, long) = if due <= now {
        ("overdue", format!("was due at {}, {far} ago", at(due)))
    } else {
        ("due soon", format!("is due at {}, in {far}", at(due)))
    };
    let subject = format!("[#{}] {clock} {short}: {}", ticket.number, ticket.subject);
    let owner = ticket.assignee_id.map_or("nobody", |_| "an agent");
    let mut text = format!(
        "{clock} on ticket #{} {long}.\n\nSubject: {}\nPriority: {}\nStatus: {}\nOwned by: {owner}\n",
        ticket.number, ticket.subject, ticket.priority, ticket.status
    );
    if step.late {
        let scheduled = at(step.scheduled_time.as_ref().map_or(due, from_proto_time));
        text.extend(["\nYou should have been told at ", &scheduled, ".\n"]);
    }
    if answers {
        text.push_str("\nA program wrote this mail. What you answer to it goes to the customer.\n");
    }
    (subject, text)
}

fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

fn span(time: SignedDuration) -> String {
    let minutes = time.as_mins();
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) if hours < 48 => format!("{hours} h {minutes} min"),
        (hours, _) => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_say_them() {
        let told = |minutes| span(SignedDuration::from_mins(minutes));
        assert_eq!(told(0), "0 min");
        assert_eq!(told(61), "1 h 1 min");
        assert_eq!(told(49 * 60), "2 days");
        assert_eq!(at(Timestamp::UNIX_EPOCH), "1970-01-01 00:00 UTC");
    }
}
