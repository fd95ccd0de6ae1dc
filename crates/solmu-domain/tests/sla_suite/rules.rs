//! What a policy says of changes, and what is done ahead of a deadline and after it.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use solmu_domain::sla::{
    ActionKind,
    ClockEventKind::{self, AgentReply, CustomerMessage, Tick},
    ClockState, ClockStatus, InstantKind, Metric, OnMerge, OnPriority, OnReopen, Policy,
    PolicyError, Step, StepAt, Terms, TicketClocks, TicketStart,
};

use crate::support::{Desk, june, monday, priority, status};

const HOUR: i64 = 3600;

fn state(
    desk: &Desk,
    clocks: &TicketClocks,
    metric: Metric,
    instant: &str,
) -> Vec<(ClockState, i64)> {
    let report = desk.report(clocks, instant);
    let found = report.metrics.iter().filter(|it| it.metric == metric);
    found.map(|it| (it.state, it.elapsed_s)).collect()
}

#[test]
fn a_change_of_priority_does_what_the_policy_says() {
    let due = |rule| {
        let mut desk = Desk::new();
        desk.policy.rules.on_priority = rule;
        let clocks = desk.after(&[("3 08:30", priority("urgent"))]);
        let due = clocks.due_times(&desk.terms()).expect("known");
        due.first_response_due.expect("it runs")
    };
    assert_eq!(due(OnPriority::Retarget), june("3 09:00"));
    assert_eq!(due(OnPriority::Restart), june("3 09:30"));
    assert_eq!(due(OnPriority::Keep), june("3 12:00"));
}

#[test]
fn a_reopening_does_what_the_policy_says() {
    use ClockState::{Met, Running};
    let after = |rule| {
        let mut desk = Desk::new();
        desk.policy.rules.on_reopen = rule;
        let clocks = desk.after(&[
            ("3 09:00", AgentReply),
            ("3 10:00", status(ClockStatus::Resolved)),
            ("3 12:00", status(ClockStatus::CustomerReplied)),
        ]);
        state(&desk, &clocks, Metric::Resolution, "3 13:00")
    };
    assert_eq!(after(OnReopen::Continue), [(Running, 3 * HOUR)]);
    // The one that runs is listed first, as it was there before.
    assert_eq!(after(OnReopen::Restart), [(Running, HOUR), (Met, 2 * HOUR)]);
    assert_eq!(after(OnReopen::Leave), [(Met, 2 * HOUR)]);
}

#[test]
fn a_merge_does_what_the_policy_says() {
    let due = |rule| {
        let mut desk = Desk::new();
        desk.policy.rules.on_merge = rule;
        let absorbed = ClockEventKind::Absorbed {
            from: None,
            unanswered_since: Some(june("3 09:00")),
        };
        let clocks = desk.after(&[
            ("3 08:30", AgentReply),
            ("3 10:00", CustomerMessage),
            ("3 11:00", absorbed),
        ]);
        let due = clocks.due_times(&desk.terms()).expect("known");
        due.next_response_due.expect("it runs")
    };
    assert_eq!(due(OnMerge::TakeOver), june("3 13:00"));
    assert_eq!(due(OnMerge::Ignore), june("3 14:00"));
}

fn step(at: StepAt, action: ActionKind, target: &str) -> Step {
    Step {
        metric: Some(Metric::FirstResponse),
        at,
        action,
        target: target.to_owned(),
        event_only: false,
    }
}

