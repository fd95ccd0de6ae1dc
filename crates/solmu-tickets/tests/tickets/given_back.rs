//! What a merge took is there again when it is taken back; what was decided in between stays.

use solmu_domain::clock::Clock as _;
use solmu_proto::{
    access::v1::Role,
    ticket::v1::{
        ActivityChange, CreateSubstatusRequest, ListActivitiesRequest, SetStatusRequest,
        SnoozeTicketRequest, Substatus, Ticket, UpdateTicketRequest,
    },
    types::v1::TicketStatus,
};
use uuid::Uuid;

use crate::{
    api_world::{Api, with},
    merges::{merge, unmerge},
    restricted::{Desk, OUTSIDER},
    support::{answer, mail},
};

/// What is compared of a ticket, as its row has it.
async fn stand(api: &Api, ticket: Uuid) -> String {
    sqlx::query_scalar(
        "SELECT concat_ws(' ', status, nullif(substatus, ''), snoozed, wake_at, close_at, resolved_at)
         FROM tickets.ticket WHERE id = $1",
    )
    .bind(ticket)
    .fetch_one(api.world.pool())
    .await
    .unwrap()
}

async fn opened(api: &Api, id: &str) -> Uuid {
    let message = mail(&format!("{id}@c.example"), &format!("{id}@d.example"));
    api.world.file(&message).await.unwrap().id
}

async fn put(api: &Api, ticket: Uuid, status: TicketStatus) {
    let request = SetStatusRequest {
        ticket_id: ticket.to_string(),
        status: status.into(),
        ..SetStatusRequest::default()
    };
    api.tickets().set_status(api.agent(request)).await.unwrap();
}

async fn sleep(api: &Api, ticket: Uuid, hours: Option<i64>) {
    let now = api.world.harness.clock.now();
    let at = hours.map(|hours| now + jiff::SignedDuration::from_hours(hours));
    let request = SnoozeTicketRequest {
        ticket_id: ticket.to_string(),
        until_time: at.map(solmu_bus::envelope::to_proto_time),
        ..SnoozeTicketRequest::default()
    };
    api.work().snooze_ticket(api.agent(request)).await.unwrap();
}

async fn parts(api: &Api, ticket: Uuid) {
    let request = UpdateTicketRequest {
        ticket: Some(Ticket {
            id: ticket.to_string(),
            substatus: "parts".to_owned(),
            ..Ticket::default()
        }),
        ..UpdateTicketRequest::default()
    };
    api.tickets()
        .update_ticket(api.agent(request))
        .await
        .unwrap();
}

/// A ticket in each state that a merge ends.
async fn states(api: &Api, side: &str) -> Vec<(String, Uuid)> {
    let mut made = Vec::new();
    for name in ["new", "waits", "sleeps", "sleeps-on", "parts", "resolved"] {
        let ticket = opened(api, &format!("{side}-{name}")).await;
        match name {
            "waits" => put(api, ticket, TicketStatus::WaitingOnCustomer).await,
            "sleeps" => sleep(api, ticket, Some(5)).await,
            "sleeps-on" => sleep(api, ticket, None).await,
            "parts" => parts(api, ticket).await,
            "resolved" => put(api, ticket, TicketStatus::Resolved).await,
            _ => {}
        }
        made.push((name.to_owned(), ticket));
    }
    made
}

