//! Events into due times.

use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::types::v1::{Priority, TicketStatus, actor::Kind};
use solmu_runtime::access::Role;
use solmu_testkit::wait_for;

use crate::support::{
    Node, Ticket, breaches, decided_after, decisions, harness, minutes, publish, told,
};

#[tokio::test]
async fn a_new_ticket_gets_due_times() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    let decided = decided_after(&harness, &[ticket.opened()]).await;
    assert_eq!(decided.ticket_id, ticket.id());
    assert_eq!(decided.ticket_version, 1);
    let due = |at| Some(to_proto_time(at));
    assert_eq!(
        decided.first_response_due_time,
        due(minutes(&harness, 8 * 60))
    );
    assert_eq!(decided.resolution_due_time, due(minutes(&harness, 72 * 60)));
    assert_eq!(decided.next_response_due_time, None);
    assert!(!decided.breached);
    wait_for("the relay sends the decision", || async {
        let sql = "SELECT count(*) FROM sla.outbox WHERE sent_at IS NULL";
        let waiting: i64 = sqlx::query_scalar(sql)
            .fetch_one(harness.db.pool())
            .await
            .unwrap();
        waiting == 0
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_reply_meets_the_first_response_and_a_question_starts_the_next() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    let reply = ticket.message(Kind::Agent, minutes(&harness, 10), TicketStatus::Open);
    let decided = decided_after(&harness, &[reply]).await;
    assert_eq!(decided.first_response_due_time, None);
    assert_eq!(decided.ticket_version, 2);
    let asked = minutes(&harness, 20);
    let question = ticket.message(Kind::Customer, asked, TicketStatus::CustomerReplied);
    let decided = decided_after(&harness, &[question]).await;
    let due = Some(to_proto_time(minutes(&harness, 20 + 8 * 60)));
    assert_eq!(decided.next_response_due_time, due);

    let request = solmu_proto::sla::v1::ExplainTicketRequest {
        ticket_id: ticket.id(),
    };
    harness.clock.set(minutes(&harness, 30));
    let explained = node.client(Role::Agent).explain_ticket(request).await;
    let clocks = explained.unwrap().into_inner().clocks;
    let states: Vec<_> = clocks.iter().map(|clock| clock.state.as_str()).collect();
    assert_eq!(states, ["met", "running", "running"]);
    let elapsed: Vec<_> = clocks.iter().map(|clock| clock.elapsed_seconds).collect();
    assert_eq!(elapsed, [600, 1_800, 600]);
    node.stop().await;
}

#[tokio::test]
async fn clocks_stand_still_while_the_customer_is_asked() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    let waiting = TicketStatus::WaitingOnCustomer;
    let decided = decided_after(&harness, &[ticket.status(minutes(&harness, 60), waiting)]).await;
    assert_eq!(decided.first_response_due_time, None);
    assert_eq!(decided.resolution_due_time, None);
    let open = ticket.status(minutes(&harness, 90), TicketStatus::Open);
    let decided = decided_after(&harness, &[open]).await;
    let due = |hours: i64| Some(to_proto_time(minutes(&harness, hours * 60 + 30)));
    assert_eq!(decided.first_response_due_time, due(8));
    assert_eq!(decided.resolution_due_time, due(72));
    node.stop().await;
}

#[tokio::test]
async fn another_priority_has_other_targets_and_keeps_the_time() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    let urgent = ticket.priority(minutes(&harness, 30), Priority::Urgent);
    let decided = decided_after(&harness, &[urgent]).await;
    let due = |hours: i64| Some(to_proto_time(minutes(&harness, hours * 60)));
    assert_eq!(decided.first_response_due_time, due(1));
    assert_eq!(decided.resolution_due_time, due(4));
    node.stop().await;
}

