//! Rules of clocks. Office hours are 8 to 16 in Helsinki; the ticket starts on Monday 3 June 2024 at 08:00.

use solmu_domain::sla::{
    ChangeKind,
    ClockEventKind::{AgentReply, CustomerMessage, Tick},
    ClockState, ClockStatus, InstantKind, Metric, NextResponseFrom, TicketClocks, TicketStart,
};

use crate::support::{Desk, june, monday, priority, status, team_of};

const HOUR: i64 = 3600;

#[test]
fn a_new_ticket_waits_for_first_response_and_resolution() {
    let desk = Desk::new();
    let due = desk.ticket().due_times(&desk.terms()).expect("known");
    assert_eq!(due.first_response_due, Some(june("3 12:00")));
    assert_eq!(due.resolution_due, Some(june("4 16:00")));
    assert_eq!(due.next_response_due, None);
    assert_eq!(due.earliest(), due.first_response_due);
}

#[test]
fn the_reply_meets_first_response_and_only_it() {
    let desk = Desk::new();
    let mut clocks = desk.ticket();
    let changes = desk.apply(&mut clocks, "3 09:30", AgentReply);
    assert_eq!(changes.len(), 1);
    assert_eq!(
        changes[0].kind,
        ChangeKind::Met {
            elapsed_s: 5400,
            breached: false
        }
    );
    let first = desk.metric(&clocks, Metric::FirstResponse, "5 10:00");
    assert_eq!(
        (first.state, first.elapsed_s, first.ended_at),
        (ClockState::Met, 5400, Some(june("3 09:30")))
    );
    assert_eq!(
        desk.metric(&clocks, Metric::Resolution, "3 09:30").state,
        ClockState::Running
    );
}

#[test]
fn a_reply_at_the_deadline_is_in_time_and_a_microsecond_later_is_not() {
    let desk = Desk::new();
    for (instant, late) in [("3 12:00", false), ("3 12:00:00.000001", true)] {
        let clocks = desk.after(&[(instant, AgentReply)]);
        let first = desk.metric(&clocks, Metric::FirstResponse, "3 13:00");
        assert_eq!(
            (first.state, first.breached),
            (ClockState::Met, late),
            "reply at {instant}"
        );
        assert_eq!(first.breached_at, late.then(|| june("3 12:00")));
    }
}

#[test]
fn later_replies_leave_first_response_alone() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 09:00", AgentReply), ("5 09:00", AgentReply)]);
    assert_eq!(
        desk.metric(&clocks, Metric::FirstResponse, "6 09:00")
            .elapsed_s,
        HOUR
    );
}

#[test]
fn next_response_counts_from_the_oldest_unanswered_message() {
    let desk = Desk::new();
    let clocks = desk.after(&[
        ("3 08:30", AgentReply),
        ("3 10:00", CustomerMessage),
        ("3 12:00", CustomerMessage),
    ]);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .next_response_due,
        Some(june("3 14:00"))
    );
}

#[test]
fn messages_before_the_first_reply_start_no_next_response() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 08:30", CustomerMessage)]);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .next_response_due,
        None
    );
}

#[test]
fn each_exchange_is_a_cycle() {
    let desk = Desk::new();
    let clocks = desk.after(&[
        ("3 08:30", AgentReply),
        ("3 09:00", CustomerMessage),
        ("3 09:10", AgentReply),
        ("3 10:00", CustomerMessage),
        ("4 10:00", AgentReply),
        ("4 11:00", CustomerMessage),
    ]);
    let report = desk.report(&clocks, "4 11:30");
    let cycles: Vec<_> = report.metrics[2..]
        .iter()
        .map(|m| (m.cycle, m.state, m.elapsed_s, m.breached))
        .collect();
    assert_eq!(
        cycles,
        [
            (1, ClockState::Met, 600, false),
            (2, ClockState::Met, 8 * HOUR, true),
            (3, ClockState::Running, 1800, false),
        ]
    );
}

#[test]
fn next_response_may_count_from_the_start() {
    let mut desk = Desk::new();
    desk.policy.next_response_from = NextResponseFrom::Any;
    let clocks = desk.ticket();
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .next_response_due,
        Some(june("3 12:00"))
    );
}

#[test]
fn tickets_that_an_agent_opened_have_no_first_response() {
    let desk = Desk::new();
    let start = TicketStart {
        outbound: true,
        ..monday()
    };
    let mut clocks = TicketClocks::start(&start, &desk.terms()).expect("known");
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        None
    );
    desk.apply(&mut clocks, "3 10:00", CustomerMessage);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .next_response_due,
        Some(june("3 14:00"))
    );
}

