//! Policies in requests and answers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, de::DeserializeOwned};
use solmu_conditions::{Checked, FilterError, parse};
use solmu_domain::{
    ids::CalendarId,
    sla::{
        ANY_PRIORITY, ActionKind, ClockStatus, Metric, MetricTargets, Policy, PolicyError, Step,
        StepAt,
    },
    ticket::{Priority, Status},
};
use solmu_proto::sla::v1::{self as proto, step::At};
use solmu_runtime::ApiError;
use uuid::Uuid;

use super::Violations;
use crate::{
    changes::{proto_action, proto_metric},
    facts::SCHEMA,
    store::catalogue::PolicyRow,
};

/// A policy that is valid but for its calendar, which must exist.
#[derive(Debug)]
pub(crate) struct WantedPolicy {
    pub(crate) display_name: String,
    pub(crate) position: i32,
    pub(crate) condition: Checked,
    pub(crate) calendar: CalendarId,
    pub(crate) terms: Policy,
}

impl WantedPolicy {
    pub(crate) fn parse(policy: Option<proto::Policy>) -> Result<Self, ApiError> {
        let policy = policy.ok_or_else(|| ApiError::invalid("policy", "is missing"))?;
        let mut violations = Violations::default();
        let display_name = violations.name("policy.display_name", &policy.display_name);
        let calendar = violations.take("policy.calendar_id", policy.calendar_id.parse());
        let condition = condition(&policy.condition, &mut violations);
        let terms = terms(&policy, &mut violations);
        if let Err(error) = terms.check() {
            violations.add(policy_field(&error, &policy.targets), error.to_string());
        }
        match (calendar, condition) {
            (Some(calendar), Some(condition)) if violations.0.is_empty() => Ok(Self {
                display_name,
                position: policy.position,
                condition,
                calendar,
                terms,
            }),
            _ => Err(violations.into_error()),
        }
    }
}

fn terms(policy: &proto::Policy, violations: &mut Violations) -> Policy {
    let mut terms = Policy::new(targets(&policy.targets, violations));
    // Nothing pauses a policy that names no status.
    terms.pause_on = pauses("policy.pause_on", &policy.pause_on, violations);
    let warning = i64::from(policy.remind_before_seconds);
    terms.remind_before_s = (warning != 0).then_some(warning);
    terms.next_response_from = choice(
        "policy.next_response_from",
        &policy.next_response_from,
        violations,
    );
    let rules = &mut terms.rules;
    rules.on_priority = choice("policy.on_priority", &policy.on_priority, violations);
    rules.on_reopen = choice("policy.on_reopen", &policy.on_reopen, violations);
    rules.on_merge = choice("policy.on_merge", &policy.on_merge, violations);
    rules.on_edit = choice("policy.on_edit", &policy.on_edit, violations);
    rules.calendar_from = choice("policy.calendar_from", &policy.calendar_from, violations);
    rules.quiet = policy.quiet;
    rules.combine = policy.combine;
    rules.sticky = policy.sticky;
    for (index, own) in policy.metric_pauses.iter().enumerate() {
        let field = format!("policy.metric_pauses[{index}]");
        let statuses = pauses(&format!("{field}.statuses"), &own.statuses, violations);
        match domain_metric(own.metric()) {
            Some(metric) => {
                rules.pause_for.insert(metric, statuses);
            }
            None => violations.add(format!("{field}.metric"), "is missing"),
        }
    }
    for (index, target) in policy.team_targets.iter().enumerate() {
        let field = format!("policy.team_targets[{index}]");
        if target.team_id.parse::<Uuid>().is_err() {
            violations.add(format!("{field}.team_id"), "must be the id of a team");
        }
        check_priority(&format!("{field}.priority"), &target.priority, violations);
        let team = rules.team_targets.entry(target.team_id.clone());
        let seconds = i64::from(target.seconds);
        team.or_default().insert(target.priority.clone(), seconds);
    }
    for (index, step) in policy.steps.iter().enumerate() {
        rules.steps.extend(self::step(index, step, violations));
    }
    terms
}

/// One of the names of an enum; the default for the empty text.
fn choice<T: DeserializeOwned + Default>(
    field: &str,
    name: &str,
    violations: &mut Violations,
) -> T {
    if name.is_empty() {
        return T::default();
    }
    let chosen = serde_json::from_value(serde_json::Value::String(name.to_owned()));
    chosen.unwrap_or_else(|error| {
        // "unknown variant `x`, expected one of ..."
        violations.add(field, error.to_string());
        T::default()
    })
}

/// The name of an enum's value.
fn name_of(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).ok();
    let name = value.as_ref().and_then(serde_json::Value::as_str);
    name.unwrap_or_default().to_owned()
}

