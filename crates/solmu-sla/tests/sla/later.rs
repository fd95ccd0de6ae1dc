//! What comes after the opening and changes the past: a first policy, and a merge that is taken back.

use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    sla::v1::{Calendar, ExplainTicketRequest, Policy, Target, UpdatePolicyRequest},
    ticket::v1::FieldValue,
    types::v1::{TicketStatus, actor::Kind},
};
use solmu_runtime::access::Role;
use solmu_testkit::{Harness, wait_for};

use crate::{
    moves::{ALWAYS, calendar, create, due_first, target},
    support::{Node, Ticket, breaches, decided_after, decisions, last_decision, minutes, publish},
};

const HOUR: i32 = 3_600;
const ORGANISATION: &str = "0198c5d2-7a10-7bb2-8e4f-0242ac120009";

struct World {
    harness: Harness,
    node: Node,
    calendar: Calendar,
}

impl World {
    async fn new() -> Self {
        let harness = Harness::new().await;
        let node = Node::start(&harness, "a").await;
        let calendar = calendar(&node, ALWAYS).await;
        Self {
            harness,
            node,
            calendar,
        }
    }

    async fn policy(&self, condition: &str, on_edit: &str) -> Policy {
        let policy = Policy {
            condition: condition.to_owned(),
            on_edit: on_edit.to_owned(),
            targets: target(4 * HOUR, 24 * HOUR),
            pause_on: vec!["waiting_on_customer".to_owned()],
            calendar_id: self.calendar.id.clone(),
            ..Policy::default()
        };
        create(&self.node, policy).await
    }

    /// A ticket to which nothing is promised.
    async fn bare(&self) -> Ticket {
        let mut ticket = Ticket::new(&self.harness);
        publish(&self.harness, &[ticket.opened()]).await;
        ticket
    }

    async fn states(&self, ticket: &Ticket) -> Vec<(String, i64)> {
        let request = ExplainTicketRequest {
            ticket_id: ticket.id(),
        };
        let explained = self.node.client(Role::Agent).explain_ticket(request).await;
        let clocks = explained
            .expect("it is known")
            .into_inner()
            .clocks
            .into_iter();
        clocks.map(|it| (it.state, it.elapsed_seconds)).collect()
    }
}

#[tokio::test]
async fn a_first_policy_counts_from_the_opening() {
    let world = World::new().await;
    let harness = &world.harness;
    world.policy("category = billing*", "").await;
    let opened = harness.clock.now();
    let mut ticket = world.bare().await;
    // What happened before counts: the customer was asked for an hour.
    let waiting = TicketStatus::WaitingOnCustomer;
    let asked = ticket.status(minutes(harness, 30), waiting);
    let back = ticket.status(minutes(harness, 90), TicketStatus::Open);
    publish(harness, &[asked, back]).await;
    assert!(decisions(harness).await.is_empty());
    let sorted = ticket.category(minutes(harness, 100), "billing/refund");
    let decided = decided_after(harness, &[sorted]).await;
    let due = |hours| opened + jiff::SignedDuration::from_hours(hours);
    assert_eq!(decided.first_response_due_time, Some(to_proto_time(due(5))));
    assert_eq!(decided.resolution_due_time, Some(to_proto_time(due(25))));
    // A late event of the time before finds its place.
    let late = ticket.status(minutes(harness, 20), waiting);
    let decided = decided_after(harness, &[late]).await;
    let later = due(5) + jiff::SignedDuration::from_mins(10);
    assert_eq!(decided.first_response_due_time, Some(to_proto_time(later)));
    world.node.stop().await;
}

#[tokio::test]
async fn a_first_policy_may_begin_with_the_change() {
    let world = World::new().await;
    let harness = &world.harness;
    let condition = format!("organizations:\"{ORGANISATION}\" AND fields.tier = gold");
    world.policy(&condition, "from_now_on").await;
    let mut ticket = world.bare().await;
    let reply = ticket.message(Kind::Agent, minutes(harness, 10), TicketStatus::Open);
    publish(harness, &[reply]).await;
    ticket.state.organization_ids = vec![ORGANISATION.to_owned()];
    let member = ticket.changed(minutes(harness, 20), "organization_ids");
    publish(harness, &[member]).await;
    assert!(decisions(harness).await.is_empty(), "half of the condition");
    ticket.state.fields = vec![FieldValue {
        key: "tier".to_owned(),
        values: vec!["Gold".to_owned()],
    }];
    let gold = ticket.changed(minutes(harness, 30), "fields.tier");
    let decided = decided_after(harness, &[gold]).await;
    assert_eq!(
        decided.first_response_due_time, None,
        "it was answered already"
    );
    let due = minutes(harness, 30 + 24 * 60);
    assert_eq!(decided.resolution_due_time, Some(to_proto_time(due)));
    harness.clock.set(minutes(harness, 60));
    assert_eq!(world.states(&ticket).await, [("running".to_owned(), 1_800)]);
    world.node.stop().await;
}

