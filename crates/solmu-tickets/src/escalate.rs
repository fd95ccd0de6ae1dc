//! Applies the steps of an SLA's escalation chain: those that change a ticket (its priority, who has it, who follows it)
//! and those that tell people by mail.
//!
//! A step is applied to what the ticket is now, not by compare-and-set: it was decided because time passed, and time
//! passing is not undone by what somebody changed meanwhile. A ticket that is done is left alone.

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_domain::ticket::Priority;
use solmu_proto::{
    sla::v1::{ActionKind, SlaEscalated},
    types::v1::actor::Kind,
};
use solmu_runtime::access::Restriction;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    agent_mail::escalation,
    context::Context,
    decide::Outcome,
    error::TicketError,
    events::{EventSink, actor, assigned, change, changed_event},
    followers::MAX_FOLLOWERS,
    model::Ticket,
    restrict,
};

/// Why a ticket changed, as its history says it.
const REASON: &str = "SLA escalation";

/// Takes a step.
pub(crate) async fn escalate(
    tx: &mut PgConnection,
    context: &Context,
    step: &SlaEscalated,
    ticket: &mut Ticket,
    events: &mut EventSink<'_>,
    trace: &TraceContext,
    now: Timestamp,
) -> Result<Outcome, TicketError> {
    if !ticket.status.is_open() {
        return Ok(Outcome::Nothing);
    }
    Ok(match step.action() {
        ActionKind::RaisePriority => raise(&step.target, ticket, events, trace, now),
        ActionKind::Reassign => {
            let within = restrict::restriction_of(tx, ticket).await?;
            reassign(&step.target, ticket, within.as_ref(), events, trace, now)
        }
        ActionKind::AddFollower => {
            let follows = follow(tx, &step.target, ticket, now).await?;
            let Some(agent) = follows else {
                return Ok(Outcome::Nothing);
            };
            let changes = vec![change("followers", &"", &agent)];
            ticket.touch(now, false);
            let body = changed_event(ticket, changes, Kind::Sla, REASON, now);
            events.add(&body, trace.clone());
            Outcome::Applied
        }
        ActionKind::Notify => {
            // The ticket stays as it is: what agents are told by mail is no message of it.
            for mail in escalation::mails(tx, context, step, ticket, now).await? {
                events.add(&mail, trace.clone());
            }
            Outcome::Nothing
        }
        ActionKind::Unspecified | ActionKind::Warn | ActionKind::Webhook => Outcome::Nothing,
    })
}

/// The agent, if they follow the ticket from now on and did not before.
async fn follow(
    tx: &mut PgConnection,
    target: &str,
    ticket: &Ticket,
    now: Timestamp,
) -> Result<Option<Uuid>, TicketError> {
    let Ok(agent) = target.parse::<Uuid>() else {
        return Ok(None);
    };
    let added = sqlx::query(
        "INSERT INTO tickets.follower (ticket_id, agent_id, created_by, created_at)
         SELECT $1, $2, 'sla', $3 WHERE (SELECT count(*) FROM tickets.follower WHERE ticket_id = $1) < $4
         ON CONFLICT DO NOTHING",
    )
    .bind(ticket.id)
    .bind(agent)
    .bind(now.to_sqlx())
    .bind(MAX_FOLLOWERS)
    .execute(tx)
    .await?;
    Ok((added.rows_affected() > 0).then_some(agent))
}

/// Never lowers: somebody may have raised it already.
fn raise(
    target: &str,
    ticket: &mut Ticket,
    events: &mut EventSink<'_>,
    trace: &TraceContext,
    now: Timestamp,
) -> Outcome {
    let rank = |wanted: Priority| Priority::ALL.iter().position(|it| *it == wanted);
    let next = || {
        let above = rank(ticket.priority).map_or(0, |rank| rank + 1);
        Priority::ALL.get(above).copied()
    };
    let wanted = if target.is_empty() {
        next()
    } else {
        target.parse().ok()
    };
    let Some(wanted) = wanted.filter(|wanted| rank(*wanted) > rank(ticket.priority)) else {
        return Outcome::Nothing;
    };
    let changes = vec![change("priority", &ticket.priority, &wanted)];
    ticket.priority = wanted;
    ticket.touch(now, true);
    events.add(
        &changed_event(ticket, changes, Kind::Sla, REASON, now),
        trace.clone(),
    );
    Outcome::Applied
}

/// Gives the ticket to an agent or a team, or back to the router; a restricted one only to whom it names.
fn reassign(
    target: &str,
    ticket: &mut Ticket,
    within: Option<&Restriction>,
    events: &mut EventSink<'_>,
    trace: &TraceContext,
    now: Timestamp,
) -> Outcome {
    let id = |prefix: &str| -> Option<Uuid> { target.strip_prefix(prefix)?.parse().ok() };
    // Nobody that we can read: the owner stays.
    if !target.is_empty() && id("agent:").is_none() && id("team:").is_none() {
        return Outcome::Nothing;
    }
    let (agent, team) = (id("agent:"), id("team:").or(ticket.team_id));
    let before = (ticket.assignee_id, ticket.team_id);
    let outside = within.is_some_and(|it| !it.admits(agent, team));
    if outside || (agent, team) == before {
        return Outcome::Nothing;
    }
    (ticket.assignee_id, ticket.team_id) = (agent, team);
    REASON.clone_into(&mut ticket.assign_reason);
    ticket.touch(now, true);
    let body = assigned(ticket, before, actor(Kind::Sla, "sla"), "", now);
    events.add(&body, trace.clone());
    Outcome::Applied
}
