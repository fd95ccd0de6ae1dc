//! Decisions of router and SLA service.

use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    routing::v1::AssignmentDecided,
    sla::v1::{DueTimesDecided, Metric, SlaBreached, SlaWarned},
    ticket::v1::{AssignmentRejected, TicketAssigned, TicketChanged, assignment_rejected::Cause},
    types::v1::actor::Kind,
};
use solmu_testkit::wait_for;
use uuid::Uuid;

use crate::support::{Ticket, World, mail};

const AGENT: Uuid = Uuid::from_u128(1);
const TEAM: Uuid = Uuid::from_u128(2);

fn decision(ticket: &Ticket, version: i64) -> AssignmentDecided {
    AssignmentDecided {
        decision_id: "d1".to_owned(),
        ticket_id: ticket.id.to_string(),
        routing_version: version,
        team_id: TEAM.to_string(),
        agent_id: AGENT.to_string(),
        reason: "least loaded".to_owned(),
        set_priority: "high".to_owned(),
        add_tags: vec!["vip".to_owned()],
        ..AssignmentDecided::default()
    }
}

async fn opened(world: &World) -> Ticket {
    world
        .file(&mail("m@c.example", "aino@c.example"))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assignment_is_applied_once() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    let event = world.event(&decision(&ticket, 1));
    for _ in 0..3 {
        world.publish(std::slice::from_ref(&event)).await;
    }
    world.settled().await;
    let assigned = world.ticket(ticket.id).await;
    assert_eq!(
        (assigned.assignee_id, assigned.team_id),
        (Some(AGENT), Some(TEAM))
    );
    assert_eq!(
        (assigned.assign_reason.as_str(), assigned.priority.as_str()),
        ("least loaded", "high")
    );
    assert_eq!(
        (assigned.tags, assigned.version, assigned.routing_version),
        (vec!["vip".to_owned()], 2, 2)
    );
    let told = world.told::<TicketAssigned>().await;
    assert_eq!((told.len(), told[0].decision_id.as_str()), (1, "d1"));
    assert_eq!(told[0].actor.as_ref().unwrap().kind(), Kind::Router);
    let changed = world.told::<TicketChanged>().await;
    let fields: Vec<_> = changed[0]
        .changes
        .iter()
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(fields, ["priority", "tags"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_too_late_is_rejected_with_its_cause() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    world.tell(&decision(&ticket, 9)).await;
    world.tell(&decision(&ticket, 1)).await;
    // Somebody has it now; a decision that was made before says so.
    world
        .tell(&AssignmentDecided {
            agent_id: TEAM.to_string(),
            ..decision(&ticket, 1)
        })
        .await;
    world.set_status(ticket.id, "resolved").await;
    world.tell(&decision(&ticket, 3)).await;
    let gone = AssignmentDecided {
        ticket_id: Uuid::from_u128(9).to_string(),
        ..decision(&ticket, 1)
    };
    world.tell(&gone).await;
    let rejected = world.told::<AssignmentRejected>().await;
    let causes: Vec<_> = rejected.iter().map(AssignmentRejected::cause).collect();
    assert_eq!(
        causes,
        [
            Cause::StaleTicket,
            Cause::AlreadyAssigned,
            Cause::NotOpen,
            Cause::UnknownTicket
        ]
    );
    assert_eq!(
        rejected[3].ticket.as_ref().unwrap().ticket_id,
        gone.ticket_id
    );
    assert!(rejected.iter().all(|it| it.decision_id == "d1"));
    assert_eq!(world.ticket(ticket.id).await.assignee_id, Some(AGENT));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_decision_gives_the_team_and_no_agent() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    world
        .tell(&AssignmentDecided {
            agent_id: String::new(),
            ..decision(&ticket, 1)
        })
        .await;
    let queued = world.ticket(ticket.id).await;
    assert_eq!(
        (queued.team_id, queued.assignee_id, queued.routing_version),
        (Some(TEAM), None, 2)
    );
    world.tell(&decision(&ticket, 2)).await;
    assert_eq!(world.ticket(ticket.id).await.assignee_id, Some(AGENT));
}

fn due(ticket: &Ticket, version: i64, minute: i64) -> DueTimesDecided {
    let at = |minutes: i64| {
        Some(prost_types::Timestamp {
            seconds: 1_800_000_000 + 60 * minutes,
            nanos: 0,
        })
    };
    DueTimesDecided {
        ticket_id: ticket.id.to_string(),
        ticket_version: version,
        first_response_due_time: at(minute),
        resolution_due_time: at(minute + 60),
        decide_time: at(minute - 1_000),
        ..DueTimesDecided::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_due_times_hold() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    let minute = async || {
        world.count("SELECT (extract(epoch FROM next_due)::bigint - 1800000000) / 60 FROM tickets.ticket").await
    };
    world.tell(&due(&ticket, 2, 30)).await;
    assert_eq!(minute().await, 30);
    world.tell(&due(&ticket, 1, 10)).await;
    assert_eq!(minute().await, 30, "computed from an older version");
    world.tell(&due(&ticket, 2, 20)).await;
    assert_eq!(minute().await, 30, "decided earlier on the same version");
    world.tell(&due(&ticket, 2, 40)).await;
    assert_eq!(minute().await, 40);
    let before = world.ticket(ticket.id).await;
    world.tell(&due(&ticket, 3, 40)).await;
    assert_eq!(
        world.ticket(ticket.id).await,
        before,
        "nothing new: no version, no event"
    );
    let changed = world.told::<TicketChanged>().await;
    assert_eq!(changed.len(), 2);
    assert_eq!(changed[1].changes[0].field, "next_due_time");
    assert!(changed[1].ticket.as_ref().unwrap().next_due_time.is_some());
    // Paused: nothing is due, and the next due time goes with it.
    let paused = DueTimesDecided {
        ticket_id: ticket.id.to_string(),
        ticket_version: 4,
        ..due(&ticket, 4, 50)
    };
    let paused = DueTimesDecided {
        first_response_due_time: None,
        resolution_due_time: None,
        ..paused
    };
    world.tell(&paused).await;
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.ticket WHERE next_due IS NULL")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breach_is_told_once_and_a_warning_changes_nothing() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    let now = Some(to_proto_time(world.harness.clock.now()));
    world
        .tell(&SlaWarned {
            ticket_id: ticket.id.to_string(),
            due_time: now,
            ..SlaWarned::default()
        })
        .await;
    assert_eq!(world.ticket(ticket.id).await.version, 1);
    let breach = SlaBreached {
        ticket_id: ticket.id.to_string(),
        metric: Metric::FirstResponse.into(),
        ..SlaBreached::default()
    };
    world.tell(&breach).await;
    world.tell(&breach).await;
    let breached = world.ticket(ticket.id).await;
    assert!(breached.breached);
    assert_eq!((breached.version, breached.routing_version), (2, 1));
    let changed = world.told::<TicketChanged>().await;
    assert_eq!(
        (changed.len(), changed[0].reason.as_str()),
        (1, "the first response is late")
    );
    // A later decision does not unsay it.
    world.tell(&due(&ticket, 2, 5)).await;
    assert!(world.ticket(ticket.id).await.breached);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_that_make_no_sense_are_dead_lettered() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    let bad = AssignmentDecided {
        agent_id: "nobody".to_owned(),
        ..decision(&ticket, 1)
    };
    let lost = AssignmentDecided {
        ticket_id: "7".to_owned(),
        ..decision(&ticket, 1)
    };
    world
        .publish(&[
            world.event(&bad),
            world.event(&lost),
            world.event(&decision(&ticket, 1)),
        ])
        .await;
    world.settled_but(2).await;
    assert_eq!(world.ticket(ticket.id).await.assignee_id, Some(AGENT));
    wait_for("two dead letters", || async {
        world.harness.bus.dead_letters(1, 10).await.unwrap().len() == 2
    })
    .await;
}
