//! The chain around a deadline: several warnings, steps after the breach, each once, whoever fires it.

use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    sla::v1::{
        ActionKind, Calendar, CreateCalendarRequest, CreatePolicyRequest, ExplainTicketRequest,
        Policy, Step, Target, step::At,
    },
    types::v1::{TicketStatus, actor::Kind},
};
use solmu_runtime::access::Role;
use solmu_testkit::{Harness, wait_for};

use crate::support::{
    Node, Ticket, breaches, decided_after, escalations, minutes, publish, warnings,
};

fn step(at: At, action: ActionKind, target: &str) -> Step {
    Step {
        at: Some(at),
        action: action.into(),
        target: target.to_owned(),
        ..Step::default()
    }
}

/// One hour to the first response; warnings at half and three quarters, then a chain.
async fn chain(node: &Node, definition: &str, quiet: bool) {
    let mut admin = node.client(Role::Admin);
    let calendar = Some(Calendar {
        display_name: "Hours".to_owned(),
        definition_json: definition.to_owned(),
        ..Calendar::default()
    });
    let calendar = admin
        .create_calendar(CreateCalendarRequest {
            calendar,
            validate_only: false,
        })
        .await;
    let policy = Some(Policy {
        display_name: "Chain".to_owned(),
        calendar_id: calendar.expect("it is valid").into_inner().id,
        targets: vec![Target {
            priority: "*".to_owned(),
            first_response_seconds: 3_600,
            ..Target::default()
        }],
        steps: vec![
            step(At::UsedPercent(50), ActionKind::Warn, ""),
            step(At::BeforeSeconds(900), ActionKind::Warn, ""),
            step(At::AfterSeconds(0), ActionKind::RaisePriority, ""),
            step(At::AfterSeconds(1_800), ActionKind::Notify, "team_lead"),
        ],
        quiet,
        ..Policy::default()
    });
    let made = admin
        .create_policy(CreatePolicyRequest {
            policy,
            validate_only: false,
        })
        .await;
    made.expect("it is valid");
}

const ALWAYS: &str = r#"{"always_open": true}"#;

async fn told_of(harness: &Harness, warned: usize, breached: usize, escalated: usize) {
    let counts = || async {
        (
            warnings(harness).await.len(),
            breaches(harness).await.len(),
            escalations(harness).await.len(),
        )
    };
    let wanted = (warned, breached, escalated);
    wait_for(&format!("{wanted:?} told"), || async {
        let (warned_now, breached_now, escalated_now) = counts().await;
        warned_now >= warned && breached_now >= breached && escalated_now >= escalated
    })
    .await;
    assert_eq!(counts().await, wanted);
}

#[tokio::test]
async fn each_step_is_taken_once_by_two_replicas_through_a_crash() {
    const COUNT: usize = 40;
    let harness = Harness::new().await;
    let first = Node::start(&harness, "a").await;
    chain(&first, ALWAYS, false).await;
    let events: Vec<_> = (0..COUNT).map(|_| Ticket::new(&harness).opened()).collect();
    publish(&harness, &events).await;
    let second = Node::start(&harness, "b").await;
    harness.clock.set(minutes(&harness, 30));
    told_of(&harness, COUNT, 0, 0).await;
    assert!(
        warnings(&harness)
            .await
            .iter()
            .all(|it| !it.late && it.step == "used 50% warn")
    );
    // The one that leads dies; the other finds the second warning, the breach and one step of the chain.
    first.crash();
    harness.clock.set(minutes(&harness, 40));
    told_of(&harness, 2 * COUNT, COUNT, COUNT).await;
    let raised = escalations(&harness).await;
    assert!(
        raised
            .iter()
            .all(|it| it.action() == ActionKind::RaisePriority && it.late)
    );
    assert!(
        breaches(&harness).await.iter().all(|it| it.late),
        "ten minutes after its time"
    );
    // The clock jumps back and forth: nothing is told again.
    harness.clock.set(minutes(&harness, -40));
    let mut other = Ticket::new(&harness);
    publish(&harness, &[other.opened()]).await;
    harness.clock.set(minutes(&harness, 60));
    // The other ticket has had its two warnings by then.
    told_of(&harness, 2 * COUNT + 2, COUNT, 2 * COUNT).await;
    let notified = escalations(&harness).await.pop().unwrap();
    assert_eq!(
        (notified.action(), notified.target.as_str()),
        (ActionKind::Notify, "team_lead")
    );
    second.stop().await;
}

#[tokio::test]
async fn an_answer_ends_the_chain() {
    let harness = Harness::new().await;
    let node = Node::start(&harness, "a").await;
    chain(&node, ALWAYS, false).await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    harness.clock.set(minutes(&harness, 61));
    told_of(&harness, 2, 1, 1).await;
    let request = ExplainTicketRequest {
        ticket_id: ticket.id(),
    };
    let explained = node
        .client(Role::Agent)
        .explain_ticket(request.clone())
        .await;
    let explained = explained.unwrap().into_inner();
    let timers: Vec<_> = explained.timers.iter().map(|it| it.step.as_str()).collect();
    assert_eq!(timers, ["after 1800 notify team_lead"]);
    let taken = explained.taken.iter();
    let taken: Vec<_> = taken
        .map(|it| (it.kind.as_str(), it.step.as_str(), it.late))
        .collect();
    // A minute after the breach: all of it at once.
    let wanted = [
        ("warning", "used 50% warn", true),
        ("warning", "before 900 warn", true),
        ("breach", "", true),
        ("escalation", "after 0 raise_priority", true),
    ];
    assert_eq!(taken, wanted);
    let now = to_proto_time(harness.clock.now());
    assert!(explained.taken.iter().all(|it| it.time == Some(now)));
    assert_eq!(explained.clocks[0].segments.len(), 1);

    let answered = harness.clock.now();
    let reply = ticket.message(Kind::Agent, answered, TicketStatus::Open);
    publish(&harness, &[reply]).await;
    harness.clock.set(minutes(&harness, 120));
    let mut other = Ticket::new(&harness);
    publish(&harness, &[other.opened()]).await;
    told_of(&harness, 2, 1, 1).await;
    let explained = node.client(Role::Agent).explain_ticket(request).await;
    let explained = explained.unwrap().into_inner();
    assert!(explained.timers.is_empty());
    let events: Vec<_> = explained.steps.iter().map(|it| it.event.as_str()).collect();
    assert_eq!(events, ["opened", "agent_reply", "status"]);
    node.stop().await;
}

#[tokio::test]
async fn a_quiet_policy_waits_for_the_morning() {
    let harness = Harness::new().await;
    let node = Node::start(&harness, "a").await;
    // It is Monday, 08:00 in UTC: one hour until closing.
    let office =
        r#"{"tz": "UTC", "hours": {"mon": [["08:00", "09:00"]], "tue": [["08:00", "09:00"]]}}"#;
    chain(&node, office, true).await;
    let mut ticket = Ticket::new(&harness);
    let decided = decided_after(&harness, &[ticket.opened()]).await;
    assert!(!decided.breached);
    harness.clock.set(minutes(&harness, 90));
    // What is not for people is done at night, and the ticket is marked.
    told_of(&harness, 2, 0, 1).await;
    wait_for("the breach is known", || async {
        let decided = crate::support::last_decision(&harness, &ticket).await;
        decided.is_some_and(|it| it.breached)
    })
    .await;
    harness.clock.set(minutes(&harness, 22 * 60 + 30));
    told_of(&harness, 2, 1, 1).await;
    let breached = breaches(&harness).await.remove(0);
    assert!(!breached.late, "it was meant for the morning");
    node.stop().await;
}
