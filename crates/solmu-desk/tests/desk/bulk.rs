//! Bulk changes, over the wire.

use prost_types::FieldMask;
use solmu_proto::{
    ticket::v1::{
        self as proto, BulkUpdateRequest, BulkUpdateResponse, TicketChanged, UpdateTicketRequest,
        VerifyActivityRequest,
    },
    types::v1::{Priority, TicketStatus},
};
use solmu_tickets::{Config, Desk};
use tonic::Code;
use uuid::Uuid;

use crate::support::{Api, Ticket, mail};

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

fn reasons(answer: &BulkUpdateResponse) -> Vec<&str> {
    let reasons = answer.results.iter().map(|it| it.reason.as_str());
    reasons.collect()
}

async fn filed(api: &Api, count: usize) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    for n in 0..count {
        let mail = mail(&format!("{n}@c.example"), &format!("{n}@d.example"));
        tickets.push(api.world.file(&mail).await.unwrap());
    }
    tickets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_of_one_change_are_judged_one_after_the_other() {
    let api = Api::new().await;
    let tickets = filed(&api, 3).await;
    let [whole, part, other] = tickets.as_slice() else {
        panic!("three");
    };
    let attach = UpdateTicketRequest {
        ticket: Some(proto::Ticket {
            id: part.id.to_string(),
            parent_id: whole.id.to_string(),
            ..proto::Ticket::default()
        }),
        ..UpdateTicketRequest::default()
    };
    api.tickets()
        .update_ticket(api.agent(attach))
        .await
        .unwrap();
    let told_before = api.world.told::<TicketChanged>().await.len();
    let call = async |ids: &[&Ticket], request_id: &str| {
        let ids = ids.iter().map(|it| it.id.to_string()).collect();
        let request = api.agent(bulk(ids, request_id));
        let answer = api.desk().bulk_update(request).await;
        answer.unwrap().into_inner()
    };
    // The whole comes first, while its part is open; the same ticket twice is changed once.
    let first = call(&[whole, part, other, other], "one").await;
    assert_eq!(reasons(&first), ["SUBTICKETS_OPEN", "", "", ""]);
    assert_eq!(first.results[2].etag, first.results[3].etag);
    let version = api.world.ticket(other.id).await.version;
    assert_eq!(version, other.version + 1);
    let told = api.world.told::<TicketChanged>().await;
    assert_eq!(told.len() - told_before, 2, "one event of each");
    let refused = api.world.ticket(whole.id).await;
    assert_eq!(
        (refused.status.as_str(), refused.priority.as_str()),
        ("new", "normal"),
        "all of it or nothing"
    );
    // What was refused is tried again under the same id, what was made is not.
    let again = call(&[whole, part], "one").await;
    assert_eq!(reasons(&again), ["", ""]);
    assert_eq!(again.results[1].etag, first.results[1].etag);
    let another = BulkUpdateRequest {
        ticket_ids: vec![other.id.to_string()],
        ..urgent("", "one")
    };
    let another = api.desk().bulk_update(api.agent(another)).await;
    assert_eq!(
        reasons(&another.unwrap().into_inner()),
        ["REQUEST_ID_REUSED"]
    );
    // A part that is closed first lets the whole go.
    for ticket in [whole, part] {
        api.world.set_status(ticket.id, "open").await;
    }
    let both = call(&[part, whole], "two").await;
    assert_eq!(reasons(&both), ["", ""]);
    for ticket in [whole, part, other] {
        let request = VerifyActivityRequest {
            ticket_id: ticket.id.to_string(),
            ..VerifyActivityRequest::default()
        };
        let verified = api.activity().verify_activity(api.admin(request)).await;
        assert!(verified.unwrap().into_inner().intact, "the log is whole");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_change_the_same_tickets_wait_for_each_other() {
    let api = Api::new().await;
    let tickets = filed(&api, 5).await;
    let ids: Vec<String> = tickets.iter().map(|it| it.id.to_string()).collect();
    let change = async |ids: Vec<String>, priority: Priority| {
        for _ in 0..10 {
            let request = BulkUpdateRequest {
                ticket_ids: ids.clone(),
                ticket: Some(proto::Ticket {
                    priority: priority.into(),
                    ..proto::Ticket::default()
                }),
                ..BulkUpdateRequest::default()
            };
            let answer = api.desk().bulk_update(api.agent(request)).await;
            assert_eq!(answer.unwrap().into_inner().succeeded, 5);
        }
    };
    let backwards = ids.iter().rev().cloned().collect();
    tokio::join!(
        change(ids, Priority::Low),
        change(backwards, Priority::High)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_of_the_call_or_of_each() {
    let api = Api::new().await;
    let tickets = filed(&api, 2).await;
    let ids: Vec<String> = tickets.iter().map(|it| it.id.to_string()).collect();
    let long = bulk(ids.clone(), &"x".repeat(129));
    let refused = api.desk().bulk_update(api.agent(long)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    // A part of a ticket, and of itself: done one by one.
    let attach = BulkUpdateRequest {
        ticket_ids: ids.clone(),
        ticket: Some(proto::Ticket {
            parent_id: ids[0].clone(),
            ..proto::Ticket::default()
        }),
        ..BulkUpdateRequest::default()
    };
    let answer = api.desk().bulk_update(api.agent(attach)).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(answer.succeeded, 1, "{:?}", answer.results);
    assert!(answer.results[0].code != 0 && answer.results[1].code == 0);
    // No such field: said of each, since the fields are known only there.
    let field = BulkUpdateRequest {
        ticket_ids: ids,
        ticket: Some(proto::Ticket {
            fields: vec![proto::FieldValue {
                key: "height".to_owned(),
                values: vec!["1".to_owned()],
            }],
            ..proto::Ticket::default()
        }),
        ..BulkUpdateRequest::default()
    };
    let answer = api.desk().bulk_update(api.agent(field)).await;
    let codes: Vec<Code> = answer
        .unwrap()
        .into_inner()
        .results
        .iter()
        .map(|it| it.code.into())
        .collect();
    assert_eq!(codes, [Code::InvalidArgument; 2]);
}
