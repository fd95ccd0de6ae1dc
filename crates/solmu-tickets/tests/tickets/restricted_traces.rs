//! Nothing that a caller is given for their own tickets tells of a restricted one beside them.

use base64::{Engine as _, engine::general_purpose};
use futures::StreamExt as _;
use solmu_proto::{
    contact::v1::{GetContactRequest, ListContactsRequest},
    ticket::v1::{LinkKind, LinkTicketsRequest, SearchTicketsRequest, WatchTicketsRequest},
};

use crate::{api_world::opened, restricted::Desk, search::indexed, support::mail};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_watched_does_not_name_it() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let hidden = opened(api).await;
    let other = desk.opened("o@c.example").await;
    desk.restrict(hidden.id).await.unwrap();
    let watched = api
        .tickets()
        .watch_tickets(desk.outside(WatchTicketsRequest::default()))
        .await;
    let mut changes = watched.unwrap().into_inner();
    let link = LinkTicketsRequest {
        ticket_id: other.to_string(),
        other_ticket_id: hidden.id.to_string(),
        kind: LinkKind::Related.into(),
        ..LinkTicketsRequest::default()
    };
    api.work().link_tickets(api.agent(link)).await.unwrap();
    let told = loop {
        let change = changes.next().await.unwrap().unwrap();
        let is_other = change.ticket.is_some_and(|it| it.id == other.to_string());
        if is_other && change.summary.contains("links") {
            break change.summary;
        }
    };
    assert!(told.ends_with("related another ticket"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_a_search_does_not_tell_of_a_match_that_is_hidden() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let mut tickets = Vec::new();
    for name in ["one", "two", "three"] {
        let mut message = mail(&format!("{name}@c.example"), &format!("{name}@d.example"));
        message.text = "kultakala".to_owned();
        tickets.push(api.world.file(&message).await.unwrap());
    }
    desk.restrict(tickets[1].id).await.unwrap();
    indexed(api).await;
    let documents: Vec<uuid::Uuid> = sqlx::query_scalar(
        "SELECT id FROM tickets.search_document WHERE ticket_id = $1 AND is_message",
    )
    .bind(tickets[1].id)
    .fetch_all(api.world.pool())
    .await
    .unwrap();
    assert_eq!(documents.len(), 1);
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let request = SearchTicketsRequest {
            query: "kultakala".to_owned(),
            page_size: 1,
            page_token: token,
            ..SearchTicketsRequest::default()
        };
        let answer = api.search().search_tickets(desk.outside(request)).await;
        let answer = answer.unwrap().into_inner();
        found.extend(
            answer
                .hits
                .into_iter()
                .filter_map(|it| it.ticket)
                .map(|it| it.id),
        );
        token = answer.next_page_token;
        if token.is_empty() {
            break;
        }
        let said = general_purpose::URL_SAFE_NO_PAD.decode(&token).unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains(&documents[0].to_string()), "{said}");
    }
    let expected = [tickets[2].id.to_string(), tickets[0].id.to_string()];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_contact_does_not_count_it() {
    let desk = Desk::new().await;
    let api = &desk.api;
    let hidden = opened(api).await;
    desk.restrict(hidden.id).await.unwrap();
    let contact = desk.get(hidden.id).await.contact_id;
    let ask = || GetContactRequest {
        id: contact.clone(),
    };
    let named = api.contacts().get_contact(api.agent(ask())).await;
    assert_eq!(named.unwrap().into_inner().ticket_count, 1);
    let outside = api.contacts().get_contact(desk.outside(ask())).await;
    assert_eq!(outside.unwrap().into_inner().ticket_count, 0);
    let request = ListContactsRequest::default();
    let listed = api.contacts().list_contacts(desk.outside(request)).await;
    let listed = listed.unwrap().into_inner().contacts;
    let counts: Vec<i64> = listed.iter().map(|it| it.ticket_count).collect();
    assert_eq!(counts, [0]);
}
