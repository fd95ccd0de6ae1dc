//! Explanations, and previews of a calendar's openings.

use serde_json::json;
use solmu_domain::sla::{
    ClockEvent, ClockEventKind::AgentReply, ClockStatus, Metric, SegmentKind, explain,
};

use crate::support::{Desk, at, calendar, helsinki, june, monday, status};

#[test]
fn a_timeline_shows_what_each_clock_did() {
    use SegmentKind::{Closed, Paused, Running};
    let desk = Desk::new();
    let events = [
        ("3 15:00", status(ClockStatus::WaitingOnCustomer)),
        ("3 15:30", status(ClockStatus::CustomerReplied)),
        ("4 09:00", AgentReply),
    ];
    let events = events.map(|(instant, kind)| ClockEvent::new(june(instant), kind));
    let explained = explain(&monday(), &events, &desk.terms(), june("4 10:00")).expect("known");
    let kinds = |index: usize| -> Vec<_> {
        let segments = explained.timelines[index].segments.iter();
        segments.map(|it| (it.kind, it.from, it.to)).collect()
    };
    let start = june("3 08:00");
    assert_eq!(explained.timelines[0].metric, Metric::FirstResponse);
    assert_eq!(
        kinds(0),
        [
            (Running, start, june("3 15:00")),
            (Paused, june("3 15:00"), june("3 15:30")),
            (Running, june("3 15:30"), june("3 16:00")),
            (Closed, june("3 16:00"), june("4 08:00")),
            (Running, june("4 08:00"), june("4 09:00")),
        ]
    );
    assert_eq!(
        kinds(1).last(),
        Some(&(Running, june("4 08:00"), june("4 10:00")))
    );
    let changes: Vec<usize> = explained
        .steps
        .iter()
        .map(|step| step.changes.len())
        .collect();
    // Both breach and pause, both run on, and one is met.
    assert_eq!(changes, [0, 3, 2, 1]);
}

#[test]
fn openings_are_listed_ahead() {
    let hours = |text: &str| at(text);
    let listed = helsinki().openings(at("2026-11-20T13:00:00Z"), at("2026-12-31T00:00:00Z"), 3);
    let listed: Vec<_> = listed.iter().map(|it| (it.open, it.close)).collect();
    assert_eq!(
        listed,
        [
            (hours("2026-11-20T13:00:00Z"), hours("2026-11-20T14:00:00Z")),
            (hours("2026-11-23T06:00:00Z"), hours("2026-11-23T14:00:00Z")),
            (hours("2026-11-24T06:00:00Z"), hours("2026-11-24T14:00:00Z")),
        ]
    );
    // A night shift is one opening; round the clock is one without an end, over blocks of days too.
    let night = calendar(json!({"tz": "UTC", "hours": {"mon": [["22:00", "06:00"]]}}));
    let listed = night.openings(at("2026-11-22T00:00:00Z"), at("2026-11-29T00:00:00Z"), 9);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].close, at("2026-11-24T06:00:00Z"));
    let day = json!([["00:00", "24:00"]]);
    let all = json!({"tz": "Europe/Helsinki", "hours": {"mon": day, "tue": day, "wed": day, "thu": day,
        "fri": day, "sat": day, "sun": day}});
    let until = at("2027-11-22T00:00:00Z");
    let listed = calendar(all).openings(at("2026-11-22T00:00:00Z"), until, 9);
    assert_eq!((listed.len(), listed[0].close), (1, until));
    let always = calendar(json!({"always_open": true}));
    assert_eq!(
        always.openings(at("2026-11-22T00:00:00Z"), until, 9).len(),
        1
    );
}
