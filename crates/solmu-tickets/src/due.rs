//! Applies what the SLA service decided to a ticket.

use jiff::Timestamp;
use solmu_bus::envelope::from_proto_time;
use solmu_proto::{
    sla::v1::{DueTimesDecided, Metric, SlaBreached},
    types::v1::actor::Kind,
};
use solmu_telemetry::TraceContext;

use crate::{
    decide::Outcome,
    events::{EventSink, change, changed_event},
    model::Ticket,
};

/// Takes due times that are newer than those that the ticket has.
pub(crate) fn set_due_times(
    decision: &DueTimesDecided,
    ticket: &mut Ticket,
    events: &mut EventSink<'_>,
    trace: &TraceContext,
    now: Timestamp,
) -> Outcome {
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(from_proto_time);
    let decided_at = time(&decision.decide_time);
    if (decision.ticket_version, decided_at) < (ticket.sla_version, ticket.sla_decided_at) {
        return Outcome::Nothing;
    }
    ticket.sla_version = decision.ticket_version;
    ticket.sla_decided_at = decided_at;
    let before = (
        ticket.first_response_due,
        ticket.next_response_due,
        ticket.resolution_due,
    );
    let after = (
        time(&decision.first_response_due_time),
        time(&decision.next_response_due_time),
        time(&decision.resolution_due_time),
    );
    let others = [
        time(&decision.periodic_update_due_time),
        time(&decision.agent_work_due_time),
        time(&decision.ownership_due_time),
    ];
    let all = [after.0, after.1, after.2].into_iter().chain(others);
    let earliest = all.flatten().min();
    let mut changes = Vec::new();
    if before != after || ticket.next_due != earliest {
        (
            ticket.first_response_due,
            ticket.next_response_due,
            ticket.resolution_due,
        ) = after;
        let show = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        changes.push(change(
            "next_due_time",
            &show(ticket.next_due),
            &show(earliest),
        ));
        ticket.next_due = earliest;
    }
    if decision.breached && !ticket.breached {
        ticket.breached = true;
        changes.push(change("breached", &false, &true));
    }
    // A decision that changes nothing is remembered, and told to nobody: the SLA service would answer that, too.
    if !changes.is_empty() {
        ticket.touch(now, false);
        events.add(
            &changed_event(ticket, changes, Kind::Sla, "due times", now),
            trace.clone(),
        );
    }
    Outcome::Applied
}

/// Marks the ticket, once.
pub(crate) fn note_breach(
    breach: &SlaBreached,
    ticket: &mut Ticket,
    events: &mut EventSink<'_>,
    trace: &TraceContext,
    now: Timestamp,
) -> Outcome {
    if ticket.breached {
        return Outcome::Nothing;
    }
    let reason = match breach.metric() {
        Metric::FirstResponse => "the first response is late",
        Metric::NextResponse => "the next response is late",
        Metric::Resolution => "the resolution is late",
        Metric::PeriodicUpdate => "the customer waits for an update",
        // Promises among ourselves: the customer was promised nothing that is late.
        Metric::AgentWork | Metric::Ownership => return Outcome::Nothing,
        Metric::Unspecified => "a due time passed",
    };
    ticket.breached = true;
    ticket.touch(now, false);
    let changes = vec![change("breached", &false, &true)];
    events.add(
        &changed_event(ticket, changes, Kind::Sla, reason, now),
        trace.clone(),
    );
    Outcome::Applied
}
