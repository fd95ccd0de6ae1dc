//! The log of what happened: complete, in order, and proof against tampering.

use prost::Message as _;
use solmu_bus::EventBody as _;
use solmu_proto::{
    contact::v1::EraseContactRequest,
    ticket::v1::{
        self as proto, Activity, AddNoteRequest, AssignTicketRequest, CreateTaskRequest,
        ListActivitiesRequest, MergeTicketsRequest, ReplyToTicketRequest, SetPriorityRequest,
        SetStatusRequest, SnoozeTicketRequest, Task, UnmergeTicketRequest, UpdateTaskRequest,
        VerifyActivityRequest, VerifyActivityResponse, activity::Kind,
        verify_activity_response::Fault,
    },
    types::v1::{Priority, TicketStatus, actor},
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    api_world::{AGENT, Api, opened},
    support::{Ticket, answer, mail},
};

async fn log(api: &Api, ticket: Uuid, page_size: i32) -> Vec<Activity> {
    let mut entries = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListActivitiesRequest {
            ticket_id: ticket.to_string(),
            page_size,
            page_token,
        };
        let page = api.activity().list_activities(api.agent(request)).await;
        let page = page.unwrap().into_inner();
        entries.extend(page.activities);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return entries;
        }
    }
}

async fn verdict(api: &Api, ticket: Uuid, noted: Option<&Activity>) -> VerifyActivityResponse {
    let request = VerifyActivityRequest {
        ticket_id: ticket.to_string(),
        noted_sequence: noted.map_or(0, |it| it.sequence),
        noted_hash: noted.map(|it| it.hash.clone()).unwrap_or_default(),
    };
    api.activity()
        .verify_activity(api.service(request))
        .await
        .unwrap()
        .into_inner()
}

