//! Applies the decisions of router and SLA service, a batch in one transaction.
//!
//! A decision of the router is applied by compare-and-set on the ticket's routing version: what came too late is
//! answered with `AssignmentRejected`, so that the router frees the capacity and decides anew. A manual action always
//! wins, because it raises that version. Due times carry the ticket version that they were computed from and when; an
//! older decision never overwrites a newer one, in whatever order replicas get them.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc};

use solmu_bus::{Cause, Delivered, EventBody as _, Handler, Held, OneByOne, Verdict};
use solmu_db::{inbox, outbox::Owner};
use solmu_domain::ticket::Priority;
use solmu_proto::{
    routing::v1::AssignmentDecided,
    sla::v1::{DueTimesDecided, SlaBreached, SlaEscalated, SlaWarned},
    ticket::v1::{self as proto, assignment_rejected::Cause as Rejection},
    types::v1::actor::Kind,
};
use solmu_runtime::access::Restriction;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    context::Context,
    due::{note_breach, set_due_times},
    error::TicketError,
    escalate::escalate,
    events::{EventSink, actor, assigned, change, changed_event},
    file::verdict_of,
    looked::Looked,
    metrics::Tally,
    model::{self, Ticket},
    restrict,
};

/// Name of the durable that all replicas share.
pub(crate) const CONSUMER: &str = "tickets-decisions";

#[derive(Debug, Clone)]
enum Decision {
    Assignment(Box<AssignmentDecided>),
    DueTimes(Box<DueTimesDecided>),
    Breach(Box<SlaBreached>),
    Escalation(Box<SlaEscalated>),
    /// Nothing on the ticket changes.
    Warning,
}

#[derive(Debug, Clone)]
struct Item {
    event: solmu_domain::ids::EventId,
    ticket: Uuid,
    decision: Decision,
    trace: TraceContext,
}

/// The handler of the DECISIONS stream.
pub(crate) struct Decider {
    pub(crate) context: Arc<Context>,
}

impl Handler for Decider {
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        _: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>> {
        Box::pin(self.apply_batch(batch))
    }
}

impl Decider {
    async fn apply_batch(&self, batch: &[Delivered]) -> Vec<Verdict> {
        let items: Vec<Result<Item, Cause>> = batch.iter().map(decode).collect();
        let good: Vec<Item> = items
            .iter()
            .filter_map(|item| item.as_ref().ok().cloned())
            .collect();
        let whole = self.apply(good).await;
        if whole.is_ok() {
            return items
                .into_iter()
                .map(|item| item.map_or_else(Verdict::Reject, |_| Verdict::Done))
                .collect();
        }
        let mut order = OneByOne::default();
        for (delivered, item) in batch.iter().zip(items) {
            if !order.may_handle(delivered) {
                continue;
            }
            let verdict = match item {
                Err(cause) => Verdict::Reject(cause),
                Ok(item) => self
                    .apply(vec![item])
                    .await
                    .map_or_else(|error| verdict_of(&error), |()| Verdict::Done),
            };
            order.note(delivered, verdict);
        }
        order.verdicts()
    }

    async fn apply(&self, items: Vec<Item>) -> Result<(), TicketError> {
        if items.is_empty() {
            return Ok(());
        }
        let items = Arc::new(items);
        let tally = self
            .context
            .db
            .tx("ticket.apply_decisions", |tx| {
                let (context, items) = (self.context.clone(), items.clone());
                Box::pin(async move { apply_items(tx, &context, &items).await })
            })
            .await?;
        self.context.metrics.record(&tally);
        Ok(())
    }
}