#[test]
fn several_warnings_and_a_chain_after_the_breach() {
    let mut desk = Desk::new();
    desk.policy.remind_before_s = None;
    desk.policy.rules.steps = vec![
        step(StepAt::UsedPercent(50), ActionKind::Warn, ""),
        step(StepAt::BeforeS(1800), ActionKind::Notify, "assignee"),
        step(StepAt::AfterS(0), ActionKind::RaisePriority, ""),
        step(StepAt::AfterS(6 * HOUR), ActionKind::Notify, "manager"),
    ];
    desk.policy.check().expect("valid");
    let mut clocks = desk.ticket();
    let of_first = |clocks: &TicketClocks| -> Vec<_> {
        let instants = clocks.next_instants(&desk.terms()).expect("known");
        let first = instants
            .into_iter()
            .filter(|it| it.metric == Metric::FirstResponse);
        first.map(|it| (it.kind, it.step, it.at)).collect()
    };
    let micro = jiff::SignedDuration::from_micros(1);
    assert_eq!(
        of_first(&clocks),
        [
            (InstantKind::Warning, Some(0), june("3 10:00")),
            (InstantKind::Escalation, Some(1), june("3 11:30")),
            (InstantKind::Breach, None, june("3 12:00") + micro),
        ]
    );
    desk.apply(&mut clocks, "3 12:01", Tick);
    // Six business hours after noon: four today, two tomorrow.
    assert_eq!(
        of_first(&clocks),
        [
            (InstantKind::Escalation, Some(2), june("3 12:00") + micro),
            (InstantKind::Escalation, Some(3), june("4 10:00")),
        ]
    );
    desk.apply(
        &mut clocks,
        "3 12:30",
        status(ClockStatus::WaitingOnCustomer),
    );
    assert!(of_first(&clocks).is_empty(), "nobody is told while we wait");
    desk.apply(&mut clocks, "3 12:40", AgentReply);
    assert!(of_first(&clocks).is_empty(), "what is met is over");
}

#[test]
fn what_only_tells_people_can_wait_for_business_hours() {
    let mut desk = Desk::new();
    desk.policy.remind_before_s = None;
    desk.policy.rules.quiet = true;
    // Resolution is due on Tuesday 16:00, which is a closing.
    desk.policy.rules.steps = vec![
        Step {
            metric: Some(Metric::Resolution),
            ..step(StepAt::AfterS(0), ActionKind::Notify, "team")
        },
        Step {
            metric: Some(Metric::Resolution),
            ..step(StepAt::AfterS(0), ActionKind::Reassign, "")
        },
    ];
    let clocks = desk.after(&[("3 09:00", AgentReply), ("4 16:30", Tick)]);
    let instants = clocks.next_instants(&desk.terms()).expect("known");
    let at: Vec<_> = instants.iter().map(|it| (it.step, it.at)).collect();
    let micro = jiff::SignedDuration::from_micros(1);
    assert_eq!(
        at,
        [
            (Some(1), june("4 16:00") + micro),
            (Some(0), june("5 08:00")),
        ]
    );
}

#[test]
fn faulty_steps_are_refused_with_their_field() {
    let refused = |steps: Vec<Step>| {
        let mut policy = Desk::new().policy;
        policy.rules.steps = steps;
        match policy.check() {
            Err(error @ (PolicyError::BadStep { .. } | PolicyError::BadDuration { .. })) => {
                error.field().to_owned()
            }
            other => panic!("{other:?}"),
        }
    };
    let good = step(StepAt::AfterS(0), ActionKind::Notify, "team");
    assert_eq!(refused(vec![good.clone(), good.clone()]), "steps[1].at");
    assert_eq!(
        refused(vec![step(StepAt::UsedPercent(0), ActionKind::Warn, "")]),
        "steps[0].at"
    );
    assert_eq!(
        refused(vec![step(StepAt::BeforeS(0), ActionKind::Warn, "")]),
        "steps[0].at"
    );
    let targets = [
        step(StepAt::AfterS(0), ActionKind::Notify, ""),
        step(StepAt::AfterS(0), ActionKind::Notify, "the boss"),
        step(StepAt::AfterS(0), ActionKind::RaisePriority, "huge"),
        step(StepAt::AfterS(0), ActionKind::Reassign, "somebody"),
        step(StepAt::BeforeS(60), ActionKind::Warn, "x"),
    ];
    for target in targets {
        assert_eq!(refused(vec![target]), "steps[0].target");
    }
    let silent = |action, target| Step {
        event_only: true,
        ..step(StepAt::AfterS(0), action, target)
    };
    let raise = silent(ActionKind::RaisePriority, "");
    assert_eq!(refused(vec![raise]), "steps[0].event_only");
    let team = format!("team:{}", uuid::Uuid::nil());
    let mut policy = Desk::new().policy;
    policy.rules.steps = vec![
        silent(ActionKind::Notify, "followers"),
        step(StepAt::AfterS(0), ActionKind::Notify, &team),
    ];
    policy.check().expect("valid");
    let many = (0..33).map(|index| step(StepAt::AfterS(index), ActionKind::Notify, "team"));
    assert_eq!(refused(many.collect()), "steps");
}

