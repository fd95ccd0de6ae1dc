//! The gRPC API as JSON over HTTP.
//!
//! `POST /v1/<package.Service>/<Method>` takes the request message in protobuf's JSON form and gives the answer in the
//! same form. Which methods there are, and how their messages look, comes from the descriptors that the gRPC code was
//! generated from: a method that is added to a proto file is served here without a line of code.
//!
//! Each call goes on to the gRPC server of this process over loopback with the caller's own token. So there is one
//! place that knows callers, limits, measures and answers; nothing here decides anything. Calling the services past
//! that server was rejected: it would save a tenth of a millisecond and be a second way in that has to be guarded.
//!
//! Calls with one answer share a connection; each stream has one of its own. HTTP/2 has one window for a connection, and
//! what comes for a reader who does not read fills it: some paused browsers would stop the calls of everybody.
//!
//! Methods that take a stream have no form in plain HTTP and are not served. One that gives a stream answers with a
//! line of JSON for each message, or with server-sent events.

mod call;
mod codec;
mod error;
mod mask;
mod methods;
mod read;
mod stream;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::header,
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::json;
use tonic::transport::{Channel, Endpoint};

pub use methods::GatewayError;
use methods::Methods;

/// How much of the answers may be on its way in one call, and in all calls together, in bytes. Their readers never wait:
/// an answer is read as a whole before the caller gets it.
const WINDOWS: (u32, u32) = (1024 * 1024, 32 * 1024 * 1024);
/// Bytes of the headers of an answer at most. The service cuts what it says to far less; the limit is no reason to end
/// the connection, with the calls of others, should it ever not.
const MAX_HEADERS: u32 = 64 * 1024;

/// The OpenAPI 3.1 document of this API, as JSON.
pub const OPENAPI: &str = include_str!("../../../docs/api/openapi.json");

/// What a call needs.
#[derive(Debug, Clone)]
struct Gateway {
    methods: Arc<Methods>,
    /// For a stream, which gets a connection of its own.
    endpoint: Endpoint,
    /// For all other calls.
    channel: Channel,
}

/// The routes of the JSON API, which passes calls on to the gRPC server at `grpc`. Bodies have at most `max_bytes`.
pub fn router(grpc: SocketAddr, max_bytes: usize) -> Result<Router, GatewayError> {
    let endpoint = Endpoint::from_shared(format!("http://{}", reachable(grpc)))
        .map_err(GatewayError::Endpoint)?
        .tcp_nodelay(true)
        .http2_max_header_list_size(MAX_HEADERS);
    let methods = Arc::new(Methods::of_api()?);
    let (unknown, refused) = (Arc::clone(&methods), Arc::clone(&methods));
    let calls = endpoint.clone();
    let calls = calls
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1);
    let gateway = Gateway {
        methods,
        endpoint,
        channel: calls.connect_lazy(),
    };
    Ok(Router::new()
        .route("/v1", get(index))
        .route("/v1/openapi.json", get(openapi))
        .route("/v1/{service}/{method}", post(call::call))
        .layer(DefaultBodyLimit::max(max_bytes))
        .fallback(|| async move { error::no_such_method().into_response(unknown.status.as_ref()) })
        .method_not_allowed_fallback(|| async move { error::only_post(refused.status.as_ref()) })
        .with_state(gateway))
}

/// Where a server that listens on every address is reached from the same machine.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let mut address = bound;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

async fn index(State(gateway): State<Gateway>) -> impl IntoResponse {
    let methods: Vec<&str> = gateway.methods.paths().collect();
    Json(json!({"openapi": "/v1/openapi.json", "methods": methods}))
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_reached_on_loopback() {
        let at = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(at("0.0.0.0:7310"), "127.0.0.1:7310");
        assert_eq!(at("[::]:7310"), "[::1]:7310");
        assert_eq!(at("10.0.0.1:7310"), "10.0.0.1:7310");
    }

    #[test]
    fn the_document_describes_every_method() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let methods = Methods::of_api().unwrap();
        for path in methods.paths() {
            assert!(
                document["paths"][path]["post"].is_object(),
                "{path} is not in docs/api/openapi.json: cargo xtask gen"
            );
        }
        let described = document["paths"].as_object().unwrap().len();
        assert_eq!(described, methods.paths().count());
    }
}
