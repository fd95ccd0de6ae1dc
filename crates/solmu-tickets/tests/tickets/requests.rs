//! Calls under a request id, on tickets: made once, answered alike, and another call under the same id is refused.

use std::{future::Future, pin::Pin};

use futures::future::join_all;
use solmu_proto::{
    ticket::v1::{
        AddFollowerRequest, AssignTicketRequest, CreateTaskRequest, LinkKind, LinkTicketsRequest,
        MergeTicketsRequest, RemoveFollowerRequest, SetPriorityRequest, SetStatusRequest,
        SnoozeTicketRequest, SplitMessageRequest, Task, TicketChanged, UnlinkTicketsRequest,
        UnmergeTicketRequest, UpdateTaskRequest, WakeTicketRequest,
    },
    types::v1::{Priority, TicketStatus},
};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    api_world::{AGENT, Api, opened, reason},
    support::{answer, mail},
    update::mask,
};

type Answer<'a> = Pin<Box<dyn Future<Output = Result<String, Status>> + Send + 'a>>;

/// A call of the agent, as text: answers of all kinds can be compared.
macro_rules! call {
    ($api:expr, $service:ident.$method:ident, $request:expr) => {{
        let (api, request) = ($api, $request);
        let answer: Answer<'_> = Box::pin(async move {
            let answer = api.$service().$method(api.agent(request)).await;
            answer.map(Response::into_inner).map(|it| format!("{it:?}"))
        });
        answer
    }};
}

async fn refused(answer: Answer<'_>) -> String {
    reason(&answer.await.unwrap_err())
}

