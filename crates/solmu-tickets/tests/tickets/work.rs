//! Tasks with reminders, followers, snooze.

use jiff::SignedDuration;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    ticket::v1::{
        AddFollowerRequest, CreateTaskRequest, DeleteTaskRequest, ListTasksRequest,
        RemoveFollowerRequest, SnoozeTicketRequest, Task, TaskDue, Ticket, TicketChanged,
        UpdateTaskRequest, WakeTicketRequest,
    },
    types::v1::{AutomaticClass, TicketStatus, actor},
};
use solmu_testkit::wait_for;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    api_world::{AGENT, Api, opened, reason},
    merges::merge,
    support::{answer, automatic, mail},
    update::mask,
};

fn after(api: &Api, minutes: i64) -> Option<prost_types::Timestamp> {
    let at = api.world.harness.clock.now();
    let at = at.saturating_add(SignedDuration::from_mins(minutes));
    at.ok().map(to_proto_time)
}

async fn add(api: &Api, task: Task, request_id: &str) -> Result<Task, Status> {
    let request = CreateTaskRequest {
        task: Some(task),
        request_id: request_id.to_owned(),
    };
    let answer = api.work().create_task(api.agent(request)).await;
    answer.map(tonic::Response::into_inner)
}

async fn alter(api: &Api, task: Task, paths: &[&str]) -> Result<Task, Status> {
    let request = UpdateTaskRequest {
        task: Some(task),
        update_mask: mask(paths),
        ..UpdateTaskRequest::default()
    };
    let answer = api.work().update_task(api.agent(request)).await;
    answer.map(tonic::Response::into_inner)
}

fn task(ticket: Uuid, title: &str) -> Task {
    Task {
        ticket_id: ticket.to_string(),
        title: title.to_owned(),
        ..Task::default()
    }
}

async fn titles(api: &Api, request: ListTasksRequest) -> Vec<String> {
    let (mut titles, mut request) = (Vec::new(), request);
    loop {
        let page = api
            .work()
            .list_tasks(api.agent(request.clone()))
            .await
            .unwrap()
            .into_inner();
        titles.extend(page.tasks.into_iter().map(|it| it.title));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return titles;
        }
    }
}

/// A task of the agent that is due in an hour.
fn later(api: &Api, ticket: Uuid) -> Task {
    Task {
        due_time: after(api, 60),
        assignee_id: AGENT.to_string(),
        ..task(ticket, "later")
    }
}

/// Tasks of a ticket as they are listed: soon, later, and some time.
async fn three_tasks(api: &Api, ticket: Uuid) -> [Task; 3] {
    let later = add(api, later(api, ticket), "one").await.unwrap();
    let some_time = add(api, task(ticket, "some time"), "").await.unwrap();
    let soon = Task {
        due_time: after(api, 5),
        ..task(ticket, "soon")
    };
    let soon = add(api, soon, "").await.unwrap();
    [soon, later, some_time]
}