/// Does one thing of each kind to the ticket, and takes another one in and out again.
async fn live(api: &Api, ticket: &Ticket) {
    let id = ticket.id.to_string();
    let mut calls = api.tickets();
    let reply = ReplyToTicketRequest {
        ticket_id: id.clone(),
        text: "Aino's secret".to_owned(),
        ..ReplyToTicketRequest::default()
    };
    calls.reply_to_ticket(api.agent(reply)).await.unwrap();
    let note = AddNoteRequest {
        ticket_id: id.clone(),
        text: "a note".to_owned(),
        ..AddNoteRequest::default()
    };
    calls.add_note(api.agent(note)).await.unwrap();
    let priority = SetPriorityRequest {
        ticket_id: id.clone(),
        priority: Priority::High.into(),
        ..SetPriorityRequest::default()
    };
    calls.set_priority(api.agent(priority)).await.unwrap();
    let owner = AssignTicketRequest {
        ticket_id: id.clone(),
        agent_id: AGENT.to_string(),
        ..AssignTicketRequest::default()
    };
    calls.assign_ticket(api.agent(owner)).await.unwrap();
    let status = SetStatusRequest {
        ticket_id: id.clone(),
        status: TicketStatus::Open.into(),
        ..SetStatusRequest::default()
    };
    calls.set_status(api.agent(status)).await.unwrap();
    let source = api
        .world
        .file(&mail("s@c.example", "aino@c.example"))
        .await
        .unwrap();
    let merge = MergeTicketsRequest {
        source_ids: vec![source.id.to_string()],
        target_id: id,
        reason: "Aino wrote twice".to_owned(),
        ..MergeTicketsRequest::default()
    };
    calls.merge_tickets(api.agent(merge)).await.unwrap();
    let back = UnmergeTicketRequest {
        ticket_id: source.id.to_string(),
        ..UnmergeTicketRequest::default()
    };
    calls.unmerge_ticket(api.agent(back)).await.unwrap();
    let more = answer("m@c.example", "aino@c.example", &["root@c.example"]);
    api.world.file(&more).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_logged_in_one_order() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    live(&api, &ticket).await;
    let entries = log(&api, ticket.id, 3).await;
    assert_eq!(entries, log(&api, ticket.id, 0).await);
    let places: Vec<i64> = entries.iter().map(|it| it.sequence).collect();
    assert_eq!(
        places,
        (1..=i64::try_from(entries.len()).unwrap()).collect::<Vec<_>>()
    );
    let kinds: Vec<Kind> = entries.iter().map(Activity::kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Opened,
            Kind::MessageAdded,
            Kind::MessageAdded,
            Kind::Changed,
            Kind::Assigned,
            Kind::Changed,
            // A customer who waits on the source waits here.
            Kind::Changed,
            Kind::Merged,
            Kind::Unmerged,
            // It waits no more.
            Kind::Changed,
            Kind::MessageAdded,
        ],
        "{entries:#?}"
    );
    let by = entries[3].actor.clone().unwrap();
    assert_eq!((by.kind(), by.id), (actor::Kind::Agent, AGENT.to_string()));
    let change = &entries[3].changes[0];
    assert_eq!(
        (
            change.field.as_str(),
            change.from.as_str(),
            change.to.as_str()
        ),
        ("priority", "normal", "high")
    );
    assert_eq!(
        (entries[7].reason.as_str(), entries[3].reason.as_str()),
        ("Aino wrote twice", "by hand")
    );
    assert_eq!(entries[4].changes[0].to, AGENT.to_string());
    // As many entries as events of tickets, of all tickets: nothing went past the log.
    let types = [
        proto::TicketOpened::TYPE,
        proto::TicketMessageAdded::TYPE,
        proto::TicketChanged::TYPE,
        proto::TicketAssigned::TYPE,
        proto::DeliveryUpdated::TYPE,
        proto::TicketMerged::TYPE,
        proto::TicketUnmerged::TYPE,
        proto::MessageSplit::TYPE,
    ];
    let events = api.world.events().await;
    let told = events
        .iter()
        .filter(|it| types.contains(&it.event_type.as_str()))
        .count();
    let logged = api
        .world
        .count("SELECT count(*) FROM tickets.activity")
        .await;
    assert_eq!(i64::try_from(told).unwrap(), logged);
    // No words of anybody stand in what can never be erased.
    let rows: Vec<Vec<u8>> = sqlx::query_scalar("SELECT entry FROM tickets.activity")
        .fetch_all(api.world.pool())
        .await
        .unwrap();
    for row in rows {
        let text = String::from_utf8_lossy(&row).to_lowercase();
        assert!(
            !text.contains("aino") && !text.contains("secret") && !text.contains("note"),
            "{text}"
        );
        assert!(Activity::decode(row.as_slice()).unwrap().hash.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_only_ever_added_to() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    for statement in [
        "DELETE FROM tickets.activity",
        "TRUNCATE tickets.activity",
        "UPDATE tickets.activity SET entry = ''",
        "UPDATE tickets.activity SET hash = '', reason = '', salt = ''",
        "UPDATE tickets.activity SET reason = 'another', salt = ''",
        "UPDATE tickets.activity SET sequence = 7, reason = '', salt = ''",
    ] {
        let refused = sqlx::query(statement).execute(api.world.pool()).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("only ever added to"), "{statement}: {error}");
    }
    let verdict = verdict(&api, ticket.id, None).await;
    assert!(verdict.intact, "{verdict:?}");
    let unknown = VerifyActivityRequest {
        ticket_id: "#9".to_owned(),
        ..VerifyActivityRequest::default()
    };
    let answer = api.activity().verify_activity(api.agent(unknown)).await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);
    let half = VerifyActivityRequest {
        ticket_id: ticket.id.to_string(),
        noted_sequence: 1,
        ..VerifyActivityRequest::default()
    };
    let answer = api.activity().verify_activity(api.agent(half)).await;
    assert_eq!(answer.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tampering_shows_and_erasing_a_reason_does_not_look_like_it() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    live(&api, &ticket).await;
    let entries = log(&api, ticket.id, 0).await;
    let last = entries.last().unwrap().clone();
    let good = verdict(&api, ticket.id, Some(&last)).await;
    assert!(good.intact, "{good:?}");
    assert_eq!(
        (good.entries, good.last_hash, good.erased_reasons),
        (11, last.hash.clone(), 0)
    );

    // The log keeps its shape when the contact is erased; what people wrote as reasons is gone.
    let erase = EraseContactRequest {
        contact_id: ticket.contact_id.to_string(),
        confirm_display_name: "aino@c.example".to_owned(),
    };
    let erased = api.contacts().erase_contact(api.admin(erase)).await;
    erased.unwrap();
    let erased = verdict(&api, ticket.id, Some(&last)).await;
    let given = entries.iter().filter(|it| !it.reason.is_empty()).count();
    assert!(erased.intact && given > 2, "{erased:?}");
    assert_eq!(erased.erased_reasons, i64::try_from(given).unwrap());
    let shape = |it: &Activity| (it.kind(), it.actor.clone(), it.hash.clone());
    let now = log(&api, ticket.id, 0).await;
    assert!(now.iter().map(shape).eq(entries.iter().map(shape)));
    assert!(now.iter().all(|it| it.reason.is_empty()));

    tampering_shows(&api, &ticket, &entries).await;
}

