//! Errors as HTTP says them: the status of the code, and google.rpc.Status as the body.

use std::{collections::HashMap, error::Error, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};
use solmu_runtime::{
    ApiError,
    api_error::{DOMAIN, http_status},
};
use tonic::{Code, Status, TimeoutExpired};
use tonic_types::{ErrorDetails, StatusExt as _};

/// How tonic begins what it says of an answer that broke off, as when the server dies. The service says none of it.
const BROKEN_OFF: [&str; 3] = [
    "grpc-status header missing",
    "protocol error: missing grpc-status",
    "Missing response message",
];
/// When to try again after a lost connection.
const RETRY: Duration = Duration::from_secs(1);

/// A failed call.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// Where HTTP has a better status than the code's.
    http: Option<StatusCode>,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let status = told(status);
        Self { status, http: None }
    }
}

/// The status that the service gave, or one of ours where the call did not get through. What the transport says then is
/// about our connection and not about the call: a caller who is told RESOURCE_EXHAUSTED would take it for "not done".
pub(crate) fn told(status: Status) -> Status {
    let said = status.message();
    let broken_off = BROKEN_OFF.iter().any(|words| said.starts_with(words));
    if status.source().is_none() && !broken_off {
        return status;
    }
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() {
            return ApiError::DeadlineExceeded.into();
        }
        cause = error.source();
    }
    let mut details = ErrorDetails::with_error_info("CONNECTION_LOST", DOMAIN, HashMap::new());
    details.set_retry_info(Some(RETRY));
    Status::with_error_details(
        Code::Unavailable,
        "the service was not reached, or did not answer: whether the call was carried out is not known; \
         make it again with the same request id",
        details,
    )
}

impl Failure {
    /// One that HTTP has a status of its own for. `reason` is stable, as in every error of the API.
    pub(crate) fn new(http: StatusCode, code: Code, reason: &str, message: &str) -> Self {
        let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        Self {
            status: Status::with_error_details(code, message, details),
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

/// What gRPC could not carry, or would carry at the cost of others.
pub(crate) fn headers_too_long() -> Failure {
    Failure::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        Code::InvalidArgument,
        "HEADERS_TOO_LONG",
        "a header is longer than 8 KiB, or all together are longer than 32 KiB",
    )
}

pub(crate) fn no_such_method() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        Code::Unimplemented,
        "NO_SUCH_METHOD",
        "there is no such method; GET /v1 lists them",
    )
}

pub(crate) fn only_post(descriptor: Option<&MessageDescriptor>) -> Response {
    let failure = Failure::new(
        StatusCode::METHOD_NOT_ALLOWED,
        Code::Unimplemented,
        "ONLY_POST",
        "methods are called by POST",
    );
    let mut response = failure.into_response(descriptor);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

#[cfg(test)]
mod tests {
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
    fn what_the_transport_says_is_no_answer_of_the_service() {
        let ours = told(Status::resource_exhausted("too many"));
        assert_eq!(ours.code(), Code::ResourceExhausted);
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let mut calm = Status::resource_exhausted("h2 protocol error: enhance your calm");
        calm.set_source(std::sync::Arc::new(reset));
        for lost in [
            calm,
            Status::unknown("grpc-status header missing, mapped from 431"),
        ] {
            let failure = Failure::from(lost);
            assert_eq!(failure.status.code(), Code::Unavailable);
            let details = failure.status.get_error_details();
            assert_eq!(details.error_info().unwrap().reason, "CONNECTION_LOST");
            let response = failure.into_response(None);
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
        let expired: Box<dyn Error + Send + Sync> = Box::new(TimeoutExpired(()));
        assert_eq!(
            told(Status::from_error(expired)).code(),
            Code::DeadlineExceeded
        );
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
