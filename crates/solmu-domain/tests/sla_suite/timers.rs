//! Timers, merges, refusals and the stored form of clocks.
//!
//! Office hours are 8 to 16 in Helsinki; the ticket starts on Monday 3 June 2024 at 08:00.

use serde_json::json;
use solmu_domain::sla::{
    ClockError, ClockEvent,
    ClockEventKind::{self, Absorbed, AgentReply, CustomerMessage, Merged, Tick},
    ClockState, ClockStatus, InstantKind, Metric, TicketClocks, TicketStart, reminder_rearms,
    sort_events,
};

use crate::support::{Desk, june, monday, priority, status, team_of};

#[test]
fn the_report_sees_a_breach_that_no_event_has_shown_yet() {
    let desk = Desk::new();
    let clocks = desk.ticket();
    let first = desk.metric(&clocks, Metric::FirstResponse, "3 12:30");
    assert_eq!(
        (first.breached, first.due, first.elapsed_s),
        (true, Some(june("3 12:00")), 16200)
    );
    assert!(
        !desk
            .metric(&clocks, Metric::FirstResponse, "3 12:00")
            .breached
    );
}

#[test]
fn ticks_note_breaches_once_and_move_nothing() {
    let desk = Desk::new();
    let mut clocks = desk.ticket();
    let before = clocks.due_times(&desk.terms());
    assert!(desk.apply(&mut clocks, "3 12:00", Tick).is_empty());
    assert_eq!(desk.apply(&mut clocks, "3 12:01", Tick).len(), 1);
    assert!(desk.apply(&mut clocks, "3 12:02", Tick).is_empty());
    assert_eq!(clocks.due_times(&desk.terms()), before);
}

#[test]
fn warnings_come_in_business_time_before_the_deadline() {
    let desk = Desk::new();
    let instants = desk.ticket().next_instants(&desk.terms()).expect("known");
    let list: Vec<_> = instants
        .iter()
        .map(|i| (i.kind, i.metric, i.at, i.due))
        .collect();
    let tick = jiff::SignedDuration::from_micros(1);
    assert_eq!(
        list,
        [
            (
                InstantKind::Warning,
                Metric::FirstResponse,
                june("3 11:00"),
                june("3 12:00")
            ),
            (
                InstantKind::Breach,
                Metric::FirstResponse,
                june("3 12:00") + tick,
                june("3 12:00")
            ),
            (
                InstantKind::Warning,
                Metric::Resolution,
                june("4 15:00"),
                june("4 16:00")
            ),
            (
                InstantKind::Breach,
                Metric::Resolution,
                june("4 16:00") + tick,
                june("4 16:00")
            ),
        ]
    );
}

#[test]
fn a_warning_may_lie_before_the_night() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 08:10", AgentReply), ("3 12:30", CustomerMessage)]);
    let instants = clocks.next_instants(&desk.terms()).expect("known");
    let next: Vec<_> = instants
        .iter()
        .filter(|i| i.metric == Metric::NextResponse)
        .collect();
    assert_eq!(next[0].at, june("3 15:30"));
    assert_eq!(next[0].due, june("4 08:30"));
    assert_eq!(
        desk.report(&clocks, "3 20:00")
            .reminders
            .expect("the policy reminds")[1]
            .remind_at,
        june("3 20:00")
    );
}

#[test]
fn a_target_within_the_warning_warns_at_once() {
    let desk = Desk::new();
    let clocks = desk.after(&[
        ("3 08:10", AgentReply),
        ("3 08:20", priority("urgent")),
        ("3 09:00", CustomerMessage),
    ]);
    let instants = clocks.next_instants(&desk.terms()).expect("known");
    let warning = instants
        .iter()
        .find(|i| i.metric == Metric::NextResponse)
        .expect("it is ahead");
    assert_eq!(
        (warning.kind, warning.at, warning.due),
        (InstantKind::Warning, june("3 09:00"), june("3 09:30"))
    );
}

#[test]
fn breached_clocks_want_no_timers() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 12:01", Tick)]);
    let instants = clocks.next_instants(&desk.terms()).expect("known");
    assert!(
        instants
            .iter()
            .all(|instant| instant.metric == Metric::Resolution)
    );
    let reminders = desk
        .report(&clocks, "3 12:01")
        .reminders
        .expect("the policy reminds");
    assert!(
        reminders
            .iter()
            .all(|reminder| reminder.metric == Metric::Resolution)
    );
}

#[test]
fn reminders_rearm_when_the_deadline_moves_by_more_than_a_minute() {
    assert!(!reminder_rearms(june("3 12:00"), june("3 12:01")));
    assert!(reminder_rearms(june("3 12:00"), june("3 12:01:01")));
    assert!(!reminder_rearms(june("3 12:00"), june("3 11:00")));
}