async fn tampering_shows(api: &Api, ticket: &Ticket, entries: &[Activity]) {
    let last = entries.last().unwrap();
    let run = async |statement: &'static str| {
        sqlx::query(statement)
            .bind(ticket.id)
            .execute(api.world.pool())
            .await
            .unwrap();
    };
    // From here on as somebody who owns the database.
    sqlx::query("ALTER TABLE tickets.activity DISABLE TRIGGER USER")
        .execute(api.world.pool())
        .await
        .unwrap();
    run("UPDATE tickets.activity SET reason = 'as I like' WHERE ticket_id = $1 AND sequence = 4")
        .await;
    let bad = verdict(api, ticket.id, None).await;
    assert_eq!(
        (bad.intact, bad.bad_sequence, bad.fault()),
        (false, 4, Fault::Reason)
    );
    run("UPDATE tickets.activity SET entry = entry || '\\x00'::bytea WHERE ticket_id = $1 AND sequence = 3").await;
    let bad = verdict(api, ticket.id, None).await;
    assert_eq!((bad.bad_sequence, bad.fault()), (3, Fault::Hash));
    run("DELETE FROM tickets.activity WHERE ticket_id = $1 AND sequence = 2").await;
    let bad = verdict(api, ticket.id, None).await;
    assert_eq!((bad.bad_sequence, bad.fault()), (3, Fault::Gap));
    // A tail that is cut off is whole in itself; where the log ended stands beside it, and who has noted it knows, too.
    run("DELETE FROM tickets.activity WHERE ticket_id = $1 AND sequence > 1").await;
    let bad = verdict(api, ticket.id, None).await;
    assert_eq!(
        (bad.intact, bad.bad_sequence, bad.fault()),
        (false, 2, Fault::Gap)
    );
    let bad = verdict(api, ticket.id, Some(last)).await;
    assert_eq!(
        (bad.intact, bad.bad_sequence, bad.fault()),
        (false, 11, Fault::Noted)
    );
    let forged = Activity {
        hash: vec![7; 32],
        ..entries[0].clone()
    };
    let bad = verdict(api, ticket.id, Some(&forged)).await;
    assert_eq!((bad.bad_sequence, bad.fault()), (1, Fault::Noted));
    // What comes after that does not cover it up.
    let more = answer("n@c.example", "aino@c.example", &["root@c.example"]);
    api.world.file(&more).await.unwrap();
    let bad = verdict(api, ticket.id, None).await;
    let gap = (false, Fault::Gap);
    assert_eq!((bad.intact, bad.fault()), gap, "{bad:?}");
    run("DELETE FROM tickets.activity WHERE ticket_id = $1").await;
    let bad = verdict(api, ticket.id, None).await;
    assert_eq!(
        (bad.intact, bad.fault(), bad.entries),
        (false, Fault::Gap, 0)
    );
    // The end itself only goes on, and a ticket without one has been opened all the same.
    for statement in [
        "DELETE FROM tickets.activity_head",
        "TRUNCATE tickets.activity_head",
        "UPDATE tickets.activity_head SET sequence = 1",
    ] {
        let refused = sqlx::query(statement).execute(api.world.pool()).await;
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("only goes on"), "{statement}: {error}");
    }
    sqlx::query("ALTER TABLE tickets.activity_head DISABLE TRIGGER USER")
        .execute(api.world.pool())
        .await
        .unwrap();
    run("DELETE FROM tickets.activity_head WHERE ticket_id = $1").await;
    let bad = verdict(api, ticket.id, None).await;
    assert_eq!(
        (bad.intact, bad.fault(), bad.bad_sequence),
        (false, Fault::Gap, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_are_nobodys_words_are_told() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let task = CreateTaskRequest {
        task: Some(Task {
            ticket_id: ticket.id.to_string(),
            title: "call Aino".to_owned(),
            ..Task::default()
        }),
        ..CreateTaskRequest::default()
    };
    let task = api.work().create_task(api.agent(task)).await.unwrap();
    let task = task.into_inner();
    let due = prost_types::Timestamp {
        seconds: 4_000_000_000,
        nanos: 0,
    };
    let update = UpdateTaskRequest {
        task: Some(Task {
            id: task.id.clone(),
            title: "call Aino's lawyer".to_owned(),
            assignee_id: AGENT.to_string(),
            due_time: Some(due),
            ..Task::default()
        }),
        ..UpdateTaskRequest::default()
    };
    api.work()
        .update_task(api.agent(update.clone()))
        .await
        .unwrap();
    // What is so already is not told.
    api.work().update_task(api.agent(update)).await.unwrap();
    let asleep = SnoozeTicketRequest {
        ticket_id: ticket.id.to_string(),
        ..SnoozeTicketRequest::default()
    };
    api.work().snooze_ticket(api.agent(asleep)).await.unwrap();
    let entries = log(&api, ticket.id, 0).await;
    let told: Vec<(String, String, String)> = entries
        .iter()
        .flat_map(|entry| &entry.changes)
        .filter(|it| it.field != "status")
        .map(|it| (it.field.clone(), it.from.clone(), it.to.clone()))
        .collect();
    let id = &task.id;
    let row = |field: &str, from: &str, to: String| (field.to_owned(), from.to_owned(), to);
    assert_eq!(
        told,
        [
            row("tasks", "", id.clone()),
            row("tasks", "", format!("{id} assignee_id {AGENT}")),
            row("tasks", "", format!("{id} due_time 2096-10-02T07:06:40Z")),
            row("tasks", id, format!("{id} title")),
            row("snooze", "", "customer".to_owned()),
        ]
    );
}
