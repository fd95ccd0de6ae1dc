//! Warnings and breaches: each once, at its time, through restarts, crashes and with several replicas.

use std::sync::Arc;

use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::{Clock as _, SystemClock};
use solmu_proto::{
    sla::v1::{Calendar, CreateCalendarRequest, CreatePolicyRequest, Metric, Policy, Target},
    types::v1::{TicketStatus, actor::Kind},
};
use solmu_runtime::access::Role;
use solmu_testkit::{Harness, wait_for};

use crate::support::{
    Node, Ticket, breaches, decided_after, decisions, harness, minutes, publish, time_of, warnings,
};

/// Waits until there are that many warnings and breaches.
async fn told_of(harness: &Harness, warned: usize, breached: usize) {
    wait_for(
        &format!("{warned} warnings and {breached} breaches"),
        || async {
            warnings(harness).await.len() >= warned && breaches(harness).await.len() >= breached
        },
    )
    .await;
    assert_eq!(warnings(harness).await.len(), warned);
    assert_eq!(breaches(harness).await.len(), breached);
}

/// Lets the service do one more ticket, so that whatever it had to do before is done.
async fn settle(harness: &Harness) {
    let mut ticket = Ticket::new(harness);
    publish(harness, &[ticket.opened()]).await;
}

#[tokio::test]
async fn a_warning_and_a_breach_fire_once_over_restarts() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    let (warn, due) = (minutes(&harness, 8 * 60 - 15), minutes(&harness, 8 * 60));
    harness.clock.set(warn);
    told_of(&harness, 1, 0).await;
    let warned = warnings(&harness).await.remove(0);
    assert_eq!(warned.metric(), Metric::FirstResponse);
    assert_eq!(warned.due_time, Some(to_proto_time(due)));
    assert_eq!(warned.scheduled_time, Some(to_proto_time(warn)));
    assert_eq!(warned.fire_time, Some(to_proto_time(warn)));
    node.stop().await;

    // Nobody works when the deadline passes.
    harness.clock.set(due);
    let node = Node::start(&harness, "a").await;
    settle(&harness).await;
    told_of(&harness, 1, 0).await;
    node.stop().await;
    harness.clock.set(minutes(&harness, 30));
    let node = Node::start(&harness, "b").await;
    told_of(&harness, 1, 1).await;
    let breached = breaches(&harness).await.remove(0);
    assert_eq!(breached.due_time, Some(to_proto_time(due)));
    let late = time_of(breached.fire_time.as_ref()).duration_since(due);
    assert_eq!(late.as_mins(), 30, "it is marked late");
    assert!(decisions(&harness).await.pop().unwrap().breached);
    assert_eq!(node.breaches(), 1);
    node.stop().await;

    let node = Node::start(&harness, "a").await;
    settle(&harness).await;
    told_of(&harness, 1, 1).await;
    node.stop().await;
}

#[tokio::test]
async fn an_answer_during_an_outage_is_no_breach() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    node.stop().await;
    let answered = minutes(&harness, 7 * 60);
    let reply = ticket.message(Kind::Agent, answered, TicketStatus::Open);
    harness.bus.publish(&[reply]).await.unwrap();
    harness.clock.set(minutes(&harness, 9 * 60));
    let node = Node::start(&harness, "b").await;
    settle(&harness).await;
    wait_for("the answer counts", || async {
        let decided = decisions(&harness).await;
        let last = decided.iter().rfind(|it| it.ticket_id == ticket.id());
        last.is_some_and(|last| last.first_response_due_time.is_none())
    })
    .await;
    told_of(&harness, 0, 0).await;
    node.stop().await;
}

#[tokio::test]
async fn two_replicas_fire_each_timer_once_and_one_takes_over() {
    const COUNT: usize = 300;
    let harness = harness().await;
    let first = Node::start(&harness, "a").await;
    let events: Vec<_> = (0..COUNT).map(|_| Ticket::new(&harness).opened()).collect();
    publish(&harness, &events).await;
    let second = Node::start(&harness, "b").await;
    harness.clock.set(minutes(&harness, 8 * 60 - 10));
    told_of(&harness, COUNT, 0).await;
    assert_eq!(second.breaches(), 0);
    first.crash();
    harness.clock.set(minutes(&harness, 20));
    told_of(&harness, COUNT, COUNT).await;
    wait_for("the commit is counted", || async {
        second.breaches() == COUNT as u64
    })
    .await;
    settle(&harness).await;
    told_of(&harness, COUNT, COUNT).await;
    second.stop().await;
}

