//! Against a server that does with each call what the test says.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use solmu_proto::ticket::v1::{AddNoteRequest, AssignTicketRequest, GetTicketRequest};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tonic_types::ErrorDetails;

use super::*;
use crate::Client;

/// What the server does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Resets its stream, as not looked at.
    Refuses,
    /// Takes it, and loses the connection.
    Drops,
    /// Answers UNAVAILABLE.
    IsAway,
    /// Answers UNAVAILABLE, and asks to wait for an hour.
    IsAwayForLong,
    /// Answers INTERNAL.
    Fails,
    /// Answers with an empty message.
    Answers,
}

/// Ends when it is dropped.
struct Script {
    address: SocketAddr,
    left: Arc<Mutex<VecDeque<Does>>>,
    _tasks: JoinSet<()>,
}

impl Script {
    async fn start(script: &[Does]) -> Self {
        let left = Arc::new(Mutex::new(script.iter().copied().collect::<VecDeque<_>>()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let todo = Arc::clone(&left);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&todo)));
            }
        });
        Self {
            address,
            left,
            _tasks: tasks,
        }
    }

    fn client(&self) -> Client {
        Client::connect(&format!("http://{}", self.address), "t").unwrap()
    }

    /// Steps that nobody called for.
    fn left(&self) -> usize {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.len()
    }
}

async fn serve(stream: TcpStream, todo: Arc<Mutex<VecDeque<Does>>>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let next = todo
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let status = match next {
            Some(Does::Refuses) => {
                respond.send_reset(h2::Reason::REFUSED_STREAM);
                continue;
            }
            Some(Does::Answers) => {
                let head = http::Response::builder().header("content-type", "application/grpc");
                let mut body = respond
                    .send_response(head.body(()).unwrap(), false)
                    .unwrap();
                body.send_data(Bytes::from_static(&[0; 5]), false).unwrap();
                let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
                body.send_trailers(trailers.into_iter().collect()).unwrap();
                continue;
            }
            Some(Does::IsAway) => Status::unavailable("away"),
            Some(Does::IsAwayForLong) => Status::with_error_details(
                Code::Unavailable,
                "away",
                ErrorDetails::with_retry_info(Some(Duration::from_hours(1))),
            ),
            Some(Does::Fails) => Status::internal("broken"),
            Some(Does::Drops) | None => return,
        };
        let answer = status.into_http::<()>();
        respond.send_response(answer, true).unwrap();
    }
}

fn note(request_id: &str) -> AddNoteRequest {
    AddNoteRequest {
        request_id: request_id.to_owned(),
        ..AddNoteRequest::default()
    }
}

#[tokio::test]
async fn what_the_server_has_not_seen_is_sent_again_whatever_it_does() {
    let server = Script::start(&[Does::Refuses, Does::Refuses, Does::Answers]).await;
    server.client().tickets().add_note(note("")).await.unwrap();
    assert_eq!(server.left(), 0);
}

#[tokio::test]
async fn what_reads_or_has_a_request_id_outlives_a_lost_connection_and_an_absence() {
    let script = [Does::Drops, Does::IsAway, Does::Answers];
    let server = Script::start(&script).await;
    let got = server
        .client()
        .tickets()
        .get_ticket(GetTicketRequest::default())
        .await;
    got.unwrap();
    assert_eq!(server.left(), 0);

    let server = Script::start(&script).await;
    server
        .client()
        .tickets()
        .add_note(note("r-1"))
        .await
        .unwrap();
    assert_eq!(server.left(), 0);
}

#[tokio::test]
async fn what_would_do_its_work_twice_is_told_to_the_caller() {
    for first in [Does::Drops, Does::IsAway] {
        let server = Script::start(&[first, Does::Answers]).await;
        let refused = server.client().tickets().add_note(note("")).await;
        assert!(refused.is_err(), "{first:?}");
        assert_eq!(server.left(), 1, "{first:?}: it was called once");
    }
    let server = Script::start(&[Does::IsAway, Does::Answers]).await;
    let request = AssignTicketRequest::default();
    let refused = server.client().tickets().assign_ticket(request).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_patience_has_an_end() {
    let server = Script::start(&[Does::Fails, Does::Answers]).await;
    let client = server.client();
    let refused = client
        .tickets()
        .get_ticket(GetTicketRequest::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Internal);
    assert_eq!(server.left(), 1);

    let server = Script::start(&[Does::IsAway; 9]).await;
    let refused = server
        .client()
        .tickets()
        .get_ticket(GetTicketRequest::default())
        .await;
    assert_eq!(refused.unwrap_err().message(), "away");
    assert_eq!(server.left(), 9 - ATTEMPTS as usize);

    let server = Script::start(&[Does::IsAwayForLong, Does::Answers]).await;
    let refused = server
        .client()
        .tickets()
        .get_ticket(GetTicketRequest::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.left(), 1, "nobody waits for an hour");
}

#[test]
fn the_callers_time_is_the_budget() {
    let of = |text: &str| {
        let mut headers = http::HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        budget(&headers)
    };
    assert_eq!(of("250m"), Duration::from_millis(250));
    assert_eq!(of("3S"), Duration::from_secs(3));
    for none in ["5H", "x", "S", ""] {
        assert_eq!(of(none), BUDGET, "{none}");
    }
    assert_eq!(budget(&http::HeaderMap::new()), BUDGET);
}
