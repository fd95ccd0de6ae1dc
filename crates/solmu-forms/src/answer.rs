//! Answers on the wire: one status and one sentence for each outcome.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Json, Response},
};
use serde_json::{Value, json};

use crate::{definition::Form, service::Answer, validate::FieldError, words::words};

/// Seconds after which a page is worth sending again when the bus was away.
const RETRY_SECONDS: u64 = 5;

pub(crate) const fn status(answer: &Answer) -> StatusCode {
    match answer {
        Answer::Accepted { .. } => StatusCode::CREATED,
        Answer::Invalid(_) | Answer::TooFast | Answer::Expired => StatusCode::UNPROCESSABLE_ENTITY,
        Answer::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
        Answer::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Answer::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
    }
}

/// What the post as a whole is told.
pub(crate) fn sentence(answer: &Answer, language: &str) -> Option<&'static str> {
    let words = words(language);
    match answer {
        Answer::Accepted { .. } | Answer::Invalid(_) => None,
        Answer::TooFast => Some(words.too_fast),
        Answer::Expired => Some(words.expired),
        Answer::RateLimited(_) => Some(words.rate_limited),
        Answer::Unavailable => Some(words.unavailable),
        Answer::TooLarge => Some(words.invalid),
    }
}

pub(crate) fn retry_after(answer: &Answer) -> Vec<(HeaderName, String)> {
    let seconds = match answer {
        Answer::RateLimited(wait) => wait.as_secs() + 1,
        Answer::Unavailable => RETRY_SECONDS,
        _ => return Vec::new(),
    };
    vec![(header::RETRY_AFTER, seconds.to_string())]
}

/// The answer to a program.
pub(crate) fn json(answer: &Answer, language: &str) -> Response {
    let sentence = sentence(answer, language).unwrap_or_default();
    let of_token = |code| {
        vec![FieldError {
            field: "_token".to_owned(),
            code,
            message: sentence.to_owned(),
        }]
    };
    let body = match answer {
        Answer::Accepted { reference } => json!({ "reference": reference }),
        Answer::Invalid(errors) => json!({ "errors": errors }),
        Answer::TooFast => json!({ "errors": of_token("too_fast") }),
        Answer::Expired => json!({ "errors": of_token("expired") }),
        Answer::RateLimited(wait) => {
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            return with(
                json_error(status(answer), "rate_limited", sentence, Some(wait)),
                retry_after(answer),
            );
        }
        Answer::Unavailable => {
            let wait = Some(RETRY_SECONDS * 1000);
            return with(
                json_error(status(answer), "unavailable", sentence, wait),
                retry_after(answer),
            );
        }
        Answer::TooLarge => return json_error(status(answer), "too_large", sentence, None),
    };
    (status(answer), Json(body)).into_response()
}

/// An error about the request as a whole: `{"error": {"code", "message", "retry_after_ms"?}}`.
pub(crate) fn json_error(
    status: StatusCode,
    code: &str,
    message: &str,
    retry_after_ms: Option<u64>,
) -> Response {
    let mut error = json!({ "code": code, "message": message });
    if let Some(wait) = retry_after_ms {
        error["retry_after_ms"] = wait.into();
    }
    (status, Json(json!({ "error": error }))).into_response()
}

pub(crate) fn no_form() -> Response {
    json_error(
        StatusCode::NOT_FOUND,
        "no_such_form",
        "there is no form of this name",
        None,
    )
}

/// The form for a page that draws it itself.
pub(crate) fn definition(form: &Form, language: &str, token: &str) -> Response {
    let text = |texts| form.text(texts, language);
    let fields: Vec<Value> = form
        .fields
        .iter()
        .map(|field| {
            let options: Vec<Value> = field
                .options
                .iter()
                .map(|value| json!({"value": value, "label": form.option_label(field, value, language)}))
                .collect();
            json!({
                "name": field.name, "label": form.label(field, language), "hint": text(&field.ui.hint),
                "widget": field.widget, "required": field.required, "autocomplete": field.ui.autocomplete,
                "options": options, "visible_if": field.ui.visible_if,
            })
        })
        .collect();
    let body = json!({
        "id": form.id(), "language": language, "languages": form.languages(),
        "title": text(&form.definition.title), "intro": text(&form.definition.intro),
        "schema": form.definition.schema, "fields": fields, "_token": token,
    });
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// A page with the headers that keep it from being framed, cached or extended by others.
pub(crate) fn html(
    form: &Form,
    status: StatusCode,
    rendered: Result<String, minijinja::Error>,
) -> Response {
    let page = match rendered {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(
                form = form.id(),
                error = &error as &dyn std::error::Error,
                "cannot render a form page"
            );
            return json_error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the page cannot be shown",
                None,
            );
        }
    };
    let mut policy = "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'self'"
        .to_owned();
    for origin in &form.definition.allowed_origins {
        policy.push(' ');
        policy.push_str(origin);
    }
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
    ];
    with(
        (status, fixed, page).into_response(),
        vec![(header::CONTENT_SECURITY_POLICY, policy)],
    )
}

/// Adds headers; values that no header can carry are left out.
pub(crate) fn with(mut response: Response, headers: Vec<(HeaderName, String)>) -> Response {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