#[test]
fn absorbing_a_ticket_moves_next_response_back() {
    let desk = Desk::new();
    let absorbed = |since: &str| Absorbed {
        from: None,
        unanswered_since: Some(june(since)),
    };
    let running = desk.after(&[
        ("3 08:10", AgentReply),
        ("3 12:00", CustomerMessage),
        ("3 13:00", absorbed("3 11:00")),
    ]);
    assert_eq!(
        running
            .due_times(&desk.terms())
            .expect("known")
            .next_response_due,
        Some(june("3 15:00"))
    );
    let newer = desk.after(&[
        ("3 08:10", AgentReply),
        ("3 12:00", CustomerMessage),
        ("3 13:00", absorbed("3 12:30")),
    ]);
    assert_eq!(
        newer
            .due_times(&desk.terms())
            .expect("known")
            .next_response_due,
        Some(june("3 16:00"))
    );
    let fresh = desk.after(&[("3 08:10", AgentReply), ("3 13:00", absorbed("3 11:00"))]);
    assert_eq!(
        fresh
            .due_times(&desk.terms())
            .expect("known")
            .next_response_due,
        Some(june("3 15:00"))
    );
    let overdue = desk.after(&[
        ("3 08:10", AgentReply),
        ("5 13:00", absorbed("3 11:00")),
        ("5 14:00", Tick),
    ]);
    assert_eq!(
        desk.metric(&overdue, Metric::NextResponse, "5 14:00")
            .breached_at,
        Some(june("5 13:00"))
    );
    let nothing = desk.after(&[
        ("3 08:10", AgentReply),
        (
            "3 13:00",
            Absorbed {
                from: None,
                unanswered_since: None,
            },
        ),
    ]);
    assert_eq!(
        nothing
            .due_times(&desk.terms())
            .expect("known")
            .next_response_due,
        None
    );
}

#[test]
fn merging_away_ends_every_cycle_void() {
    let desk = Desk::new();
    let clocks = desk.after(&[
        ("3 08:10", AgentReply),
        ("3 12:00", CustomerMessage),
        ("3 13:00", Merged),
    ]);
    let states: Vec<_> = desk
        .report(&clocks, "4 09:00")
        .metrics
        .iter()
        .map(|m| m.state)
        .collect();
    assert_eq!(
        states,
        [ClockState::Met, ClockState::Void, ClockState::Void]
    );
}

#[test]
fn a_new_policy_version_is_applied_by_an_event() {
    let mut desk = Desk::new();
    let mut clocks = desk.ticket();
    let urgent = desk.policy.targets["urgent"];
    desk.policy.targets.insert("normal".to_owned(), urgent);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        Some(june("3 12:00"))
    );
    desk.apply(
        &mut clocks,
        "3 08:15",
        ClockEventKind::Policy { to: String::new() },
    );
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        Some(june("3 09:00"))
    );
}

#[test]
fn an_older_event_is_refused_and_changes_nothing() {
    let desk = Desk::new();
    let mut clocks = desk.after(&[("3 10:00", AgentReply)]);
    let before = clocks.clone();
    let error = clocks
        .apply(
            &ClockEvent::new(june("3 09:59"), CustomerMessage),
            &desk.terms(),
        )
        .expect_err("too old");
    assert_eq!(
        error,
        ClockError::OutOfOrder {
            at: june("3 09:59"),
            last: june("3 10:00")
        }
    );
    assert_eq!(clocks, before);
}

#[test]
fn an_unknown_calendar_is_refused_and_changes_nothing() {
    let desk = Desk::new();
    let mut clocks = desk.ticket();
    let before = clocks.clone();
    let error = clocks
        .apply(
            &ClockEvent::new(june("3 12:30"), team_of("mars")),
            &desk.terms(),
        )
        .expect_err("unknown");
    assert_eq!(
        error,
        ClockError::UnknownCalendar {
            key: "mars".to_owned()
        }
    );
    assert_eq!(clocks, before);
    assert!(
        TicketClocks::start(
            &TicketStart {
                calendar: "mars".to_owned(),
                ..monday()
            },
            &desk.terms()
        )
        .is_err()
    );
}

#[test]
fn ties_put_the_reply_before_the_status_and_the_status_before_the_message() {
    let event = |kind| ClockEvent::new(june("3 10:00"), kind);
    let mut events = vec![
        event(Tick),
        event(CustomerMessage),
        event(status(ClockStatus::Resolved)),
        event(AgentReply),
        ClockEvent::new(june("3 09:00"), CustomerMessage),
    ];
    sort_events(&mut events);
    let kinds: Vec<_> = events.into_iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            CustomerMessage,
            AgentReply,
            status(ClockStatus::Resolved),
            CustomerMessage,
            Tick
        ]
    );
}

#[test]
fn state_and_events_have_stable_json() {
    let desk = Desk::new();
    let clocks = desk.after(&[
        ("3 09:00", AgentReply),
        ("3 10:00", status(ClockStatus::WaitingOnCustomer)),
    ]);
    let json = serde_json::to_value(&clocks).expect("it is plain data");
    assert_eq!(json["status"], "waiting_on_customer");
    assert_eq!(json["resolution"]["consumed_us"], json!(7_200_000_000_i64));
    assert_eq!(
        json["first_response"]["end"],
        json!({"outcome": "met", "at": "2024-06-03T06:00:00Z"})
    );
    assert_eq!(
        serde_json::from_value::<TicketClocks>(json).expect("it is read back"),
        clocks
    );
    let event: ClockEvent = serde_json::from_value(
        json!({"at": "2024-06-03T06:00:00Z", "type": "status", "to": "waiting_third"}),
    )
    .expect("the short name is read");
    assert_eq!(event.kind, status(ClockStatus::WaitingOnThirdParty));
}

#[test]
fn the_keys_of_all_calendars_are_told() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 09:00", AgentReply), ("3 10:00", team_of("us"))]);
    let keys: Vec<_> = clocks.calendar_keys().collect();
    assert_eq!(keys, ["us", "fi", "us"]);
}
