//! Periodic updates, agents' work and the teams' own promises.

use serde_json::json;
use solmu_domain::sla::{
    ClockEventKind::{self, AgentReply, CustomerMessage},
    ClockState, ClockStatus, Metric, MetricReport,
};

use crate::support::{Desk, june, priority, status};

const HOUR: i64 = 3600;

fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.policy = serde_json::from_value(json!({
        "targets": {
            "normal": {"resolution": 16 * HOUR, "periodic_update": 2 * HOUR, "agent_work": 8 * HOUR,
                "ownership": 4 * HOUR},
            "urgent": {"resolution": 8 * HOUR, "ownership": 2 * HOUR},
        },
        "pause_on": [],
        "rules": {"team_targets": {"second": {"*": HOUR, "urgent": HOUR / 2}}},
    }))
    .expect("valid");
    desk
}

fn team(to: &str) -> ClockEventKind {
    ClockEventKind::Team {
        to: (!to.is_empty()).then(|| to.to_owned()),
    }
}

fn of(metrics: &[MetricReport], metric: Metric) -> Vec<(ClockState, i64)> {
    let found = metrics.iter().filter(|it| it.metric == metric);
    found.map(|it| (it.state, it.elapsed_s)).collect()
}

#[test]
fn each_public_reply_restarts_the_periodic_update() {
    use ClockState::{Met, Running, Void};
    let desk = desk();
    let clocks = desk.after(&[
        ("3 09:00", AgentReply),
        ("3 10:00", CustomerMessage),
        ("3 10:30", AgentReply),
    ]);
    let report = desk.report(&clocks, "3 11:00");
    let found = of(&report.metrics, Metric::PeriodicUpdate);
    assert_eq!(found, [(Met, 3 * HOUR / 2), (Running, HOUR / 2)]);
    let due = clocks.due_times(&desk.terms()).expect("known");
    assert_eq!(due.periodic_update_due, Some(june("3 12:30")));
    assert_eq!(due.earliest(), due.periodic_update_due);

    let mut clocks = clocks;
    desk.apply(&mut clocks, "3 11:00", status(ClockStatus::Resolved));
    desk.apply(&mut clocks, "3 14:00", status(ClockStatus::CustomerReplied));
    let report = desk.report(&clocks, "3 15:00");
    let found = of(&report.metrics, Metric::PeriodicUpdate);
    assert_eq!(
        found,
        [(Met, 3 * HOUR / 2), (Void, HOUR / 2), (Running, HOUR)],
        "a reopened ticket owes an update again"
    );
}

#[test]
fn agents_do_not_work_while_others_are_waited_for() {
    let desk = desk();
    let clocks = desk.after(&[
        ("3 09:00", status(ClockStatus::WaitingOnCustomer)),
        ("3 12:00", status(ClockStatus::CustomerReplied)),
        ("3 13:00", status(ClockStatus::WaitingOnThirdParty)),
    ]);
    let report = desk.report(&clocks, "3 16:00");
    let found = of(&report.metrics, Metric::AgentWork);
    assert_eq!(found, [(ClockState::Paused, 2 * HOUR)]);
    let found = of(&report.metrics, Metric::Resolution);
    assert_eq!(
        found,
        [(ClockState::Running, 8 * HOUR)],
        "nothing pauses this policy's resolution"
    );
}

#[test]
fn a_metric_may_have_pauses_of_its_own() {
    let mut desk = desk();
    let third = ClockStatus::WaitingOnThirdParty;
    let pauses = [(Metric::Resolution, [third].into())];
    desk.policy.rules.pause_for = pauses.into();
    let clocks = desk.after(&[
        ("3 09:00", status(ClockStatus::WaitingOnCustomer)),
        ("3 10:00", status(third)),
    ]);
    let report = desk.report(&clocks, "3 12:00");
    let found = of(&report.metrics, Metric::Resolution);
    assert_eq!(found, [(ClockState::Paused, 2 * HOUR)]);
}

#[test]
fn a_team_owns_its_part_until_it_leaves() {
    use ClockState::{Met, Running};
    let desk = desk();
    let clocks = desk.after(&[
        ("3 09:00", team("first")),
        ("3 10:00", team("first")),
        ("3 11:00", team("second")),
        ("3 13:00", team("")),
        ("3 14:00", team("first")),
    ]);
    let report = desk.report(&clocks, "3 15:00");
    let owned: Vec<_> = report
        .metrics
        .iter()
        .filter(|it| it.metric == Metric::Ownership)
        .map(|it| (it.cycle, it.state, it.elapsed_s, it.target_s, it.breached))
        .collect();
    assert_eq!(
        owned,
        [
            (1, Met, 2 * HOUR, 4 * HOUR, false),
            (2, Met, 2 * HOUR, HOUR, true),
            (3, Running, HOUR, 4 * HOUR, false),
        ]
    );
    let mut clocks = clocks;
    desk.apply(&mut clocks, "3 15:00", priority("urgent"));
    let due = clocks.due_times(&desk.terms()).expect("known");
    assert_eq!(due.ownership_due, Some(june("3 16:00")));
    desk.apply(&mut clocks, "3 15:30", status(ClockStatus::Resolved));
    desk.apply(&mut clocks, "3 15:45", status(ClockStatus::CustomerReplied));
    let due = clocks.due_times(&desk.terms()).expect("known");
    // 15 minutes today, the rest of two hours tomorrow from 8.
    assert_eq!(due.ownership_due, Some(june("4 09:45")));
}