/// The same call twice, and then another one: only the first has an effect.
async fn once(api: &Api, first: Answer<'_>, again: Answer<'_>, other: Answer<'_>) {
    let versions = || async {
        api.world
            .count("SELECT sum(version)::bigint FROM tickets.ticket")
            .await
    };
    let told = first.await.unwrap();
    let after = versions().await;
    assert_eq!(again.await.unwrap(), told);
    assert_eq!(refused(other).await, "REQUEST_ID_REUSED");
    assert_eq!(versions().await, after, "only the first has an effect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_is_made_once_under_its_id() {
    let api = &Api::new().await;
    let ticket = opened(api).await.id.to_string();
    let status = |status: TicketStatus| {
        let request = SetStatusRequest {
            ticket_id: ticket.clone(),
            status: status.into(),
            request_id: "status".to_owned(),
            ..SetStatusRequest::default()
        };
        call!(api, tickets.set_status, request)
    };
    let (open, waits) = (TicketStatus::Open, TicketStatus::WaitingOnCustomer);
    once(api, status(open), status(open), status(waits)).await;
    let priority = |priority: Priority| {
        let request = SetPriorityRequest {
            ticket_id: ticket.clone(),
            priority: priority.into(),
            request_id: "priority".to_owned(),
            ..SetPriorityRequest::default()
        };
        call!(api, tickets.set_priority, request)
    };
    let (high, low) = (Priority::High, Priority::Low);
    once(api, priority(high), priority(high), priority(low)).await;
    let assign = |agent: Uuid| {
        let request = AssignTicketRequest {
            ticket_id: ticket.clone(),
            agent_id: agent.to_string(),
            request_id: "assign".to_owned(),
            ..AssignTicketRequest::default()
        };
        call!(api, tickets.assign_ticket, request)
    };
    once(api, assign(AGENT), assign(AGENT), assign(Uuid::nil())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_change_around_a_ticket_is_made_once_under_its_id() {
    let api = &Api::new().await;
    let ticket = opened(api).await.id.to_string();
    let other = api
        .world
        .file(&mail("o@c.example", "matti@d.example"))
        .await;
    let other = other.unwrap().id.to_string();
    let follow = |agent: u128| {
        let request = AddFollowerRequest {
            ticket_id: ticket.clone(),
            agent_id: Uuid::from_u128(agent).to_string(),
            request_id: "follow".to_owned(),
        };
        call!(api, work.add_follower, request)
    };
    once(api, follow(1), follow(1), follow(2)).await;
    let leave = |agent: u128| {
        let request = RemoveFollowerRequest {
            ticket_id: ticket.clone(),
            agent_id: Uuid::from_u128(agent).to_string(),
            request_id: "leave".to_owned(),
        };
        call!(api, work.remove_follower, request)
    };
    once(api, leave(1), leave(1), leave(2)).await;
    let link = |kind: LinkKind| {
        let request = LinkTicketsRequest {
            ticket_id: ticket.clone(),
            other_ticket_id: other.clone(),
            kind: kind.into(),
            request_id: "link".to_owned(),
        };
        call!(api, work.link_tickets, request)
    };
    let (related, duplicate) = (LinkKind::Related, LinkKind::Duplicate);
    once(api, link(related), link(related), link(duplicate)).await;
    let unlink = |kind: LinkKind| {
        let request = UnlinkTicketsRequest {
            ticket_id: ticket.clone(),
            other_ticket_id: other.clone(),
            kind: kind.into(),
            request_id: "unlink".to_owned(),
        };
        call!(api, work.unlink_tickets, request)
    };
    // Without an id a second one finds no link.
    once(api, unlink(related), unlink(related), unlink(duplicate)).await;
    let snooze = |status: TicketStatus| {
        let request = SnoozeTicketRequest {
            ticket_id: ticket.clone(),
            set_status: status.into(),
            request_id: "snooze".to_owned(),
            ..SnoozeTicketRequest::default()
        };
        call!(api, work.snooze_ticket, request)
    };
    let (waits, party) = (
        TicketStatus::WaitingOnCustomer,
        TicketStatus::WaitingOnThirdParty,
    );
    once(api, snooze(waits), snooze(waits), snooze(party)).await;
    let wake = |id: &str| {
        let request = WakeTicketRequest {
            ticket_id: ticket.clone(),
            request_id: id.to_owned(),
        };
        call!(api, work.wake_ticket, request)
    };
    once(api, wake("wake"), wake("wake"), wake("snooze")).await;
}

fn asked(ticket: &str, title: &str) -> CreateTaskRequest {
    CreateTaskRequest {
        task: Some(Task {
            ticket_id: ticket.to_owned(),
            title: title.to_owned(),
            ..Task::default()
        }),
        request_id: "task".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_identical_calls_make_one_task() {
    let api = &Api::new().await;
    let ticket = opened(api).await.id.to_string();
    let calls = (0..100).map(|_| call!(api, work.create_task, asked(&ticket, "call back")));
    let answers: Result<Vec<String>, Status> = join_all(calls).await.into_iter().collect();
    let mut answers = answers.unwrap();
    answers.dedup();
    assert_eq!(answers.len(), 1);
    let tasks = "SELECT count(*) FROM tickets.task";
    assert_eq!(api.world.count(tasks).await, 1);
    let told = api.world.told::<TicketChanged>().await;
    assert_eq!(told.len(), 1);
    let other = call!(api, work.create_task, asked(&ticket, "write back"));
    assert_eq!(refused(other).await, "REQUEST_ID_REUSED");
    // A change of the ticket under that id is another call, too.
    let status = SetStatusRequest {
        ticket_id: ticket.clone(),
        status: TicketStatus::Open.into(),
        request_id: "task".to_owned(),
        ..SetStatusRequest::default()
    };
    let other = call!(api, tickets.set_status, status);
    assert_eq!(refused(other).await, "REQUEST_ID_REUSED");
    let again = api.agent(asked(&ticket, "call back"));
    let task = api.work().create_task(again).await.unwrap().into_inner();
    let done = |done: bool| {
        let request = UpdateTaskRequest {
            task: Some(Task {
                done,
                etag: task.etag.clone(),
                id: task.id.clone(),
                ..Task::default()
            }),
            update_mask: mask(&["done"]),
            request_id: "done".to_owned(),
        };
        call!(api, work.update_task, request)
    };
    once(api, done(true), done(true), done(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_identical_merges_and_splits_make_one() {
    let api = &Api::new().await;
    let target = opened(api).await.id.to_string();
    let source = api.world.file(&mail("o@c.example", "aino@c.example")).await;
    let source = source.unwrap().id.to_string();
    let merge = |reason: &str| {
        let request = MergeTicketsRequest {
            source_ids: vec![source.clone()],
            target_id: target.clone(),
            reason: reason.to_owned(),
            request_id: "merge".to_owned(),
            ..MergeTicketsRequest::default()
        };
        call!(api, tickets.merge_tickets, request)
    };
    let unmerge = |reason: &str| {
        let request = UnmergeTicketRequest {
            ticket_id: source.clone(),
            reason: reason.to_owned(),
            request_id: "unmerge".to_owned(),
            ..UnmergeTicketRequest::default()
        };
        call!(api, tickets.unmerge_ticket, request)
    };
    let alike = |answers: Vec<Result<String, Status>>| {
        let answers: Result<Vec<String>, Status> = answers.into_iter().collect();
        let mut answers = answers.unwrap();
        answers.dedup();
        assert_eq!(answers.len(), 1);
    };
    alike(join_all((0..100).map(|_| merge("one matter"))).await);
    let merges = "SELECT count(*) FROM tickets.ticket_merge";
    assert_eq!(api.world.count(merges).await, 1);
    assert_eq!(refused(merge("another")).await, "REQUEST_ID_REUSED");
    alike(join_all((0..100).map(|_| unmerge("two matters"))).await);
    assert_eq!(refused(unmerge("another")).await, "REQUEST_ID_REUSED");
    // Taken back is taken back: the first call again merges nothing.
    merge("one matter").await.unwrap();
    let held = "SELECT count(*) FROM tickets.ticket_merge WHERE unmerged_at IS NULL";
    assert_eq!(api.world.count(held).await, 0);

    let more = answer("m@c.example", "aino@c.example", &["root@c.example"]);
    let filed = api.world.file(&more).await.unwrap();
    assert_eq!(filed.id.to_string(), target);
    let split = |reason: &str| {
        let request = SplitMessageRequest {
            message_id: more.message_id.clone(),
            reason: reason.to_owned(),
            request_id: "split".to_owned(),
            ..SplitMessageRequest::default()
        };
        call!(api, tickets.split_message, request)
    };
    alike(join_all((0..100).map(|_| split("a matter of its own"))).await);
    assert_eq!(api.world.tickets().await.len(), 3);
    assert_eq!(refused(split("another")).await, "REQUEST_ID_REUSED");
}
