//! Errors as HTTP says them: the status of the code, and google.rpc.Status as the body.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use solmu_runtime::api_error::http_status;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A failed call.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// Where HTTP has a better status than the code's.
    http: Option<StatusCode>,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self { status, http: None }
    }
}

impl Failure {
    pub(crate) fn new(http: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self {
            status: Status::new(code, message),
            http: Some(http),
        }
    }

    /// The answer to the caller.
    pub(crate) fn into_response(self, descriptor: Option<&MessageDescriptor>) -> Response {
        let code = self.status.code();
        let body = body_of(&self.status, descriptor).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.http.unwrap_or_else(|| http_status(code));
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if code == Code::Unauthenticated {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        let retry = self.status.get_details_retry_info();
        if let Some(delay) = retry.and_then(|retry| retry.retry_delay) {
            headers.insert(header::RETRY_AFTER, delay.as_secs().max(1).into());
        }
        response
    }
}

/// `google.rpc.Status` in JSON. Details of a type that we do not know are left out together.
pub(crate) fn body_of(status: &Status, descriptor: Option<&MessageDescriptor>) -> Value {
    let detailed = descriptor
        .filter(|_| !status.details().is_empty())
        .and_then(|descriptor| DynamicMessage::decode(descriptor.clone(), status.details()).ok())
        .and_then(|message| serde_json::to_value(message).ok());
    detailed.unwrap_or_else(
        || json!({"code": i32::from(status.code()), "message": status.message(), "details": []}),
    )
}

pub(crate) fn no_such_method() -> Response {
    let message = "there is no such method; GET /v1 lists them";
    Failure::new(StatusCode::NOT_FOUND, Code::Unimplemented, message).into_response(None)
}

pub(crate) fn only_post() -> Response {
    let message = "methods are called by POST";
    let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, message);
    let mut response = failure.into_response(None);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

#[cfg(test)]
mod tests {
    use solmu_runtime::ApiError;

    use super::*;
    use crate::methods::Methods;

    #[test]
    fn details_are_written_out() {
        let methods = Methods::of_api().unwrap();
        let status = Status::from(ApiError::invalid("token.role", "is missing"));
        let body = body_of(&status, methods.status.as_ref());
        assert_eq!(body["code"], 3);
        let details = body["details"].as_array().unwrap();
        let of_type = |name: &str| {
            let name = format!("type.googleapis.com/google.rpc.{name}");
            details.iter().find(|detail| detail["@type"] == name)
        };
        assert_eq!(of_type("ErrorInfo").unwrap()["reason"], "INVALID_ARGUMENT");
        let violation = &of_type("BadRequest").unwrap()["fieldViolations"][0];
        assert_eq!(violation["field"], "token.role");

        let plain = body_of(&Status::internal("x"), methods.status.as_ref());
        assert_eq!(plain, json!({"code": 13, "message": "x", "details": []}));
    }

    #[test]
    fn who_has_to_wait_is_told_how_long() {
        let error = ApiError::ResourceExhausted {
            reason: "TOO_MANY_CALLS",
            message: "too many".to_owned(),
            retry_after: std::time::Duration::from_secs(7),
        };
        let response = Failure::from(Status::from(error)).into_response(None);
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        let response = Failure::from(Status::unauthenticated("who?")).into_response(None);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
}