async fn with_parts() -> Api {
    let api = Api::new().await;
    let request = CreateSubstatusRequest {
        substatus: Some(Substatus {
            name: "parts".to_owned(),
            label: "Waits for parts".to_owned(),
            status: TicketStatus::WaitingOnThirdParty.into(),
            ..Substatus::default()
        }),
        request_id: "parts".to_owned(),
    };
    api.substatuses()
        .create_substatus(api.admin(request))
        .await
        .unwrap();
    api
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_tickets_stand_where_they_stood() {
    let api = with_parts().await;
    let (sources, targets) = (states(&api, "s").await, states(&api, "t").await);
    for (of, source) in &sources {
        for (on, target) in &targets {
            let before = (stand(&api, *source).await, stand(&api, *target).await);
            api.world
                .harness
                .clock
                .advance(jiff::SignedDuration::from_secs(60));
            merge(&api, &[*source], *target).await.unwrap();
            unmerge(&api, *source).await.unwrap();
            let after = (stand(&api, *source).await, stand(&api, *target).await);
            assert_eq!(after, before, "{of} in {on}");
        }
    }
    // Many at once: the last to go gives it back.
    let (_, sleeping) = &targets[2];
    let before = stand(&api, *sleeping).await;
    let (one, other) = (opened(&api, "one").await, opened(&api, "other").await);
    merge(&api, &[one, other], *sleeping).await.unwrap();
    unmerge(&api, one.min(other)).await.unwrap();
    assert_eq!(
        api.world.ticket(*sleeping).await.status,
        "customer_replied",
        "the other one waits on it still"
    );
    unmerge(&api, one.max(other)).await.unwrap();
    assert_eq!(stand(&api, *sleeping).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_since_stays() {
    let api = with_parts().await;
    // Somebody wrote on it.
    let (source, target) = (opened(&api, "s").await, opened(&api, "t").await);
    sleep(&api, target, Some(5)).await;
    merge(&api, &[source], target).await.unwrap();
    let more = answer("more@c.example", "t@d.example", &["t@c.example"]);
    assert_eq!(api.world.file(&more).await.unwrap().id, target);
    unmerge(&api, source).await.unwrap();
    assert_eq!(api.world.ticket(target).await.status, "customer_replied");
    // Somebody gave it another status.
    let (source, target) = (opened(&api, "u").await, opened(&api, "v").await);
    put(&api, target, TicketStatus::Resolved).await;
    merge(&api, &[source], target).await.unwrap();
    put(&api, target, TicketStatus::Open).await;
    unmerge(&api, source).await.unwrap();
    assert_eq!(api.world.ticket(target).await.status, "open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_a_hidden_ticket_stands_in_no_reason() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let (source, target) = (desk.opened("s@c.example").await, opened(api, "t").await);
    merge(api, &[source], target).await.unwrap();
    unmerge(api, source).await.unwrap();
    let outsider = api.token(Role::Agent, &OUTSIDER.to_string()).await;
    let reasons = async || -> Vec<(String, Vec<ActivityChange>)> {
        let request = ListActivitiesRequest {
            ticket_id: source.to_string(),
            ..ListActivitiesRequest::default()
        };
        let mut client = api.activity();
        let page = client.list_activities(with(request, &outsider)).await;
        let all = page.unwrap().into_inner().activities;
        let merges = all
            .into_iter()
            .filter(|it| it.changes.iter().any(|it| it.field == "merged_into"));
        merges.map(|it| (it.reason, it.changes)).collect()
    };
    let number = api.world.ticket(target).await.number;
    let told: Vec<String> = reasons().await.into_iter().map(|it| it.0).collect();
    assert_eq!(
        told,
        [
            format!("merged into #{number}: one matter"),
            format!("no longer part of #{number}: two matters"),
        ]
    );
    desk.restrict(target).await.unwrap();
    for (reason, changes) in reasons().await {
        assert!(!reason.contains('#'), "{reason}");
        let other = target.to_string();
        assert!(changes.iter().all(|it| it.from != other && it.to != other));
    }
    // Older entries hold the number themselves.
    sqlx::query("ALTER TABLE tickets.activity DISABLE TRIGGER USER")
        .execute(api.world.pool())
        .await
        .unwrap();
    sqlx::query("UPDATE tickets.activity SET reason = $2 WHERE ticket_id = $1 AND reason <> ''")
        .bind(source)
        .bind(format!("merged into #{number}: one matter"))
        .execute(api.world.pool())
        .await
        .unwrap();
    for (reason, _) in reasons().await {
        assert_eq!(reason, "one matter");
    }
}
