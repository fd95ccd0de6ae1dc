//! Nobody answers what they have not read.

use prost::Message as _;
use solmu_proto::{
    access::v1::Role,
    outbound::v1::MessageQueued,
    ticket::v1::{AddNoteRequest, MissedMessages, ReplyToTicketRequest},
    types::v1::actor::Kind,
};
use tonic::{Code, Status};
use tonic_types::pb;
use uuid::Uuid;

use crate::{
    api_world::{Api, opened, reason, with},
    support::{Ticket, answer},
};

const OTHER: Uuid = Uuid::from_u128(78);

fn reply(ticket: &Ticket, seen: i64, request_id: &str) -> ReplyToTicketRequest {
    ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: format!("answer {request_id}"),
        request_id: request_id.to_owned(),
        last_seen_sequence: seen,
        ..ReplyToTicketRequest::default()
    }
}

fn missed(status: &Status) -> MissedMessages {
    assert_eq!(
        (status.code(), reason(status).as_str()),
        (Code::Aborted, "NEWER_MESSAGES"),
        "{}",
        status.message()
    );
    let wire = pb::Status::decode(status.details()).unwrap();
    let detail = wire
        .details
        .iter()
        .find(|any| any.type_url == "type.googleapis.com/solmu.ticket.v1.MissedMessages");
    MissedMessages::decode(detail.unwrap().value.as_slice()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_seen_stops_an_answer() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let world = &api.world;
    let more = answer("more@c.example", "aino@c.example", &["root@c.example"]);
    world.file(&more).await.unwrap();
    let note = AddNoteRequest {
        ticket_id: ticket.id.to_string(),
        text: "for us".to_owned(),
        request_id: String::new(),
        ..AddNoteRequest::default()
    };
    api.tickets().add_note(api.admin(note)).await.unwrap();

    let refused = api
        .tickets()
        .reply_to_ticket(api.agent(reply(&ticket, 1, "a")))
        .await;
    let missed = missed(&refused.unwrap_err());
    // The note is no message to the customer: nobody must have read it.
    assert_eq!((missed.total, missed.last_sequence), (1, 3));
    let fact = &missed.messages[0];
    let author = fact.author.clone().unwrap();
    assert_eq!(
        (author.kind(), author.id),
        (Kind::Customer, ticket.contact_id.to_string())
    );
    assert_eq!(
        (fact.sequence, fact.message_id.as_str()),
        (2, more.message_id.as_str())
    );
    assert!(fact.create_time.is_some() && fact.public);
    assert!(world.told::<MessageQueued>().await.is_empty());

    // With the message seen, or knowing better, it goes; one's own answer is nothing that one has missed.
    for request in [reply(&ticket, 2, "b"), reply(&ticket, 2, "c")] {
        api.tickets()
            .reply_to_ticket(api.agent(request))
            .await
            .unwrap();
    }
    let stale = reply(&ticket, 3, "d");
    let refused = api
        .tickets()
        .reply_to_ticket(api.admin(stale.clone()))
        .await;
    assert_eq!(crate::guard::missed(&refused.unwrap_err()).total, 2);
    let forced = ReplyToTicketRequest {
        force: true,
        ..stale
    };
    api.tickets()
        .reply_to_ticket(api.admin(forced))
        .await
        .unwrap();
    // The same call again is the same answer, whatever came since.
    api.tickets()
        .reply_to_ticket(api.agent(reply(&ticket, 2, "b")))
        .await
        .unwrap();
    assert_eq!(world.told::<MessageQueued>().await.len(), 3);
    let negative = api
        .tickets()
        .reply_to_ticket(api.agent(reply(&ticket, -1, "e")))
        .await;
    assert_eq!(negative.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_answer_at_once_one_goes_through() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let other = api.token(Role::Agent, &OTHER.to_string()).await;
    for round in 0..5 {
        let seen = api.world.ticket(ticket.id).await.message_count;
        let mine = api.agent(reply(&ticket, seen, &format!("a{round}")));
        let theirs = with(reply(&ticket, seen, &format!("b{round}")), &other);
        let (mut first, mut second) = (api.tickets(), api.tickets());
        let (first, second) =
            tokio::join!(first.reply_to_ticket(mine), second.reply_to_ticket(theirs));
        let lost = match (first, second) {
            (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
            (first, second) => panic!("{} {}", first.is_ok(), second.is_ok()),
        };
        let missed = missed(&lost);
        assert_eq!((missed.total, missed.last_sequence), (1, seen + 1));
    }
    assert_eq!(api.world.told::<MessageQueued>().await.len(), 5);
}
