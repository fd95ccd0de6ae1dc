//! A merge that is taken back: the clocks of the source go on as they were, and what it brought to the target is gone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use solmu_domain::sla::{
    ClockEvent,
    ClockEventKind::{
        self, Absorbed, AgentReply, CustomerMessage, Merged, Tick, Unabsorbed, Unmerged,
    },
    ClockState, ClockStatus, Metric, OnReopen, Terms, TicketClocks, drop_taken_back, sort_events,
};

use crate::{
    properties::{calendars, histories, policy},
    support::{Desk, june},
};

const HOUR: i64 = 3_600;

fn status(to: ClockStatus) -> ClockEventKind {
    ClockEventKind::Status { to }
}

fn absorbed(from: &str, since: &str) -> ClockEventKind {
    Absorbed {
        from: Some(from.to_owned()),
        unanswered_since: Some(june(since)),
    }
}

fn unabsorbed(from: &str) -> ClockEventKind {
    Unabsorbed {
        from: from.to_owned(),
    }
}

#[test]
fn the_source_goes_on_as_it_was_whatever_reopening_means() {
    for rule in [OnReopen::Continue, OnReopen::Restart, OnReopen::Leave] {
        let mut desk = Desk::new();
        desk.policy.rules.on_reopen = rule;
        let clocks = desk.after(&[
            ("3 09:00", AgentReply),
            ("3 10:00", CustomerMessage),
            ("3 11:00", Merged),
            ("3 11:00", status(ClockStatus::Closed)),
            ("3 14:00", Unmerged),
            ("3 14:00", status(ClockStatus::New)),
        ]);
        let next = desk.metric(&clocks, Metric::NextResponse, "3 15:00");
        assert_eq!((next.state, next.cycle), (ClockState::Running, 1));
        assert_eq!(next.elapsed_s, 2 * HOUR, "an hour before and one after");
        let due = clocks.due_times(&desk.terms()).expect("known");
        assert_eq!(due.next_response_due, Some(june("4 09:00")));
        let resolution = desk.metric(&clocks, Metric::Resolution, "3 15:00");
        assert_eq!(resolution.state, ClockState::Running, "{rule:?}");
        assert_eq!(resolution.elapsed_s, 4 * HOUR, "08:00 to 11:00 and an hour");
        let report = desk.report(&clocks, "3 15:00");
        assert_eq!(report.metrics.len(), 3, "no cycle was added: {rule:?}");
    }
}

#[test]
fn a_source_that_waited_for_somebody_waits_again_and_one_that_was_done_stays_done() {
    let desk = Desk::new();
    let waiting = desk.after(&[
        ("3 09:00", status(ClockStatus::WaitingOnCustomer)),
        ("3 11:00", Merged),
        ("3 11:00", status(ClockStatus::Closed)),
        ("3 14:00", Unmerged),
        ("3 14:00", status(ClockStatus::WaitingOnCustomer)),
    ]);
    let first = desk.metric(&waiting, Metric::FirstResponse, "3 15:00");
    assert_eq!((first.state, first.elapsed_s), (ClockState::Paused, HOUR));
    let done = desk.after(&[
        ("3 09:00", AgentReply),
        ("3 10:00", status(ClockStatus::Resolved)),
        ("3 11:00", Merged),
        ("3 11:00", status(ClockStatus::Closed)),
        ("3 14:00", Unmerged),
        ("3 14:00", status(ClockStatus::Resolved)),
    ]);
    let resolution = desk.metric(&done, Metric::Resolution, "3 15:00");
    assert_eq!(
        (resolution.state, resolution.elapsed_s),
        (ClockState::Met, 2 * HOUR)
    );
}

#[test]
fn a_second_merge_can_be_taken_back_too() {
    let desk = Desk::new();
    let clocks = desk.after(&[
        ("3 09:00", Merged),
        ("3 10:00", Unmerged),
        ("3 10:00", status(ClockStatus::New)),
        ("3 11:00", Merged),
        ("3 11:00", status(ClockStatus::Closed)),
        ("3 12:00", Unmerged),
        ("3 12:00", status(ClockStatus::New)),
        // Without a merge there is nothing to take back.
        ("3 12:30", Unmerged),
    ]);
    let first = desk.metric(&clocks, Metric::FirstResponse, "3 13:00");
    assert_eq!(
        (first.state, first.elapsed_s),
        (ClockState::Running, 3 * HOUR)
    );
}

#[test]
fn what_a_merge_brought_is_left_out_once_it_is_taken_back() {
    let desk = Desk::new();
    let due = |events: &[(&str, ClockEventKind)]| {
        let events = events.iter();
        let mut events: Vec<ClockEvent> = events
            .map(|(at, kind)| ClockEvent::new(june(at), kind.clone()))
            .collect();
        sort_events(&mut events);
        drop_taken_back(&mut events);
        let mut clocks = desk.ticket();
        for event in &events {
            clocks.apply(event, &desk.terms()).expect("in order");
        }
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .next_response_due
    };
    let asked = [("3 09:00", AgentReply), ("3 12:00", CustomerMessage)];
    let with = |more: &[(&'static str, ClockEventKind)]| [&asked[..], more].concat();
    let once = absorbed("a", "3 10:00");
    assert_eq!(
        due(&with(&[("3 13:00", once.clone())])),
        Some(june("3 14:00"))
    );
    assert_eq!(
        due(&with(&[
            ("3 13:00", once.clone()),
            ("3 13:30", unabsorbed("a"))
        ])),
        Some(june("3 16:00"))
    );
    // Another one's stays, and so does what came after the undoing.
    let other = absorbed("b", "3 11:00");
    assert_eq!(
        due(&with(&[
            ("3 13:00", once.clone()),
            ("3 13:10", other),
            ("3 13:30", unabsorbed("a"))
        ])),
        Some(june("3 15:00"))
    );
    assert_eq!(
        due(&with(&[
            ("3 13:00", once.clone()),
            ("3 13:30", unabsorbed("a")),
            ("3 13:40", once)
        ])),
        Some(june("3 14:00"))
    );
    assert_eq!(
        due(&[("3 13:00", unabsorbed("a")), ("3 13:05", Tick)]),
        None
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Merged and taken back at once, a ticket is what it would have been.
    #[test]
    fn a_merge_that_is_taken_back_at_once_changes_nothing(
        a in calendars(), b in calendars(), history in histories(), place in any::<prop::sample::Index>(),
    ) {
        let (start, events) = history;
        let calendars = BTreeMap::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let policy = policy(None);
        let terms = Terms::new(&policy, &calendars);
        let place = place.index(events.len() + 1);
        let now = events.last().map_or(start.at, |event| event.at);
        let plain = TicketClocks::replay(&start, &events, &terms)?.report(now, &terms)?;
        let mut clocks = TicketClocks::replay(&start, &events[..place], &terms)?;
        let (at, before) = (clocks.last_event_at(), clocks.status());
        let closed = status(ClockStatus::Closed);
        for kind in [Merged, closed, Unmerged, status(before)] {
            clocks.apply(&ClockEvent::new(at, kind), &terms)?;
        }
        for event in &events[place..] {
            clocks.apply(event, &terms)?;
        }
        prop_assert_eq!(clocks.report(now, &terms)?, plain);
    }
}
