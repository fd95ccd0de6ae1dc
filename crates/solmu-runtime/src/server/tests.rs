//! The servers over the wire: tokens, roles, limits, traces and metrics.

use std::sync::{Mutex, PoisonError};

use axum::{Router, routing::get};
use solmu_proto::access::v1::{
    CreateTokenRequest, ListTokensRequest, Role, Token, access_service_client::AccessServiceClient,
};
use solmu_testkit::{Harness, wait_for};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt as _;

use super::*;
use crate::testing::runtime;

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

struct World {
    runtime: Runtime,
    bound: Bound,
    admin_token: String,
}

impl World {
    async fn new(config: ServerConfig) -> Self {
        let harness = Harness::new().await;
        let runtime = runtime(&harness, "one");
        let access = Access::start(&runtime);
        let admin =
            crate::access::bootstrap(&runtime.db, runtime.clock.as_ref(), runtime.rng.as_ref());
        let admin = admin.await.unwrap().expect("the database is fresh");
        let slow = || async { std::future::pending::<&str>().await };
        let parts = Parts {
            grpc: Some(access.routes()),
            http: Some(
                Router::new()
                    .route("/hooks/{id}", get(|| async { "got it" }))
                    .route("/slow", get(slow)),
            ),
        };
        let other = Parts {
            grpc: Some(tonic::service::Routes::default()),
            http: None,
        };
        let bound = serve(&runtime, &config, &access, parts.merge(other))
            .await
            .unwrap();
        runtime.readiness.complete();
        Self {
            runtime,
            bound,
            admin_token: admin.token.expose().to_owned(),
        }
    }

    async fn channel(&self) -> Channel {
        let address = format!("http://{}", self.bound.grpc.unwrap());
        Endpoint::from_shared(address)
            .unwrap()
            .connect()
            .await
            .unwrap()
    }

    async fn http(&self, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.bound.http.unwrap())
            .await
            .unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nhost: test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn anywhere() -> ServerConfig {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    ServerConfig {
        http_address: any,
        grpc_address: any,
        admin_address: any,
        ..ServerConfig::default()
    }
}

fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

#[tokio::test]
async fn every_call_needs_a_token_of_the_right_role() {
    let world = World::new(anywhere()).await;
    let mut client = AccessServiceClient::new(world.channel().await);

    let status = client.list_tokens(ListTokensRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "TOKEN_MISSING"
    );
    let wrong = with_token(ListTokensRequest {}, "solmu_wrong");
    let status = client.list_tokens(wrong).await.unwrap_err();
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "TOKEN_INVALID"
    );

    let bad = Token {
        role: Role::Agent.into(),
        agent_id: "me".to_owned(),
        ..Token::default()
    };
    let bad = with_token(
        CreateTokenRequest {
            token: Some(bad),
            ..CreateTokenRequest::default()
        },
        &world.admin_token,
    );
    let details = client
        .create_token(bad)
        .await
        .unwrap_err()
        .get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(fields, ["token.display_name", "token.agent_id"]);

    let good = Token {
        role: Role::Service.into(),
        display_name: "importer".to_owned(),
        ..Token::default()
    };
    let good = with_token(
        CreateTokenRequest {
            token: Some(good),
            ..CreateTokenRequest::default()
        },
        &world.admin_token,
    );
    let made = client.create_token(good).await.unwrap().into_inner();
    let status = client
        .list_tokens(with_token(ListTokensRequest {}, &made.secret))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(
        status.get_error_details().error_info().unwrap().reason,
        "ROLE_REQUIRED"
    );

    let list = client
        .list_tokens(with_token(ListTokensRequest {}, &world.admin_token))
        .await
        .unwrap();
    let mut names: Vec<_> = list
        .into_inner()
        .tokens
        .into_iter()
        .map(|token| token.display_name)
        .collect();
    names.sort();
    assert_eq!(names, ["first admin", "importer"]);

    let text = world.runtime.metrics.encode();
    let method = "rpc_method=\"solmu.access.v1.AccessService/ListTokens\"";
    for code in ["OK", "UNAUTHENTICATED", "PERMISSION_DENIED"] {
        let series = format!(
            "rpc_server_call_duration_seconds_count{{{method},rpc_status_code=\"{code}\"}}"
        );
        assert!(text.contains(&series), "{series} is not in\n{text}");
    }
}

