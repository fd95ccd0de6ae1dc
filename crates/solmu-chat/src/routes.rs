//! The HTTP side: the upgrade to a WebSocket, and a plain page to try it with.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::{ConnectInfo, Query, Request, State, WebSocketUpgrade},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Json, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    page,
    service::Service,
    socket::{Driver, Visit},
};
use solmu_connector::address::subscriber;

#[derive(Debug, Deserialize)]
struct Asked {
    inbox: Option<String>,
    session: Option<String>,
}

/// The routes under `/chat`.
pub(crate) fn routes(service: Arc<Service>) -> Router {
    let mut router = Router::new().route("/chat/v1/ws", get(connect));
    if service.test_page {
        router = router
            .route("/chat/test", get(test_page))
            .route(
                "/chat/assets/chat.css",
                get(|| async { page::asset("text/css; charset=utf-8", page::STYLE) }),
            )
            .route(
                "/chat/assets/chat.js",
                get(|| async { page::asset("text/javascript; charset=utf-8", page::SCRIPT) }),
            );
    }
    router.with_state(service)
}

async fn connect(
    State(service): State<Arc<Service>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
    request: Request,
) -> Response {
    let inbox = asked.inbox.unwrap_or_default();
    let Some(allowed) = service.inboxes.get(&inbox) else {
        return refusal(StatusCode::NOT_FOUND, "no_such_inbox");
    };
    if !origin_allowed(allowed, &headers) {
        return refusal(StatusCode::FORBIDDEN, "origin_not_allowed");
    }
    if service.drain.is_cancelled() {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "draining");
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    // Without the peer's address (a server that does not tell it) everybody shares one limit, which is the safe side.
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
        peer.ip()
    });
    let client = service.proxies.client(peer, &headers);
    let Some(place) = service
        .hub
        .admit(subscriber(client), service.limits.sockets_per_address)
    else {
        return refusal(StatusCode::TOO_MANY_REQUESTS, "too_many_sessions");
    };
    let visit = Visit {
        inbox,
        client,
        token: asked.session.filter(|token| !token.is_empty()),
    };
    // A frame that is a little too large gets a typed answer; one that is far too large ends the connection unread.
    let most = service.limits.frame_bytes * 4;
    let tasks = service.tasks.clone();
    upgrade
        .max_message_size(most)
        .max_frame_size(most)
        .on_upgrade(move |socket| {
            tasks.track_future(Driver::new(socket, service, visit, place).run())
        })
}

/// Browsers say which page connects; other programs say nothing, and could say anything.
fn origin_allowed(allowed: &[String], headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(HeaderValue::to_str);
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(Ok(origin)), host) => {
            let own = origin
                .split_once("://")
                .is_some_and(|(_, name)| host.is_some_and(|host| host.ok() == Some(name)));
            own || allowed.iter().any(|allowed| allowed == origin)
        }
        (Some(Err(_)), _) => false,
    }
}

fn refusal(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({"error": {"code": code}}))).into_response()
}

async fn test_page(State(service): State<Arc<Service>>, Query(asked): Query<Asked>) -> Response {
    let inbox = asked
        .inbox
        .or_else(|| service.inboxes.keys().next().cloned())
        .unwrap_or_default();
    if service.inboxes.contains_key(&inbox) {
        page::test(&inbox)
    } else {
        refusal(StatusCode::NOT_FOUND, "no_such_inbox")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        let allowed = ["https://shop.example".to_owned()];
        let check = |origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "help.example:8080".parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            origin_allowed(&allowed, &headers)
        };
        assert!(
            check(None)
                && check(Some("https://shop.example"))
                && check(Some("http://help.example:8080"))
        );
        for other in [
            "https://evil.example",
            "null",
            "https://shop.example.evil",
            "http://help.example",
            "",
        ] {
            assert!(!check(Some(other)), "{other}");
        }
    }
}
