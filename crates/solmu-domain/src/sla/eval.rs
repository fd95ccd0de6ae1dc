//! Evaluates SLA cases written as JSON, one case an object, for `solmu sla eval` and for tests against tables.
//!
//! A case names its `kind`:
//!
//! * `due`: `start` and `policy.target_s` give `due` (and `due_open` where that differs);
//! * `elapsed`: `start` and the first event's `at` give `elapsed_s`;
//! * `open`: `start` gives `open`;
//! * `ticket`: `events` up to `now` are applied in the order of their instants to a ticket created at `start`, and give
//!   `metrics`, `next_due` and (when the policy reminds) `reminders`.
//!
//! Calendars that never open are evaluated here (nothing is ever due) though services refuse them. A case may use any
//! names of statuses: `resolved` and `closed` are done, those in `policy.pause_on` pause, all others run.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    calendar::Calendar,
    clocks::TicketClocks,
    event::{ClockEvent, ClockEventKind},
    metric::{ClockStatus, Metric},
    policy::{MetricTargets, NextResponseFrom, Policy},
    report::{ClockState, MetricReport, TicketReport},
    rules::PolicyRules,
    spec::{CalendarError, CalendarSpec},
    terms::{ClockError, Terms, TicketStart},
};

/// The name of the case's own calendar.
const DEFAULT_CALENDAR: &str = "default";

