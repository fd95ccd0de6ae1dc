//! Reading, watching and letting in, over the wire.

use futures::StreamExt as _;
use solmu_bus::EventBody as _;
use solmu_proto::{
    contact::v1::{GetContactRequest, ListContactsRequest},
    sla::v1::DueTimesDecided,
    ticket::v1::{
        BatchGetRoutingTextsRequest, ListQuarantineRequest, ListTicketsRequest,
        ReleaseQuarantinedRequest, TicketMessageAdded, TicketOpened, WatchTicketsRequest,
    },
    types::v1::{AutomaticClass, TicketStatus},
};
use tonic::{Code, Request};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::{
    api_world::{Api, opened, reason},
    support::{answer, automatic, mail},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_by_urgency_in_pages_and_filtered() {
    let api = Api::new().await;
    let mut tickets = Vec::new();
    for n in 0..7_i64 {
        let ticket = api
            .world
            .file(&mail(&format!("{n}@c.example"), &format!("{n}@d.example")))
            .await
            .unwrap();
        // The later half has due times, the newest the earliest one.
        if n > 3 {
            let seconds = 1_800_000_000 - n * 60;
            let due = DueTimesDecided {
                ticket_id: ticket.id.to_string(),
                ticket_version: 1,
                resolution_due_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
                ..DueTimesDecided::default()
            };
            api.world.tell(&due).await;
        }
        tickets.push(ticket.number);
    }
    let request = |token: String, filter: &str| ListTicketsRequest {
        page_size: 2,
        page_token: token,
        filter: filter.to_owned(),
        ..ListTicketsRequest::default()
    };
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = api
            .tickets()
            .list_tickets(api.agent(request(token, "")))
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.tickets.iter().map(|it| it.number));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen[..3], [tickets[6], tickets[5], tickets[4]]);
    let mut all = seen.clone();
    all.sort_unstable();
    assert_eq!(all, tickets);

    filters_are_checked(&api, tickets[2]).await;
}