fn decode(delivered: &Delivered) -> Result<Item, Cause> {
    let event = &delivered.event;
    let undecodable = |error: solmu_bus::envelope::EnvelopeError| Cause::new("undecodable", &error);
    let (ticket, decision) = match event.event_type.as_str() {
        AssignmentDecided::TYPE => {
            let body: AssignmentDecided = event.decode().map_err(undecodable)?;
            check_assignment(&body).map_err(|error| Cause::new("bad_event", &error))?;
            (body.ticket_id.clone(), Decision::Assignment(Box::new(body)))
        }
        DueTimesDecided::TYPE => {
            let body: DueTimesDecided = event.decode().map_err(undecodable)?;
            (body.ticket_id.clone(), Decision::DueTimes(Box::new(body)))
        }
        SlaBreached::TYPE => {
            let body: SlaBreached = event.decode().map_err(undecodable)?;
            (body.ticket_id.clone(), Decision::Breach(Box::new(body)))
        }
        SlaEscalated::TYPE => {
            let body: SlaEscalated = event.decode().map_err(undecodable)?;
            (body.ticket_id.clone(), Decision::Escalation(Box::new(body)))
        }
        SlaWarned::TYPE => (event.subject.clone(), Decision::Warning),
        _ => {
            return Err(Cause::new(
                "unknown_event_type",
                &TicketError::BadEvent("type"),
            ));
        }
    };
    let ticket = Uuid::parse_str(&ticket)
        .map_err(|_| Cause::new("bad_event", &TicketError::BadEvent("ticket_id")))?;
    Ok(Item {
        event: event.id,
        ticket,
        decision,
        trace: TraceContext::of(&delivered.span),
    })
}

fn check_assignment(body: &AssignmentDecided) -> Result<(), TicketError> {
    let legal = |id: &str| id.is_empty() || Uuid::parse_str(id).is_ok();
    if !legal(&body.agent_id) || !legal(&body.team_id) {
        return Err(TicketError::BadEvent("agent_id"));
    }
    let mut texts = body.add_tags.iter().chain([&body.reason]);
    if texts.any(|text| text.contains(['\0', '\u{1f}'])) {
        return Err(TicketError::BadEvent("reason"));
    }
    Ok(())
}

async fn apply_items(
    tx: &mut PgConnection,
    context: &Context,
    items: &[Item],
) -> Result<Tally, TicketError> {
    let now = context.clock.now();
    let ids: Vec<_> = items.iter().map(|item| item.event).collect();
    let mut new = inbox::claim(tx, Owner::Tickets, CONSUMER, &ids, now).await?;
    let fresh: Vec<&Item> = items
        .iter()
        .filter(|item| new.remove(&item.event))
        .collect();
    let wanted: Vec<Uuid> = fresh.iter().map(|item| item.ticket).collect();
    let mut tickets: HashMap<Uuid, Ticket> = model::lock(tx, &wanted)
        .await?
        .into_iter()
        .map(|ticket| (ticket.id, ticket))
        .collect();
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    let mut restricted = restrict::among(tx, tickets.values()).await?;
    let mut looked = Looked::default();
    let mut changed = Vec::new();
    let mut tally = Tally::default();
    for item in fresh {
        let ticket = tickets.get_mut(&item.ticket);
        let tags = matches!(&item.decision, Decision::Assignment(it) if !it.add_tags.is_empty());
        let before = ticket.as_deref().filter(|_| tags).cloned();
        let outcome = match (&item.decision, ticket) {
            (Decision::Assignment(decision), ticket) => {
                let within = restricted.get(&item.ticket);
                assign(decision, ticket, within, &mut events, &item.trace, now)
            }
            (Decision::DueTimes(decision), Some(ticket)) => {
                set_due_times(decision, ticket, &mut events, &item.trace, now)
            }
            (Decision::Breach(breach), Some(ticket)) => {
                note_breach(breach, ticket, &mut events, &item.trace, now)
            }
            (Decision::Escalation(step), Some(ticket)) => {
                escalate(tx, context, step, ticket, &mut events, &item.trace, now).await?
            }
            (Decision::DueTimes(_) | Decision::Breach(_) | Decision::Escalation(_), None)
            | (Decision::Warning, _) => Outcome::Nothing,
        };
        if outcome == Outcome::Applied {
            changed.push(item.ticket);
        }
        // What the router tagged may be what only some people see.
        if let (Outcome::Applied, Some(before)) = (outcome, before) {
            let held = tickets.values_mut().collect();
            let (looked, events) = (&mut looked, &mut events);
            let more = restrict::later::changed(tx, looked, &before, held, events, now).await?;
            if !more.is_empty() {
                changed.extend(more);
                restricted = restrict::among(tx, tickets.values()).await?;
            }
        }
        tally
            .decisions
            .push([item.decision.kind(), outcome.label()]);
    }
    changed.sort_unstable();
    changed.dedup();
    let changed: Vec<&Ticket> = changed.iter().filter_map(|id| tickets.get(id)).collect();
    model::update(tx, &changed).await?;
    activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    Ok(tally)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The ticket changed.
    Applied,
    /// It came too late.
    Rejected,
    /// There was nothing to do.
    Nothing,
}