#[test]
fn waiting_pauses_every_clock() {
    let desk = Desk::new();
    for waiting in [
        ClockStatus::WaitingOnCustomer,
        ClockStatus::WaitingOnThirdParty,
    ] {
        let mut clocks = desk.after(&[("3 10:00", status(waiting))]);
        assert_eq!(
            clocks.due_times(&desk.terms()).expect("known"),
            solmu_domain::sla::DueTimes::default()
        );
        assert_eq!(desk.report(&clocks, "20 10:00").next_due, None);
        assert!(
            clocks
                .next_instants(&desk.terms())
                .expect("known")
                .is_empty()
        );
        desk.apply(&mut clocks, "5 09:00", status(ClockStatus::CustomerReplied));
        let due = clocks.due_times(&desk.terms()).expect("known");
        assert_eq!(due.first_response_due, Some(june("5 11:00")));
        assert_eq!(due.resolution_due, Some(june("6 15:00")));
    }
}

#[test]
fn third_party_waits_can_be_switched_off() {
    let mut desk = Desk::new();
    desk.policy
        .pause_on
        .remove(&ClockStatus::WaitingOnThirdParty);
    let clocks = desk.after(&[("3 10:00", status(ClockStatus::WaitingOnThirdParty))]);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        Some(june("3 12:00"))
    );
}

#[test]
fn going_from_one_wait_to_another_stays_paused() {
    let desk = Desk::new();
    let mut clocks = desk.after(&[("3 10:00", status(ClockStatus::WaitingOnCustomer))]);
    assert!(
        desk.apply(
            &mut clocks,
            "4 10:00",
            status(ClockStatus::WaitingOnThirdParty)
        )
        .is_empty()
    );
    assert_eq!(
        desk.metric(&clocks, Metric::Resolution, "5 10:00")
            .elapsed_s,
        2 * HOUR
    );
}

#[test]
fn running_statuses_do_not_touch_the_clocks() {
    let desk = Desk::new();
    let plain = desk.ticket().due_times(&desk.terms());
    let clocks = desk.after(&[
        ("3 09:00", status(ClockStatus::Open)),
        ("3 09:30", status(ClockStatus::CustomerReplied)),
        ("3 10:00", status(ClockStatus::Open)),
    ]);
    assert_eq!(clocks.due_times(&desk.terms()), plain);
}

#[test]
fn a_higher_priority_keeps_what_is_consumed() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 08:30", priority("urgent"))]);
    let due = clocks.due_times(&desk.terms()).expect("known");
    assert_eq!(due.first_response_due, Some(june("3 09:00")));
    assert_eq!(due.resolution_due, Some(june("3 12:00")));
}

#[test]
fn a_target_already_used_up_is_breached_at_the_change() {
    let desk = Desk::new();
    let mut clocks = desk.after(&[("3 10:00", priority("urgent"))]);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        Some(june("3 10:00"))
    );
    let instants = clocks.next_instants(&desk.terms()).expect("known");
    let breach = instants
        .iter()
        .find(|i| i.kind == InstantKind::Breach)
        .expect("a breach is ahead");
    assert_eq!(
        (breach.metric, breach.at),
        (Metric::FirstResponse, june("3 10:00:00.000001"))
    );
    let changes = desk.apply(&mut clocks, "3 10:00:00.000001", Tick);
    assert_eq!(
        (changes[0].kind, changes[0].at),
        (ChangeKind::Breached, june("3 10:00"))
    );
}

#[test]
fn a_breach_is_never_taken_back() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 13:00", priority("low"))]);
    let first = desk.metric(&clocks, Metric::FirstResponse, "3 13:00");
    assert_eq!(
        (first.breached, first.breached_at),
        (true, Some(june("3 12:00")))
    );
    assert_eq!(
        first.due,
        Some(june("3 16:00")),
        "the longer target still has a deadline"
    );
    assert_eq!(first.due_open, Some(june("4 08:00")));
}

#[test]
fn met_stays_met() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 11:00", AgentReply), ("3 11:30", priority("urgent"))]);
    let first = desk.metric(&clocks, Metric::FirstResponse, "3 12:00");
    assert_eq!(
        (first.state, first.breached, first.target_s),
        (ClockState::Met, false, 4 * HOUR)
    );
}

