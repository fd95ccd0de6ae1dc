//! Everybody sees who else is there.

use futures::StreamExt as _;
use jiff::SignedDuration;
use solmu_proto::{
    access::v1::Role,
    ticket::v1::{HeartbeatRequest, Viewer, Viewing, WatchViewersRequest, WatchViewersResponse},
};
use solmu_tickets::{Config, Desk};
use tonic::{Code, Request, Streaming};
use uuid::Uuid;

use crate::support::{AGENT, Api, Ticket, opened, with};

const OTHER: Uuid = Uuid::from_u128(78);

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

/// How long to wait for a change on the slowest machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);

/// Reads on until the stream shows what is wanted.
async fn until(
    stream: &mut Streaming<WatchViewersResponse>,
    wanted: &[(Uuid, Viewing)],
) -> Vec<Viewer> {
    loop {
        let next = tokio::time::timeout(PATIENCE, stream.next()).await;
        let next = next.unwrap_or_else(|_| panic!("never seen: {wanted:?}"));
        let seen = next.unwrap().unwrap().viewers;
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