async fn filters_are_checked(api: &Api, number: i64) {
    let request = |token: &str, filter: &str| ListTicketsRequest {
        page_token: token.to_owned(),
        filter: filter.to_owned(),
        ..ListTicketsRequest::default()
    };
    let one = format!("number = {number} AND channel = email AND status = new");
    let found = api
        .tickets()
        .list_tickets(api.agent(request("", &one)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.tickets.len(), 1);
    assert_eq!(found.tickets[0].contact_name, "2@d.example");
    for bad in [
        "statsu = new",
        "status = nwe",
        "number = a",
        "status =",
        "subject = \"\0\"",
    ] {
        let status = api
            .tickets()
            .list_tickets(api.agent(request("", bad)))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{bad:?}");
        let details = status.get_error_details();
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            "filter"
        );
    }
    let status = api
        .tickets()
        .list_tickets(api.agent(request("x", "")))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contacts_are_listed_and_read() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    api.world
        .file(&mail("other@d.example", "matti@d.example"))
        .await
        .unwrap();
    let get = GetContactRequest {
        id: ticket.contact_id.to_string(),
    };
    let contact = api
        .contacts()
        .get_contact(api.agent(get))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (contact.ticket_count, contact.identities[0].value.as_str()),
        (1, "aino@c.example")
    );
    let list = |token: &str, filter: &str| ListContactsRequest {
        page_size: 1,
        page_token: token.to_owned(),
        filter: filter.to_owned(),
    };
    let one = api
        .contacts()
        .list_contacts(api.agent(list("", "")))
        .await
        .unwrap()
        .into_inner();
    let two = api
        .contacts()
        .list_contacts(api.agent(list(&one.next_page_token, "")))
        .await
        .unwrap()
        .into_inner();
    assert_ne!(one.contacts[0].id, two.contacts[0].id);
    assert!(two.next_page_token.is_empty());
    let filter = "identity:\"aino@c.example\"";
    let found = api
        .contacts()
        .list_contacts(api.agent(list("", filter)))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found.contacts[0].id, ticket.contact_id.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantined_message_is_released_once() {
    let api = Api::new().await;
    let waiting = automatic(
        mail("a@c.example", "auto@c.example"),
        AutomaticClass::AutoReply,
    );
    assert_eq!(api.world.file(&waiting).await, None);
    let everything = api.agent(ListQuarantineRequest::default());
    let list = api.tickets().list_quarantine(everything).await;
    let list = list.unwrap().into_inner().messages;
    assert_eq!(
        (list.len(), list[0].cause_code.as_str()),
        (1, "auto_reply_to_nothing_known")
    );
    assert_eq!(list[0].sender, "auto@c.example");
    let release = ReleaseQuarantinedRequest {
        message_id: waiting.message_id.clone(),
    };
    let ticket = api
        .tickets()
        .release_quarantined(api.agent(release.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (ticket.message_count, ticket.status()),
        (1, TicketStatus::New)
    );
    let again = api
        .tickets()
        .release_quarantined(api.agent(release))
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    // Delivered once more, it is known.
    api.world.file(&waiting).await.unwrap();
    assert_eq!(api.world.told::<TicketOpened>().await.len(), 1);
    let everything = api.agent(ListQuarantineRequest::default());
    let left = api.tickets().list_quarantine(everything).await;
    assert!(left.unwrap().into_inner().messages.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_without_gap_and_ends_with_the_process() {
    let api = Api::new().await;
    let watch = |cursor: &str| WatchTicketsRequest {
        cursor: cursor.to_owned(),
        ..WatchTicketsRequest::default()
    };
    let mut live = api
        .tickets()
        .watch_tickets(api.agent(watch("")))
        .await
        .unwrap()
        .into_inner();
    let ticket = opened(&api).await;
    let first = live.next().await.unwrap().unwrap();
    assert_eq!(first.event_type, TicketOpened::TYPE);
    assert_eq!(first.ticket.unwrap().number, ticket.number);
    assert_eq!(first.summary, format!("#{} opened", ticket.number));
    drop(live);

    // What happens while nobody watches.
    for n in 0..5 {
        let id = format!("r{n}@c.example");
        api.world
            .file(&answer(&id, "aino@c.example", &["root@c.example"]))
            .await
            .unwrap();
    }
    let waiting = automatic(
        mail("q@x.example", "q@x.example"),
        AutomaticClass::AutoReply,
    );
    api.world.file(&waiting).await;
    let mut resumed = api
        .tickets()
        .watch_tickets(api.agent(watch(&first.cursor)))
        .await
        .unwrap()
        .into_inner();
    let mut cursors = vec![first.cursor];
    for _ in 0..5 {
        let change = resumed.next().await.unwrap().unwrap();
        assert_eq!(change.event_type, TicketMessageAdded::TYPE);
        assert!(!cursors.contains(&change.cursor));
        cursors.push(change.cursor);
    }
    let quarantined = resumed.next().await.unwrap().unwrap();
    assert!(quarantined.ticket.is_none());

    let only = WatchTicketsRequest {
        cursor: cursors[0].clone(),
        ticket_id: Uuid::nil().to_string(),
        ..WatchTicketsRequest::default()
    };
    let mut silent = api
        .tickets()
        .watch_tickets(api.agent(only))
        .await
        .unwrap()
        .into_inner();
    let bad = api
        .tickets()
        .watch_tickets(api.agent(watch("x")))
        .await
        .unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    api.world.replicas[0].shutdown.drain.cancel();
    assert!(resumed.next().await.is_none() && silent.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_needs_a_token_of_the_right_role() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let list = ListTicketsRequest::default();
    let nobody = api
        .tickets()
        .list_tickets(Request::new(list.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        (nobody.code(), reason(&nobody).as_str()),
        (Code::Unauthenticated, "TOKEN_MISSING")
    );
    let nobody = api
        .contacts()
        .list_contacts(Request::new(ListContactsRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    assert_eq!(
        api.tickets()
            .list_tickets(api.agent(list))
            .await
            .unwrap()
            .into_inner()
            .tickets
            .len(),
        1
    );

    let texts = BatchGetRoutingTextsRequest {
        ticket_ids: vec![ticket.id.to_string()],
    };
    let refused = api
        .tickets()
        .batch_get_routing_texts(api.agent(texts.clone()))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "ROLE_REQUIRED")
    );
    let texts = api
        .tickets()
        .batch_get_routing_texts(api.service(texts))
        .await
        .unwrap()
        .into_inner()
        .texts;
    assert_eq!(
        (texts[0].subject.as_str(), texts[0].sender.as_str()),
        ("Invoice", "aino@c.example")
    );
    assert_eq!(texts[0].text, "words of root@c.example");
    let release = ReleaseQuarantinedRequest {
        message_id: Uuid::nil().to_string(),
    };
    let refused = api
        .tickets()
        .release_quarantined(api.service(release))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}