#[tokio::test]
async fn repeats_have_no_second_effect() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    let opened = ticket.opened();
    let reply = ticket.message(Kind::Agent, minutes(&harness, 5), TicketStatus::Open);
    let events = [opened.clone(), opened.clone(), reply.clone()];
    publish(&harness, std::slice::from_ref(&opened)).await;
    for repeat in [&events[..], &[reply.clone(), opened][..], &[reply][..]] {
        harness.bus.publish(repeat).await.unwrap();
    }
    let mut last = Ticket::new(&harness);
    publish(&harness, &[last.opened()]).await;
    wait_for("what came before is done, too", || async {
        decisions(&harness).await.len() >= 3
    })
    .await;
    assert_eq!(told(&harness).await.len(), 3);
    let history: i64 = sqlx::query_scalar("SELECT count(*) FROM sla.clock_event")
        .fetch_one(harness.db.pool())
        .await
        .unwrap();
    assert_eq!(history, 2, "the reply and its change of status");
    node.stop().await;
}

#[tokio::test]
async fn a_late_event_is_put_in_its_place() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    // The customer was asked at 60 and answered at 120; the first of both comes last.
    let waiting = TicketStatus::WaitingOnCustomer;
    let asked = ticket.status(minutes(&harness, 60), waiting);
    let answered = ticket.status(minutes(&harness, 120), TicketStatus::CustomerReplied);
    publish(&harness, &[answered]).await;
    let decided = decided_after(&harness, &[asked]).await;
    let due = Some(to_proto_time(minutes(&harness, 9 * 60)));
    assert_eq!(decided.first_response_due_time, due);
    assert_eq!(decided.ticket_version, 3);
    node.stop().await;
}

#[tokio::test]
async fn a_late_reply_takes_the_breach_back() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[ticket.opened()]).await;
    let in_time = minutes(&harness, 7 * 60);
    harness.clock.set(minutes(&harness, 9 * 60));
    wait_for("the breach", || async {
        breaches(&harness).await.len() == 1
    })
    .await;
    assert!(decisions(&harness).await.pop().unwrap().breached);
    let reply = ticket.message(Kind::Agent, in_time, TicketStatus::Open);
    let decided = decided_after(&harness, &[reply]).await;
    assert!(!decided.breached);
    assert_eq!(breaches(&harness).await.len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn events_wait_for_the_opening_of_their_ticket() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut ticket = Ticket::new(&harness);
    let opened = ticket.opened();
    let reply = ticket.message(Kind::Agent, minutes(&harness, 10), TicketStatus::Open);
    publish(&harness, &[reply]).await;
    assert!(told(&harness).await.is_empty());
    let decided = decided_after(&harness, &[opened]).await;
    assert_eq!(decided.first_response_due_time, None);
    assert!(decided.resolution_due_time.is_some());
    node.stop().await;
}

#[tokio::test]
async fn what_is_no_event_is_dead_and_holds_up_nobody() {
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let mut broken = Ticket::new(&harness);
    broken.state.ticket_id = "no id".to_owned();
    let mut ticket = Ticket::new(&harness);
    decided_after(&harness, &[broken.opened(), ticket.opened()]).await;
    wait_for("the dead letter", || async {
        let letters = harness.bus.dead_letters(1, 10).await;
        letters.is_ok_and(|letters| letters.len() == 1)
    })
    .await;
    let letter = harness.bus.dead_letters(1, 10).await.unwrap().remove(0);
    assert_eq!(letter.letter.cause_code, "malformed_event");
    node.stop().await;
}

#[tokio::test]
async fn thousands_of_tickets_go_through_in_batches() {
    const COUNT: usize = 3_000;
    let harness = harness().await;
    let node = Node::start(&harness, "a").await;
    let events: Vec<_> = (0..COUNT).map(|_| Ticket::new(&harness).opened()).collect();
    let started = std::time::Instant::now();
    publish(&harness, &events).await;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{COUNT} tickets in {seconds:.2} s");
    assert_eq!(decisions(&harness).await.len(), COUNT);
    assert!(harness.clock.now() < minutes(&harness, 1));
    node.stop().await;
}
