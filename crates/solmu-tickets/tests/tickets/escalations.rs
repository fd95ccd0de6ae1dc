//! Steps of an SLA's escalation chain, applied to tickets: each has its one effect, whatever happened meanwhile.

use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    outbound::v1::{MessageQueued, Purpose},
    sla::v1::{ActionKind, Metric, SlaEscalated},
    ticket::v1::{TicketAssigned, TicketChanged},
    types::v1::actor::Kind,
};
use solmu_tickets::{Cap, Config};
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

const LEAD: Uuid = Uuid::from_u128(14);

/// Two agents of a team, and one who leads it.
async fn with_agents(world: &World) {
    for (id, name, team) in [
        (AGENT, "ville", Some(TEAM)),
        (OTHER, "kaisa", Some(TEAM)),
        (LEAD, "otso", None),
    ] {
        sqlx::query(
            "INSERT INTO tickets.agent (id, display_name, address, team_ids)
             VALUES ($1, $2, $2 || '@desk.example', array_remove(ARRAY[$3::uuid], NULL))",
        )
        .bind(id)
        .bind(name)
        .bind(team)
        .execute(world.pool())
        .await
        .unwrap();
    }
}

/// To whom mails went since the first `seen` ones, in order of their names.
async fn mailed(world: &World, seen: &mut usize) -> Vec<String> {
    let queued = world.told::<MessageQueued>().await;
    let fresh = queued.iter().skip(*seen);
    let names = fresh.map(|mail| mail.recipient_name.clone()).collect();
    *seen = queued.len();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_whom_a_step_means_gets_one_mail() {
    let world = World::new().await;
    with_agents(&world).await;
    let ticket = opened(&world).await;
    own(&world, &ticket, Some(AGENT), Some(TEAM)).await;
    let before = world.ticket(ticket.id).await;
    let notify = |target: &str| step(&ticket, ActionKind::Notify, target);
    let mut seen = 0;
    // Told three times, sent once.
    let owner = world.event(&notify("assignee"));
    for _ in 0..3 {
        world.publish(std::slice::from_ref(&owner)).await;
    }
    world.settled().await;
    assert_eq!(mailed(&world, &mut seen).await, ["ville"]);
    world.tell(&notify("team")).await;
    assert_eq!(mailed(&world, &mut seen).await, ["kaisa", "ville"]);
    world.tell(&notify(&format!("team:{TEAM}"))).await;
    assert_eq!(mailed(&world, &mut seen).await, ["kaisa", "ville"]);
    world.tell(&notify(&OTHER.to_string())).await;
    assert_eq!(mailed(&world, &mut seen).await, ["kaisa"]);
    let lead = SlaEscalated {
        agent_ids: vec![LEAD.to_string()],
        ..notify("team_lead")
    };
    world.tell(&lead).await;
    assert_eq!(mailed(&world, &mut seen).await, ["otso"]);
    let follow = step(&ticket, ActionKind::AddFollower, &LEAD.to_string());
    world.tell(&follow).await;
    world.tell(&notify("followers")).await;
    assert_eq!(mailed(&world, &mut seen).await, ["otso"]);
    own(&world, &ticket, None, Some(TEAM)).await;
    world.tell(&notify("assignee")).await;
    let instead = mailed(&world, &mut seen).await;
    assert_eq!(instead, ["kaisa", "ville"], "nobody owns it");
    for nobody in ["manager", "somebody", &Uuid::nil().to_string()] {
        world.tell(&notify(nobody)).await;
    }
    let silent = SlaEscalated {
        event_only: true,
        ..notify("team")
    };
    world.tell(&silent).await;
    world.set_status(ticket.id, "resolved").await;
    world.tell(&notify("team")).await;
    assert!(mailed(&world, &mut seen).await.is_empty());
    let after = world.ticket(ticket.id).await;
    let counts = |it: &Ticket| (it.message_count, it.channels, it.priority.clone());
    assert_eq!(counts(&after), counts(&before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_says_what_is_late_and_starts_no_loop() {
    let mut config = Config::default();
    config.loops.notifications_per_ticket = Cap {
        messages: 2,
        seconds: 3_600,
    };
    let world = World::configured(config).await;
    with_agents(&world).await;
    let ticket = opened(&world).await;
    own(&world, &ticket, Some(AGENT), Some(TEAM)).await;
    let due = world.harness.clock.now() - jiff::SignedDuration::from_mins(90);
    let late = SlaEscalated {
        due_time: Some(to_proto_time(due)),
        scheduled_time: Some(to_proto_time(due)),
        late: true,
        ..step(&ticket, ActionKind::Notify, "assignee")
    };
    for _ in 0..4 {
        world.tell(&late).await;
    }
    let queued = world.told::<MessageQueued>().await;
    assert_eq!(queued.len(), 2, "up to the cap");
    let mail = &queued[0];
    assert_eq!(
        (mail.purpose(), mail.automatic, mail.ticket_number),
        (Purpose::Notification, true, ticket.number)
    );
    let number = ticket.number;
    assert!(
        mail.subject
            .starts_with(&format!("[#{number}] First response overdue: ")),
        "{}",
        mail.subject
    );
    let first = "First response on ticket #";
    assert!(mail.text.starts_with(first), "{}", mail.text);
    assert!(
        mail.text
            .contains("was due at 2026-11-02 06:30 UTC, 1 h 30 min ago"),
        "{}",
        mail.text
    );
    assert!(mail.text.contains("should have been told"), "{}", mail.text);
    assert_ne!(
        mail.conversation_key, "",
        "a mailbox that hangs holds up nobody"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mail_where_it_is_not_wanted() {
    let mut config = Config::default();
    config.agent_mail.notify_escalations = false;
    let world = World::configured(config).await;
    with_agents(&world).await;
    let ticket = opened(&world).await;
    own(&world, &ticket, Some(AGENT), Some(TEAM)).await;
    let notify = step(&ticket, ActionKind::Notify, "team");
    world.tell(&notify).await;
    assert!(world.told::<MessageQueued>().await.is_empty());
}
