//! What becomes of clocks when the ticket, its team, its policy or its calendar changes.

use std::sync::atomic::{AtomicU32, Ordering};

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    sla::v1::{
        Calendar, CreateCalendarRequest, CreatePolicyRequest, GetPolicyRequest, Policy,
        SetTeamCalendarRequest, Target, TeamTarget, UpdateCalendarRequest, UpdatePolicyRequest,
    },
    types::v1::{TicketStatus, actor::Kind},
};
use solmu_runtime::access::Role;
use solmu_testkit::{Harness, wait_for};

use crate::support::{Node, Ticket, breaches, decided_after, last_decision, minutes, publish};

const TEAM: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120002";
const HOUR: i32 = 3_600;

/// Names are for one each.
fn named(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("{what} {}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn calendar(node: &Node, definition: &str) -> Calendar {
    let calendar = Some(Calendar {
        display_name: named("Hours"),
        definition_json: definition.to_owned(),
        ..Calendar::default()
    });
    let mut admin = node.client(Role::Admin);
    let made = admin
        .create_calendar(CreateCalendarRequest {
            calendar,
            validate_only: false,
        })
        .await;
    made.expect("it is valid").into_inner()
}

pub(crate) fn target(first_response_seconds: i32, resolution_seconds: i32) -> Vec<Target> {
    vec![Target {
        priority: "*".to_owned(),
        first_response_seconds,
        resolution_seconds,
        ..Target::default()
    }]
}

pub(crate) async fn create(node: &Node, policy: Policy) -> Policy {
    let mut admin = node.client(Role::Admin);
    let policy = Some(Policy {
        display_name: named("Policy"),
        ..policy
    });
    let made = admin
        .create_policy(CreatePolicyRequest {
            policy,
            validate_only: false,
        })
        .await;
    made.expect("it is valid").into_inner()
}

pub(crate) async fn due_first(harness: &Harness, ticket: &Ticket, at: Timestamp) {
    wait_for(&format!("the first response due at {at}"), || async {
        let decided = last_decision(harness, ticket).await;
        decided.is_some_and(|it| it.first_response_due_time == Some(to_proto_time(at)))
    })
    .await;
}

pub(crate) const ALWAYS: &str = r#"{"always_open": true}"#;

/// What one batch brings is what the same events would bring one by one.
#[tokio::test]
async fn changes_of_one_batch_are_not_lost() {
    let harness = Harness::new().await;
    let node = Node::start(&harness, "a").await;
    let calendar_id = calendar(&node, ALWAYS).await.id;
    let policy = |condition: &str, position, hours| Policy {
        condition: condition.to_owned(),
        position,
        targets: target(hours * HOUR, 0),
        on_edit: "from_now_on".to_owned(),
        calendar_id: calendar_id.clone(),
        ..Policy::default()
    };
    create(&node, policy("tags:vip", 1, 1)).await;
    create(&node, policy("", 2, 8)).await;
    let opened = harness.clock.now();
    let hours = |count| opened + jiff::SignedDuration::from_hours(count);
    // The tag comes with the opening.
    let mut first = Ticket::new(&harness);
    let opening = first.opened();
    let tagged = first.tag(minutes(&harness, 0), "vip");
    harness.bus.publish(&[opening, tagged]).await.unwrap();
    due_first(&harness, &first, hours(1)).await;
    // For a moment the ticket was under the shorter promise, and late by it: that is not taken back.
    let mut second = Ticket::new(&harness);
    decided_after(&harness, &[second.opened()]).await;
    harness.clock.set(hours(3));
    let tagged = second.tag(hours(2), "vip");
    second.state.tags.clear();
    let untagged = second.changed(hours(2) + jiff::SignedDuration::from_mins(1), "tags");
    publish(&harness, &[tagged, untagged]).await;
    wait_for("both tickets are late", || async {
        breaches(&harness).await.len() == 2
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_tag_brings_another_policy() {
    let harness = Harness::new().await;
    let node = Node::start(&harness, "a").await;
    let calendar_id = calendar(&node, ALWAYS).await.id;
    let policy = |condition: &str, position, targets, on_edit: &str, sticky| Policy {
        condition: condition.to_owned(),
        position,
        targets,
        on_edit: on_edit.to_owned(),
        sticky,
        calendar_id: calendar_id.clone(),
        ..Policy::default()
    };
    create(
        &node,
        policy("tags:vip", 1, target(HOUR, 0), "from_now_on", false),
    )
    .await;
    create(
        &node,
        policy("tags:gold", 2, target(2 * HOUR, 0), "recompute", true),
    )
    .await;
    create(&node, policy("", 3, target(8 * HOUR, 24 * HOUR), "", false)).await;
    let mut ticket = Ticket::new(&harness);
    let opened = harness.clock.now();
    let decided = decided_after(&harness, &[ticket.opened()]).await;
    assert!(decided.resolution_due_time.is_some());
    let in_minutes = |minutes| opened + jiff::SignedDuration::from_mins(minutes);
    // Half an hour is used up already.
    let vip = ticket.tag(in_minutes(30), "vip");
    publish(&harness, &[vip]).await;
    due_first(&harness, &ticket, in_minutes(60)).await;
    ticket.state.tags.clear();
    let gold = ticket.tag(in_minutes(40), "gold");
    publish(&harness, &[gold]).await;
    due_first(&harness, &ticket, in_minutes(120)).await;
    let decided = last_decision(&harness, &ticket).await.unwrap();
    assert_eq!(
        decided.resolution_due_time, None,
        "as if it had always been that one"
    );
    // A sticky policy stays.
    ticket.state.tags.clear();
    let plain = ticket.tag(in_minutes(50), "plain");
    publish(&harness, &[plain]).await;
    let after = last_decision(&harness, &ticket).await.unwrap();
    assert_eq!(after.policy_id, decided.policy_id);
    node.stop().await;
}

#[tokio::test]
async fn a_team_brings_its_calendar_and_its_own_promise() {
    let harness = Harness::new().await;
    let node = Node::start(&harness, "a").await;
    let own = calendar(&node, ALWAYS).await;
    // Closed until 12:00; the tests begin at 08:00 on a Monday.
    let of_team = calendar(
        &node,
        r#"{"tz": "UTC", "hours": {"mon": [["12:00", "20:00"]]}}"#,
    )
    .await;
    let mut admin = node.client(Role::Admin);
    let set = SetTeamCalendarRequest {
        team_id: TEAM.to_owned(),
        calendar_id: of_team.id.clone(),
    };
    admin.set_team_calendar(set).await.unwrap();
    let policy = Policy {
        targets: target(4 * HOUR, 0),
        calendar_id: own.id,
        calendar_from: "team".to_owned(),
        team_targets: vec![TeamTarget {
            team_id: TEAM.to_owned(),
            priority: "*".to_owned(),
            seconds: HOUR,
        }],
        ..Policy::default()
    };
    create(&node, policy).await;
    let opened = harness.clock.now();
    let hours = |hours| opened + jiff::SignedDuration::from_hours(hours);
    let mut ticket = Ticket::new(&harness);
    let first = decided_after(&harness, &[ticket.opened()]).await;
    assert_eq!(first.ownership_due_time, None);
    let moved = ticket.team(hours(1), TEAM);
    publish(&harness, &[moved]).await;
    // One hour is used; three are left from 12:00 on. The team's hour begins then, too.
    due_first(&harness, &ticket, hours(7)).await;
    let decided = last_decision(&harness, &ticket).await.unwrap();
    assert_eq!(decided.ownership_due_time, Some(to_proto_time(hours(5))));
    harness.clock.set(minutes(&harness, 5 * 60 + 1));
    wait_for("the team is late", || async {
        breaches(&harness).await.len() == 1
    })
    .await;
    let decided = last_decision(&harness, &ticket).await.unwrap();
    assert!(
        !decided.breached,
        "the customer was promised nothing of that"
    );
    let left = ticket.team(hours(6), "");
    publish(&harness, &[left]).await;
    wait_for("the team's clock ended", || async {
        let decided = last_decision(&harness, &ticket).await.unwrap();
        decided.ownership_due_time.is_none()
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn an_edit_reaches_open_tickets_as_the_policy_says() {
    let harness = Harness::new().await;
    let node = Node::start(&harness, "a").await;
    let own = calendar(&node, ALWAYS).await;
    let made = create(
        &node,
        Policy {
            targets: target(8 * HOUR, 0),
            calendar_id: own.id.clone(),
            ..Policy::default()
        },
    )
    .await;
    let mut tickets: Vec<Ticket> = (0..3).map(|_| Ticket::new(&harness)).collect();
    let opened = harness.clock.now();
    let hours = |hours| opened + jiff::SignedDuration::from_hours(hours);
    let events: Vec<_> = tickets.iter_mut().map(Ticket::opened).collect();
    publish(&harness, &events).await;
    let mut admin = node.client(Role::Admin);
    let mut update = async |on_edit: &str, first: i32, resolution: i32| {
        let request = GetPolicyRequest {
            id: made.id.clone(),
        };
        let before = admin.get_policy(request).await.unwrap().into_inner();
        let policy = Some(Policy {
            on_edit: on_edit.to_owned(),
            targets: target(first, resolution),
            ..before
        });
        let request = UpdatePolicyRequest {
            policy,
            validate_only: false,
        };
        admin.update_policy(request).await.unwrap().into_inner()
    };
    harness.clock.set(minutes(&harness, 60));
    assert_eq!(update("new_tickets", 2 * HOUR, 0).await.version, 2);
    let mut newer = Ticket::new(&harness);
    publish(&harness, &[newer.opened()]).await;
    due_first(&harness, &newer, hours(3)).await;
    due_first(&harness, &tickets[0], hours(8)).await;
    // From now on: one hour is used, five are left; a resolution begins now.
    update("from_now_on", 6 * HOUR, 10 * HOUR).await;
    for ticket in &tickets {
        due_first(&harness, ticket, hours(6)).await;
        let decided = last_decision(&harness, ticket).await.unwrap();
        assert_eq!(decided.resolution_due_time, Some(to_proto_time(hours(11))));
    }
    // From the beginning.
    update("recompute", 5 * HOUR, 10 * HOUR).await;
    for ticket in &tickets {
        due_first(&harness, ticket, hours(5)).await;
        let decided = last_decision(&harness, ticket).await.unwrap();
        assert_eq!(decided.resolution_due_time, Some(to_proto_time(hours(10))));
    }
    // A late answer of the past still finds its place.
    let reply = tickets[0].message(Kind::Agent, hours(0), TicketStatus::Open);
    let decided = decided_after(&harness, &[reply]).await;
    assert_eq!(decided.first_response_due_time, None);
    assert_eq!(decided.resolution_due_time, Some(to_proto_time(hours(10))));
    // A new version of the calendar does the same.
    let calendar = Some(Calendar {
        definition_json: r#"{"tz": "UTC", "hours": {"mon": [["12:00", "24:00"]]}}"#.to_owned(),
        ..own
    });
    let mut admin = node.client(Role::Admin);
    let edited = admin
        .update_calendar(UpdateCalendarRequest {
            calendar,
            validate_only: false,
        })
        .await;
    assert_eq!(edited.unwrap().into_inner().version, 2);
    due_first(&harness, &tickets[1], hours(9)).await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM sla.edit")
        .fetch_one(harness.db.pool())
        .await
        .unwrap();
    assert!(left <= 1, "edits do not pile up");
    node.stop().await;
}

#[tokio::test]
async fn a_merge_ends_one_ticket_and_lets_the_other_wait_longer() {
    let harness = Harness::new().await;
    let node = Node::start(&harness, "a").await;
    let own = calendar(&node, ALWAYS).await;
    let targets = vec![Target {
        next_response_seconds: 4 * HOUR,
        ..target(8 * HOUR, 24 * HOUR).remove(0)
    }];
    let policy = Policy {
        targets,
        calendar_id: own.id,
        ..Policy::default()
    };
    create(&node, policy).await;
    let opened = harness.clock.now();
    let hours = |hours| opened + jiff::SignedDuration::from_hours(hours);
    let (mut target, mut source) = (Ticket::new(&harness), Ticket::new(&harness));
    let events = [target.opened(), source.opened()];
    publish(&harness, &events).await;
    let reply = target.message(Kind::Agent, hours(1), TicketStatus::Open);
    let asked = target.message(Kind::Customer, hours(3), TicketStatus::CustomerReplied);
    publish(&harness, &[reply, asked]).await;
    let merged = target.merged(hours(4), &source);
    let closed = source.status(hours(4), TicketStatus::Closed);
    publish(&harness, &[merged, closed]).await;
    wait_for(
        "the other's customer has waited since its opening",
        || async {
            let decided = last_decision(&harness, &target).await.unwrap();
            decided.next_response_due_time == Some(to_proto_time(hours(4)))
        },
    )
    .await;
    wait_for("the source has no clocks", || async {
        let decided = last_decision(&harness, &source).await.unwrap();
        decided.first_response_due_time.is_none() && decided.resolution_due_time.is_none()
    })
    .await;
    let booked: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sla.cycle WHERE ticket_id = $1::uuid")
            .bind(source.id())
            .fetch_one(harness.db.pool())
            .await
            .unwrap();
    assert_eq!(booked, 0, "a merge is no resolution");
    node.stop().await;
}
