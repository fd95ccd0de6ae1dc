//! Nobody answers what they have not read, and everybody sees who else is there.

use futures::StreamExt as _;
use jiff::SignedDuration;
use prost::Message as _;
use solmu_proto::{
    access::v1::Role,
    outbound::v1::MessageQueued,
    ticket::v1::{
        AddNoteRequest, HeartbeatRequest, MissedMessages, ReplyToTicketRequest, Viewer, Viewing,
        WatchViewersRequest, WatchViewersResponse,
    },
    types::v1::actor::Kind,
};
use solmu_tickets::{Config, Desk};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::pb;
use uuid::Uuid;

use crate::{
    api_world::{AGENT, Api, opened, reason, with},
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

fn beat(ticket: &Ticket, viewing: Viewing, session: &str) -> HeartbeatRequest {
    HeartbeatRequest {
        ticket_id: format!("#{}", ticket.number),
        viewing: viewing.into(),
        session: session.to_owned(),
    }
}

async fn watch(api: &Api, ticket: &Ticket) -> Streaming<WatchViewersResponse> {
    let request = WatchViewersRequest {
        ticket_id: ticket.id.to_string(),
    };
    api.desk()
        .watch_viewers(api.agent(request))
        .await
        .unwrap()
        .into_inner()
}

/// Reads on until the stream shows what is wanted.
async fn until(
    stream: &mut Streaming<WatchViewersResponse>,
    wanted: &[(Uuid, Viewing)],
) -> Vec<Viewer> {
    loop {
        let seen = stream.next().await.unwrap().unwrap().viewers;
        let now = seen
            .iter()
            .map(|it| (it.actor.as_ref().unwrap().id.parse().unwrap(), it.viewing()));
        if now.eq(wanted.iter().copied()) {
            return seen;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_are_seen_and_go_when_their_heart_stops() {
    let desk = Desk {
        viewer_poll_ms: 50,
        ..Desk::default()
    };
    let api = Api::configured(Config {
        desk,
        ..Config::default()
    })
    .await;
    let ticket = opened(&api).await;
    let other = api.token(Role::Agent, &OTHER.to_string()).await;
    let mut stream = watch(&api, &ticket).await;
    until(&mut stream, &[]).await;
    let send = async |request: Request<HeartbeatRequest>| {
        api.desk().heartbeat(request).await.unwrap().into_inner()
    };

    let told = send(api.agent(beat(&ticket, Viewing::Looking, ""))).await;
    assert_eq!((told.viewers.len(), told.next_seconds), (1, 8));
    until(&mut stream, &[(AGENT, Viewing::Looking)]).await;
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_secs(10));
    send(with(beat(&ticket, Viewing::Answering, "one"), &other)).await;
    send(with(beat(&ticket, Viewing::Looking, "two"), &other)).await;
    let both = [(OTHER, Viewing::Answering), (AGENT, Viewing::Looking)];
    let seen = until(&mut stream, &both).await;
    assert!(seen[0].since_time.unwrap().seconds > seen[1].since_time.unwrap().seconds);
    // Who comes later sees all of them at once.
    until(&mut watch(&api, &ticket).await, &both).await;

    // Nothing is heard of the first for 26 seconds; the other closes one window of two.
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_secs(16));
    until(&mut stream, &[(OTHER, Viewing::Answering)]).await;
    send(with(beat(&ticket, Viewing::Left, "one"), &other)).await;
    until(&mut stream, &[(OTHER, Viewing::Looking)]).await;
    api.world
        .harness
        .clock
        .advance(SignedDuration::from_secs(25));
    until(&mut stream, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_are_told_to_watchers_of_other_replicas() {
    // Watchers hardly look by themselves: what they see, they were told.
    let desk = Desk {
        viewer_poll_ms: 3_600_000,
        ..Desk::default()
    };
    let mut api = Api::configured(Config {
        desk,
        ..Config::default()
    })
    .await;
    let ticket = opened(&api).await;
    let mut second = api.desk_of_another().await;
    let mut stream = watch(&api, &ticket).await;
    until(&mut stream, &[]).await;
    // A subscription is in place once something came through it.
    let mut session = 0;
    let seen = loop {
        session += 1;
        let viewing = if session % 2 == 0 {
            Viewing::Looking
        } else {
            Viewing::Answering
        };
        let request = api.agent(beat(&ticket, viewing, "w"));
        second.heartbeat(request).await.unwrap();
        let next = tokio::time::timeout(std::time::Duration::from_secs(2), stream.next()).await;
        if let Ok(next) = next {
            break next.unwrap().unwrap().viewers;
        }
    };
    assert_eq!(seen.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_are_checked() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let code = async |request: Request<HeartbeatRequest>| {
        api.desk().heartbeat(request).await.unwrap_err().code()
    };
    let fine = beat(&ticket, Viewing::Looking, "");
    assert_eq!(
        code(api.service(fine.clone())).await,
        Code::PermissionDenied
    );
    let unset = HeartbeatRequest {
        viewing: 0,
        ..fine.clone()
    };
    assert_eq!(code(api.agent(unset)).await, Code::InvalidArgument);
    let long = HeartbeatRequest {
        session: "x".repeat(65),
        ..fine.clone()
    };
    assert_eq!(code(api.agent(long)).await, Code::InvalidArgument);
    let unknown = HeartbeatRequest {
        ticket_id: Uuid::from_u128(9).to_string(),
        ..fine
    };
    assert_eq!(code(api.agent(unknown.clone())).await, Code::NotFound);
    let watch = WatchViewersRequest {
        ticket_id: unknown.ticket_id,
    };
    let answer = api.desk().watch_viewers(api.agent(watch)).await;
    assert_eq!(answer.unwrap_err().code(), Code::NotFound);
}
