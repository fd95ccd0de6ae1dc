//! Bulk changes, over the wire.

use prost_types::FieldMask;
use solmu_proto::{
    ticket::v1::{self as proto, BulkUpdateRequest},
    types::v1::{Priority, TicketStatus},
};
use solmu_tickets::{Config, Desk};
use tonic::Code;
use uuid::Uuid;

use crate::support::{Api, mail};

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
        ..BulkUpdateRequest::default()
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

/// Makes what `filter` selects urgent.
fn urgent(filter: &str, request_id: &str) -> BulkUpdateRequest {
    BulkUpdateRequest {
        ticket: Some(proto::Ticket {
            priority: Priority::Urgent.into(),
            ..proto::Ticket::default()
        }),
        filter: filter.to_owned(),
        request_id: request_id.to_owned(),
        ..BulkUpdateRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_names_the_tickets_page_by_page() {
    let desk = Desk {
        max_bulk: 2,
        ..Desk::default()
    };
    let api = Api::configured(Config {
        desk,
        ..Config::default()
    })
    .await;
    let mut tickets = Vec::new();
    for n in 0..6 {
        let mail = mail(&format!("{n}@c.example"), &format!("{n}@d.example"));
        tickets.push(api.world.file(&mail).await.unwrap());
    }
    api.world.set_status(tickets[1].id, "closed").await;
    let call = async |request| api.desk().bulk_update(api.agent(request)).await;
    let dry = BulkUpdateRequest {
        dry_run: true,
        ..urgent("open = true", "")
    };
    let dry = call(dry).await.unwrap().into_inner();
    assert_eq!((dry.matched, dry.results.len()), (5, 0));
    assert!(api.world.ticket(tickets[0].id).await.priority != "urgent");
    let named = BulkUpdateRequest {
        ticket_ids: vec![tickets[0].id.to_string(), Uuid::from_u128(9).to_string()],
        dry_run: true,
        ..urgent("", "")
    };
    assert_eq!(call(named).await.unwrap().into_inner().matched, 1);

    let (mut changed, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let request = BulkUpdateRequest {
            page_token,
            ..urgent("open = true", "req")
        };
        let page = call(request).await.unwrap().into_inner();
        changed.extend(page.results.into_iter().map(|it| (it.ticket_id, it.code)));
        (page_token, pages) = (page.next_page_token, pages + 1);
        if page_token.is_empty() {
            break;
        }
    }
    let wanted: Vec<_> = [0, 2, 3, 4, 5]
        .map(|n: usize| (tickets[n].id.to_string(), 0))
        .into();
    let (mut sorted, mut expected) = (changed.clone(), wanted);
    sorted.sort();
    expected.sort();
    assert_eq!((sorted, pages), (expected, 3), "each once");
    let none = call(urgent("priority = low", ""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((none.results.len(), none.succeeded), (0, 0));

    for bad in [
        urgent("  ", ""),
        urgent("stauts = open", ""),
        BulkUpdateRequest {
            ticket_ids: vec!["x".to_owned()],
            ..urgent("open = true", "")
        },
        BulkUpdateRequest {
            page_token: "x".to_owned(),
            ..urgent("open = true", "")
        },
        BulkUpdateRequest {
            update_mask: Some(FieldMask {
                paths: vec!["number".to_owned()],
            }),
            dry_run: true,
            ..urgent("open = true", "")
        },
    ] {
        assert_eq!(call(bad).await.unwrap_err().code(), Code::InvalidArgument);
    }
}