fn policy(json: serde_json::Value) -> Policy {
    serde_json::from_value(json).expect("valid")
}

#[test]
fn several_policies_promise_together() {
    let vip = policy(
        json!({"targets": {"urgent": {"first_response": 600}}, "pause_on": [],
        "rules": {"steps": [{"at": {"used_percent": 50}, "action": "warn"}]}}),
    );
    let rest = policy(
        json!({"targets": {"*": {"first_response": 7200, "resolution": 86400}},
        "remind_before_s": 900}),
    );
    let both = Policy::compose(&[&vip, &rest]).expect("there are two");
    assert_eq!(both.target("urgent", Metric::FirstResponse), Some(600));
    assert_eq!(
        both.target("normal", Metric::FirstResponse),
        None,
        "the first decides on its metric"
    );
    assert_eq!(both.target("urgent", Metric::Resolution), Some(86_400));
    assert_eq!(both.target("low", Metric::Resolution), Some(86_400));
    let waiting = ClockStatus::WaitingOnCustomer;
    assert!(!both.pauses(Metric::FirstResponse, waiting));
    assert!(both.pauses(Metric::Resolution, waiting));
    let steps = |metric| both.steps_of(metric).map(|(_, at)| at).collect::<Vec<_>>();
    assert_eq!(steps(Metric::FirstResponse), [StepAt::UsedPercent(50)]);
    assert_eq!(steps(Metric::Resolution), [StepAt::BeforeS(900)]);
    both.check()
        .expect("what is composed of valid ones is valid");
    assert_eq!(Policy::compose(&[&rest]).as_ref(), Some(&rest));
    assert_eq!(Policy::compose(&[]), None);
}

#[test]
fn an_edit_from_now_on_is_the_same_in_a_replay() {
    let old = policy(json!({"targets": {"*": {"first_response": 4 * HOUR}}}));
    let new =
        policy(json!({"targets": {"*": {"first_response": 6 * HOUR, "resolution": 8 * HOUR}}}));
    let policies = BTreeMap::from([
        ("a@1".to_owned(), Arc::new(old.clone())),
        ("a@2".to_owned(), Arc::new(new)),
    ]);
    let desk = Desk::new();
    let terms = Terms {
        policy: &old,
        calendars: &desk.calendars,
        policies: &policies,
    };
    let start = TicketStart {
        policy: "a@1".to_owned(),
        ..monday()
    };
    let event = |instant: &str, kind| solmu_domain::sla::ClockEvent::new(june(instant), kind);
    let to = |key: &str| ClockEventKind::Policy { to: key.to_owned() };
    let events = [event("3 10:00", to("a@2")), event("3 11:00", Tick)];
    let clocks = TicketClocks::replay(&start, &events, &terms).expect("known");
    assert_eq!(clocks.policy_key(), "a@2");
    let due = clocks.due_times(&terms).expect("known");
    assert_eq!(
        due.first_response_due,
        Some(june("3 14:00")),
        "what is used stays used"
    );
    assert_eq!(
        due.resolution_due,
        Some(june("4 10:00")),
        "a new clock begins with the edit"
    );
    let unknown = TicketClocks::replay(&start, &[event("3 10:00", to("b@1"))], &terms);
    assert!(unknown.is_err());
}
