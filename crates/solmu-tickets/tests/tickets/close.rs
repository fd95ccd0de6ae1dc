//! Resolved tickets close themselves.

use jiff::SignedDuration;
use solmu_proto::{
    ticket::v1::TicketChanged,
    types::v1::{TicketStatus, actor::Kind},
};
use solmu_testkit::wait_for;

use crate::support::{World, answer, mail};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolved_ticket_closes_once_when_its_time_has_come() {
    let mut world = World::new().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let ticket = world
            .file(&mail(
                &format!("{n}@c.example"),
                &format!("{n}@d{n}.example"),
            ))
            .await
            .unwrap();
        world.set_status(ticket.id, "resolved").await;
        ids.push(ticket.id);
    }
    // One was answered in time, one was resolved later.
    world
        .file(&answer("r@c.example", "0@d0.example", &["0@c.example"]))
        .await
        .unwrap();
    world.harness.clock.advance(SignedDuration::from_hours(24));
    world.set_status(ids[1], "resolved").await;
    world
        .harness
        .clock
        .advance(SignedDuration::from_hours(6 * 24));
    drop(world.start("b").await);
    drop(world.start("c").await);
    let closed = "SELECT count(*) FROM tickets.ticket WHERE status = 'closed'";
    wait_for("what is due is closed", || async {
        world.count(closed).await == 3
    })
    .await;
    world.settled().await;
    let told = world.told::<TicketChanged>().await;
    assert_eq!(told.len(), 3);
    for changed in &told {
        assert_eq!(
            changed.ticket.as_ref().unwrap().status(),
            TicketStatus::Closed
        );
        assert_eq!(changed.actor.as_ref().unwrap().kind(), Kind::Timer);
    }
    assert_eq!(world.ticket(ids[0]).await.status, "customer_replied");
    assert_eq!(world.ticket(ids[1]).await.status, "resolved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_and_held_up_is_told() {
    let mut world = World::new().await;
    let message = mail("1@c.example", "1@d.example");
    let ticket = world.file(&message).await.unwrap();
    world.set_status(ticket.id, "resolved").await;
    let mut held = world.pool().begin().await.unwrap();
    sqlx::query("SELECT FROM tickets.ticket WHERE id = $1 FOR UPDATE")
        .bind(ticket.id)
        .execute(&mut *held)
        .await
        .unwrap();
    world
        .harness
        .clock
        .advance(SignedDuration::from_hours(9 * 24));
    drop(world.start("b").await);
    let overdue = |kind: &str| {
        let text = world.replicas.last().unwrap().metrics.encode();
        let begin = format!("solmu_ticket_timers_overdue_seconds{{kind=\"{kind}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&begin));
        value.map(|value| value.parse::<f64>().unwrap())
    };
    wait_for("the closing is told as overdue", || async {
        overdue("close").is_some_and(|seconds| seconds > 3600.0)
    })
    .await;
    assert_eq!(overdue("wake"), Some(0.0), "nothing sleeps");
    held.rollback().await.unwrap();
}

/// Several replicas and more than they take at once: each is closed once, and what waits for its parts holds up nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_fall_due_at_once_and_each_closes_once() {
    let mut world = World::new().await;
    world
        .file(&mail("0@c.example", "aino@c.example"))
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
            conversation_key, created_at, updated_at, close_at)
         SELECT gen_random_uuid(), 100000 + n, 'x', 'resolved', 'normal', contact_id, 1, '', '', '', created_at,
            updated_at, created_at + interval '7 days'
         FROM tickets.ticket CROSS JOIN generate_series(1, 450) AS n",
    )
    .execute(world.pool())
    .await
    .unwrap();
    // One is to stay until its sub-ticket is over.
    sqlx::query(
        "UPDATE tickets.ticket SET parent_id = (SELECT id FROM tickets.ticket WHERE number = 100001), status = 'open',
            close_at = NULL WHERE number = 100002",
    )
    .execute(world.pool())
    .await
    .unwrap();
    drop(world.start("b").await);
    drop(world.start("c").await);
    let late = SignedDuration::from_hours(7 * 24) + SignedDuration::from_secs(90);
    world.harness.clock.advance(late);
    let closed = "SELECT count(*) FROM tickets.ticket WHERE status = 'closed'";
    wait_for("what is due is closed", || async {
        world.count(closed).await == 448
    })
    .await;
    world.settled().await;
    let told = world.told::<TicketChanged>().await;
    assert_eq!(told.len(), 448);
    let late = told
        .iter()
        .filter(|it| it.reason.contains("s late)"))
        .count();
    assert_eq!(late, 448, "each says that it is late");
    let waits = "SELECT count(*) FROM tickets.ticket WHERE number = 100001 AND status = 'resolved'
        AND close_at > created_at + interval '7 days'";
    wait_for("what has open parts waits", || async {
        world.count(waits).await == 1
    })
    .await;
}
