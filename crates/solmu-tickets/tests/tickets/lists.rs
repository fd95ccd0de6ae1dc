//! Lists by filter, watched and saved.

use futures::StreamExt as _;
use solmu_proto::{
    ticket::v1::{
        CreateViewRequest, DeleteViewRequest, ListTicketsRequest, ListViewsRequest, SavedView,
        SetStatusRequest, UpdateViewRequest, WatchTicketsRequest,
    },
    types::v1::TicketStatus,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    api_world::{Api, reason},
    support::{Ticket, answer, mail},
};

async fn listed(api: &Api, filter: &str) -> Vec<i64> {
    let request = ListTicketsRequest {
        filter: filter.to_owned(),
        time_zone: "Europe/Helsinki".to_owned(),
        ..ListTicketsRequest::default()
    };
    let page = api
        .tickets()
        .list_tickets(api.agent(request))
        .await
        .unwrap();
    page.into_inner()
        .tickets
        .iter()
        .map(|it| it.number)
        .collect()
}

/// Complaints of two customers in spring, the second of them resolved.
async fn complaints(api: &Api) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    for (n, from) in [
        "aino@c.example",
        "aino@c.example",
        "aino@c.example",
        "other@c.example",
    ]
    .into_iter()
    .enumerate()
    {
        let ticket = api
            .world
            .file(&mail(&format!("{n}@x.example"), from))
            .await
            .unwrap();
        tickets.push(ticket);
    }
    for (ticket, created) in tickets.iter().zip([
        // 31 March in UTC, April in Helsinki.
        "2026-03-31T21:30:00Z",
        "2026-04-20T10:00:00Z",
        "2026-05-01T00:00:00Z",
        "2026-04-10T10:00:00Z",
    ]) {
        sqlx::query(
            "UPDATE tickets.ticket SET category = 'complaint', tags = '{vip}', created_at = $2::timestamptz,
                fields = '{\"order_no\": [\"A-1\"], \"amount\": [\"12.50\"]}' WHERE id = $1",
        )
        .bind(ticket.id)
        .bind(created)
        .execute(api.world.pool())
        .await
        .unwrap();
    }
    api.world.set_status(tickets[1].id, "resolved").await;
    sqlx::query(
        "INSERT INTO tickets.field (key, label, kind, created_at, updated_at)
         VALUES ('order_no', '', 'text', now(), now()), ('amount', '', 'number', now(), now())",
    )
    .execute(api.world.pool())
    .await
    .unwrap();
    tickets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complaints_of_this_customer_in_april_that_are_still_open() {
    let api = Api::new().await;
    let tickets = complaints(&api).await;
    let customer = tickets[0].contact_id;
    let number = |n: usize| tickets[n].number;
    let sentence =
        format!("category = complaint contact = {customer} created = 2026-04 open = true");
    assert_eq!(listed(&api, &sentence).await, [number(0)]);
    for (filter, mut expected) in [
        (
            "requester_email = aino@c.example created = 2026-04",
            vec![number(0), number(1)],
        ),
        ("requester = \"other@*\"", vec![number(3)]),
        (
            "tags:vip fields.order_no = A-1 fields.amount > 12 created > 2026-04",
            vec![number(2)],
        ),
        ("fields.order_no = a-1", vec![]),
        ("NOT open = true", vec![number(1)]),
    ] {
        let mut found = listed(&api, filter).await;
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{filter}");
    }
    let wrong = ListTicketsRequest {
        filter: "open = true fields.ordr = 1".to_owned(),
        ..ListTicketsRequest::default()
    };
    let wrong = api
        .tickets()
        .list_tickets(api.agent(wrong))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_keeps_its_order_over_pages() {
    let api = Api::new().await;
    let tickets = complaints(&api).await;
    let number = |n: usize| tickets[n].number;
    let ordered = ListTicketsRequest {
        order_by: "create_time desc".to_owned(),
        page_size: 3,
        ..ListTicketsRequest::default()
    };
    let page = api
        .tickets()
        .list_tickets(api.agent(ordered.clone()))
        .await
        .unwrap()
        .into_inner();
    let next = ListTicketsRequest {
        page_token: page.next_page_token.clone(),
        ..ordered
    };
    let next = api
        .tickets()
        .list_tickets(api.agent(next))
        .await
        .unwrap()
        .into_inner();
    let all: Vec<i64> = page
        .tickets
        .iter()
        .chain(&next.tickets)
        .map(|it| it.number)
        .collect();
    assert_eq!(all, [number(2), number(1), number(3), number(0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_with_a_filter_hears_of_its_tickets_and_of_those_that_leave() {
    let api = Api::new().await;
    let known = api
        .world
        .file(&mail("1@c.example", "a@c.example"))
        .await
        .unwrap();
    let other = api
        .world
        .file(&mail("2@c.example", "b@d.example"))
        .await
        .unwrap();
    let request = WatchTicketsRequest {
        filter: format!("open = true number != {}", other.number),
        ..WatchTicketsRequest::default()
    };
    let mut changes = api
        .tickets()
        .watch_tickets(api.agent(request))
        .await
        .unwrap()
        .into_inner();
    let third = answer("3@c.example", "b@d.example", &["2@c.example"]);
    api.world.file(&third).await.unwrap();
    let new = api
        .world
        .file(&mail("4@c.example", "c@e.example"))
        .await
        .unwrap();
    let resolve = SetStatusRequest {
        ticket_id: known.id.to_string(),
        status: TicketStatus::Resolved.into(),
        ..SetStatusRequest::default()
    };
    api.tickets().set_status(api.agent(resolve)).await.unwrap();
    let mut told = Vec::new();
    while !told.contains(&(known.number, true)) {
        let change = changes.next().await.unwrap().unwrap();
        told.push((change.ticket.unwrap().number, change.left));
    }
    assert!(told.contains(&(new.number, false)), "{told:?}");
    assert!(
        told.iter().all(|(number, _)| *number != other.number),
        "{told:?}"
    );
}

fn create(name: &str, filter: &str, team: &str) -> CreateViewRequest {
    CreateViewRequest {
        view: Some(SavedView {
            display_name: name.to_owned(),
            filter: filter.to_owned(),
            team_id: team.to_owned(),
            ..SavedView::default()
        }),
        request_id: format!("make {name}"),
    }
}

fn team() -> String {
    Uuid::from_u128(5).to_string()
}

/// A view of the agent, and one of a team that a service made.
async fn views(api: &Api) -> [SavedView; 2] {
    let mut client = api.search();
    let open = client
        .create_view(api.agent(create("Open", "open = true", "")))
        .await
        .unwrap();
    let mine = client
        .create_view(api.service(create("Mine", "assignee = me", &team())))
        .await
        .unwrap();
    [open.into_inner(), mine.into_inner()]
}

async fn three_tickets(api: &Api) {
    for n in 0..3 {
        let message = mail(&format!("{n}@c.example"), &format!("{n}@c.example"));
        api.world.file(&message).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_are_made_once_and_listed_with_their_counts() {
    let api = Api::new().await;
    three_tickets(&api).await;
    let [open, _] = views(&api).await;
    let mut client = api.search();
    let again = client
        .create_view(api.agent(create("Open", "open = true", "")))
        .await
        .unwrap();
    assert_eq!(again.into_inner().id, open.id);
    for wrong in [
        create("x", "nope = 1", ""),
        create("", "", ""),
        create("x", "", "no uuid"),
    ] {
        let error = client.create_view(api.agent(wrong)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
    let list = |teams: &[&String]| ListViewsRequest {
        team_ids: teams.iter().map(|&it| it.clone()).collect(),
        with_counts: true,
        ..ListViewsRequest::default()
    };
    let views = loop {
        let answer = client.list_views(api.agent(list(&[&team()]))).await;
        let views = answer.unwrap().into_inner().views;
        // A count that took too long on a busy machine is asked for again.
        let is_counted = |view: &SavedView| view.count.is_some_and(|count| !count.unknown);
        if views.iter().all(is_counted) {
            break views;
        }
    };
    let counts: Vec<(&str, i32, bool)> = views
        .iter()
        .map(|view| {
            let count = view.count.unwrap();
            (view.display_name.as_str(), count.tickets, count.unknown)
        })
        .collect();
    assert_eq!(counts, [("Mine", 0, false), ("Open", 3, false)]);
    let theirs = client
        .list_views(api.service(list(&[])))
        .await
        .unwrap()
        .into_inner()
        .views;
    assert!(theirs.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_lists_its_tickets_to_those_who_have_it() {
    let api = Api::new().await;
    three_tickets(&api).await;
    let [open, _] = views(&api).await;
    let used = ListTicketsRequest {
        view_id: open.id,
        page_size: 2,
        ..ListTicketsRequest::default()
    };
    let page = api
        .tickets()
        .list_tickets(api.agent(used.clone()))
        .await
        .unwrap()
        .into_inner();
    assert!(page.tickets.len() == 2 && !page.next_page_token.is_empty());
    let hidden = api
        .tickets()
        .list_tickets(api.service(used))
        .await
        .unwrap_err();
    assert_eq!(hidden.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_are_changed_under_their_etag_and_removed_by_those_who_may() {
    let api = Api::new().await;
    let [open, mine] = views(&api).await;
    let mut client = api.search();
    let change = |etag: &str| UpdateViewRequest {
        view: Some(SavedView {
            id: open.id.clone(),
            filter: "open = false".to_owned(),
            etag: etag.to_owned(),
            ..SavedView::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["filter".to_owned()],
        }),
    };
    let changed = client
        .update_view(api.agent(change(&open.etag)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (changed.display_name.as_str(), changed.filter.as_str()),
        ("Open", "open = false")
    );
    let stale = client
        .update_view(api.agent(change(&open.etag)))
        .await
        .unwrap_err();
    assert_eq!(
        (stale.code(), reason(&stale).as_str()),
        (Code::Aborted, "ETAG_MISMATCH")
    );
    let delete = DeleteViewRequest {
        id: mine.id,
        etag: String::new(),
    };
    let refused = client
        .delete_view(api.agent(delete.clone()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    client.delete_view(api.admin(delete.clone())).await.unwrap();
    let gone = client.delete_view(api.admin(delete)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}