fn step(index: usize, step: &proto::Step, violations: &mut Violations) -> Option<Step> {
    let field = |name: &str| format!("policy.steps[{index}].{name}");
    let at = match step.at {
        Some(At::BeforeSeconds(seconds)) => Some(StepAt::BeforeS(i64::from(seconds))),
        Some(At::UsedPercent(percent)) => {
            // What does not fit is out of its range in any case.
            Some(StepAt::UsedPercent(u8::try_from(percent).unwrap_or(0)))
        }
        Some(At::AfterSeconds(seconds)) => Some(StepAt::AfterS(i64::from(seconds))),
        None => {
            violations.add(field("at"), "is missing");
            None
        }
    };
    let action = domain_action(step.action());
    if action.is_none() {
        violations.add(field("action"), "is missing");
    }
    // Else nobody would follow, and nobody would be told.
    if action == Some(ActionKind::AddFollower) && Uuid::parse_str(&step.target).is_err() {
        violations.add(
            field("target"),
            "must be the id of an agent: 'solmu agent list' shows them",
        );
    }
    Some(Step {
        metric: domain_metric(step.metric()),
        at: at?,
        action: action?,
        target: step.target.clone(),
        event_only: step.event_only,
    })
}

fn condition(filter: &str, violations: &mut Violations) -> Option<Checked> {
    const FIELD: &str = "policy.condition";
    match parse(filter, &SCHEMA) {
        Ok(condition) => return Some(condition),
        Err(FilterError::Invalid(found)) => {
            for violation in found {
                let place = violation.position;
                let place = place.map_or(String::new(), |at| format!("at character {at}: "));
                violations.add(FIELD, format!("{place}{violation}"));
            }
        }
        Err(error) => violations.add(FIELD, error.to_string()),
    }
    None
}

fn check_priority(field: &str, name: &str, violations: &mut Violations) -> bool {
    let known = name == ANY_PRIORITY || name.parse::<Priority>().is_ok();
    if !known {
        violations.add(field, "must be low, normal, high, urgent or *");
    }
    known
}

fn targets(
    targets: &[proto::Target],
    violations: &mut Violations,
) -> BTreeMap<String, MetricTargets> {
    let mut by_priority = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        let field = format!("policy.targets[{index}].priority");
        let name = target.priority.as_str();
        if !check_priority(&field, name, violations) {
            continue;
        }
        let seconds = |seconds: i32| (seconds != 0).then_some(i64::from(seconds));
        let promised = MetricTargets {
            first_response: seconds(target.first_response_seconds),
            next_response: seconds(target.next_response_seconds),
            resolution: seconds(target.resolution_seconds),
            periodic_update: seconds(target.periodic_update_seconds),
            agent_work: seconds(target.agent_work_seconds),
            ownership: seconds(target.ownership_seconds),
        };
        if by_priority.insert(name.to_owned(), promised).is_some() {
            violations.add(field, format!("'{name}' is there twice"));
        }
    }
    by_priority
}

fn pauses(field: &str, names: &[String], violations: &mut Violations) -> BTreeSet<ClockStatus> {
    let mut statuses = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        let status = violations.take(&format!("{field}[{index}]"), name.parse::<Status>());
        statuses.extend(status.map(clock_status));
    }
    statuses
}

/// The field of the request that a domain error is about.
fn policy_field(error: &PolicyError, targets: &[proto::Target]) -> String {
    let field = error.field();
    if field == "remind_before_s" {
        return "policy.remind_before_seconds".to_owned();
    }
    // `targets.<priority>.<metric>`; priorities have no dot.
    let mut parts = field.split('.');
    let (Some("targets"), Some(priority), Some(metric)) =
        (parts.next(), parts.next(), parts.next())
    else {
        return format!("policy.{field}");
    };
    let place = targets
        .iter()
        .position(|target| target.priority == priority);
    let place = place.unwrap_or_default();
    format!("policy.targets[{place}].{metric}_seconds")
}

const fn clock_status(status: Status) -> ClockStatus {
    match status {
        Status::New => ClockStatus::New,
        Status::Open => ClockStatus::Open,
        Status::WaitingOnCustomer => ClockStatus::WaitingOnCustomer,
        Status::CustomerReplied => ClockStatus::CustomerReplied,
        Status::WaitingOnThirdParty => ClockStatus::WaitingOnThirdParty,
        Status::Resolved => ClockStatus::Resolved,
        Status::Closed => ClockStatus::Closed,
    }
}

const fn domain_metric(metric: proto::Metric) -> Option<Metric> {
    match metric {
        proto::Metric::Unspecified => None,
        proto::Metric::FirstResponse => Some(Metric::FirstResponse),
        proto::Metric::NextResponse => Some(Metric::NextResponse),
        proto::Metric::Resolution => Some(Metric::Resolution),
        proto::Metric::PeriodicUpdate => Some(Metric::PeriodicUpdate),
        proto::Metric::AgentWork => Some(Metric::AgentWork),
        proto::Metric::Ownership => Some(Metric::Ownership),
    }
}

