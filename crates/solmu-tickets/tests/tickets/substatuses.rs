//! Finer words for where a ticket stands, and since when it has been over.

use jiff::SignedDuration;
use prost_types::FieldMask;
use solmu_bus::envelope::from_proto_time;
use solmu_domain::clock::Clock as _;
use solmu_proto::{
    ticket::v1::{
        CreateSubstatusRequest, GetTicketRequest, ListSubstatusesRequest, ListTicketsRequest,
        RetireSubstatusRequest, Substatus, Ticket, TicketChanged, UpdateSubstatusRequest,
        UpdateTicketRequest,
    },
    types::v1::TicketStatus,
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    api_world::{Api, opened, reason},
    merges::{merge, unmerge},
    support::{answer, mail},
};

async fn define(api: &Api, name: &str, status: TicketStatus) -> Result<Substatus, Status> {
    let request = CreateSubstatusRequest {
        substatus: Some(Substatus {
            name: name.to_owned(),
            label: "For people".to_owned(),
            status: status.into(),
            ..Substatus::default()
        }),
        request_id: format!("define {name}"),
    };
    let made = api.substatuses().create_substatus(api.admin(request)).await;
    made.map(tonic::Response::into_inner)
}

/// Sets what is named.
async fn set(api: &Api, id: Uuid, ticket: Ticket, paths: &[&str]) -> Result<Ticket, Status> {
    let request = UpdateTicketRequest {
        ticket: Some(Ticket {
            id: id.to_string(),
            ..ticket
        }),
        update_mask: Some(FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        request_id: String::new(),
    };
    let changed = api.tickets().update_ticket(api.agent(request)).await;
    changed.map(tonic::Response::into_inner)
}

async fn name(api: &Api, id: Uuid, substatus: &str) -> Result<Ticket, Status> {
    let ticket = Ticket {
        substatus: substatus.to_owned(),
        ..Ticket::default()
    };
    set(api, id, ticket, &["substatus"]).await
}

async fn status(api: &Api, id: Uuid, status: TicketStatus) -> Ticket {
    let ticket = Ticket {
        status: status.into(),
        ..Ticket::default()
    };
    set(api, id, ticket, &["status"]).await.unwrap()
}

async fn get(api: &Api, id: Uuid) -> Ticket {
    let request = api.agent(GetTicketRequest { id: id.to_string() });
    api.tickets()
        .get_ticket(request)
        .await
        .unwrap()
        .into_inner()
}

async fn found(api: &Api, filter: &str) -> Vec<String> {
    let request = api.agent(ListTicketsRequest {
        filter: filter.to_owned(),
        ..ListTicketsRequest::default()
    });
    let listed = api
        .tickets()
        .list_tickets(request)
        .await
        .unwrap()
        .into_inner();
    listed.tickets.into_iter().map(|it| it.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_substatus_is_a_part_of_its_status_and_nothing_more() {
    let api = Api::new().await;
    let world = &api.world;
    let ticket = opened(&api).await.id;
    let parts = define(&api, "waiting_for_parts", TicketStatus::WaitingOnThirdParty).await;
    let parts = parts.unwrap();
    let again = define(&api, "waiting_for_parts", TicketStatus::WaitingOnThirdParty).await;
    assert_eq!(again.unwrap(), parts, "the same request id");
    define(&api, "triage", TicketStatus::Open).await.unwrap();
    assert!(
        define(&api, "open", TicketStatus::Open).await.is_err(),
        "the name of a status"
    );

    // It brings its status along, if that is a legal move.
    let named = name(&api, ticket, "waiting_for_parts").await.unwrap();
    assert_eq!(
        (named.status(), named.substatus.as_str()),
        (TicketStatus::WaitingOnThirdParty, "waiting_for_parts")
    );
    let told = world.told::<TicketChanged>().await;
    let last = told.last().unwrap();
    assert!(
        last.changes
            .iter()
            .any(|it| it.field == "substatus" && it.to == "waiting_for_parts")
    );
    assert_eq!(last.ticket.as_ref().unwrap().substatus, "waiting_for_parts");
    let id = ticket.to_string();
    assert_eq!(
        found(&api, "substatus = \"waiting_for_parts\"").await,
        std::slice::from_ref(&id)
    );
    assert!(found(&api, "substatus = triage").await.is_empty());
    let unknown = name(&api, ticket, "nonsense").await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::InvalidArgument);
    let both = Ticket {
        substatus: "triage".to_owned(),
        status: TicketStatus::Resolved.into(),
        ..Ticket::default()
    };
    let refused = set(&api, ticket, both, &["substatus", "status"])
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "SUBSTATUS_OF_OTHER_STATUS");

    // Whatever leaves the status takes it away: here the customer's answer.
    world
        .file(&answer(
            "2@c.example",
            "aino@c.example",
            &["root@c.example"],
        ))
        .await
        .unwrap();
    let replied = get(&api, ticket).await;
    assert_eq!(
        (replied.status(), replied.substatus.as_str()),
        (TicketStatus::CustomerReplied, "")
    );
    let again = status(&api, ticket, TicketStatus::WaitingOnThirdParty).await;
    assert_eq!(again.substatus, "", "it does not come back by itself");
    name(&api, ticket, "waiting_for_parts").await.unwrap();
    assert_eq!(name(&api, ticket, "").await.unwrap().substatus, "");

    retired_it_stays_with_who_has_it(&api, ticket, parts).await;
}

async fn retired_it_stays_with_who_has_it(api: &Api, ticket: Uuid, parts: Substatus) {
    name(api, ticket, "waiting_for_parts").await.unwrap();
    let retire = RetireSubstatusRequest {
        name: "waiting_for_parts".to_owned(),
    };
    api.substatuses()
        .retire_substatus(api.admin(retire))
        .await
        .unwrap();
    assert_eq!(get(api, ticket).await.substatus, "waiting_for_parts");
    name(api, ticket, "waiting_for_parts").await.unwrap();
    name(api, ticket, "triage").await.unwrap();
    let refused = name(api, ticket, "waiting_for_parts").await.unwrap_err();
    assert_eq!(reason(&refused), "SUBSTATUS_RETIRED");
    let listed = |show_retired| {
        let request = ListSubstatusesRequest { show_retired };
        let mut client = api.substatuses();
        let call = api.agent(request);
        async move {
            let all = client.list_substatuses(call).await.unwrap().into_inner();
            all.substatuses
                .into_iter()
                .map(|it| it.name)
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(listed(false).await, ["triage"]);
    assert_eq!(listed(true).await, ["triage", "waiting_for_parts"]);
    let stale = UpdateSubstatusRequest {
        substatus: Some(Substatus {
            name: "waiting_for_parts".to_owned(),
            label: "Parts".to_owned(),
            etag: parts.etag,
            ..Substatus::default()
        }),
        ..UpdateSubstatusRequest::default()
    };
    let stale = api.substatuses().update_substatus(api.admin(stale)).await;
    assert_eq!(reason(&stale.unwrap_err()), "ETAG_MISMATCH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn since_when_it_has_been_over_is_kept_and_cleared_by_reopening() {
    let api = Api::new().await;
    let world = &api.world;
    let ticket = opened(&api).await.id;
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(from_proto_time);
    let start = world.harness.clock.now();
    let hour = SignedDuration::from_hours(1);
    assert_eq!(get(&api, ticket).await.resolved_time, None);
    status(&api, ticket, TicketStatus::Resolved).await;
    world.harness.clock.advance(hour);
    // Resolved again is no news; answered again, it begins anew.
    let still = status(&api, ticket, TicketStatus::Resolved).await;
    assert_eq!(
        (time(&still.resolved_time), still.closed_time),
        (Some(start), None)
    );
    let reopened = status(&api, ticket, TicketStatus::Open).await;
    assert_eq!(reopened.resolved_time, None);
    status(&api, ticket, TicketStatus::Resolved).await;
    world.harness.clock.advance(hour);
    let closed = status(&api, ticket, TicketStatus::Closed).await;
    assert_eq!(time(&closed.resolved_time), Some(start + hour));
    assert_eq!(time(&closed.closed_time), Some(start + hour + hour));
    assert_eq!(
        found(&api, "closed_time >= -1h AND resolved_time < -30m").await,
        [ticket.to_string()]
    );
    assert!(found(&api, "closed_time < -1h").await.is_empty());

    // A merge closes; taking it back brings back what was.
    let target = world
        .file(&mail("t@c.example", "aino@c.example"))
        .await
        .unwrap()
        .id;
    let source = world
        .file(&mail("s@c.example", "aino@c.example"))
        .await
        .unwrap()
        .id;
    let resolved = status(&api, source, TicketStatus::Resolved)
        .await
        .resolved_time;
    world.harness.clock.advance(hour);
    merge(&api, &[source], target).await.unwrap();
    assert!(get(&api, source).await.closed_time.is_some());
    let back = unmerge(&api, source).await.unwrap();
    assert_eq!((back.resolved_time, back.closed_time), (resolved, None));
}