/// Why a case cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The object is no case.
    #[error("the case does not have the expected form")]
    Malformed(#[from] serde_json::Error),
    /// A calendar of the case is wrong.
    #[error("calendar '{name}' is not valid")]
    Calendar {
        /// Its name.
        name: String,
        /// What is wrong with it.
        #[source]
        source: CalendarError,
    },
    /// A field that this kind of case needs.
    #[error("{field} is missing")]
    Missing {
        /// Path of the field.
        field: &'static str,
    },
    /// A time that is promised, or a warning ahead of it, of less than nothing.
    #[error("{field} is {seconds}: it must not be less than zero")]
    Negative {
        /// Path of the field.
        field: String,
        /// Its value.
        seconds: i64,
    },
    /// The events cannot be applied.
    #[error("cannot apply the events")]
    Clocks(#[from] ClockError),
}

#[derive(Debug, Deserialize)]
struct Case {
    id: Value,
    kind: Kind,
    calendar: CalendarSpec,
    #[serde(default)]
    calendars: BTreeMap<String, CalendarSpec>,
    start: Timestamp,
    #[serde(default)]
    events: Vec<CaseEvent>,
    #[serde(default)]
    policy: CasePolicy,
    status: Option<String>,
    priority: Option<String>,
    now: Option<Timestamp>,
    created_by: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Due,
    Elapsed,
    Open,
    Ticket,
}

#[derive(Debug, Deserialize)]
struct CaseEvent {
    at: Timestamp,
    #[serde(rename = "type")]
    kind: CaseEventKind,
    to: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CaseEventKind {
    Stop,
    Status,
    AgentReply,
    CustomerMessage,
    Priority,
    Calendar,
}

#[derive(Debug, Default, Deserialize)]
struct CasePolicy {
    target_s: Option<i64>,
    targets: Option<BTreeMap<String, MetricTargets>>,
    pause_on: Option<BTreeSet<String>>,
    #[serde(default)]
    next_response_from: NextResponseFrom,
    remind_before_s: Option<i64>,
}

impl CasePolicy {
    /// No target is less than zero: the earliest instant at which it were used up would lie before the start.
    fn check(&self) -> Result<(), EvalError> {
        let own = [
            ("target_s", self.target_s),
            ("remind_before_s", self.remind_before_s),
        ];
        let own = own.map(|(name, seconds)| (format!("policy.{name}"), seconds));
        let by_priority = self.targets.iter().flatten();
        let targets = by_priority.flat_map(|(priority, targets)| {
            let field =
                move |metric: Metric| format!("policy.targets.{priority}.{}", metric.as_str());
            Metric::ALL.map(|metric| (field(metric), targets.get(metric)))
        });
        for (field, seconds) in own.into_iter().chain(targets) {
            if let Some(seconds) = seconds.filter(|seconds| *seconds < 0) {
                return Err(EvalError::Negative { field, seconds });
            }
        }
        Ok(())
    }
}

/// Evaluates one case.
///
/// # Errors
/// When the case is malformed, one of its calendars is wrong, or its events cannot be applied.
pub fn eval_case(json: Value) -> Result<Value, EvalError> {
    let case: Case = serde_json::from_value(json)?;
    case.policy.check()?;
    let mut result = match case.kind {
        Kind::Due => eval_due(&case)?,
        Kind::Elapsed => {
            let stop = case
                .events
                .first()
                .ok_or(EvalError::Missing { field: "events[0]" })?;
            single(
                "elapsed_s",
                json!(calendar(DEFAULT_CALENDAR, &case.calendar)?.elapsed(case.start, stop.at)),
            )
        }
        Kind::Open => single(
            "open",
            json!(calendar(DEFAULT_CALENDAR, &case.calendar)?.is_open(case.start)),
        ),
        Kind::Ticket => eval_ticket(&case)?,
    };
    result.insert("id".to_owned(), case.id);
    Ok(Value::Object(result))
}

fn eval_due(case: &Case) -> Result<Map<String, Value>, EvalError> {
    let target_s = case.policy.target_s.ok_or(EvalError::Missing {
        field: "policy.target_s",
    })?;
    let calendar = calendar(DEFAULT_CALENDAR, &case.calendar)?;
    let due = calendar.try_due(case.start, target_s.saturating_mul(1_000_000));
    let due_open = due.and_then(|due| calendar.try_next_opening(due));
    let mut result = single("due", json!(due));
    if due_open != due {
        result.insert("due_open".to_owned(), json!(due_open));
    }
    Ok(result)
}

fn eval_ticket(case: &Case) -> Result<Map<String, Value>, EvalError> {
    let mut calendars = BTreeMap::new();
    calendars.insert(
        DEFAULT_CALENDAR.to_owned(),
        calendar(DEFAULT_CALENDAR, &case.calendar)?,
    );
    for (name, spec) in &case.calendars {
        calendars.insert(name.clone(), calendar(name, spec)?);
    }
    let pauses = case.pauses();
    let policy = Policy {
        targets: case.policy.targets.clone().ok_or(EvalError::Missing {
            field: "policy.targets",
        })?,
        pause_on: BTreeSet::from([ClockStatus::WaitingOnCustomer]),
        next_response_from: case.policy.next_response_from,
        remind_before_s: case.policy.remind_before_s,
        rules: PolicyRules::default(),
    };
    let terms = Terms::new(&policy, &calendars);
    let start = TicketStart {
        at: case.start,
        status: status_class(case.status.as_deref().unwrap_or("new"), &pauses),
        priority: case.priority.clone().unwrap_or_else(|| "normal".to_owned()),
        calendar: DEFAULT_CALENDAR.to_owned(),
        outbound: case.created_by.as_deref() == Some("agent"),
        calendars: BTreeMap::new(),
        policy: String::new(),
        team: None,
    };
    let events = case.clock_events(&pauses)?;
    let clocks = TicketClocks::replay(&start, &events, &terms)?;
    let report = clocks.report(case.now.unwrap_or_else(|| clocks.last_event_at()), &terms)?;
    Ok(ticket_json(&report))
}

impl Case {
    fn pauses(&self) -> BTreeSet<String> {
        let default =
            || BTreeSet::from(["waiting_customer".to_owned(), "waiting_third".to_owned()]);
        let mut names = self.policy.pause_on.clone().unwrap_or_else(default);
        // Both spellings mean the same status.
        for (short, long) in [
            ("waiting_customer", "waiting_on_customer"),
            ("waiting_third", "waiting_on_third_party"),
        ] {
            if names.contains(short) || names.contains(long) {
                names.extend([short.to_owned(), long.to_owned()]);
            }
        }
        names
    }

    /// The events up to `now`, by instant; events of one instant keep the order that the case gives them.
    fn clock_events(&self, pauses: &BTreeSet<String>) -> Result<Vec<ClockEvent>, EvalError> {
        let mut events = Vec::with_capacity(self.events.len());
        for event in self
            .events
            .iter()
            .filter(|event| self.now.is_none_or(|now| event.at <= now))
        {
            let to = || {
                event.to.clone().ok_or(EvalError::Missing {
                    field: "events[].to",
                })
            };
            let kind = match event.kind {
                CaseEventKind::Stop => ClockEventKind::Tick,
                CaseEventKind::Status => ClockEventKind::Status {
                    to: status_class(&to()?, pauses),
                },
                CaseEventKind::AgentReply => ClockEventKind::AgentReply,
                CaseEventKind::CustomerMessage => ClockEventKind::CustomerMessage,
                CaseEventKind::Priority => ClockEventKind::Priority { to: to()? },
                CaseEventKind::Calendar => ClockEventKind::Calendar {
                    to: to()?,
                    metrics: BTreeMap::new(),
                },
            };
            events.push(ClockEvent::new(event.at, kind));
        }
        events.sort_by_key(|event| event.at);
        Ok(events)
    }
}

fn calendar(name: &str, spec: &CalendarSpec) -> Result<Calendar, EvalError> {
    Calendar::unchecked(spec).map_err(|source| EvalError::Calendar {
        name: name.to_owned(),
        source,
    })
}

/// One of the statuses that behaves as `name` does in this case.
fn status_class(name: &str, pauses: &BTreeSet<String>) -> ClockStatus {
    match name {
        "resolved" => ClockStatus::Resolved,
        "closed" => ClockStatus::Closed,
        _ if pauses.contains(name) => ClockStatus::WaitingOnCustomer,
        _ => ClockStatus::Open,
    }
}

fn single(key: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), value)])
}

fn ticket_json(report: &TicketReport) -> Map<String, Value> {
    let metrics: Vec<_> = report.metrics.iter().map(metric_json).collect();
    let mut result = single("metrics", json!(metrics));
    result.insert("next_due".to_owned(), json!(report.next_due));
    if let Some(reminders) = &report.reminders {
        result.insert("reminders".to_owned(), json!(reminders));
    }
    result
}

/// A running clock always has `due`, null when nothing is due; the rest is there when it has a value.
fn metric_json(report: &MetricReport) -> Value {
    let mut fields = single("metric", json!(report.metric));
    let mut put = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    put("state", json!(report.state));
    put("elapsed_s", json!(report.elapsed_s));
    put("breached", json!(report.breached));
    if report.state == ClockState::Running {
        put("due", json!(report.due));
    }
    let optional = [
        ("breached_at", report.breached_at),
        ("due_open", report.due_open),
        ("ended_at", report.ended_at),
    ];
    for (key, at) in optional {
        if let Some(at) = at {
            put(key, json!(at));
        }
    }
    Value::Object(fields)
}
