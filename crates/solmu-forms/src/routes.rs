//! The HTTP side: pages for people, JSON for programs.
//!
//! Both post to the same address and are told apart by the content type. A page's post ends in a redirect (303), so
//! that a reload does not post again; JSON gets 201 or a list of field errors.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use serde::Deserialize;
use tracing::instrument;

use crate::{
    answer::{self, html, json_error, with},
    definition::Form,
    message::is_reference,
    metrics::Outcome,
    page::{SCRIPT, STYLE, Shown},
    service::{Answer, Post, Service},
    submission::{Submission, from_json, from_page, urlencoded},
};

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(15);

#[derive(Debug, Default, Deserialize)]
struct Asked {
    lang: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
}

/// The routes under `/forms`.
pub(crate) fn routes(service: Arc<Service>) -> Router {
    Router::new()
        .route(
            "/forms/assets/form.css",
            get(|| async { asset("text/css; charset=utf-8", STYLE) }),
        )
        .route(
            "/forms/assets/form.js",
            get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }),
        )
        .route("/forms/{id}", get(show).post(post).options(preflight))
        .route("/forms/{id}/thanks", get(thanks))
        .with_state(service)
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], text).into_response()
}

async fn show(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let Some(form) = service.forms.get(&id) else {
        return answer::no_form();
    };
    let language = language(form, asked.lang.as_deref(), &headers);
    let token = service.token(form);
    let accepted = header_text(&headers, header::ACCEPT.as_str()).unwrap_or_default();
    if accepted.contains("application/json") && !accepted.contains("text/html") {
        let origin = Origin::of(form, &headers);
        return with(answer::definition(form, &language, &token), origin.cors());
    }
    let shown = Shown {
        token,
        ..Shown::default()
    };
    html(
        form,
        StatusCode::OK,
        service.pages.form(form, &language, &shown),
    )
}

async fn thanks(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let Some(form) = service.forms.get(&id) else {
        return answer::no_form();
    };
    let language = language(form, asked.lang.as_deref(), &headers);
    let reference = asked.reference.as_deref().filter(|text| is_reference(text));
    html(
        form,
        StatusCode::OK,
        service.pages.thanks(form, &language, reference),
    )
}

async fn preflight(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(form) = service.forms.get(&id) else {
        return answer::no_form();
    };
    let origin = Origin::of(form, &headers);
    let allow = [
        (header::ALLOW, "GET, HEAD, POST, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "content-type, idempotency-key",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    match origin {
        Origin::Other => (StatusCode::FORBIDDEN, [(header::VARY, "Origin")]).into_response(),
        _ => with(
            (StatusCode::NO_CONTENT, allow).into_response(),
            origin.cors(),
        ),
    }
}

#[instrument(name = "form.post", skip_all, fields(form.id = %id))]
async fn post(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let Some(form) = service.forms.get(&id) else {
        return answer::no_form();
    };
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    // Without the peer's address (a server that does not tell it) everybody shares one limit, which is the safe side.
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
        peer.ip()
    });
    let client = service.proxies.client(peer, &parts.headers);
    let Some(kind) = Kind::of(&parts.headers) else {
        service.metrics.post(form.id(), Outcome::Refused);
        let said =
            "post application/x-www-form-urlencoded or application/json; files are not taken";
        return json_error(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            said,
            None,
        );
    };
    let origin = Origin::of(form, &parts.headers);
    if kind == Kind::Json && matches!(origin, Origin::Other) {
        service.metrics.post(form.id(), Outcome::Refused);
        return json_error(
            StatusCode::FORBIDDEN,
            "origin_not_allowed",
            "this site may not post to the form",
            None,
        );
    }
    let raw = match read(body, service.body_limit).await {
        Ok(raw) => raw,
        Err(response) => {
            service.metrics.post(form.id(), Outcome::Refused);
            return response;
        }
    };
    let submission = match kind {
        Kind::Page => Some(from_page(form, urlencoded(&raw))),
        Kind::Json => serde_json::from_slice(&raw)
            .ok()
            .and_then(|body| from_json(form, body)),
    };
    let Some(submission) = submission else {
        service.metrics.post(form.id(), Outcome::Invalid);
        let response = json_error(
            StatusCode::BAD_REQUEST,
            "bad_json",
            "the body must be a JSON object",
            None,
        );
        return with(response, origin.cors());
    };
    let language = language(form, submission.language.as_deref(), &parts.headers);
    let post = Post {
        submission: &submission,
        raw: &raw,
        content_type: kind.name(),
        language: &language,
        api: kind == Kind::Json,
        idempotency_key: header_text(&parts.headers, "idempotency-key"),
    };
    let answer = match service.admit(form, client) {
        Ok(()) => service.take(form, &post).await,
        Err(answer) => answer,
    };
    match kind {
        Kind::Json => with(answer::json(&answer, &language), origin.cors()),
        Kind::Page => page(&service, form, &answer, &submission, &language),
    }
}

