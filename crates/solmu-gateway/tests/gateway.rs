//! The JSON API over HTTP, before the real gRPC server with its gate.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "gateway/limits.rs"]
mod limits;

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, response::IntoResponse as _, routing::post};
use prost::Message as _;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use solmu_proto::ticket::v1::WatchTicketsResponse;
use solmu_runtime::{
    Keyring, Parts, Runtime, RuntimeParts,
    access::{self, Access},
    server,
    settings::ServerConfig,
};
use solmu_telemetry::Metrics;
use solmu_testkit::Harness;
use tonic::service::Routes;

const WATCH: &str = "solmu.ticket.v1.TicketService/WatchTickets";
const CREATE: &str = "solmu.access.v1.AccessService/CreateToken";
const LIST: &str = "solmu.access.v1.AccessService/ListTokens";

struct World {
    _harness: Harness,
    runtime: Runtime,
    base: String,
    token: String,
    http: Client,
}

/// One encoded message as gRPC frames it.
fn frame(cursor: &str) -> Vec<u8> {
    let message = WatchTicketsResponse {
        cursor: cursor.to_owned(),
        ..WatchTicketsResponse::default()
    };
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// Two changes. The end is good, or is missing as when a server dies.
fn watch(good_end: bool) -> Router {
    let path = format!("/{WATCH}");
    let answer = move || async move {
        let body = [frame("c1"), frame("c2")].concat();
        let mut response = ([("content-type", "application/grpc")], body).into_response();
        if good_end {
            let ok = axum::http::HeaderValue::from_static("0");
            response.headers_mut().insert("grpc-status", ok);
        }
        response
    };
    Router::new().route(&path, post(answer))
}

fn config() -> ServerConfig {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    ServerConfig {
        grpc_address: any,
        api_address: Some(any),
        api_max_bytes: 4096,
        ..ServerConfig::default()
    }
}

impl World {
    async fn new(good_end: bool) -> Self {
        Self::with(config(), watch(good_end)).await
    }

    /// One that serves these besides the calls of tokens.
    async fn with(config: ServerConfig, more: Router) -> Self {
        let harness = Harness::new().await;
        let runtime = Runtime::new(RuntimeParts {
            clock: Arc::new(harness.clock.clone()),
            rng: harness.rng.clone(),
            db: harness.db.clone(),
            bus: harness.bus.clone(),
            metrics: Metrics::new(),
            instance: "one".to_owned(),
            secrets: Keyring::new([("a".to_owned(), vec![1; 32])]).unwrap(),
        });
        let access = Access::start(&runtime);
        let first = access::bootstrap(&runtime.db, runtime.clock.as_ref(), runtime.rng.as_ref());
        let first = first.await.unwrap().unwrap();
        let stream = Parts {
            grpc: Some(Routes::from(more)),
            http: None,
        };
        let parts = Parts {
            grpc: Some(access.routes()),
            http: None,
        };
        let bound = server::serve(&runtime, &config, &access, parts.merge(stream))
            .await
            .unwrap();
        let router = solmu_gateway::router(bound.grpc.unwrap(), config.api_max_bytes).unwrap();
        let api = server::serve_api(&runtime, &config, router).await.unwrap();
        Self {
            _harness: harness,
            runtime,
            base: format!("http://{}/v1", api.unwrap()),
            token: first.token.expose().to_owned(),
            http: Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn call(&self, method: &str, body: &Value) -> Response {
        let request = self.http.post(format!("{}/{method}", self.base));
        let request = request.bearer_auth(&self.token).json(body);
        request.send().await.unwrap()
    }
}

fn reason(body: &Value) -> &str {
    let mut details = body["details"].as_array().into_iter().flatten();
    let reason = details.find_map(|detail| detail["reason"].as_str());
    reason.unwrap_or_default()
}

#[tokio::test]
async fn messages_are_json_and_the_gate_is_the_same() {
    let world = World::new(true).await;
    let token = json!({"token": {
        "displayName": "importer", "role": "ROLE_SERVICE", "scopes": ["tickets.read"],
        "expireTime": "2999-01-01T00:00:00Z",
    }});
    let made = world.call(CREATE, &token).await;
    assert_eq!(made.status(), StatusCode::OK);
    assert_eq!(made.headers()["content-type"], "application/json");
    assert_eq!(made.headers()["cache-control"], "no-store");
    let made: Value = made.json().await.unwrap();
    assert_eq!(made["token"]["expireTime"], "2999-01-01T00:00:00Z");
    assert_eq!(made["token"]["scopes"], json!(["tickets.read"]));

    let list: Value = world.call(LIST, &json!({})).await.json().await.unwrap();
    assert_eq!(list["tokens"].as_array().unwrap().len(), 2);

    let url = format!("{}/{LIST}", world.base);
    let without = world.http.post(&url).send().await.unwrap();
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(without.headers()["www-authenticate"], "Bearer");
    let body: Value = without.json().await.unwrap();
    assert_eq!(
        (&body["code"], reason(&body)),
        (&json!(16), "TOKEN_MISSING")
    );

    let secret = made["secret"].as_str().unwrap();
    let service = world.http.post(&url).bearer_auth(secret).send();
    let service = service.await.unwrap();
    assert_eq!(service.status(), StatusCode::FORBIDDEN);
    let body: Value = service.json().await.unwrap();
    assert_eq!(reason(&body), "ROLE_REQUIRED");

    let metrics = world.runtime.metrics.encode();
    assert!(
        metrics.contains("http_route=\"/v1/{service}/{method}\""),
        "calls are measured by route"
    );
}

#[tokio::test]
async fn what_is_wrong_has_its_status() {
    let world = World::new(true).await;
    let bad = world.call(CREATE, &json!({"token": {"role": 2}})).await;
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    let body: Value = bad.json().await.unwrap();
    assert_eq!(reason(&body), "INVALID_ARGUMENT");
    let details = body["details"].as_array().unwrap();
    let violations = details
        .iter()
        .find_map(|it| it["fieldViolations"].as_array());
    assert_eq!(violations.unwrap()[0]["field"], "token.display_name");

    for (method, body, status) in [
        (LIST, json!({"unknown": 1}), StatusCode::BAD_REQUEST),
        (LIST, json!([]), StatusCode::BAD_REQUEST),
        ("solmu.made.v1.Up/Method", json!({}), StatusCode::NOT_FOUND),
        ("x", json!({}), StatusCode::NOT_FOUND),
        // It takes a stream.
        (
            "solmu.routing.v1.RoutingService/KeepPresence",
            json!({}),
            StatusCode::NOT_FOUND,
        ),
        (
            CREATE,
            json!({"token": {"displayName": "a".repeat(5000)}}),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let answer = world.call(method, &body).await;
        assert_eq!(answer.status(), status, "{method}");
        let body: Value = answer.json().await.unwrap();
        assert!(
            body["code"].is_i64() && body["message"].is_string() && !reason(&body).is_empty(),
            "{method}: {body}"
        );
    }

    // A body that cannot be read is told as any other fault of a request: the field, and where it stands.
    let unread = json!({"token": {"displayName": "a", "expireTime": "soon"}});
    let body: Value = world.call(CREATE, &unread).await.json().await.unwrap();
    assert_eq!(reason(&body), "INVALID_ARGUMENT", "{body}");
    let violations = body["details"].as_array().unwrap();
    let violation = violations
        .iter()
        .find_map(|it| it["fieldViolations"].get(0))
        .unwrap();
    assert_eq!(violation["field"], "token.expire_time", "{body}");
    let said = violation["description"].as_str().unwrap();
    assert!(said.contains("line 1 column"), "{said}");

    let url = format!("{}/{LIST}", world.base);
    let form = world.http.post(&url).bearer_auth(&world.token);
    let form = form.header("content-type", "text/plain").body("{}").send();
    assert_eq!(
        form.await.unwrap().status(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    let got = world.http.get(&url).send().await.unwrap();
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
    let late = world.http.post(&url).bearer_auth(&world.token);
    let late = late.header("x-timeout-ms", "soon").send().await.unwrap();
    assert_eq!(late.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_stream_is_lines_or_events() {
    let world = World::new(true).await;
    let lines = world.call(WATCH, &json!({})).await;
    assert_eq!(lines.headers()["content-type"], "application/x-ndjson");
    assert_eq!(
        lines.text().await.unwrap(),
        "{\"result\":{\"cursor\":\"c1\"}}\n{\"result\":{\"cursor\":\"c2\"}}\n"
    );
    let events = world.http.post(format!("{}/{WATCH}", world.base));
    let events = events.bearer_auth(&world.token);
    let events = events.header("accept", "text/event-stream").send();
    let events = events.await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let text = events.text().await.unwrap();
    assert!(
        text.contains("data: {\"cursor\":\"c2\"}") && text.contains("id: c2"),
        "{text}"
    );

    let refused = world.http.post(format!("{}/{WATCH}", world.base)).send();
    assert_eq!(refused.await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so() {
    let world = World::new(false).await;
    let text = world.call(WATCH, &json!({})).await.text().await.unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], 14, "{text}");
    assert_eq!(reason(&last["error"]), "CONNECTION_LOST");
}

#[tokio::test]
async fn the_document_and_the_list_are_open() {
    let world = World::new(true).await;
    let index = world.http.get(&world.base).send().await.unwrap();
    let index: Value = index.json().await.unwrap();
    let methods = index["methods"].as_array().unwrap();
    assert!(methods.contains(&json!(format!("/v1/{LIST}"))));
    let document = world.http.get(format!("{}/openapi.json", world.base));
    let document: Value = document.send().await.unwrap().json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
}