#[tokio::test]
async fn a_policy_that_is_made_or_edited_reaches_tickets_without_one_if_it_says_so() {
    let world = World::new().await;
    let harness = &world.harness;
    let opened = harness.clock.now();
    let mut done = world.bare().await;
    let resolved = done.status(minutes(harness, 1), TicketStatus::Resolved);
    publish(harness, &[resolved]).await;
    let ticket = world.bare().await;
    let hours = |hours| opened + jiff::SignedDuration::from_hours(hours);
    harness.clock.set(hours(1));
    // For new tickets only: nothing happens to the old one.
    let made = world.policy("channel = email", "").await;
    let mut newer = Ticket::new(harness);
    decided_after(harness, &[newer.opened()]).await;
    assert!(last_decision(harness, &ticket).await.is_none());
    let policy = Some(Policy {
        on_edit: "recompute".to_owned(),
        ..made.clone()
    });
    let mut admin = world.node.client(Role::Admin);
    let updated = admin
        .update_policy(UpdatePolicyRequest {
            policy,
            validate_only: false,
        })
        .await;
    assert_eq!(updated.unwrap().into_inner().version, 2);
    due_first(harness, &ticket, hours(4)).await;
    assert!(
        last_decision(harness, &done).await.is_none(),
        "what is done stays without"
    );
    // One that is made with the wish reaches them at once.
    let mut chat = Ticket::new(harness);
    chat.state.channel = solmu_proto::types::v1::Channel::Chat.into();
    publish(harness, &[chat.opened()]).await;
    harness.clock.set(hours(2));
    world.policy("channel = chat", "from_now_on").await;
    due_first(harness, &chat, hours(6)).await;
    world.node.stop().await;
}

#[tokio::test]
async fn a_merge_that_is_taken_back_leaves_both_as_they_would_be() {
    let world = World::new().await;
    let harness = &world.harness;
    let targets = vec![Target {
        next_response_seconds: 4 * HOUR,
        ..target(8 * HOUR, 24 * HOUR).remove(0)
    }];
    let policy = Policy {
        targets,
        calendar_id: world.calendar.id.clone(),
        on_reopen: "leave".to_owned(),
        pause_on: vec!["waiting_on_customer".to_owned()],
        ..Policy::default()
    };
    create(&world.node, policy).await;
    let opened = harness.clock.now();
    let hours = |hours| opened + jiff::SignedDuration::from_hours(hours);
    let (mut target, mut source) = (Ticket::new(harness), Ticket::new(harness));
    publish(harness, &[target.opened(), source.opened()]).await;
    let reply = target.message(Kind::Agent, hours(1), TicketStatus::Open);
    let asked = target.message(Kind::Customer, hours(3), TicketStatus::CustomerReplied);
    publish(harness, &[reply, asked]).await;
    let merged = target.merged(hours(4), &source);
    let closed = source.status(hours(4), TicketStatus::Closed);
    publish(harness, &[merged, closed]).await;
    // The other's customer has waited since its opening, so the answer is late.
    harness.clock.set(hours(5));
    wait_for("the target is late", || async {
        breaches(harness).await.len() == 1
    })
    .await;
    let unmerged = target.unmerged(hours(6), &source);
    let reopened = source.status(hours(6), TicketStatus::New);
    publish(harness, &[reopened, unmerged]).await;
    wait_for("the target waits for its own customer again", || async {
        let decided = last_decision(harness, &target).await.unwrap();
        decided.next_response_due_time == Some(to_proto_time(hours(7))) && !decided.breached
    })
    .await;
    // Two hours in which nobody could work on the source do not count.
    wait_for("the source goes on", || async {
        let decided = last_decision(harness, &source).await.unwrap();
        decided.first_response_due_time == Some(to_proto_time(hours(10)))
            && decided.resolution_due_time == Some(to_proto_time(hours(26)))
    })
    .await;
    harness
        .clock
        .set(hours(6) + jiff::SignedDuration::from_mins(30));
    let running = |seconds| ("running".to_owned(), seconds);
    assert_eq!(
        world.states(&source).await,
        [running(16_200), running(16_200)]
    );
    // A late event of the time before finds its place on both sides of the merge.
    let waiting = source.status(hours(1), TicketStatus::WaitingOnCustomer);
    let back = source.status(hours(2), TicketStatus::New);
    publish(harness, &[waiting, back]).await;
    due_first(harness, &source, hours(11)).await;
    world.node.stop().await;
}
