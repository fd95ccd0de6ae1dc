//! Requests for calendars and policies, checked: everything that is wrong is reported at once, each with its field.

use std::collections::{BTreeMap, BTreeSet};

use solmu_conditions::{Checked, FilterError, parse};
use solmu_domain::{
    ids::CalendarId,
    sla::{
        ANY_PRIORITY, Calendar, CalendarSpec, ClockStatus, Metric, MetricTargets, Policy,
        PolicyError,
    },
    ticket::{Priority, Status},
};
use solmu_proto::sla::v1::{self as proto, CreateCalendarRequest, CreatePolicyRequest};
use solmu_runtime::{ApiError, api_error::Violation};

use crate::facts::SCHEMA;

/// Characters of a display name at most.
const NAME_MAX: usize = 100;
/// Bytes of a calendar's definition at most: hundreds of years of holidays.
const DEFINITION_MAX: usize = 64 * 1024;

/// A valid calendar.
#[derive(Debug)]
pub(crate) struct WantedCalendar {
    pub(crate) display_name: String,
    pub(crate) definition: CalendarSpec,
}

/// A policy that is valid but for its calendar, which must exist.
#[derive(Debug)]
pub(crate) struct WantedPolicy {
    pub(crate) display_name: String,
    pub(crate) position: i32,
    pub(crate) condition: Checked,
    pub(crate) calendar: CalendarId,
    pub(crate) terms: Policy,
}

/// What is wrong so far.
#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    /// The value, or what is wrong with it.
    fn take<T>(&mut self, field: &str, value: Result<T, impl std::fmt::Display>) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(field, error.to_string());
                None
            }
        }
    }

    fn name(&mut self, field: &str, name: &str) -> String {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX {
            self.add(field, format!("must have 1 to {NAME_MAX} characters"));
        }
        name.to_owned()
    }

    fn into_error(self) -> ApiError {
        ApiError::InvalidArgument { violations: self.0 }
    }
}

impl WantedCalendar {
    pub(crate) fn parse(request: CreateCalendarRequest) -> Result<Self, ApiError> {
        let calendar = request
            .calendar
            .ok_or_else(|| ApiError::invalid("calendar", "is missing"))?;
        let mut violations = Violations::default();
        let display_name = violations.name("calendar.display_name", &calendar.display_name);
        let definition = definition(&calendar.definition_json, &mut violations);
        match definition {
            Some(definition) if violations.0.is_empty() => Ok(Self {
                display_name,
                definition,
            }),
            _ => Err(violations.into_error()),
        }
    }
}

fn definition(json: &str, violations: &mut Violations) -> Option<CalendarSpec> {
    const FIELD: &str = "calendar.definition_json";
    if json.len() > DEFINITION_MAX {
        violations.add(FIELD, format!("has more than {DEFINITION_MAX} bytes"));
        return None;
    }
    let spec: CalendarSpec = violations.take(FIELD, serde_json::from_str(json))?;
    if let Err(error) = Calendar::new(&spec) {
        violations.add(format!("{FIELD}.{}", error.field()), error.to_string());
        return None;
    }
    Some(spec)
}

