//! What one caller cannot do to the others.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body, response::IntoResponse as _, routing::post};
use bytes::Bytes;
use futures::stream;
use reqwest::StatusCode;
use serde_json::{Value, json};
use solmu_runtime::{server, settings::ServerConfig};
use solmu_testkit::wait_for;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{CREATE, LIST, WATCH, World, config, frame, reason};

const REVOKE: &str = "solmu.access.v1.AccessService/RevokeToken";
const GET: &str = "solmu.ticket.v1.TicketService/GetTicket";

/// Streams that never end, and what has been taken of them.
#[derive(Clone, Default)]
struct Endless {
    open: Arc<AtomicUsize>,
    bytes: Arc<AtomicUsize>,
}

/// A stream that is open as long as this lives.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Endless {
    fn routes(&self) -> Router {
        let endless = self.clone();
        let answer = move || async move {
            endless.open.fetch_add(1, Ordering::SeqCst);
            let open = Open(Arc::clone(&endless.open));
            let large = Bytes::from(frame(&"c".repeat(64 * 1024)));
            let frames = stream::unfold(open, move |open| {
                endless.bytes.fetch_add(large.len(), Ordering::SeqCst);
                let next = Ok::<_, std::io::Error>(large.clone());
                async move { Some((next, open)) }
            });
            (
                [("content-type", "application/grpc")],
                Body::from_stream(frames),
            )
                .into_response()
        };
        Router::new().route(&format!("/{WATCH}"), post(answer))
    }
}

/// A watcher who never reads.
async fn unread(world: &World) -> TcpStream {
    let address = world.base.trim_start_matches("http://");
    let (address, _) = address.split_once('/').unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /v1/{WATCH} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {}\r\ncontent-length: 2\r\n\r\n{{}}",
        world.token
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_nobody_reads_hinder_nobody() {
    let endless = Endless::default();
    let config = ServerConfig {
        stalled_reader_seconds: 3600,
        ..config()
    };
    let world = World::with(config, endless.routes()).await;
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(unread(&world).await);
    }
    // More than one connection has room for, whatever the sockets hold.
    wait_for("the streams fill up", || async {
        endless.bytes.load(Ordering::SeqCst) > 12 * 1024 * 1024
    })
    .await;
    let list = world.call(LIST, &json!({})).await;
    assert_eq!(list.status(), StatusCode::OK);
    drop(sockets);
    wait_for("the streams end with their readers", || async {
        endless.open.load(Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_cut_off() {
    let endless = Endless::default();
    let config = ServerConfig {
        stalled_reader_seconds: 1,
        ..config()
    };
    let world = World::with(config, endless.routes()).await;
    let socket = unread(&world).await;
    wait_for("the stream begins", || async {
        endless.bytes.load(Ordering::SeqCst) > 0
    })
    .await;
    wait_for("the stream ends while its reader is there", || async {
        endless.open.load(Ordering::SeqCst) == 0
    })
    .await;
    drop(socket);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_has_a_share_of_the_streams() {
    let endless = Endless::default();
    let config = ServerConfig {
        streams_per_caller: 2,
        stalled_reader_seconds: 3600,
        ..config()
    };
    let world = World::with(config, endless.routes()).await;
    let sockets = (unread(&world).await, unread(&world).await);
    wait_for("two streams are open", || async {
        endless.open.load(Ordering::SeqCst) == 2
    })
    .await;
    let refused = world.call(WATCH, &json!({})).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let body: Value = refused.json().await.unwrap();
    assert_eq!(reason(&body), "TOO_MANY_STREAMS");

    let other = json!({"token": {"displayName": "other", "role": "ROLE_ADMIN"}});
    let other: Value = world.call(CREATE, &other).await.json().await.unwrap();
    let request = world.http.post(format!("{}/{WATCH}", world.base));
    let request = request.bearer_auth(other["secret"].as_str().unwrap());
    let taken = request.body("{}").send().await.unwrap();
    assert_eq!(taken.status(), StatusCode::OK);
    drop((sockets, taken));
}

#[tokio::test]
async fn long_headers_stay_here() {
    let world = World::new(true).await;
    let url = format!("{}/{LIST}", world.base);
    for name in ["authorization", "tracestate", "traceparent", "cookie"] {
        for length in [9_000, 20_000, 200_000] {
            let long = format!("Bearer {}", "x".repeat(length));
            let call = world.http.post(&url).header(name, long).body("{}");
            let refused = call.send().await.unwrap();
            assert_eq!(refused.status().as_u16(), 431, "{name} of {length}");
            let body: Value = refused.json().await.unwrap();
            assert_eq!(reason(&body), "HEADERS_TOO_LONG");
        }
    }
    let mut call = world.http.post(&url).bearer_auth(&world.token).body("{}");
    for at in 0..5 {
        call = call.header(format!("x-some-{at}"), "x".repeat(7_000));
    }
    assert_eq!(call.send().await.unwrap().status().as_u16(), 431);
    // A trace that is longer than it may be is not handed on, and the call goes on.
    let call = world.http.post(&url).bearer_auth(&world.token).body("{}");
    let call = call.header("tracestate", "x".repeat(8_000));
    let call = call.header("traceparent", "x".repeat(8_000));
    assert_eq!(call.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn errors_repeat_little_of_what_was_sent() {
    let config = ServerConfig {
        api_max_bytes: 1024 * 1024,
        ..config()
    };
    let world = World::with(config, Router::new()).await;
    for text in ["x".repeat(300_000), "\u{1f600}".repeat(75_000)] {
        let refused = world.call(REVOKE, &json!({"id": text})).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND);
        let said = refused.text().await.unwrap();
        assert!(said.len() < 8 * 1024, "{} bytes", said.len());
        let token =
            json!({"token": {"displayName": "a", "role": 3, "scopes": vec![&text[..40]; 10_000]}});
        let refused = world.call(CREATE, &token).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        let said = refused.text().await.unwrap();
        assert!(said.len() < 16 * 1024, "{} bytes", said.len());
    }
    let nul = world.call(REVOKE, &json!({"id": "a\u{0}b"})).await;
    assert_eq!(nul.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_lost_connection_is_no_answer() {
    let silent = || async { ([("content-type", "application/grpc")], Vec::new()) };
    let routes = Router::new().route(&format!("/{GET}"), post(silent));
    let world = World::with(config(), routes).await;
    let lost = world.call(GET, &json!({})).await;
    assert_eq!(lost.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(lost.headers()["retry-after"], "1");
    let body: Value = lost.json().await.unwrap();
    assert_eq!(reason(&body), "CONNECTION_LOST");

    // Nobody listens there any more.
    let gone = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let gone = gone.await.unwrap().local_addr().unwrap();
    let without = solmu_gateway::router(gone, 4096).unwrap();
    let api = server::serve_api(&world.runtime, &config(), without).await;
    let api = api.unwrap().unwrap();
    for method in [LIST, WATCH] {
        let call = world.http.post(format!("http://{api}/v1/{method}"));
        let lost = call.body("{}").send().await.unwrap();
        assert_eq!(lost.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body: Value = lost.json().await.unwrap();
        assert_eq!(reason(&body), "CONNECTION_LOST", "{method}");
    }
}