/// The answer to a page's post: a redirect, or the page again with what was typed.
fn page(
    service: &Service,
    form: &Form,
    answer: &Answer,
    post: &Submission,
    language: &str,
) -> Response {
    if let Answer::Accepted { reference } = answer {
        let to = format!(
            "/forms/{}/thanks?ref={reference}&lang={language}",
            form.id()
        );
        return (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response();
    }
    let errors = if let Answer::Invalid(errors) = answer {
        errors.as_slice()
    } else {
        &[]
    };
    // The same token again, so that the next try is the same message; a new one only where the old is of no use.
    let token = match (&post.token, answer) {
        (Some(token), answer) if *answer != Answer::Expired => token.clone(),
        _ => service.token(form),
    };
    let shown = Shown {
        token,
        post: Some(post),
        errors,
        problem: answer::sentence(answer, language),
    };
    let response = html(
        form,
        answer::status(answer),
        service.pages.form(form, language, &shown),
    );
    with(response, answer::retry_after(answer))
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Response> {
    match tokio::time::timeout(BODY_TIME, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            let said = format!("a post may have at most {limit} bytes");
            Err(json_error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                &said,
                None,
            ))
        }
        Err(_) => Err(json_error(
            StatusCode::REQUEST_TIMEOUT,
            "too_slow",
            "the body did not come in time",
            None,
        )),
    }
}

/// How a post is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Page,
    Json,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let full = header_text(headers, header::CONTENT_TYPE.as_str())?;
        let media = full
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        [Self::Page, Self::Json]
            .into_iter()
            .find(|kind| kind.name() == media)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Page => "application/x-www-form-urlencoded",
            Self::Json => "application/json",
        }
    }
}

/// Which web site a request comes from.
#[derive(Debug)]
enum Origin<'a> {
    /// Ours, or no browser.
    Own,
    /// One that the form names.
    Allowed(&'a str),
    /// Any other.
    Other,
}

impl<'a> Origin<'a> {
    fn of(form: &Form, headers: &'a HeaderMap) -> Self {
        let Some(origin) = header_text(headers, header::ORIGIN.as_str()) else {
            return Self::Own;
        };
        let host = header_text(headers, header::HOST.as_str());
        let origin_host = origin.split_once("://").map(|(_, host)| host);
        if origin_host.is_some() && origin_host == host {
            Self::Own
        } else if form
            .definition
            .allowed_origins
            .iter()
            .any(|allowed| allowed == origin)
        {
            Self::Allowed(origin)
        } else {
            Self::Other
        }
    }

    /// No credentials are ever allowed: a form needs none.
    fn cors(&self) -> Vec<(header::HeaderName, String)> {
        let mut headers = vec![(header::VARY, "Origin".to_owned())];
        if let Self::Allowed(origin) = self {
            headers.push((header::ACCESS_CONTROL_ALLOW_ORIGIN, (*origin).to_owned()));
        }
        headers
    }
}

/// The language that was asked for, else the browser's first that the form has, else the form's own.
fn language(form: &Form, asked: Option<&str>, headers: &HeaderMap) -> String {
    let known = form.languages();
    let primary = |tag: &str| {
        tag.split(';')
            .next()
            .unwrap_or_default()
            .split('-')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase()
    };
    let browser = header_text(headers, header::ACCEPT_LANGUAGE.as_str()).unwrap_or_default();
    let wanted = asked
        .into_iter()
        .map(str::to_owned)
        .chain(browser.split(',').map(primary));
    let found = wanted
        .into_iter()
        .find(|language| known.contains(&language.as_str()));
    found.unwrap_or_else(|| form.definition.default_language.clone())
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(HeaderValue::to_str)?.ok()
}
