//! The page over HTTP.
//!
//! A link is a secret in an address, so nothing may carry it on: no cache keeps the page, no search engine lists it, no
//! other site is told where the reader came from, and the page loads nothing but its own style sheet.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    Router,
    extract::{ConnectInfo, Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use solmu_connector::{address::Proxies, limit::Limiter};
use solmu_db::{Db, DbError};
use solmu_domain::{clock::SharedClock, signed::Signer};

use crate::{
    page::{Pages, STYLE},
    store::{self, Shown},
    token,
    words::{Words, accepted},
};

/// Only our own style sheet; framed and sent by nobody.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the page needs.
pub(crate) struct Site {
    pub(crate) db: Db,
    pub(crate) clock: SharedClock,
    pub(crate) signer: Signer,
    pub(crate) pages: Pages,
    pub(crate) proxies: Proxies,
    pub(crate) limiter: Limiter<IpAddr>,
}

/// The routes under `/t`.
pub(crate) fn routes(site: Arc<Site>) -> Router {
    Router::new()
        .route("/t/assets/page.css", get(style))
        .route("/t/{token}", get(show))
        .with_state(site)
}

async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, STYLE).into_response()
}

async fn show(
    State(site): State<Arc<Site>>,
    Path(token): Path<String>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let language = headers.get(header::ACCEPT_LANGUAGE);
    let words = accepted(language.and_then(|it| it.to_str().ok()).unwrap_or_default());
    if let Err(wait) = site.limiter.check(&network(&site.proxies, &request)) {
        let page = site.pages.notice(words, words.busy_title, words.busy);
        let mut response = html(StatusCode::TOO_MANY_REQUESTS, words, page);
        let seconds = HeaderValue::from(wait.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
        return response;
    }
    match find(&site, &token).await {
        Ok(Some(shown)) => html(StatusCode::OK, words, site.pages.ticket(&shown, words)),
        // The same for every cause: who guesses learns nothing.
        Ok(None) => {
            let page = site.pages.notice(words, words.gone_title, words.gone);
            html(StatusCode::NOT_FOUND, words, page)
        }
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot read what a public link shows"
            );
            let page = site.pages.notice(words, words.busy_title, words.busy);
            html(StatusCode::SERVICE_UNAVAILABLE, words, page)
        }
    }
}

async fn find(site: &Site, token: &str) -> Result<Option<Shown>, DbError> {
    match token::proven(&site.signer, token) {
        Some(link) => store::shown(site.db.pool(), link, site.clock.now()).await,
        None => Ok(None),
    }
}

/// Whose requests are counted together. Without a peer's address, all readers are one.
fn network(proxies: &Proxies, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    match proxies.client(peer, request.headers()) {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn html(
    status: StatusCode,
    words: &'static Words,
    page: Result<String, minijinja::Error>,
) -> Response {
    let (status, body) = match page {
        Ok(body) => (status, body),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot write a public page"
            );
            (StatusCode::INTERNAL_SERVER_ERROR, String::new())
        }
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_LANGUAGE, words.language),
        (header::VARY, "accept-language"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let robots = HeaderValue::from_static("noindex, nofollow");
    headers.insert("x-robots-tag", robots);
    (status, headers, body).into_response()
}
