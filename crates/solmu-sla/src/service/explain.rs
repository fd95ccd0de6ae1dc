//! The clocks of one ticket, and how they came to be what they are.

use std::collections::BTreeMap;

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::{
    ids::TicketId,
    sla::{
        ChangeKind, ClockChange, ClockEvent, ClockEventKind, ClockState, ExplainedStep,
        Explanation, Instant, InstantKind, Metric, MetricReport, Segment, SegmentKind, Step,
        explain,
    },
};
use solmu_proto::sla::v1 as proto;
use solmu_runtime::{
    ApiError,
    access::{Caller, Visibility},
};

use super::SlaServer;
use crate::{
    catalogue::Catalogue,
    changes::proto_metric,
    facts::TicketFacts,
    policy_set::PolicySet,
    store::clocks,
    tracked::{Announced, Promise, in_order},
    wanted::id_in,
};

/// Events that are explained at most, the newest.
const STEPS_MAX: usize = 500;
/// Policies that are explained at most, in order.
const ASKED_MAX: usize = 200;

impl SlaServer {
    /// NOT_FOUND unless the caller sees the ticket. Who has it is not known here: who is bound to teams sees the clocks
    /// of their teams' tickets.
    pub(super) async fn check_sight(
        &self,
        caller: &Caller,
        request: &proto::ExplainTicketRequest,
    ) -> Result<(), ApiError> {
        if caller.visibility() == &Visibility::Everything {
            return Ok(());
        }
        let ticket: TicketId = id_in("ticket_id", &request.ticket_id)?;
        let hidden = || ApiError::not_found("ticket", &ticket);
        let mut connection = self.connection().await?;
        let tracked = clocks::clock_fetch(&mut connection, ticket).await?;
        drop(connection);
        let team = tracked.ok_or_else(hidden)?.team();
        let (pool, id) = (self.db.pool(), ticket.as_uuid());
        let visibility = caller.visibility();
        let seen = visibility.sees_ticket(pool, id, team, None).await?;
        seen.then_some(()).ok_or_else(hidden)
    }

    pub(super) async fn explain_ticket(
        &self,
        request: proto::ExplainTicketRequest,
    ) -> Result<proto::ExplainTicketResponse, ApiError> {
        let ticket: TicketId = id_in("ticket_id", &request.ticket_id)?;
        let mut connection = self.connection().await?;
        let tracked = clocks::clock_fetch(&mut connection, ticket)
            .await?
            .ok_or_else(|| ApiError::not_found("ticket", &ticket))?;
        let catalogue = self.catalogue.current(&mut connection).await?;
        let (asked, asked_missing) = self.asked_policies(&catalogue, tracked.facts).await;
        let Some(promise) = tracked.promise else {
            return Ok(proto::ExplainTicketResponse {
                asked,
                asked_missing,
                ..proto::ExplainTicketResponse::default()
            });
        };
        let mut history = clocks::event_list(&mut connection, &[ticket]).await?;
        let history = history.remove(&ticket).unwrap_or_default();
        let now = self.maker.clock.now();
        let answer = answer(&promise, history, &catalogue, now).map_err(ApiError::internal)?;
        Ok(proto::ExplainTicketResponse {
            asked,
            asked_missing,
            ..answer
        })
    }

    /// What the present policies say of the ticket as it is now, and why nothing is known of that.
    async fn asked_policies(
        &self,
        catalogue: &Catalogue,
        facts: Option<Box<TicketFacts>>,
    ) -> (Vec<proto::AskedPolicy>, String) {
        let Some(mut facts) = facts else {
            let missing = "nothing has happened to the ticket since policies are explained";
            return (Vec::new(), missing.to_owned());
        };
        let watched = catalogue.watched();
        let owns = self.worker.owns_of(watched, std::iter::once(&*facts));
        let Ok(owns) = owns.await else {
            let missing = "the ticket service does not tell the fields of contacts now";
            return (Vec::new(), missing.to_owned());
        };
        facts.see(&owns);
        let asked = catalogue.asked_about(&facts);
        let asked = asked.map(|(policy, why)| proto::AskedPolicy {
            id: policy.row.key.id.to_string(),
            version: policy.row.key.version,
            display_name: policy.row.display_name.clone(),
            holds: why.outcome,
            why: why.sentence(),
        });
        (asked.take(ASKED_MAX).collect(), String::new())
    }
}

