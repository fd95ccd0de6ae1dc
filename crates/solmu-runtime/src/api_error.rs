//! The one place that maps errors to the wire, gRPC and HTTP alike.
//!
//! The caller gets a code, a safe sentence and google.rpc details (AIP-193); the log gets the chain of causes, once,
//! here. A sentence is safe when it says nothing that the caller did not send and holds no personal data.

mod cut;

use std::{collections::HashMap, error::Error, time::Duration};

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prost::Message as _;
use serde_json::json;
use solmu_db::{DbError, HasDbError, is_unstorable_text};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

pub use cut::{MAX_ECHO, echo};

/// The domain of `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "solmu";

/// Any error, as a cause.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, as in the proto: `token.display_name`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl Violation {
    /// A violation.
    #[must_use]
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            description: description.into(),
        }
    }
}

/// Why a call failed. `reason`s are stable, in `UPPER_SNAKE_CASE`; messages are for people and may change.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It is not there, or not for this caller.
    #[error("{resource} '{id}' does not exist")]
    NotFound {
        /// What kind of thing, e.g. "ticket".
        resource: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// It is there already.
    #[error("{resource} '{id}' exists already")]
    AlreadyExists {
        /// What kind of thing.
        resource: &'static str,
        /// Its id or name.
        id: String,
    },
    /// It was made under this request id, and what is told once about it cannot be told again.
    #[error(
        "{resource} '{id}' was made by this request before, and its secret is told once: revoke it and make another one \
         under a new request id"
    )]
    ToldOnce {
        /// What kind of thing.
        resource: &'static str,
        /// Its id.
        id: String,
    },
    /// The request cannot be right, whatever the state.
    #[error("the request is not valid")]
    InvalidArgument {
        /// Everything that is wrong with it.
        violations: Vec<Violation>,
    },
    /// The request does not fit the present state; repeating it is pointless until that changes.
    #[error("{message}")]
    FailedPrecondition {
        /// Stable code.
        reason: &'static str,
        /// A safe sentence.
        message: String,
    },
    /// Somebody else was faster (etag, version): read again and decide anew.
    #[error("{message}")]
    Aborted {
        /// Stable code.
        reason: &'static str,
        /// A safe sentence.
        message: String,
    },
    /// Too much at once.
    #[error("{message}")]
    ResourceExhausted {
        /// Stable code.
        reason: &'static str,
        /// A safe sentence.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// The caller is not known.
    #[error("{message}")]
    Unauthenticated {
        /// Stable code.
        reason: &'static str,
        /// A safe sentence.
        message: &'static str,
    },
    /// The caller is known and may not do this.
    #[error("{message}")]
    PermissionDenied {
        /// Stable code.
        reason: &'static str,
        /// A safe sentence.
        message: String,
    },
    /// Something that we need is away; the same request may succeed soon.
    #[error("a part of the service is away")]
    Unavailable(#[source] BoxError),
    /// The call took too long.
    #[error("the call took too long")]
    DeadlineExceeded,
    /// Another failure, with a message of ours that tells clients more (one of the details of the answer over gRPC).
    #[error("{error}")]
    Detailed {
        /// What failed.
        #[source]
        error: Box<Self>,
        /// The message, with its type.
        detail: prost_types::Any,
    },
    /// The database failed: unavailable, aborted or internal, depending on how.
    #[error("database operation failed")]
    Database(#[source] DbError),
    /// A fault of ours.
    #[error("an internal error happened")]
    Internal(#[source] BoxError),
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

impl HasDbError for ApiError {
    fn db_error(&self) -> Option<&DbError> {
        match self {
            Self::Database(error) => Some(error),
            Self::Detailed { error, .. } => error.db_error(),
            _ => None,
        }
    }
}

impl ApiError {
    /// One thing that is wrong with the request.
    #[must_use]
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::InvalidArgument {
            violations: vec![Violation::new(field, description)],
        }
    }

    /// A thing that does not exist.
    #[must_use]
    pub fn not_found(resource: &'static str, id: &(impl ToString + ?Sized)) -> Self {
        Self::NotFound {
            resource,
            id: id.to_string(),
        }
    }

    /// A fault of ours.
    #[must_use]
    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal(source.into())
    }

    /// Something that we need is away.
    #[must_use]
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable(source.into())
    }

    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.parts().1
    }

    /// The same, with `detail`, whose full name is `name`, as one more detail.
    #[must_use]
    pub fn with_detail(self, name: &str, detail: &impl prost::Message) -> Self {
        let detail = prost_types::Any {
            type_url: format!("type.googleapis.com/{name}"),
            value: detail.encode_to_vec(),
        };
        Self::Detailed {
            error: Box::new(self),
            detail,
        }
    }

    /// Code, reason and the sentence for the caller: the one table that both wires use.
    fn parts(&self) -> (Code, &'static str, String) {
        let (code, reason) = match self {
            Self::Detailed { error, .. } => return error.parts(),
            Self::NotFound { .. } => (Code::NotFound, "NOT_FOUND"),
            Self::AlreadyExists { .. } | Self::ToldOnce { .. } => {
                (Code::AlreadyExists, "ALREADY_EXISTS")
            }
            Self::InvalidArgument { .. } => (Code::InvalidArgument, "INVALID_ARGUMENT"),
            Self::FailedPrecondition { reason, .. } => (Code::FailedPrecondition, *reason),
            Self::Aborted { reason, .. } => (Code::Aborted, *reason),
            Self::ResourceExhausted { reason, .. } => (Code::ResourceExhausted, *reason),
            Self::Unauthenticated { reason, .. } => (Code::Unauthenticated, *reason),
            Self::PermissionDenied { reason, .. } => (Code::PermissionDenied, *reason),
            Self::Unavailable(_) => (Code::Unavailable, "UNAVAILABLE"),
            Self::DeadlineExceeded => (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            Self::Database(error) if error.is_unavailable() => (Code::Unavailable, "UNAVAILABLE"),
            Self::Database(error) if error.is_timed_out() => {
                (Code::DeadlineExceeded, "DEADLINE_EXCEEDED")
            }
            Self::Database(error) if error.is_conflict() => (Code::Aborted, "CONFLICT"),
            Self::Database(_) | Self::Internal(_) if is_unstorable_text(self) => {
                (Code::InvalidArgument, "INVALID_ARGUMENT")
            }
            Self::Database(_) | Self::Internal(_) => (Code::Internal, "INTERNAL"),
        };
        let sentence = match (self, code) {
            (Self::Database(_), Code::Unavailable) => "a part of the service is away".to_owned(),
            (Self::Database(_), Code::DeadlineExceeded) => {
                "it takes too long to find: ask for less (a narrower filter, a span of time, whole values in place of parts, \
                 a smaller page), or try again later"
                    .to_owned()
            }
            (Self::Database(_), Code::Aborted) => "the change collided with another one".to_owned(),
            (Self::Database(_) | Self::Internal(_), Code::InvalidArgument) => {
                "the request is not valid: a text of it has a NUL character".to_owned()
            }
            (Self::Database(_), _) => "an internal error happened".to_owned(),
            _ => self.to_string(),
        };
        (code, reason, sentence)
    }

    /// Writes the chain of causes to the log, for the errors that are ours.
    fn log(&self, code: Code) {
        let error: &dyn Error = self;
        match code {
            Code::Internal => tracing::error!(error, "call failed"),
            Code::Unavailable => tracing::warn!(error, "call could not be served"),
            _ => {}
        }
    }

    fn details(&self, reason: &str) -> ErrorDetails {
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        match self {
            Self::Detailed { error, .. } => return error.details(reason),
            Self::NotFound { resource, id }
            | Self::AlreadyExists { resource, id }
            | Self::ToldOnce { resource, id } => {
                details.set_resource_info(*resource, echo(id), "", "");
            }
            Self::InvalidArgument { violations } => {
                details.set_bad_request(cut::violations(violations));
            }
            Self::FailedPrecondition { reason, message } => {
                let message = cut::sentence(message);
                details.add_precondition_failure_violation(*reason, "", message);
            }
            Self::ResourceExhausted { retry_after, .. } => {
                details.set_retry_info(Some(*retry_after));
            }
            Self::Unavailable(_) => {
                details.set_retry_info(Some(Duration::from_secs(1)));
            }
            _ => {}
        }
        details
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let (code, reason, sentence) = error.parts();
        error.log(code);
        let sentence = cut::sentence(&sentence);
        let status = Status::with_error_details(code, sentence, error.details(reason));
        let mut details = Vec::new();
        let mut inner = error;
        while let ApiError::Detailed { error, detail } = inner {
            details.push(detail);
            inner = *error;
        }
        if details.is_empty() {
            return status;
        }
        let mut wire = pb::Status::decode(status.details()).unwrap_or_default();
        wire.details.extend(details);
        if wire.encoded_len() > cut::MAX_STATUS {
            return status;
        }
        Status::with_details(code, status.message(), wire.encode_to_vec().into())
    }
}

/// Problem details of RFC 9457, with the same reason as over gRPC.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (code, reason, sentence) = self.parts();
        self.log(code);
        let status = http_status(code);
        let mut problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": sentence,
            "reason": reason,
        });
        if let Self::InvalidArgument { violations } = &self {
            let violations = violations.iter().map(
                |violation| json!({ "field": violation.field, "description": violation.description }),
            );
            problem["violations"] = violations.collect();
        }
        let retry = match &self {
            Self::ResourceExhausted { retry_after, .. } => Some(retry_after.as_secs().max(1)),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => None,
        };
        let mut response = (
            status,
            [(header::CONTENT_TYPE, "application/problem+json")],
            Json(problem).0.to_string(),
        )
            .into_response();
        if let Some(seconds) = retry {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// The HTTP status of a code, as google.rpc.Code gives it.
#[must_use]
pub fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(error: ApiError) -> Status {
        Status::from(error)
    }

    #[test]
    fn details_follow_the_error() {
        let status = status(ApiError::InvalidArgument {
            violations: vec![
                Violation::new("token.role", "is missing"),
                Violation::new("token.display_name", "is empty"),
            ],
        });
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!(
            (info.reason.as_str(), info.domain.as_str()),
            ("INVALID_ARGUMENT", DOMAIN)
        );
        let fields: Vec<_> = details
            .bad_request()
            .unwrap()
            .field_violations
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(fields, ["token.role", "token.display_name"]);

        let details = super::tests::status(ApiError::not_found("ticket", &7)).get_error_details();
        let resource = details.resource_info().unwrap();
        assert_eq!(
            (
                resource.resource_type.as_str(),
                resource.resource_name.as_str()
            ),
            ("ticket", "7")
        );
    }

    #[test]
    fn causes_stay_inside() {
        let error = ApiError::internal(std::io::Error::other("password is hunter2"));
        let status = status(error);
        assert_eq!(
            (status.code(), status.message()),
            (Code::Internal, "an internal error happened")
        );
        assert!(!format!("{status:?}").contains("hunter2"));
    }

    #[test]
    fn database_errors_are_told_apart() {
        let away = DbError::Sqlx(sqlx::Error::PoolTimedOut);
        assert_eq!(status(away.into()).code(), Code::Unavailable);
        let fault = DbError::Sqlx(sqlx::Error::RowNotFound);
        assert_eq!(status(fault.into()).code(), Code::Internal);
    }

    #[tokio::test]
    async fn a_text_that_cannot_be_stored_is_the_callers_fault() {
        let harness = solmu_testkit::Harness::new().await;
        let refused = || async {
            let query = sqlx::query("SELECT $1::text").bind("a\0b");
            query.execute(harness.db.pool()).await.unwrap_err()
        };
        let errors = [
            ApiError::from(DbError::from(refused().await)),
            ApiError::internal(refused().await),
            ApiError::internal(DbError::from(refused().await)),
        ];
        for error in errors {
            let status = status(error);
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains("NUL"), "{}", status.message());
        }
        let fault = sqlx::query("SELECT 1/0").execute(harness.db.pool()).await;
        let fault = status(DbError::from(fault.unwrap_err()).into());
        assert_eq!(fault.code(), Code::Internal);
    }

    #[tokio::test]
    async fn what_takes_too_long_is_told_with_what_to_do() {
        let harness = solmu_testkit::Harness::new().await;
        let mut tx = harness.db.pool().begin().await.unwrap();
        let bound = sqlx::query("SET LOCAL statement_timeout = 100");
        bound.execute(&mut *tx).await.unwrap();
        let late = sqlx::query("SELECT pg_sleep(86400)").execute(&mut *tx);
        let status = status(DbError::from(late.await.unwrap_err()).into());
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(status.message().contains("narrower filter"), "{status:?}");
    }

    #[tokio::test]
    async fn http_gets_problem_details() {
        let error = ApiError::ResourceExhausted {
            reason: "TOO_MANY_FORMS",
            message: "too many forms".to_owned(),
            retry_after: Duration::from_secs(7),
        };
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let body = axum::body::to_bytes(response.into_body(), 1 << 16)
            .await
            .unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["reason"], "TOO_MANY_FORMS");
        assert_eq!(problem["status"], 429);
    }
}
