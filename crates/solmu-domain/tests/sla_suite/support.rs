//! Short ways to write calendars, instants and policies.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use solmu_domain::sla::{
    Calendar, CalendarSpec, ClockEvent, ClockEventKind, ClockStatus, Metric, MetricReport, Policy,
    Terms, TicketClocks, TicketReport, TicketStart,
};

/// An instant with any offset.
pub(crate) fn at(text: &str) -> Timestamp {
    text.parse()
        .unwrap_or_else(|error| panic!("'{text}' is no instant: {error}"))
}

/// A calendar's spec from JSON.
pub(crate) fn spec(json: serde_json::Value) -> CalendarSpec {
    serde_json::from_value(json).expect("the test's calendar has the right form")
}

/// A calendar from JSON.
pub(crate) fn calendar(json: serde_json::Value) -> Calendar {
    Calendar::new(&spec(json)).expect("the test's calendar is valid")
}

/// The same windows from Monday to Friday, with further fields.
pub(crate) fn weekdays(tz: &str, windows: &serde_json::Value, more: serde_json::Value) -> Calendar {
    calendar(weekdays_json(tz, windows, more))
}

/// See [`weekdays`].
pub(crate) fn weekdays_json(
    tz: &str,
    windows: &serde_json::Value,
    more: serde_json::Value,
) -> serde_json::Value {
    let mut spec = json!({
        "tz": tz,
        "hours": {"mon": windows, "tue": windows, "wed": windows, "thu": windows, "fri": windows},
    });
    if let serde_json::Value::Object(more) = more {
        spec.as_object_mut().expect("it is an object").extend(more);
    }
    spec
}

/// Helsinki, Monday to Friday from 8 to 16.
pub(crate) fn helsinki() -> Calendar {
    weekdays("Europe/Helsinki", &json!([["08:00", "16:00"]]), json!({}))
}

/// A ticket under test: Helsinki office hours, targets of 4 h, 4 h and 16 h at normal priority.
pub(crate) struct Desk {
    pub(crate) policy: Policy,
    pub(crate) calendars: BTreeMap<String, Calendar>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let policy = serde_json::from_value(json!({
            "targets": {
                "low": {"first_response": 28800, "next_response": 28800, "resolution": 144_000},
                "normal": {"first_response": 14400, "next_response": 14400, "resolution": 57600},
                "urgent": {"first_response": 3600, "next_response": 1800, "resolution": 14400},
                "silent": {"resolution": 57600},
            },
            "remind_before_s": 3600,
        }))
        .expect("the test's policy is valid");
        let new_york = weekdays("America/New_York", &json!([["09:00", "17:00"]]), json!({}));
        let always = calendar(json!({"always_open": true}));
        let calendars = [("fi", helsinki()), ("us", new_york), ("always", always)];
        Self {
            policy,
            calendars: calendars
                .map(|(key, calendar)| (key.to_owned(), calendar))
                .into(),
        }
    }

    pub(crate) fn terms(&self) -> Terms<'_> {
        Terms::new(&self.policy, &self.calendars)
    }

    /// A ticket created on Monday 3 June 2024 at 08:00 in Helsinki.
    pub(crate) fn ticket(&self) -> TicketClocks {
        TicketClocks::start(&monday(), &self.terms()).expect("the calendar is known")
    }

    /// Applies events to a new ticket.
    pub(crate) fn after(&self, events: &[(&str, ClockEventKind)]) -> TicketClocks {
        let mut clocks = self.ticket();
        for (instant, kind) in events {
            self.apply(&mut clocks, instant, kind.clone());
        }
        clocks
    }

    pub(crate) fn apply(
        &self,
        clocks: &mut TicketClocks,
        instant: &str,
        kind: ClockEventKind,
    ) -> Vec<solmu_domain::sla::ClockChange> {
        clocks
            .apply(&ClockEvent::new(june(instant), kind), &self.terms())
            .expect("the event is in order")
    }

    pub(crate) fn report(&self, clocks: &TicketClocks, instant: &str) -> TicketReport {
        clocks
            .report(june(instant), &self.terms())
            .expect("the calendars are known")
    }

    /// The last cycle of a metric.
    pub(crate) fn metric(
        &self,
        clocks: &TicketClocks,
        metric: Metric,
        instant: &str,
    ) -> MetricReport {
        let report = self.report(clocks, instant);
        report
            .metrics
            .into_iter()
            .rfind(|report| report.metric == metric)
            .expect("the metric is kept")
    }
}

/// The start of [`Desk::ticket`].
pub(crate) fn monday() -> TicketStart {
    TicketStart {
        at: june("3 08:00"),
        status: ClockStatus::New,
        priority: "normal".to_owned(),
        calendar: "fi".to_owned(),
        outbound: false,
        calendars: BTreeMap::new(),
        policy: String::new(),
        team: None,
    }
}

/// `4 09:30` is 4 June 2024 at 09:30 in Helsinki.
pub(crate) fn june(text: &str) -> Timestamp {
    let (day, time) = text.split_once(' ').expect("day and time");
    let seconds = if time.len() > 5 { "" } else { ":00" };
    at(&format!("2024-06-{day:0>2}T{time}{seconds}+03:00"))
}

pub(crate) fn status(to: ClockStatus) -> ClockEventKind {
    ClockEventKind::Status { to }
}

pub(crate) fn priority(to: &str) -> ClockEventKind {
    ClockEventKind::Priority { to: to.to_owned() }
}

pub(crate) fn team_of(to: &str) -> ClockEventKind {
    ClockEventKind::Calendar {
        to: to.to_owned(),
        metrics: BTreeMap::new(),
    }
}

/// Checks a table of a calendar.
pub(crate) fn assert_elapsed(calendar: &Calendar, table: &[(&str, &str, i64)]) {
    for (from, to, seconds) in table {
        assert_eq!(
            calendar.elapsed(at(from), at(to)),
            *seconds,
            "from {from} to {to}"
        );
        assert_eq!(
            calendar.elapsed(at(to), at(from)),
            -seconds,
            "from {to} back to {from}"
        );
    }
}

/// Checks a table of a calendar.
pub(crate) fn assert_due(calendar: &Calendar, table: &[(&str, i64, &str)]) {
    for (start, target_s, due) in table {
        assert_eq!(
            calendar.due(at(start), *target_s),
            at(due),
            "{target_s} s from {start}"
        );
    }
}

/// Checks a table of a calendar.
pub(crate) fn assert_open(calendar: &Calendar, table: &[(&str, bool)]) {
    for (instant, open) in table {
        assert_eq!(calendar.is_open(at(instant)), *open, "at {instant}");
    }
}