impl WantedPolicy {
    pub(crate) fn parse(request: CreatePolicyRequest) -> Result<Self, ApiError> {
        let policy = request
            .policy
            .ok_or_else(|| ApiError::invalid("policy", "is missing"))?;
        let mut violations = Violations::default();
        let display_name = violations.name("policy.display_name", &policy.display_name);
        let calendar = violations.take("policy.calendar_id", policy.calendar_id.parse());
        let condition = condition(&policy.condition, &mut violations);
        let mut terms = Policy::new(targets(&policy.targets, &mut violations));
        // Nothing pauses a policy that names no status.
        terms.pause_on = pauses(&policy.pause_on, &mut violations);
        let warning = i64::from(policy.remind_before_seconds);
        terms.remind_before_s = (warning != 0).then_some(warning);
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

fn targets(
    targets: &[proto::Target],
    violations: &mut Violations,
) -> BTreeMap<String, MetricTargets> {
    let mut by_priority = BTreeMap::new();
    for (index, target) in targets.iter().enumerate() {
        let field = format!("policy.targets[{index}].priority");
        let name = target.priority.as_str();
        let known = name == ANY_PRIORITY || name.parse::<Priority>().is_ok();
        if !known {
            violations.add(field, "must be low, normal, high, urgent or *");
            continue;
        }
        let seconds = |seconds: i32| (seconds != 0).then_some(i64::from(seconds));
        let promised = MetricTargets {
            first_response: seconds(target.first_response_seconds),
            next_response: seconds(target.next_response_seconds),
            resolution: seconds(target.resolution_seconds),
        };
        if by_priority.insert(name.to_owned(), promised).is_some() {
            violations.add(field, format!("'{name}' is there twice"));
        }
    }
    by_priority
}

fn pauses(names: &[String], violations: &mut Violations) -> BTreeSet<ClockStatus> {
    let mut statuses = BTreeSet::new();
    for (index, name) in names.iter().enumerate() {
        let status = violations.take(&format!("policy.pause_on[{index}]"), name.parse::<Status>());
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
    let mut parts = field.split('.').skip(1);
    let (Some(priority), Some(metric)) = (parts.next(), parts.next()) else {
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

/// Names of statuses, as in requests.
pub(crate) fn pauses_to_proto(pauses: &BTreeSet<ClockStatus>) -> Vec<String> {
    let names = Status::ALL.into_iter();
    names
        .filter(|status| pauses.contains(&clock_status(*status)))
        .map(|status| status.name().to_owned())
        .collect()
}

/// Targets, most urgent first.
pub(crate) fn targets_to_proto(targets: &BTreeMap<String, MetricTargets>) -> Vec<proto::Target> {
    let rank = |name: &str| {
        let place = Priority::ALL.iter().rev().position(|it| it.name() == name);
        place.unwrap_or(Priority::ALL.len())
    };
    let mut named: Vec<_> = targets.iter().collect();
    named.sort_by_key(|(name, _)| rank(name));
    let to_proto = |(name, targets): (&String, &MetricTargets)| {
        let seconds = |metric| {
            let seconds = targets.get(metric).unwrap_or_default();
            i32::try_from(seconds).unwrap_or(i32::MAX)
        };
        proto::Target {
            priority: name.clone(),
            first_response_seconds: seconds(Metric::FirstResponse),
            next_response_seconds: seconds(Metric::NextResponse),
            resolution_seconds: seconds(Metric::Resolution),
        }
    };
    named.into_iter().map(to_proto).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(error: ApiError) -> Vec<String> {
        match error {
            ApiError::InvalidArgument { violations } => {
                violations.into_iter().map(|it| it.field).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_fault_of_a_policy_has_its_field() {
        let target = |priority: &str, seconds| proto::Target {
            priority: priority.to_owned(),
            first_response_seconds: seconds,
            ..proto::Target::default()
        };
        let policy = proto::Policy {
            condition: "prioritty >= high AND colour = red".to_owned(),
            calendar_id: "office".to_owned(),
            targets: vec![target("high", 60), target("huge", 1), target("low", -5)],
            pause_on: vec!["resting".to_owned()],
            ..proto::Policy::default()
        };
        let request = CreatePolicyRequest {
            policy: Some(policy),
        };
        assert_eq!(
            fields(WantedPolicy::parse(request).unwrap_err()),
            [
                "policy.display_name",
                "policy.calendar_id",
                "policy.condition",
                "policy.condition",
                "policy.targets[1].priority",
                "policy.pause_on[0]",
                "policy.targets[2].first_response_seconds",
            ]
        );
    }

    #[test]
    fn every_fault_of_a_calendar_has_its_field() {
        let refused = |definition: &str| {
            let calendar = proto::Calendar {
                display_name: "Office".to_owned(),
                definition_json: definition.to_owned(),
                ..proto::Calendar::default()
            };
            let request = CreateCalendarRequest {
                calendar: Some(calendar),
            };
            fields(WantedCalendar::parse(request).unwrap_err())
        };
        assert_eq!(refused("{"), ["calendar.definition_json"]);
        assert_eq!(
            refused(r#"{"tz": "Mars/Olympus", "always_open": true}"#),
            ["calendar.definition_json.tz"]
        );
        assert_eq!(
            refused(r#"{"hours": {"mon": [["08:00", "25:00"]]}}"#),
            ["calendar.definition_json.hours.mon[0]"]
        );
        assert_eq!(refused("{}"), ["calendar.definition_json.hours"]);
    }

    #[test]
    fn targets_come_back_most_urgent_first() {
        let promised = MetricTargets {
            resolution: Some(60),
            ..MetricTargets::default()
        };
        let names = ["*", "low", "urgent", "high"];
        let targets = names.map(|name| (name.to_owned(), promised));
        let listed = targets_to_proto(&BTreeMap::from(targets));
        let listed: Vec<_> = listed.iter().map(|it| it.priority.as_str()).collect();
        assert_eq!(listed, ["urgent", "high", "low", "*"]);
    }
}
