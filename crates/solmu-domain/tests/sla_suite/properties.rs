//! Properties over random calendars, instants and histories, some against slow references that share no code.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use solmu_domain::sla::{
    Calendar, ClockEvent, ClockEventKind, ClockState, ClockStatus, InstantKind, MAX_SEGMENTS,
    Metric, MetricReport, Policy, SegmentKind, Terms, TicketClocks, TicketStart, explain,
};

use crate::support::{at, spec};

const ZONES: [&str; 9] = [
    "UTC",
    "Europe/Helsinki",
    "America/New_York",
    "Australia/Lord_Howe",
    "Antarctica/Troll",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Pacific/Apia",
    "America/Sao_Paulo",
];

/// Windows in minutes; an end before its start runs past midnight.
fn windows() -> impl Strategy<Value = Value> {
    let minute =
        || (0..96_u32).prop_map(|quarter| format!("{:02}:{:02}", quarter / 4, quarter % 4 * 15));
    prop::collection::vec((minute(), minute()), 0..3).prop_map(|list| {
        list.into_iter()
            .map(|(open, close)| json!([open, close]))
            .collect()
    })
}

/// A date within the year that the histories use, around each change of the clocks too.
fn dates() -> impl Strategy<Value = String> {
    (0..400_i64).prop_map(|day| (jiff::civil::date(2024, 1, 1) + day.days()).to_string())
}

pub(crate) fn calendars() -> impl Strategy<Value = Calendar> {
    (
        select(ZONES.as_slice()),
        prop::collection::vec(windows(), 7),
        prop::collection::vec(dates(), 0..6),
        prop::collection::btree_map(dates(), windows(), 0..4),
        dates(),
    )
        .prop_map(|(tz, mut week, holidays, overrides, lunch)| {
            // A calendar has to open at some time.
            week[0] = json!([["08:00", "16:00"]]);
            let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
            let hours: BTreeMap<_, _> = days.into_iter().zip(week).collect();
            let breaks = BTreeMap::from([(lunch, json!([["11:00", "12:30"]]))]);
            let json =
                json!({"tz": tz, "hours": hours, "holidays": holidays, "overrides": overrides, "breaks": breaks});
            Calendar::new(&spec(json)).expect("the calendar opens on Mondays")
        })
}