/// Asks for the open tasks of a ticket in pages of one.
fn tasks_of(ticket: Uuid) -> ListTasksRequest {
    ListTasksRequest {
        ticket_id: ticket.to_string(),
        page_size: 1,
        ..ListTasksRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_made_once_and_listed_by_due_time() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let [_, made, _] = three_tasks(&api, ticket.id).await;
    assert_eq!(
        (made.ticket_number, made.created_by.as_str()),
        (ticket.number, AGENT.to_string().as_str())
    );
    let again = add(&api, later(&api, ticket.id), "one").await.unwrap();
    assert_eq!(again, made);
    for bad in ["", " ", "two\nlines"] {
        let refused = add(&api, task(ticket.id, bad), "").await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    assert_eq!(
        titles(&api, tasks_of(ticket.id)).await,
        ["soon", "later", "some time"]
    );
    let mine = ListTasksRequest {
        assignee_id: AGENT.to_string(),
        ..ListTasksRequest::default()
    };
    assert_eq!(titles(&api, mine).await, ["later"]);
    let nobody = api
        .work()
        .list_tasks(api.agent(ListTasksRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_done_opened_again_deleted_and_follow_a_merge() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let [soon, later, _] = three_tasks(&api, ticket.id).await;
    let done = Task {
        done: true,
        ..soon.clone()
    };
    let done = alter(&api, done, &["done"]).await.unwrap();
    assert!(done.done && done.done_time.is_some());
    assert_eq!(
        (done.done_by.as_str(), done.due_time),
        (AGENT.to_string().as_str(), soon.due_time)
    );
    let stale = alter(&api, soon, &["title"]).await.unwrap_err();
    assert_eq!(
        (stale.code(), reason(&stale).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    assert_eq!(
        titles(&api, tasks_of(ticket.id)).await,
        ["later", "some time"]
    );
    let open_again = Task {
        id: done.id.clone(),
        ..Task::default()
    };
    let open_again = alter(&api, open_again, &["done", "due_time"])
        .await
        .unwrap();
    assert_eq!(
        (
            open_again.done,
            open_again.due_time,
            open_again.done_by.as_str()
        ),
        (false, None, "")
    );
    let delete = DeleteTaskRequest { id: later.id };
    api.work()
        .delete_task(api.agent(delete.clone()))
        .await
        .unwrap();
    let gone = api.work().delete_task(api.agent(delete)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    // A merge leads to them.
    let other = api
        .world
        .file(&mail("o@c.example", "o@d.example"))
        .await
        .unwrap();
    merge(&api, &[ticket.id], other.id).await.unwrap();
    assert_eq!(
        titles(&api, tasks_of(other.id)).await,
        ["some time", "soon"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reminder_is_told_once_whoever_looks() {
    let mut api = Api::new().await;
    drop(api.world.start("b").await);
    let ticket = opened(&api).await;
    let mut tasks = Vec::new();
    for n in 0..40 {
        let one = Task {
            remind_time: after(&api, 10 + n % 3),
            assignee_id: AGENT.to_string(),
            ..task(ticket.id, &format!("task {n}"))
        };
        tasks.push(add(&api, one, "").await.unwrap());
    }
    let not_wanted = Task {
        id: tasks[0].id.clone(),
        done: true,
        ..Task::default()
    };
    alter(&api, not_wanted, &["done"]).await.unwrap();
    assert_eq!(api.world.told::<TaskDue>().await, []);
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_mins(30));
    // One that starts late finds the same.
    drop(api.world.start("c").await);
    let open = "SELECT count(*) FROM tickets.task WHERE reminded_at IS NULL";
    wait_for("what is due is told", || async {
        api.world.count(open).await == 1
    })
    .await;
    let mut told: Vec<String> = api
        .world
        .told::<TaskDue>()
        .await
        .into_iter()
        .map(|it| it.task_id)
        .collect();
    let mut expected: Vec<String> = tasks[1..].iter().map(|it| it.id.clone()).collect();
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    // A new time is told again, another title is not.
    let moved = Task {
        id: tasks[1].id.clone(),
        remind_time: after(&api, -1),
        ..Task::default()
    };
    alter(&api, moved, &["remind_time"]).await.unwrap();
    let renamed = Task {
        id: tasks[2].id.clone(),
        title: "another".to_owned(),
        ..Task::default()
    };
    let renamed = alter(&api, renamed, &["title"]).await.unwrap();
    assert!(renamed.reminded_time.is_some());
    wait_for("the new time is told", || async {
        api.world.count(open).await == 1
    })
    .await;
    assert_eq!(api.world.told::<TaskDue>().await.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_follow_a_ticket() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let other = Uuid::from_u128(5);
    let mut shown = Ticket::default();
    for agent in [AGENT, other, AGENT] {
        let request = AddFollowerRequest {
            ticket_id: format!("#{}", ticket.number),
            agent_id: agent.to_string(),
            ..AddFollowerRequest::default()
        };
        shown = api
            .work()
            .add_follower(api.agent(request))
            .await
            .unwrap()
            .into_inner();
    }
    shown.follower_ids.sort_unstable();
    assert_eq!(shown.follower_ids, [other, AGENT].map(|id| id.to_string()));
    for _ in 0..2 {
        let request = RemoveFollowerRequest {
            ticket_id: ticket.id.to_string(),
            agent_id: AGENT.to_string(),
            ..RemoveFollowerRequest::default()
        };
        shown = api
            .work()
            .remove_follower(api.agent(request))
            .await
            .unwrap()
            .into_inner();
    }
    assert_eq!(shown.follower_ids, [other.to_string()]);
    // Two came, one went: what was so already is not told.
    assert_eq!(api.world.told::<TicketChanged>().await.len(), 3);
}

async fn snooze(api: &Api, ticket: Uuid, minutes: Option<i64>) -> Result<Ticket, Status> {
    let request = SnoozeTicketRequest {
        ticket_id: ticket.to_string(),
        until_time: minutes.and_then(|minutes| after(api, minutes)),
        ..SnoozeTicketRequest::default()
    };
    let answer = api.work().snooze_ticket(api.agent(request)).await;
    answer.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_wakes_at_its_time_once() {
    let mut api = Api::new().await;
    drop(api.world.start("b").await);
    let mut ids = Vec::new();
    for n in 0..10 {
        let message = mail(&format!("{n}@c.example"), &format!("{n}@d{n}.example"));
        let id = api.world.file(&message).await.unwrap().id;
        let asleep = snooze(&api, id, Some(60)).await.unwrap();
        assert_eq!(
            (asleep.status(), asleep.snoozed),
            (TicketStatus::WaitingOnThirdParty, true)
        );
        assert!(asleep.wake_time.is_some());
        ids.push(id);
    }
    let past = snooze(&api, ids[0], Some(-1)).await.unwrap_err();
    assert_eq!(past.code(), Code::InvalidArgument);
    // One is woken by hand and sleeps longer, so the rest wakes first.
    let request = WakeTicketRequest {
        ticket_id: ids[0].to_string(),
        ..WakeTicketRequest::default()
    };
    let woken = api
        .work()
        .wake_ticket(api.agent(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (woken.status(), woken.snoozed, woken.wake_time),
        (TicketStatus::Open, false, None)
    );
    snooze(&api, ids[0], Some(600)).await.unwrap();
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_mins(61));
    drop(api.world.start("c").await);
    let open = "SELECT count(*) FROM tickets.ticket WHERE status = 'open' AND NOT snoozed";
    wait_for("they wake", || async { api.world.count(open).await == 9 }).await;
    let told = api.world.told::<TicketChanged>().await;
    let timer = i32::from(actor::Kind::Timer);
    let by_timer: Vec<_> = told
        .iter()
        .filter(|it| it.actor.as_ref().unwrap().kind == timer)
        .collect();
    assert_eq!(by_timer.len(), 9);
    let fields: Vec<&str> = by_timer[0]
        .changes
        .iter()
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(fields, ["status", "snooze"]);
    assert_eq!(
        api.world.ticket(ids[0]).await.status,
        "waiting_on_third_party"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_customer_wakes_a_ticket_and_a_machine_does_not() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let asleep = snooze(&api, ticket.id, None).await.unwrap();
    assert_eq!((asleep.snoozed, asleep.wake_time), (true, None));
    let out = answer("out@c.example", "aino@c.example", &["root@c.example"]);
    api.world
        .file(&automatic(out, AutomaticClass::OutOfOffice))
        .await;
    let sleeping = "SELECT count(*) FROM tickets.ticket WHERE snoozed";
    assert_eq!(api.world.count(sleeping).await, 1);
    api.world
        .file(&answer(
            "r@c.example",
            "aino@c.example",
            &["root@c.example"],
        ))
        .await
        .unwrap();
    assert_eq!(api.world.count(sleeping).await, 0);
    assert_eq!(api.world.ticket(ticket.id).await.status, "customer_replied");
    // It stays awake when it waits again.
    let waits = Ticket {
        id: ticket.id.to_string(),
        status: TicketStatus::WaitingOnCustomer.into(),
        ..Ticket::default()
    };
    let waits = crate::update::update(&api, waits, &[]).await.unwrap();
    assert!(!waits.snoozed);
    let closed = Ticket {
        id: ticket.id.to_string(),
        status: TicketStatus::Closed.into(),
        ..Ticket::default()
    };
    crate::update::update(&api, closed, &[]).await.unwrap();
    assert_eq!(
        reason(&snooze(&api, ticket.id, None).await.unwrap_err()),
        "NOT_OPEN"
    );
}
