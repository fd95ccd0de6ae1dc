//! What can go wrong with a call, in terms that a caller can act on.

use std::{collections::BTreeMap, fmt, time::Duration};

use prost::Message as _;
use solmu_proto::ticket::v1::MissedMessages;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// A call that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is no URL, or its TLS settings cannot be used.
    #[error("cannot use '{endpoint}' as the endpoint: expected http://host:port")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// Why not.
        #[source]
        source: tonic::transport::Error,
    },
    /// The endpoint has no scheme that gRPC is spoken over.
    #[error(
        "cannot use '{endpoint}' as the endpoint: expected http://host:port or https://host:port"
    )]
    Scheme {
        /// What was given.
        endpoint: String,
    },
    /// The token cannot stand in a header. It is not shown.
    #[error("the token has characters that no token has")]
    Token,
    /// The server cannot be reached, or the connection broke: nobody knows whether the call had an effect. Calls that read or
    /// have a request id have been made again already, [`crate::ATTEMPTS`] times in all.
    #[error("the server cannot be reached")]
    Unreachable {
        /// What the transport says.
        #[source]
        source: Box<Status>,
    },
    /// The server said no.
    #[error(transparent)]
    Refused(#[from] Box<Refusal>),
}

/// A refusal, with the google.rpc details (AIP-193) that came along.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// A sentence for people.
    pub message: String,
    /// `ErrorInfo.reason`: stable, upper case with underscores, such as `TICKET_CLOSED`.
    pub reason: Option<String>,
    /// `ErrorInfo.domain`.
    pub domain: Option<String>,
    /// `ErrorInfo.metadata`.
    pub metadata: BTreeMap<String, String>,
    /// Fields of the request that are wrong (`BadRequest`), and states that stand in the way (`PreconditionFailure`).
    pub violations: Vec<Violation>,
    /// When to try again (`RetryInfo`).
    pub retry_after: Option<Duration>,
    /// For the operator's logs (`RequestInfo`).
    pub request_id: Option<String>,
    /// What an answer has missed that was refused with `NEWER_MESSAGES`: read it, and answer with its `last_sequence`.
    pub missed: Option<MissedMessages>,
}

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, or the subject of a precondition.
    pub field: String,
    /// What is wrong.
    pub description: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            f.write_str(self.code.description())?;
        } else {
            f.write_str(&self.message)?;
        }
        // A condition without a subject says the sentence once more.
        let more = self.violations.iter();
        for violation in more.filter(|it| !(it.field.is_empty() && it.description == self.message))
        {
            write!(f, "; {}: {}", violation.field, violation.description)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

impl ClientError {
    /// The gRPC code of a refusal; `Unavailable` where the server was not reached.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            Self::Unreachable { .. } => Some(Code::Unavailable),
            Self::Endpoint { .. } | Self::Scheme { .. } | Self::Token => None,
        }
    }

    /// The reason of a refusal, if the server gave one.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.reason.as_deref(),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let later = [
            Code::Unavailable,
            Code::ResourceExhausted,
            Code::Aborted,
            Code::DeadlineExceeded,
        ];
        self.code().is_some_and(|code| later.contains(&code))
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let of_transport = std::error::Error::source(&status).is_some_and(|source| {
            source.is::<tonic::transport::Error>() || source.is::<tonic::ConnectError>()
        });
        if of_transport {
            return Self::Unreachable {
                source: Box::new(status),
            };
        }
        Self::Refused(Box::new(Refusal::from(&status)))
    }
}

impl From<&Status> for Refusal {
    fn from(status: &Status) -> Self {
        // Details that do not decode are left out: the code and the sentence still say what happened.
        let details = status.check_error_details().unwrap_or_default();
        let info = details.error_info();
        let fields = details
            .bad_request()
            .map(|bad| bad.field_violations.as_slice())
            .unwrap_or_default();
        let conditions = details
            .precondition_failure()
            .map(|failure| failure.violations.as_slice())
            .unwrap_or_default();
        let fields = fields.iter().map(|one| Violation {
            field: one.field.clone(),
            description: one.description.clone(),
        });
        let conditions = conditions.iter().map(|one| Violation {
            field: one.subject.clone(),
            description: one.description.clone(),
        });
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: info.map(|info| info.reason.clone()),
            domain: info.map(|info| info.domain.clone()),
            metadata: info
                .map(|info| info.metadata.clone().into_iter().collect())
                .unwrap_or_default(),
            violations: fields.chain(conditions).collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            request_id: details.request_info().map(|info| info.request_id.clone()),
            missed: missed(status),
        }
    }
}