fn answer(
    promise: &Promise,
    mut history: Vec<ClockEvent>,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Result<proto::ExplainTicketResponse, crate::error::FoldError> {
    let terms = catalogue.terms(&promise.policies)?;
    in_order(&promise.start, &mut history);
    let explained = explain(&promise.start, &history, &terms, now)?;
    // The stored clocks know more where a timer has noted what the history does not hold.
    let report = promise.clocks.report(now, &terms)?;
    let segments = segments_of(&explained);
    let clocks = report.metrics.iter().map(|metric| {
        let own = segments.get(&(metric.metric, metric.cycle));
        clock_to_proto(metric, own.copied().unwrap_or_default())
    });
    let clocks = clocks.collect();
    let first = explained.steps.len().saturating_sub(STEPS_MAX);
    let steps = explained
        .steps
        .iter()
        .skip(first)
        .map(step_to_proto)
        .collect();
    let timers = promise.pending(&terms)?;
    let mut taken: Vec<&Announced> = promise.announced.iter().collect();
    // Those of which no time is known are the oldest.
    taken.sort_by_key(|told| (told.told_at, told.due));
    let first_taken = taken.len().saturating_sub(STEPS_MAX);
    Ok(proto::ExplainTicketResponse {
        policy_id: promise.policies.first().id.to_string(),
        clocks,
        policies: applied(&promise.policies, catalogue),
        steps,
        now: Some(to_proto_time(now)),
        timers: timers.iter().map(timer_to_proto).collect(),
        taken: taken.drain(first_taken..).map(taken_to_proto).collect(),
        ..proto::ExplainTicketResponse::default()
    })
}

fn segments_of(explained: &Explanation) -> BTreeMap<(Metric, u32), &[Segment]> {
    let timelines = explained.timelines.iter();
    timelines
        .map(|it| ((it.metric, it.cycle), it.segments.as_slice()))
        .collect()
}

fn applied(set: &PolicySet, catalogue: &Catalogue) -> Vec<proto::AppliedPolicy> {
    let decides = |id| {
        let owned = Metric::ALL.into_iter();
        owned.filter(move |metric| catalogue.owner(set, *metric) == id)
    };
    let versions = catalogue.versions(set).into_iter();
    versions
        .map(|policy| proto::AppliedPolicy {
            id: policy.row.key.id.to_string(),
            version: policy.row.key.version,
            display_name: policy.row.display_name.clone(),
            condition: policy.row.condition.clone(),
            metrics: decides(policy.row.key.id)
                .filter(|metric| policy.row.terms.measures(*metric))
                .map(|metric| proto_metric(metric).into())
                .collect(),
        })
        .collect()
}

fn clock_to_proto(report: &MetricReport, segments: &[Segment]) -> proto::Clock {
    let state = match report.state {
        ClockState::Met => "met",
        ClockState::Void => "void",
        ClockState::Running | ClockState::Paused if report.breached => "breached",
        ClockState::Running => "running",
        ClockState::Paused => "paused",
    };
    proto::Clock {
        metric: proto_metric(report.metric).into(),
        state: state.to_owned(),
        elapsed_seconds: report.elapsed_s,
        due_time: report.due.map(to_proto_time),
        breached: report.breached,
        cycle: number(report.cycle),
        target_seconds: report.target_s,
        breach_time: report.breached_at.map(to_proto_time),
        end_time: report.ended_at.map(to_proto_time),
        segments: segments.iter().map(segment_to_proto).collect(),
    }
}

fn segment_to_proto(segment: &Segment) -> proto::Segment {
    let kind = match segment.kind {
        SegmentKind::Running => "running",
        SegmentKind::Closed => "closed",
        SegmentKind::Paused => "paused",
    };
    proto::Segment {
        start_time: Some(to_proto_time(segment.from)),
        end_time: Some(to_proto_time(segment.to)),
        kind: kind.to_owned(),
    }
}

fn step_to_proto(step: &ExplainedStep) -> proto::ExplainStep {
    let (event, to) = match step.event.as_ref().map(|event| &event.kind) {
        None => ("opened", String::new()),
        Some(kind) => event_words(kind),
    };
    proto::ExplainStep {
        time: Some(to_proto_time(step.at)),
        event: event.to_owned(),
        to,
        changes: step.changes.iter().map(change_to_proto).collect(),
    }
}

fn event_words(kind: &ClockEventKind) -> (&'static str, String) {
    match kind {
        ClockEventKind::Status { to } => {
            let name = serde_json::to_value(to).ok();
            let name = name.as_ref().and_then(serde_json::Value::as_str);
            ("status", name.unwrap_or_default().to_owned())
        }
        ClockEventKind::AgentReply => ("agent_reply", String::new()),
        ClockEventKind::CustomerMessage => ("customer_message", String::new()),
        ClockEventKind::Priority { to } => ("priority", to.clone()),
        ClockEventKind::Calendar { to, .. } => ("calendar", to.clone()),
        ClockEventKind::Policy { to } => ("policy", to.clone()),
        ClockEventKind::Team { to } => ("team", to.clone().unwrap_or_default()),
        ClockEventKind::Absorbed { .. } => ("absorbed", String::new()),
        ClockEventKind::Merged => ("merged", String::new()),
        ClockEventKind::Unmerged => ("unmerged", String::new()),
        ClockEventKind::Unabsorbed { .. } => ("unabsorbed", String::new()),
        ClockEventKind::Tick => ("tick", String::new()),
    }
}

fn change_to_proto(change: &ClockChange) -> proto::ClockChange {
    let word = match change.kind {
        ChangeKind::Started => "started",
        ChangeKind::Paused => "paused",
        ChangeKind::Resumed => "resumed",
        ChangeKind::Met { .. } => "met",
        ChangeKind::Voided => "voided",
        ChangeKind::Reopened => "reopened",
        ChangeKind::Breached => "breached",
        ChangeKind::Rescheduled => "rescheduled",
    };
    proto::ClockChange {
        metric: proto_metric(change.metric).into(),
        cycle: number(change.cycle),
        time: Some(to_proto_time(change.at)),
        change: word.to_owned(),
    }
}

const fn kind_word(kind: InstantKind) -> &'static str {
    match kind {
        InstantKind::Warning => "warning",
        InstantKind::Breach => "breach",
        InstantKind::Escalation => "escalation",
    }
}

fn taken_to_proto(told: &Announced) -> proto::TakenStep {
    proto::TakenStep {
        time: told.told_at.map(to_proto_time),
        metric: proto_metric(told.metric).into(),
        cycle: number(told.cycle),
        kind: kind_word(told.kind).to_owned(),
        step: told.step.clone(),
        due_time: Some(to_proto_time(told.due)),
        late: told.late,
    }
}

fn timer_to_proto((instant, step): &(Instant, Option<Step>)) -> proto::Timer {
    proto::Timer {
        time: Some(to_proto_time(instant.at)),
        metric: proto_metric(instant.metric).into(),
        kind: kind_word(instant.kind).to_owned(),
        step: step.as_ref().map(Step::key).unwrap_or_default(),
    }
}

fn number(cycle: u32) -> i32 {
    i32::try_from(cycle).unwrap_or(i32::MAX)
}