/// Microseconds of 2024, whole seconds more often than not.
fn instants() -> impl Strategy<Value = Timestamp> {
    let seconds = 0..366 * 86_400_i64;
    (seconds, prop_oneof![3 => Just(0), 1 => 0..1_000_000_i64]).prop_map(|(second, micro)| {
        let micros = (1_704_067_200 + second) * 1_000_000 + micro;
        Timestamp::from_microsecond(micros).expect("2024 is representable")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn elapsed_is_additive(calendar in calendars(), a in instants(), b in instants(), c in instants()) {
        let parts = calendar.elapsed_micros(a, b) + calendar.elapsed_micros(b, c);
        prop_assert_eq!(parts, calendar.elapsed_micros(a, c));
        prop_assert_eq!(calendar.elapsed_micros(a, b), -calendar.elapsed_micros(b, a));
        let wall = b.as_microsecond() - a.as_microsecond();
        prop_assert!(calendar.elapsed_micros(a, b).abs() <= wall.abs());
    }

    #[test]
    fn due_is_the_earliest_instant(calendar in calendars(), start in instants(), target in 1..2_000_000_i64) {
        let due = calendar.due(start, target);
        prop_assert_eq!(calendar.elapsed_micros(start, due), target * 1_000_000);
        let before = due - SignedDuration::from_micros(1);
        prop_assert!(calendar.elapsed_micros(start, before) < target * 1_000_000);
        let open = calendar.due_open(start, target);
        prop_assert!(open >= due && calendar.is_open(open));
        prop_assert_eq!(calendar.elapsed_micros(due, open), 0);
    }

    #[test]
    fn due_of_elapsed_comes_back(calendar in calendars(), start in instants(), end in instants()) {
        let (start, end) = (start.min(end), start.max(end));
        let elapsed = calendar.elapsed(start, end);
        if elapsed > 0 {
            prop_assert!(calendar.due(start, elapsed) <= end);
        }
        if calendar.is_open(end) {
            prop_assert!(calendar.due(start, elapsed + 1) > end);
        }
    }

    #[test]
    fn due_is_monotone(
        calendar in calendars(), a in instants(), b in instants(), t in 0..500_000_i64, u in 0..500_000_i64,
    ) {
        prop_assert!(calendar.due(a.min(b), t) <= calendar.due(a.max(b), t));
        prop_assert!(calendar.due(a, t.min(u)) <= calendar.due(a, t.max(u)));
    }

    #[test]
    fn next_opening_is_the_first_open_instant(calendar in calendars(), from in instants()) {
        let opening = calendar.next_opening(from);
        prop_assert!(calendar.is_open(opening));
        prop_assert_eq!(calendar.elapsed_micros(from, opening), 0);
        prop_assert_eq!(calendar.is_open(from), opening == from);
    }

    #[test]
    fn fifty_two_weeks_later_is_the_same_civil_time(
        zone in select(ZONES.as_slice()), day in 0..300_i64, minute in 0..1440_i64, target in 1..300_000_i64,
    ) {
        let hours = json!([["06:30", "11:00"], ["12:00", "22:45"]]);
        let json = json!({"tz": zone, "hours": {"mon": hours, "wed": hours, "thu": hours, "sat": hours}});
        let calendar = Calendar::new(&spec(json)).expect("it opens");
        let zone = TimeZone::get(zone).expect("the zone is known");
        let civil = jiff::civil::date(2024, 1, 1).at(0, 0, 0, 0) + day.days() + minute.minutes();
        let due = |civil: jiff::civil::DateTime| {
            let start = civil.to_zoned(zone.clone()).expect("it is representable").timestamp();
            calendar.due(start, target).to_zoned(zone.clone()).datetime()
        };
        prop_assert_eq!(due(civil) + 52.weeks(), due(civil + 52.weeks()));
    }
}

/// Steps over minutes with a predicate on civil time; windows are whole quarters and no change of clocks is near.
#[test]
fn elapsed_equals_minute_stepping() {
    let json = json!({"tz": "Europe/Helsinki", "hours": {"mon": [["22:00", "06:15"]], "tue": [["09:00", "17:30"]]}});
    let calendar = Calendar::new(&spec(json)).expect("it opens");
    let zone = TimeZone::get("Europe/Helsinki").expect("the zone is known");
    let start = at("2024-05-31T21:00:00Z");
    let mut open_minutes = 0;
    for minute in 0..14 * 1440 {
        let now = start + SignedDuration::from_mins(minute);
        let civil = now.to_zoned(zone.clone());
        let clock = (civil.hour(), civil.minute());
        let open = match civil.weekday() {
            jiff::civil::Weekday::Monday => clock >= (22, 0),
            jiff::civil::Weekday::Tuesday => clock < (6, 15) || ((9, 0)..(17, 30)).contains(&clock),
            _ => false,
        };
        assert_eq!(calendar.is_open(now), open, "at {civil}");
        assert_eq!(
            calendar.elapsed(start, now),
            open_minutes * 60,
            "until {civil}"
        );
        open_minutes += i64::from(open);
    }
}

pub(crate) fn policy(reminder: Option<i64>) -> Policy {
    let json = json!({"targets": {
        "low": {"first_response": 28800, "next_response": 28800, "resolution": 144_000},
        "normal": {"first_response": 14400, "next_response": 7200, "resolution": 57600},
        "urgent": {"first_response": 3600, "next_response": 1800, "resolution": 14400},
        "bare": {"resolution": 43210},
        "*": {"periodic_update": 9000, "agent_work": 20000, "ownership": 7200}},
        "rules": {"steps": [{"at": {"used_percent": 75}, "action": "warn"},
            {"at": {"after_s": 600}, "action": "notify", "target": "team"}]},
        "remind_before_s": reminder});
    serde_json::from_value(json).expect("the policy is valid")
}

fn kinds() -> impl Strategy<Value = ClockEventKind> {
    let statuses = [
        ClockStatus::Open,
        ClockStatus::WaitingOnCustomer,
        ClockStatus::CustomerReplied,
        ClockStatus::WaitingOnThirdParty,
        ClockStatus::Resolved,
        ClockStatus::Closed,
    ];
    prop_oneof![
        4 => select(statuses.to_vec()).prop_map(|to| ClockEventKind::Status { to }),
        3 => Just(ClockEventKind::AgentReply),
        3 => Just(ClockEventKind::CustomerMessage),
        2 => select(vec!["low", "normal", "urgent", "bare"]).prop_map(|to| ClockEventKind::Priority { to: to.into() }),
        1 => select(vec![None, Some("x"), Some("y")])
            .prop_map(|to| ClockEventKind::Team { to: to.map(str::to_owned) }),
        1 => select(vec!["a", "b"]).prop_map(|to| ClockEventKind::Calendar { to: to.into(), metrics: BTreeMap::new() }),
    ]
}

/// Up to 14 events, hours apart on average, some at the same instant.
pub(crate) fn histories() -> impl Strategy<Value = (TicketStart, Vec<ClockEvent>)> {
    let gap = prop_oneof![1 => Just(0), 3 => 0..20_000_i64, 1 => 0..300_000_i64];
    (instants(), prop::collection::vec((gap, kinds()), 0..14)).prop_map(|(start, steps)| {
        let mut now = start;
        let mut events = Vec::new();
        for (gap, kind) in steps {
            now += SignedDuration::from_secs(gap);
            events.push(ClockEvent::new(now, kind));
        }
        let (priority, calendar) = ("normal".to_owned(), "a".to_owned());
        (
            TicketStart {
                at: start,
                status: ClockStatus::New,
                priority,
                calendar,
                outbound: false,
                calendars: BTreeMap::new(),
                policy: String::new(),
                team: None,
            },
            events,
        )
    })
}

/// Everything about the resolution clock, computed at once from the whole history: no state is carried in the shape
/// that the state machine has.
fn resolution_from_history(
    start: &TicketStart,
    events: &[ClockEvent],
    terms: &Terms<'_>,
    now: Timestamp,
) -> (i64, Option<Timestamp>) {
    let ends = events.iter().map(|event| event.at).skip(1).chain([now]);
    let first = events.first().map_or(now, |event| event.at);
    let stretches = [(start.at, first)]
        .into_iter()
        .chain(events.iter().map(|event| event.at).zip(ends));
    let (mut status, mut priority, mut calendar) = (
        start.status,
        start.priority.as_str(),
        start.calendar.as_str(),
    );
    let mut consumed = 0;
    let mut breached = None;
    // Between two events nothing changes, so each stretch is counted by itself.
    for (index, (from, to)) in stretches.enumerate() {
        if let Some(event) = index.checked_sub(1).and_then(|index| events.get(index)) {
            match &event.kind {
                ClockEventKind::Status { to } => status = *to,
                ClockEventKind::Priority { to } if !status.is_done() => priority = to,
                ClockEventKind::Calendar { to, .. } if !status.is_done() => calendar = to,
                _ => {}
            }
        }
        if terms.policy.stops(status) {
            continue;
        }
        let calendar = terms
            .calendars
            .calendar(calendar)
            .expect("it is one of two");
        let target = terms
            .policy
            .target(priority, Metric::Resolution)
            .expect("each priority has one")
            * 1_000_000;
        let passed = calendar.elapsed_micros(from, to);
        if breached.is_none() && consumed + passed >= target {
            // What is used up to the last when it runs on is due at the next opening, not while the desk is closed.
            let deadline = if consumed == target {
                calendar.due(from, 0)
            } else {
                bisect(from, to, |at| {
                    consumed + calendar.elapsed_micros(from, at) >= target
                })
            };
            breached = (to > deadline).then_some(deadline);
        }
        consumed += passed;
    }
    (consumed / 1_000_000, breached)
}

/// The first microsecond from `from` to `to` at which `reached` holds, which it does at `to`.
fn bisect(from: Timestamp, to: Timestamp, reached: impl Fn(Timestamp) -> bool) -> Timestamp {
    let (mut low, mut high) = (from, to);
    while low < high {
        let middle =
            low + SignedDuration::from_micros((high.as_microsecond() - low.as_microsecond()) / 2);
        if reached(middle) {
            high = middle;
        } else {
            low = middle + SignedDuration::from_micros(1);
        }
    }
    low
}

fn last(metrics: &[MetricReport], metric: Metric) -> Option<&MetricReport> {
    metrics.iter().rfind(|report| report.metric == metric)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn stored_and_reloaded_state_equals_a_replay(
        a in calendars(), b in calendars(), history in histories(), reminder in prop::option::of(1..9000_i64),
    ) {
        let (start, events) = history;
        let calendars = BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let policy = policy(reminder);
        let terms = Terms::new(&policy, &calendars);
        let mut stored = serde_json::to_string(&TicketClocks::start(&start, &terms)?)?;
        for (index, event) in events.iter().enumerate() {
            let mut clocks: TicketClocks = serde_json::from_str(&stored)?;
            clocks.apply(event, &terms)?;
            prop_assert_eq!(&clocks, &TicketClocks::replay(&start, &events[..=index], &terms)?);
            stored = serde_json::to_string(&clocks)?;
        }
    }

    #[test]
    fn an_explanation_tells_what_the_clocks_did(
        a in calendars(), b in calendars(), history in histories(), later in 0..600_000_i64,
    ) {
        let (start, events) = history;
        let calendars = BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let policy = policy(None);
        let terms = Terms::new(&policy, &calendars);
        let now = events.last().map_or(start.at, |event| event.at) + SignedDuration::from_secs(later);
        let explained = explain(&start, &events, &terms, now)?;
        let clocks = TicketClocks::replay(&start, &events, &terms)?;
        prop_assert_eq!(&explained.report, &clocks.report(now, &terms)?);
        prop_assert_eq!(explained.steps.len(), events.len() + 1);
        for (timeline, cycle) in explained.timelines.iter().zip(clocks.cycles()) {
            prop_assert_eq!((timeline.metric, timeline.cycle), (cycle.metric, cycle.number));
            let report = explained.report.metrics.iter()
                .find(|it| (it.metric, it.cycle) == (cycle.metric, cycle.number));
            let running = timeline.segments.iter().filter(|it| it.kind == SegmentKind::Running);
            let micros: i64 = running.map(|it| it.to.as_microsecond() - it.from.as_microsecond()).sum();
            if let Some(report) = report.filter(|_| timeline.segments.len() < MAX_SEGMENTS) {
                prop_assert_eq!(micros / 1_000_000, report.elapsed_s);
            }
            for pair in timeline.segments.windows(2) {
                prop_assert!(pair[0].to <= pair[1].from && pair[0].from < pair[0].to);
            }
        }
    }

    #[test]
    fn looking_at_the_clocks_does_not_move_them(
        a in calendars(), b in calendars(), history in histories(), looks in prop::collection::vec(0..900_000_i64, 0..9),
    ) {
        let (start, events) = history;
        let calendars = BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let policy = policy(Some(3600));
        let terms = Terms::new(&policy, &calendars);
        let ticks = looks.iter().map(|look| {
            ClockEvent::new(start.at + SignedDuration::from_secs(*look), ClockEventKind::Tick)
        });
        let mut watched: Vec<_> = events.iter().cloned().chain(ticks).collect();
        watched.sort_by_key(|event| event.at);
        let end = watched.last().map_or(start.at, |event| event.at);
        let plain = TicketClocks::replay(&start, &events, &terms)?;
        let watched = TicketClocks::replay(&start, &watched, &terms)?;
        prop_assert_eq!(plain.report(end, &terms)?, watched.report(end, &terms)?);
        prop_assert_eq!(plain.due_times(&terms)?, watched.due_times(&terms)?);
    }

    #[test]
    fn resolution_equals_a_full_computation(
        a in calendars(), b in calendars(), history in histories(), later in 0..600_000_i64,
    ) {
        let (start, events) = history;
        let calendars = BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let policy = policy(None);
        let terms = Terms::new(&policy, &calendars);
        let now = events.last().map_or(start.at, |event| event.at) + SignedDuration::from_secs(later);
        let report = TicketClocks::replay(&start, &events, &terms)?.report(now, &terms)?;
        let resolution = last(&report.metrics, Metric::Resolution).expect("each priority has a target");
        let (elapsed_s, breached_at) = resolution_from_history(&start, &events, &terms, now);
        prop_assert_eq!(resolution.elapsed_s, elapsed_s);
        prop_assert_eq!(resolution.breached_at, breached_at);
    }

    #[test]
    fn timers_and_reports_agree(a in calendars(), b in calendars(), history in histories()) {
        let (start, events) = history;
        let calendars = BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let policy = policy(Some(3600));
        let terms = Terms::new(&policy, &calendars);
        let clocks = TicketClocks::replay(&start, &events, &terms)?;
        let instants = clocks.next_instants(&terms)?.into_iter();
        for instant in instants.filter(|instant| instant.kind != InstantKind::Escalation) {
            let breached = |at| -> Result<bool, TestCaseError> {
                let report = clocks.report(at, &terms)?;
                let metric = last(&report.metrics, instant.metric).expect("it has a deadline");
                prop_assert_eq!(metric.state, ClockState::Running);
                Ok(metric.breached)
            };
            prop_assert!(instant.at <= instant.due + SignedDuration::from_micros(1));
            prop_assert!(!breached(instant.due)?);
            prop_assert!(breached(instant.due.max(clocks.last_event_at()) + SignedDuration::from_micros(1))?);
        }
    }
}