/// Changes with each round of the keeper of leases.
async fn renewal(harness: &Harness) -> Option<String> {
    sqlx::query_scalar("SELECT expires_at::text FROM platform.member WHERE name = 'sla'")
        .fetch_optional(harness.db.pool())
        .await
        .expect("a good query")
}

#[tokio::test]
async fn who_lost_the_lease_fires_nothing() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    // Another holder, for longer than the test lasts.
    sqlx::query(
        "UPDATE platform.lease SET holder = 'other', epoch = epoch + 1,
                expires_at = clock_timestamp() + interval '1 hour' WHERE name = 'sla'",
    )
    .execute(harness.db.pool())
    .await
    .unwrap();
    harness.clock.set(minutes(&harness, 10 * 60));
    let mut other = Ticket::new(&harness);
    harness.bus.publish(&[other.opened()]).await.unwrap();
    // It sees the loss with its next renewal, and what it tries before fails at the fence.
    for _ in 0..2 {
        let before = renewal(&harness).await;
        wait_for("the keeper to come by", || async {
            renewal(&harness).await != before
        })
        .await;
    }
    assert!(warnings(&harness).await.is_empty() && breaches(&harness).await.is_empty());
    assert_eq!(decisions(&harness).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn no_timer_is_early_by_the_real_clock() {
    const COUNT: usize = 500;
    let harness = Harness::new().await;
    let node = Node::start_with(&harness, "a", Arc::new(SystemClock)).await;
    // Two seconds, and a warning one second before.
    let mut admin = node.client(Role::Admin);
    let calendar = Calendar {
        display_name: "Always".to_owned(),
        definition_json: r#"{"always_open": true}"#.to_owned(),
        ..Calendar::default()
    };
    let calendar = Some(calendar);
    let calendar = admin
        .create_calendar(CreateCalendarRequest {
            calendar,
            validate_only: false,
        })
        .await;
    let policy = Policy {
        display_name: "Quick".to_owned(),
        calendar_id: calendar.unwrap().into_inner().id,
        targets: vec![Target {
            priority: "*".to_owned(),
            first_response_seconds: 2,
            ..Target::default()
        }],
        remind_before_seconds: 1,
        ..Policy::default()
    };
    let policy = Some(policy);
    admin
        .create_policy(CreatePolicyRequest {
            policy,
            validate_only: false,
        })
        .await
        .unwrap();
    harness.clock.set(SystemClock.now());
    let events: Vec<_> = (0..COUNT).map(|_| Ticket::new(&harness).opened()).collect();
    publish(&harness, &events).await;
    told_of(&harness, COUNT, COUNT).await;
    // How late they are is measured in load.rs; here, that none is early.
    for warned in warnings(&harness).await {
        let (fired, wanted) = (&warned.fire_time, &warned.scheduled_time);
        assert!(time_of(fired.as_ref()) >= time_of(wanted.as_ref()));
    }
    for breached in breaches(&harness).await {
        let (fired, wanted) = (&breached.fire_time, &breached.due_time);
        assert!(time_of(fired.as_ref()) >= time_of(wanted.as_ref()));
    }
    node.stop().await;
}

#[tokio::test]
async fn a_clock_that_jumps_back_fires_nothing_twice() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    let start = harness.clock.now();
    decided_after(&harness, &[ticket.opened()]).await;
    harness.clock.set(minutes(&harness, 8 * 60 + 1));
    told_of(&harness, 1, 1).await;
    harness.clock.set(start);
    settle(&harness).await;
    harness.clock.set(minutes(&harness, 8 * 60 + 2));
    // The ticket that was opened in between has its own.
    told_of(&harness, 2, 2).await;
    node.stop().await;
}