impl Outcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Rejected => "rejected",
            Self::Nothing => "nothing",
        }
    }
}

impl Decision {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Assignment(_) => "assignment",
            Self::DueTimes(_) => "due_times",
            Self::Breach(_) => "breach",
            Self::Escalation(_) => "escalation",
            Self::Warning => "warning",
        }
    }
}

/// Compare-and-set on the routing version.
fn assign(
    decision: &AssignmentDecided,
    ticket: Option<&mut Ticket>,
    within: Option<&Restriction>,
    events: &mut EventSink<'_>,
    trace: &TraceContext,
    now: jiff::Timestamp,
) -> Outcome {
    let (agent, team) = (&decision.agent_id, &decision.team_id);
    let (agent, team) = (Uuid::parse_str(agent).ok(), Uuid::parse_str(team).ok());
    let rejection = match &ticket {
        None => Some(Rejection::UnknownTicket),
        Some(ticket) if !ticket.status.is_open() => Some(Rejection::NotOpen),
        // Taken from its owner only if that is who the router took it from.
        Some(ticket)
            if ticket.assignee_id.is_some()
                && ticket.assignee_id != Uuid::parse_str(&decision.previous_agent_id).ok() =>
        {
            Some(Rejection::AlreadyAssigned)
        }
        Some(ticket) if ticket.routing_version != decision.routing_version => {
            Some(Rejection::StaleTicket)
        }
        Some(ticket) if within.is_some_and(|it| !it.admits(agent, team.or(ticket.team_id))) => {
            Some(Rejection::Restricted)
        }
        Some(_) => None,
    };
    let ticket = match (ticket, rejection) {
        (Some(ticket), None) => ticket,
        (ticket, cause) => {
            // An unknown ticket still needs its id in the answer.
            let state = ticket.map_or_else(
                || proto::TicketState {
                    ticket_id: decision.ticket_id.clone(),
                    ..proto::TicketState::default()
                },
                |ticket| ticket.state(),
            );
            let named = within.filter(|_| cause == Some(Rejection::Restricted));
            let texts = |ids: &[Uuid]| ids.iter().map(Uuid::to_string).collect();
            let body = proto::AssignmentRejected {
                ticket: Some(state),
                decision_id: decision.decision_id.clone(),
                agent_id: decision.agent_id.clone(),
                cause: cause.unwrap_or(Rejection::Unspecified).into(),
                restricted_agent_ids: named.map_or_else(Vec::new, |it| texts(&it.agents)),
                restricted_team_ids: named.map_or_else(Vec::new, |it| texts(&it.teams)),
            };
            events.add(&body, trace.clone());
            return Outcome::Rejected;
        }
    };
    let before = (ticket.assignee_id, ticket.team_id);
    ticket.team_id = team.or(ticket.team_id);
    ticket.assignee_id = agent;
    ticket.assign_reason.clone_from(&decision.reason);
    let mut changes = Vec::new();
    if let Some(priority) = decision
        .set_priority
        .parse::<Priority>()
        .ok()
        .filter(|it| *it != ticket.priority)
    {
        changes.push(change("priority", &ticket.priority, &priority));
        ticket.priority = priority;
    }
    for tag in &decision.add_tags {
        if !ticket.tags.contains(tag) {
            changes.push(change("tags", &"", tag));
            ticket.tags.push(tag.clone());
        }
    }
    ticket.touch(now, true);
    let router = actor(Kind::Router, "router");
    let body = assigned(ticket, before, router, &decision.decision_id, now);
    events.add(&body, trace.clone());
    if !changes.is_empty() {
        events.add(
            &changed_event(ticket, changes, Kind::Router, "routing rule", now),
            trace.clone(),
        );
    }
    Outcome::Applied
}
