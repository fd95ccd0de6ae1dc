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
