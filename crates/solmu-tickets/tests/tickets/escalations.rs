//! Steps of an SLA's escalation chain, applied to tickets: each has its one effect, whatever happened meanwhile.

use solmu_proto::{
    sla::v1::{ActionKind, Metric, SlaEscalated},
    ticket::v1::{TicketAssigned, TicketChanged},
    types::v1::actor::Kind,
};
use uuid::Uuid;

use crate::support::{Ticket, World, mail};

const AGENT: Uuid = Uuid::from_u128(11);
const OTHER: Uuid = Uuid::from_u128(12);
const TEAM: Uuid = Uuid::from_u128(13);

async fn opened(world: &World) -> Ticket {
    let ticket = world.file(&mail("m@c.example", "aino@c.example")).await;
    ticket.unwrap()
}

fn step(ticket: &Ticket, action: ActionKind, target: &str) -> SlaEscalated {
    SlaEscalated {
        ticket_id: ticket.id.to_string(),
        metric: Metric::FirstResponse.into(),
        cycle: 1,
        step: format!("after 0 {action:?} {target}"),
        action: action.into(),
        target: target.to_owned(),
        ..SlaEscalated::default()
    }
}

/// Gives the ticket to somebody, as if by a command.
async fn own(world: &World, ticket: &Ticket, agent: Option<Uuid>, team: Option<Uuid>) {
    sqlx::query("UPDATE tickets.ticket SET assignee_id = $2, team_id = $3 WHERE id = $1")
        .bind(ticket.id)
        .bind(agent)
        .bind(team)
        .execute(world.pool())
        .await
        .unwrap();
}

async fn followers(world: &World, ticket: &Ticket) -> Vec<Uuid> {
    sqlx::query_scalar(
        "SELECT agent_id FROM tickets.follower WHERE ticket_id = $1 ORDER BY agent_id",
    )
    .bind(ticket.id)
    .fetch_all(world.pool())
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_priority_is_raised_and_never_lowered() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    assert_eq!(ticket.priority, "normal");
    let raise = |target| step(&ticket, ActionKind::RaisePriority, target);
    let next = world.event(&raise(""));
    // Told three times, applied once.
    for _ in 0..3 {
        world.publish(std::slice::from_ref(&next)).await;
    }
    world.settled().await;
    assert_eq!(world.ticket(ticket.id).await.priority, "high");
    world.tell(&raise("urgent")).await;
    assert_eq!(world.ticket(ticket.id).await.priority, "urgent");
    let before = world.ticket(ticket.id).await;
    for none in ["", "low", "urgent", "no such priority"] {
        world.tell(&raise(none)).await;
    }
    assert_eq!(world.ticket(ticket.id).await, before);
    let changed = world.told::<TicketChanged>().await;
    let told: Vec<_> = changed
        .iter()
        .map(|it| (it.changes[0].from.as_str(), it.changes[0].to.as_str()))
        .collect();
    assert_eq!(told, [("normal", "high"), ("high", "urgent")]);
    assert_eq!(changed[0].reason, "SLA escalation");
    assert_eq!(changed[0].actor.as_ref().unwrap().kind(), Kind::Sla);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_back_to_the_router_to_an_agent_or_to_a_team() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    own(&world, &ticket, Some(AGENT), Some(TEAM)).await;
    let reassign = |target: &str| step(&ticket, ActionKind::Reassign, target);
    let owner = async || {
        let ticket = world.ticket(ticket.id).await;
        (ticket.assignee_id, ticket.team_id)
    };
    for unreadable in ["agent:x", "nobody", "team:"] {
        world.tell(&reassign(unreadable)).await;
        assert_eq!(owner().await, (Some(AGENT), Some(TEAM)), "{unreadable}");
    }
    let version = world.ticket(ticket.id).await.routing_version;
    world.tell(&reassign("")).await;
    assert_eq!(owner().await, (None, Some(TEAM)));
    assert!(
        world.ticket(ticket.id).await.routing_version > version,
        "the router decides anew"
    );
    world.tell(&reassign("")).await;
    world.tell(&reassign(&format!("agent:{OTHER}"))).await;
    assert_eq!(owner().await, (Some(OTHER), Some(TEAM)));
    world.tell(&reassign(&format!("team:{AGENT}"))).await;
    assert_eq!(owner().await, (None, Some(AGENT)));
    let told = world.told::<TicketAssigned>().await;
    assert_eq!(told.len(), 3, "what changes nothing is not told");
    assert_eq!(told[0].previous_assignee_id, AGENT.to_string());
    assert!(told.iter().all(|it| it.reason == "SLA escalation"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_follows_once_and_up_to_a_limit() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    let follow = |target: &str| step(&ticket, ActionKind::AddFollower, target);
    let agent = follow(&AGENT.to_string());
    world.tell(&agent).await;
    world.tell(&agent).await;
    world.tell(&follow("nobody")).await;
    assert_eq!(followers(&world, &ticket).await, [AGENT]);
    let changed = world.told::<TicketChanged>().await;
    assert_eq!(changed.len(), 1);
    let change = &changed[0].changes[0];
    assert_eq!(
        (change.field.as_str(), change.to.as_str()),
        ("followers", AGENT.to_string().as_str())
    );
    sqlx::query(
        "INSERT INTO tickets.follower (ticket_id, agent_id, created_by, created_at)
         SELECT $1, gen_random_uuid(), 'test', now() FROM generate_series(1, 99)",
    )
    .bind(ticket.id)
    .execute(world.pool())
    .await
    .unwrap();
    world.tell(&follow(&OTHER.to_string())).await;
    assert_eq!(followers(&world, &ticket).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_or_only_told_changes_no_ticket() {
    let world = World::new().await;
    let ticket = opened(&world).await;
    let before = world.ticket(ticket.id).await;
    for action in [ActionKind::Warn, ActionKind::Notify, ActionKind::Webhook] {
        world.tell(&step(&ticket, action, "team_lead")).await;
    }
    assert_eq!(world.ticket(ticket.id).await, before);
    world.set_status(ticket.id, "resolved").await;
    let before = world.ticket(ticket.id).await;
    world
        .tell(&step(&ticket, ActionKind::RaisePriority, "urgent"))
        .await;
    world.tell(&step(&ticket, ActionKind::Reassign, "")).await;
    let follower = AGENT.to_string();
    world
        .tell(&step(&ticket, ActionKind::AddFollower, &follower))
        .await;
    assert_eq!(world.ticket(ticket.id).await, before);
    assert!(followers(&world, &ticket).await.is_empty());
    let gone = Ticket {
        id: Uuid::from_u128(99),
        ..before
    };
    world
        .tell(&step(&gone, ActionKind::RaisePriority, ""))
        .await;
    assert!(world.told::<TicketChanged>().await.is_empty());
}
