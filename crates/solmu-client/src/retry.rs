//! Calls that are made again by themselves, so that a rolling restart of the servers is nobody's error.
//!
//! - A call that the server has never seen is sent again whatever it does: it crossed the server's GOAWAY, its stream was
//!   refused, or no connection could be made. gRPC libraries call this a transparent retry; tonic leaves it to its caller.
//! - A call of which nobody knows what became (the connection broke, or the answer was UNAVAILABLE) is made again only if it
//!   may be made twice ([`crate::methods`]).
//!
//! There are at most [`ATTEMPTS`] attempts, with a pause between them, within the time that the call has. Other refusals and
//! time-outs are the caller's to judge. Callers are not spread by chance: their calls already are.

use std::{
    error::Error as StdError,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full};
use tokio::time::Instant;
use tonic::{
    Code, ConnectError, Status, TimeoutExpired,
    body::Body,
    codegen::{Bytes, Service, http},
    transport::Channel,
};
use tonic_types::StatusExt as _;

use crate::methods::{self, Method};

/// How often a call is made at most.
pub const ATTEMPTS: u32 = 4;
/// Before the second attempt; each later pause is four times the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest that a server may ask to wait for (`RetryInfo`); beyond it, the caller is told.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What all attempts and pauses may take together, unless the call has less time.
const BUDGET: Duration = Duration::from_secs(30);

type Response = http::Response<Body>;
type BoxError = Box<dyn StdError + Send + Sync>;

/// A channel whose calls are made again where that is safe.
#[derive(Debug, Clone)]
pub struct Retry {
    channel: Channel,
}

impl Retry {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }
}

impl Service<http::Request<Body>> for Retry {
    type Response = Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Each attempt waits for the channel itself.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let channel = self.channel.clone();
        match methods::of_path(request.uri().path()) {
            Some(method) => Box::pin(repeat(channel, method, request)),
            // A stream of requests is gone once it is sent.
            None => Box::pin(send(channel, request)),
        }
    }
}

async fn send(mut channel: Channel, request: http::Request<Body>) -> Result<Response, BoxError> {
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
    Ok(channel.call(request).await?)
}

async fn repeat(
    channel: Channel,
    method: Method,
    request: http::Request<Body>,
) -> Result<Response, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let deadline = Instant::now() + budget(&parts.headers);
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let outcome = send(channel.clone(), rebuilt(&parts, &body)).await;
        let wait = match judge(&outcome) {
            Fate::NeverSeen => pause,
            Fate::Unknown { wait } if method.may_repeat(&body) => pause.max(wait),
            Fate::Unknown { .. } | Fate::Settled => return outcome,
        };
        if attempt >= ATTEMPTS || wait > LONGEST_PAUSE || Instant::now() + wait >= deadline {
            return outcome;
        }
        tokio::time::sleep(wait).await;
        pause *= 4;
        attempt += 1;
    }
}

fn rebuilt(parts: &http::request::Parts, body: &Bytes) -> http::Request<Body> {
    http::Request::from_parts(parts.clone(), Body::new(Full::new(body.clone())))
}

/// What the caller gives the call (`grpc-timeout`), or [`BUDGET`].
fn budget(headers: &http::HeaderMap) -> Duration {
    let given = headers
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .and_then(|text| {
            let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
            let number: u64 = number.parse().ok()?;
            Some(match unit {
                "H" => Duration::from_secs(number.saturating_mul(3600)),
                "M" => Duration::from_secs(number.saturating_mul(60)),
                "S" => Duration::from_secs(number),
                "m" => Duration::from_millis(number),
                "u" => Duration::from_micros(number),
                "n" => Duration::from_nanos(number),
                _ => return None,
            })
        });
    given.map_or(BUDGET, |given| given.min(BUDGET))
}

/// What is known of a call after an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It has its answer, or the caller's time is over.
    Settled,
    /// The server has not looked at it.
    NeverSeen,
    /// It may have had its effect; the server may have asked to wait.
    Unknown { wait: Duration },
}

fn judge(outcome: &Result<Response, BoxError>) -> Fate {
    match outcome {
        // A refusal without a message comes in the head of the answer.
        Ok(response) => match Status::from_header_map(response.headers()) {
            Some(status) if status.code() == Code::Unavailable => Fate::Unknown {
                wait: asked_to_wait(&status),
            },
            _ => Fate::Settled,
        },
        Err(error) => judge_error(error.as_ref()),
    }
}

fn asked_to_wait(status: &Status) -> Duration {
    let details = status.check_error_details().unwrap_or_default();
    details
        .retry_info()
        .and_then(|info| info.retry_delay)
        .unwrap_or_default()
}

fn judge_error(error: &(dyn StdError + 'static)) -> Fate {
    let mut cause = Some(error);
    while let Some(at) = cause {
        if at.is::<TimeoutExpired>() {
            return Fate::Settled;
        }
        if at.is::<ConnectError>() {
            return Fate::NeverSeen;
        }
        if at
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled)
        {
            return Fate::NeverSeen;
        }
        if let Some(error) = at.downcast_ref::<h2::Error>() {
            let reason = error.reason();
            let left = error.is_go_away() && error.is_remote();
            let crossed = left && reason == Some(h2::Reason::NO_ERROR);
            if crossed || reason == Some(h2::Reason::REFUSED_STREAM) {
                return Fate::NeverSeen;
            }
        }
        cause = at.source();
    }
    Fate::Unknown {
        wait: Duration::ZERO,
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