#[tokio::test]
async fn health_and_reflection_are_open() {
    let world = World::new(anywhere()).await;
    let channel = world.channel().await;
    let mut health = HealthClient::new(channel.clone());
    let check = HealthCheckRequest {
        service: "solmu.access.v1.AccessService".to_owned(),
    };
    let serving = |status: i32| status == i32::from(ServingStatus::Serving);
    wait_for("health follows readiness", || {
        let (mut health, check) = (health.clone(), check.clone());
        async move {
            health
                .check(check)
                .await
                .is_ok_and(|answer| serving(answer.into_inner().status))
        }
    })
    .await;
    world.runtime.readiness.drain();
    wait_for("a drain is told", || {
        let (mut health, check) = (health.clone(), check.clone());
        async move {
            health
                .check(check)
                .await
                .is_ok_and(|answer| !serving(answer.into_inner().status))
        }
    })
    .await;
    assert!(health.check(HealthCheckRequest::default()).await.is_ok());

    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client
        .server_reflection_info(tokio_stream::once(list))
        .await
        .unwrap();
    let answer = answers
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    assert!(
        list.service
            .iter()
            .any(|service| service.name == "solmu.access.v1.AccessService")
    );
}

#[tokio::test]
async fn a_call_continues_the_callers_trace() {
    let written = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&written);
    let config = solmu_telemetry::TelemetryConfig {
        format: solmu_telemetry::LogFormat::Json,
        ..Default::default()
    };
    let sink: solmu_telemetry::Sink = Box::new(move |line| {
        sink.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&String::from_utf8_lossy(line));
    });
    let (dispatch, _guard) = solmu_telemetry::build(&config, sink, false).unwrap();
    // Each test has a process of its own under nextest; elsewhere another test may have set it, and this one fails.
    tracing::dispatcher::set_global_default(dispatch).expect("run by nextest");

    let world = World::new(anywhere()).await;
    let mut client = AccessServiceClient::new(world.channel().await);
    let token = Token {
        role: Role::Service.into(),
        display_name: "importer".to_owned(),
        ..Token::default()
    };
    let mut request = with_token(
        CreateTokenRequest {
            token: Some(token),
            ..CreateTokenRequest::default()
        },
        &world.admin_token,
    );
    let parent = format!("00-{TRACE_ID}-b7ad6b7169203331-01");
    request
        .metadata_mut()
        .insert("traceparent", parent.parse().unwrap());
    let secret = client
        .create_token(request)
        .await
        .unwrap()
        .into_inner()
        .secret;

    let log = written.lock().unwrap().clone();
    let line = log
        .lines()
        .find(|line| line.contains("token created"))
        .expect("it is logged");
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["trace_id"], TRACE_ID);
    assert!(
        world
            .admin_token
            .contains(line["caller.token_id"].as_str().unwrap())
    );
    assert!(
        !log.contains(&secret) && !log.contains(&world.admin_token),
        "no secret is logged"
    );
}

#[tokio::test]
async fn http_is_measured_by_route_and_limited() {
    let config = ServerConfig {
        request_timeout_ms: 50,
        ..anywhere()
    };
    let world = World::new(config).await;
    assert!(world.http("/hooks/42").await.ends_with("got it"));
    assert!(world.http("/nothing/42").await.starts_with("HTTP/1.0 404"));
    let late = world.http("/slow").await;
    assert!(
        late.starts_with("HTTP/1.0 504") && late.contains("DEADLINE_EXCEEDED"),
        "{late}"
    );
    let text = world.runtime.metrics.encode();
    for labels in [
        "http_route=\"/hooks/{id}\",http_response_status_code=\"200\"",
        "http_route=\"other\",http_response_status_code=\"404\"",
        "http_route=\"/slow\",http_response_status_code=\"504\"",
    ] {
        let series = format!("_count{{http_request_method=\"GET\",{labels}}} 1");
        assert!(text.contains(&series), "{series} is not in\n{text}");
    }
}

#[tokio::test]
async fn too_many_calls_are_told_at_once() {
    let config = ServerConfig {
        concurrency: 1,
        ..anywhere()
    };
    let world = Arc::new(World::new(config).await);
    let busy = Arc::clone(&world);
    let slow = tokio_util::task::TaskTracker::new().spawn(async move { busy.http("/slow").await });
    wait_for("the slow call has the only place", || async {
        world.http("/hooks/42").await.contains("TOO_MANY_CALLS")
    })
    .await;
    slow.abort();
}

#[tokio::test]
async fn the_drain_finishes_what_is_in_hand() {
    let world = World::new(ServerConfig {
        request_timeout_ms: 300,
        ..anywhere()
    })
    .await;
    let mut stream = tokio::net::TcpStream::connect(world.bound.http.unwrap())
        .await
        .unwrap();
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    wait_for("the call is in hand", || async {
        world.http("/hooks/1").await.contains("got it")
    })
    .await;
    world.runtime.shutdown.drain.cancel();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 504"),
        "it is answered: {answer}"
    );
    world.runtime.tasks.close();
    world.runtime.tasks.wait().await;
    assert!(
        tokio::net::TcpStream::connect(world.bound.grpc.unwrap())
            .await
            .is_err()
    );
}
