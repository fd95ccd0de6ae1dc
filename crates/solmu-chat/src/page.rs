//! The plain page to try an inbox with. It is also the shortest complete example of the protocol's other side.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

pub(crate) const STYLE: &str = include_str!("../assets/chat.css");
pub(crate) const SCRIPT: &str = include_str!("../assets/chat.js");
const PAGE: &str = include_str!("../assets/chat.html");

/// Scripts and styles only from files of ours, connections only to us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// The page. `inbox` is the name of a configured inbox: letters that need no escaping.
pub(crate) fn test(inbox: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, PAGE.replace("{{inbox}}", inbox)).into_response()
}

/// A file of the page.
pub(crate) fn asset(content_type: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "public, max-age=3600"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