const fn domain_action(action: proto::ActionKind) -> Option<ActionKind> {
    match action {
        proto::ActionKind::Unspecified => None,
        proto::ActionKind::Warn => Some(ActionKind::Warn),
        proto::ActionKind::Notify => Some(ActionKind::Notify),
        proto::ActionKind::RaisePriority => Some(ActionKind::RaisePriority),
        proto::ActionKind::Reassign => Some(ActionKind::Reassign),
        proto::ActionKind::AddFollower => Some(ActionKind::AddFollower),
        proto::ActionKind::Webhook => Some(ActionKind::Webhook),
    }
}

/// A policy as it is answered.
pub(crate) fn policy_to_proto(row: &PolicyRow) -> proto::Policy {
    let (terms, rules) = (&row.terms, &row.terms.rules);
    let seconds = terms.remind_before_s.unwrap_or_default();
    let team_targets = rules.team_targets.iter().flat_map(|(team, by_priority)| {
        by_priority
            .iter()
            .map(|(priority, seconds)| proto::TeamTarget {
                team_id: team.clone(),
                priority: priority.clone(),
                seconds: narrow(*seconds),
            })
    });
    let metric_pauses = rules
        .pause_for
        .iter()
        .map(|(metric, statuses)| proto::MetricPauses {
            metric: proto_metric(*metric).into(),
            statuses: pauses_to_proto(statuses),
        });
    proto::Policy {
        id: row.key.id.to_string(),
        display_name: row.display_name.clone(),
        position: row.position,
        condition: row.condition.clone(),
        calendar_id: row.calendar.to_string(),
        targets: targets_to_proto(&terms.targets),
        pause_on: pauses_to_proto(&terms.pause_on),
        remind_before_seconds: narrow(seconds),
        version: row.key.version,
        etag: etag(row.key.version),
        metric_pauses: metric_pauses.collect(),
        team_targets: team_targets.collect(),
        steps: rules.steps.iter().map(step_to_proto).collect(),
        next_response_from: name_of(&terms.next_response_from),
        on_priority: name_of(&rules.on_priority),
        on_reopen: name_of(&rules.on_reopen),
        on_merge: name_of(&rules.on_merge),
        on_edit: name_of(&rules.on_edit),
        calendar_from: name_of(&rules.calendar_from),
        quiet: rules.quiet,
        combine: rules.combine,
        sticky: rules.sticky,
    }
}

/// The etag of a version (AIP-154).
pub(crate) fn etag(version: i32) -> String {
    format!("\"{version}\"")
}

fn narrow(seconds: i64) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

fn step_to_proto(step: &Step) -> proto::Step {
    proto::Step {
        metric: step.metric.map_or(0, |metric| proto_metric(metric).into()),
        action: proto_action(step.action).into(),
        target: step.target.clone(),
        event_only: step.event_only,
        at: Some(match step.at {
            StepAt::BeforeS(seconds) => At::BeforeSeconds(narrow(seconds)),
            StepAt::UsedPercent(percent) => At::UsedPercent(i32::from(percent)),
            StepAt::AfterS(seconds) => At::AfterSeconds(narrow(seconds)),
        }),
    }
}

/// Names of statuses, as in requests.
fn pauses_to_proto(pauses: &BTreeSet<ClockStatus>) -> Vec<String> {
    let names = Status::ALL.into_iter();
    names
        .filter(|status| pauses.contains(&clock_status(*status)))
        .map(|status| status.name().to_owned())
        .collect()
}

/// Targets, most urgent first.
fn targets_to_proto(targets: &BTreeMap<String, MetricTargets>) -> Vec<proto::Target> {
    let rank = |name: &str| {
        let place = Priority::ALL.iter().rev().position(|it| it.name() == name);
        place.unwrap_or(Priority::ALL.len())
    };
    let mut named: Vec<_> = targets.iter().collect();
    named.sort_by_key(|(name, _)| rank(name));
    let to_proto = |(name, targets): (&String, &MetricTargets)| {
        let seconds = |metric| narrow(targets.get(metric).unwrap_or_default());
        proto::Target {
            priority: name.clone(),
            first_response_seconds: seconds(Metric::FirstResponse),
            next_response_seconds: seconds(Metric::NextResponse),
            resolution_seconds: seconds(Metric::Resolution),
            periodic_update_seconds: seconds(Metric::PeriodicUpdate),
            agent_work_seconds: seconds(Metric::AgentWork),
            ownership_seconds: seconds(Metric::Ownership),
        }
    };
    named.into_iter().map(to_proto).collect()
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