#[test]
fn a_priority_without_a_target_hides_the_clock_and_keeps_its_time() {
    let desk = Desk::new();
    let mut clocks = desk.after(&[("3 09:00", priority("silent"))]);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        None
    );
    assert_eq!(desk.report(&clocks, "3 09:00").metrics.len(), 1);
    desk.apply(&mut clocks, "3 11:00", priority("normal"));
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        Some(june("3 12:00"))
    );
}

#[test]
fn the_wildcard_holds_for_other_priorities() {
    let mut desk = Desk::new();
    let low = desk.policy.targets["low"];
    desk.policy.targets.insert("*".to_owned(), low);
    let clocks = desk.after(&[("3 08:30", priority("high"))]);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        Some(june("3 16:00"))
    );
}

#[test]
fn another_team_counts_the_rest_in_its_own_hours() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 10:00", team_of("us"))]);
    // Two hours are left of four; New York opens at 16:00 Helsinki time.
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        Some(june("3 18:00"))
    );
}

#[test]
fn resolving_meets_resolution_and_voids_the_others() {
    let desk = Desk::new();
    let clocks = desk.after(&[("3 10:00", status(ClockStatus::Resolved))]);
    let report = desk.report(&clocks, "10 10:00");
    let states: Vec<_> = report
        .metrics
        .iter()
        .map(|m| (m.metric, m.state, m.elapsed_s))
        .collect();
    assert_eq!(
        states,
        [
            (Metric::FirstResponse, ClockState::Void, 2 * HOUR),
            (Metric::Resolution, ClockState::Met, 2 * HOUR)
        ]
    );
    let asked = desk.after(&[
        ("3 08:30", AgentReply),
        ("3 09:00", CustomerMessage),
        ("3 10:00", status(ClockStatus::Closed)),
    ]);
    assert_eq!(
        desk.metric(&asked, Metric::NextResponse, "4 10:00").state,
        ClockState::Void
    );
}

#[test]
fn reopening_resumes_resolution_without_the_time_in_resolved() {
    let desk = Desk::new();
    let mut clocks = desk.after(&[
        ("3 09:00", AgentReply),
        ("3 10:00", status(ClockStatus::Resolved)),
    ]);
    let changes = desk.apply(&mut clocks, "5 10:00", status(ClockStatus::CustomerReplied));
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Reopened, ChangeKind::Resumed]);
    desk.apply(&mut clocks, "5 10:00", CustomerMessage);
    let due = clocks.due_times(&desk.terms()).expect("known");
    assert_eq!(due.resolution_due, Some(june("6 16:00")));
    assert_eq!(due.next_response_due, Some(june("5 14:00")));
    assert_eq!(due.first_response_due, None, "it was met before");
}

#[test]
fn reopening_revives_a_first_response_that_nobody_gave() {
    let desk = Desk::new();
    let clocks = desk.after(&[
        ("3 10:00", status(ClockStatus::Resolved)),
        ("4 10:00", status(ClockStatus::CustomerReplied)),
    ]);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .first_response_due,
        Some(june("4 12:00"))
    );
}

#[test]
fn an_ended_clock_sees_no_change_until_it_is_reopened_under_its_old_terms() {
    let desk = Desk::new();
    let clocks = desk.after(&[
        ("3 09:00", AgentReply),
        ("3 10:00", status(ClockStatus::Resolved)),
        ("3 11:00", priority("urgent")),
        ("3 11:30", team_of("us")),
        ("4 08:00", status(ClockStatus::Open)),
    ]);
    assert_eq!(
        clocks
            .due_times(&desk.terms())
            .expect("known")
            .resolution_due,
        Some(june("5 14:00"))
    );
}

#[test]
fn from_resolved_to_closed_nothing_happens() {
    let desk = Desk::new();
    let mut clocks = desk.after(&[("3 10:00", status(ClockStatus::Resolved))]);
    assert!(
        desk.apply(&mut clocks, "10 10:00", status(ClockStatus::Closed))
            .is_empty()
    );
}

#[test]
fn a_ticket_may_start_paused() {
    let desk = Desk::new();
    let start = TicketStart {
        status: ClockStatus::WaitingOnCustomer,
        ..monday()
    };
    let clocks = TicketClocks::start(&start, &desk.terms()).expect("known");
    assert_eq!(
        desk.metric(&clocks, Metric::Resolution, "5 10:00").state,
        ClockState::Paused
    );
}
