//! Policies in requests: what is refused, and that what is accepted comes back.

use solmu_domain::ids::PolicyId;

use super::*;
use crate::policy_set::PolicyKey;

const TEAM: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120002";

fn fields(error: ApiError) -> Vec<String> {
    match error {
        ApiError::InvalidArgument { violations } => {
            violations.into_iter().map(|it| it.field).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn target(priority: &str, seconds: i32) -> proto::Target {
    proto::Target {
        priority: priority.to_owned(),
        first_response_seconds: seconds,
        ..proto::Target::default()
    }
}

#[test]
fn every_fault_of_a_policy_has_its_field() {
    let policy = proto::Policy {
        condition: "prioritty >= high AND colour = red".to_owned(),
        calendar_id: "office".to_owned(),
        targets: vec![target("high", 60), target("huge", 1), target("low", -5)],
        pause_on: vec!["resting".to_owned()],
        on_reopen: "weep".to_owned(),
        metric_pauses: vec![proto::MetricPauses::default()],
        team_targets: vec![proto::TeamTarget::default()],
        steps: vec![proto::Step::default()],
        ..proto::Policy::default()
    };
    assert_eq!(
        fields(WantedPolicy::parse(Some(policy)).unwrap_err()),
        [
            "policy.display_name",
            "policy.calendar_id",
            "policy.condition",
            "policy.condition",
            "policy.targets[1].priority",
            "policy.pause_on[0]",
            "policy.on_reopen",
            "policy.metric_pauses[0].metric",
            "policy.team_targets[0].team_id",
            "policy.team_targets[0].priority",
            "policy.steps[0].at",
            "policy.steps[0].action",
            "policy.targets[2].first_response_seconds",
        ]
    );
}

#[test]
fn faulty_steps_have_their_field() {
    use proto::ActionKind::{AddFollower, Notify, Warn};
    let refused = |at, action: proto::ActionKind, target_text: &str| {
        let step = proto::Step {
            at: Some(at),
            action: action.into(),
            target: target_text.to_owned(),
            ..proto::Step::default()
        };
        let policy = proto::Policy {
            display_name: "Chain".to_owned(),
            calendar_id: TEAM.to_owned(),
            targets: vec![target("*", 60)],
            steps: vec![step],
            ..proto::Policy::default()
        };
        fields(WantedPolicy::parse(Some(policy)).unwrap_err())
    };
    assert_eq!(
        refused(At::UsedPercent(300), Warn, ""),
        ["policy.steps[0].at"]
    );
    assert_eq!(
        refused(At::AfterSeconds(-1), Notify, "team"),
        ["policy.steps[0].at"]
    );
    assert_eq!(
        refused(At::AfterSeconds(0), Warn, ""),
        ["policy.steps[0].at"]
    );
    assert_eq!(
        refused(At::AfterSeconds(0), Notify, ""),
        ["policy.steps[0].target"]
    );
    assert_eq!(
        refused(At::AfterSeconds(0), AddFollower, "zzz"),
        ["policy.steps[0].target"]
    );
}

#[test]
fn what_was_sent_comes_back() {
    let sent = proto::Policy {
        id: TEAM.to_owned(),
        display_name: "All of it".to_owned(),
        position: 7,
        condition: r#"priority >= "high""#.to_owned(),
        calendar_id: TEAM.to_owned(),
        targets: vec![proto::Target {
            periodic_update_seconds: 1,
            agent_work_seconds: 2,
            ownership_seconds: 3,
            ..target("*", 60)
        }],
        pause_on: vec!["waiting_on_customer".to_owned()],
        remind_before_seconds: 900,
        version: 4,
        etag: "\"4\"".to_owned(),
        metric_pauses: vec![proto::MetricPauses {
            metric: proto::Metric::Resolution.into(),
            statuses: vec!["new".to_owned()],
        }],
        team_targets: vec![proto::TeamTarget {
            team_id: TEAM.to_owned(),
            priority: "*".to_owned(),
            seconds: 5,
        }],
        steps: vec![proto::Step {
            metric: proto::Metric::NextResponse.into(),
            at: Some(At::AfterSeconds(0)),
            action: proto::ActionKind::Notify.into(),
            target: format!("team:{TEAM}"),
            event_only: true,
        }],
        next_response_from: "any".to_owned(),
        on_priority: "keep".to_owned(),
        on_reopen: "restart".to_owned(),
        on_merge: "ignore".to_owned(),
        on_edit: "recompute".to_owned(),
        calendar_from: "team".to_owned(),
        quiet: true,
        combine: true,
        sticky: true,
    };
    let wanted = WantedPolicy::parse(Some(sent.clone())).unwrap();
    let row = PolicyRow {
        key: PolicyKey {
            id: TEAM.parse::<PolicyId>().unwrap(),
            version: 4,
        },
        current: true,
        position: wanted.position,
        display_name: wanted.display_name,
        condition: wanted.condition.to_filter_string(),
        tree: wanted.condition.condition().clone(),
        calendar: wanted.calendar,
        terms: wanted.terms,
    };
    assert_eq!(policy_to_proto(&row), sent);
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
