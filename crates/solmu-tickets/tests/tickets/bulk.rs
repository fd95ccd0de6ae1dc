//! Bulk changes, over the wire.

use prost_types::FieldMask;
use solmu_proto::{
    ticket::v1::{self as proto, BulkUpdateRequest},
    types::v1::{Priority, TicketStatus},
};
use solmu_tickets::{Config, Desk};
use tonic::Code;
use uuid::Uuid;

use crate::{api_world::Api, support::mail};

fn bulk(ids: Vec<String>, request_id: &str) -> BulkUpdateRequest {
    BulkUpdateRequest {
        ticket_ids: ids,
        ticket: Some(proto::Ticket {
            priority: Priority::Urgent.into(),
            status: TicketStatus::Resolved.into(),
            ..proto::Ticket::default()
        }),
        update_mask: Some(FieldMask {
            paths: vec!["priority".to_owned(), "status".to_owned()],
        }),
        request_id: request_id.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bulk_change_says_what_became_of_each() {
    let desk = Desk {
        max_bulk: 5,
        ..Desk::default()
    };
    let api = Api::configured(Config {
        desk,
        ..Config::default()
    })
    .await;
    let mut tickets = Vec::new();
    for n in 0..3 {
        let mail = mail(&format!("{n}@c.example"), &format!("{n}@d.example"));
        tickets.push(api.world.file(&mail).await.unwrap());
    }
    api.world.set_status(tickets[1].id, "closed").await;
    let ids = vec![
        tickets[0].id.to_string(),
        tickets[1].id.to_string(),
        "nonsense".to_owned(),
        Uuid::from_u128(9).to_string(),
        format!("#{}", tickets[2].number),
    ];
    let call = async |request| api.desk().bulk_update(api.service(request)).await;
    let first = call(bulk(ids.clone(), "req")).await.unwrap().into_inner();
    let codes: Vec<Code> = first.results.iter().map(|it| it.code.into()).collect();
    assert_eq!(
        codes,
        [
            Code::Ok,
            Code::FailedPrecondition,
            Code::InvalidArgument,
            Code::NotFound,
            Code::Ok
        ],
        "{:?}",
        first.results
    );
    assert_eq!(
        (first.succeeded, first.results[1].reason.as_str()),
        (2, "ILLEGAL_STATUS_MOVE")
    );
    assert_eq!(
        first
            .results
            .iter()
            .map(|it| it.ticket_id.clone())
            .collect::<Vec<_>>(),
        ids
    );
    let version = api.world.ticket(tickets[0].id).await.version;
    assert_eq!(first.results[0].etag, format!("\"{version}\""));
    // Again: each is changed once.
    let again = call(bulk(ids, "req")).await.unwrap().into_inner();
    assert_eq!(again, first);
    let after = api.world.ticket(tickets[0].id).await;
    assert_eq!(
        (
            after.version,
            after.status.as_str(),
            after.priority.as_str()
        ),
        (version, "resolved", "urgent")
    );

    for bad in [bulk(Vec::new(), ""), bulk(vec!["x".to_owned(); 6], "")] {
        assert_eq!(call(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let with_etag = BulkUpdateRequest {
        ticket: Some(proto::Ticket {
            etag: "\"1\"".to_owned(),
            ..proto::Ticket::default()
        }),
        ..bulk(vec!["x".to_owned()], "")
    };
    assert_eq!(
        call(with_etag).await.unwrap_err().code(),
        Code::InvalidArgument
    );
}