/// A detail of ours, which the others do not know.
fn missed(status: &Status) -> Option<MissedMessages> {
    const NAME: &str = "solmu.ticket.v1.MissedMessages";
    let wire = tonic_types::pb::Status::decode(status.details()).ok()?;
    let is_it = |url: &str| url.rsplit('/').next() == Some(NAME);
    let detail = wire.details.iter().find(|any| is_it(&any.type_url))?;
    MissedMessages::decode(detail.value.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn details_are_decoded() {
        let mut details = ErrorDetails::with_error_info(
            "BAD_FILTER",
            "solmu",
            [("at".to_owned(), "7".to_owned())],
        );
        details.add_bad_request_violation("filter", "there is no field 'colour'");
        details.set_retry_info(Some(Duration::from_secs(2)));
        details.set_request_info("r-1", "");
        let status =
            Status::with_error_details(Code::InvalidArgument, "the filter cannot be used", details);
        let error = ClientError::from(status);
        assert_eq!(
            error.to_string(),
            "the filter cannot be used; filter: there is no field 'colour'"
        );
        assert_eq!(
            (error.code(), error.reason()),
            (Some(Code::InvalidArgument), Some("BAD_FILTER"))
        );
        assert!(!error.is_transient());
        let ClientError::Refused(refusal) = error else {
            panic!("not a refusal")
        };
        assert_eq!(refusal.metadata["at"], "7");
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(refusal.request_id.as_deref(), Some("r-1"));
    }

    #[test]
    fn what_an_answer_missed_is_decoded() {
        let missed = MissedMessages {
            total: 2,
            last_sequence: 7,
            ..MissedMessages::default()
        };
        let details = ErrorDetails::with_error_info("NEWER_MESSAGES", "solmu", []);
        let status = Status::with_error_details(Code::Aborted, "read first", details);
        assert_eq!(Refusal::from(&status).missed, None);
        let mut wire = tonic_types::pb::Status::decode(status.details()).unwrap();
        wire.details.push(prost_types::Any {
            type_url: "type.googleapis.com/solmu.ticket.v1.MissedMessages".to_owned(),
            value: missed.encode_to_vec(),
        });
        let status = Status::with_details(Code::Aborted, "read", wire.encode_to_vec().into());
        let refusal = Refusal::from(&status);
        assert_eq!(refusal.reason.as_deref(), Some("NEWER_MESSAGES"));
        assert_eq!(refusal.missed, Some(missed));
    }

    #[test]
    fn preconditions_are_violations_too() {
        let details = ErrorDetails::with_precondition_failure_violation(
            "STATE",
            "ticket/1",
            "a closed ticket takes no reply",
        );
        let refusal = Refusal::from(&Status::with_error_details(
            Code::FailedPrecondition,
            "no",
            details,
        ));
        assert_eq!(
            refusal.to_string(),
            "no; ticket/1: a closed ticket takes no reply"
        );
    }

    #[test]
    fn a_bare_status_still_says_something() {
        let error = ClientError::from(Status::new(Code::NotFound, ""));
        assert_eq!(error.to_string(), "Some requested entity was not found");
        let garbage =
            Status::with_details(Code::Aborted, "changed meanwhile", vec![0xff, 1, 2].into());
        let error = ClientError::from(garbage);
        assert_eq!(error.to_string(), "changed meanwhile");
        assert!(error.is_transient());
    }

    #[test]
    fn an_unavailable_service_is_not_an_unreachable_server() {
        let error = ClientError::from(Status::unavailable("the bus is away"));
        assert!(matches!(error, ClientError::Refused(_)) && error.is_transient());
    }
}
