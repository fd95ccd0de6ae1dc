//! What both webhooks share: from verified bytes to an answer.
//!
//! The order of work is the promise: verify over the raw bytes, read loosely, publish and wait for the bus, answer. A
//! request that is the vendor's is never answered with 4xx, however odd: vendors repeat those for days and then turn
//! the webhook off. Only a bus that is away is told to the vendor, as 503, so that it comes again.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, StatusCode},
};
use bytes::Bytes;
use solmu_connector::{
    InboundEvent, Intake, IntakeError, ObjectStore, raw, signature::SignatureError,
};
use solmu_telemetry::metrics::{Counter, Metrics, Unit, intern};

use crate::batch::Batch;

/// What a webhook works with.
#[derive(Debug, Clone)]
pub(crate) struct Webhooks {
    pub(crate) intake: Intake,
    pub(crate) store: ObjectStore,
    pub(crate) max_body_bytes: usize,
    pub(crate) metrics: Arc<WebhookMetrics>,
}

/// Metrics of the webhooks.
#[derive(Debug)]
pub(crate) struct WebhookMetrics {
    requests: Counter<2>,
    elements: Counter<3>,
}

impl WebhookMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            requests: metrics.counter(
                "solmu_webhook_requests_total",
                "webhook requests by how they were answered",
                Unit::Count,
                ["channel", "answer"],
            ),
            elements: metrics.counter(
                "solmu_webhook_elements_total",
                "elements of webhook requests that became no event, by what was done with them and why",
                Unit::Count,
                ["channel", "outcome", "cause"],
            ),
        }
    }

    /// Counts the answer and passes it on.
    pub(crate) fn answered(&self, channel: &'static str, status: StatusCode) -> StatusCode {
        self.requests.inc([channel, intern(status.as_str())]);
        status
    }
}

/// The answer to a request that nobody signed as they should.
pub(crate) fn refused(error: SignatureError) -> StatusCode {
    match error {
        SignatureError::Missing(_) => StatusCode::UNAUTHORIZED,
        SignatureError::Malformed(_) | SignatureError::Mismatch | SignatureError::Stale => {
            StatusCode::FORBIDDEN
        }
    }
}

/// A header's value, if there is exactly one.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

impl Webhooks {
    /// The body, or 413.
    pub(crate) async fn body(&self, body: Body) -> Result<Bytes, StatusCode> {
        to_bytes(body, self.max_body_bytes)
            .await
            .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// Keeps the original and publishes what was read from it.
    pub(crate) async fn take(
        &self,
        channel: &'static str,
        batch: Batch,
        body: &Bytes,
    ) -> StatusCode {
        for cause in &batch.ignored {
            self.metrics.elements.inc([channel, "ignored", cause]);
        }
        if !batch.kept.is_empty() && !self.keep(channel, &batch.kept, body).await {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let raw =
            match raw::keep_shared(&self.store, body, "application/json", batch.messages.len())
                .await
            {
                Ok(raw) => raw,
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        channel,
                        "cannot keep an original"
                    );
                    return StatusCode::SERVICE_UNAVAILABLE;
                }
            };
        let events = batch.into_events(&raw);
        match self.intake.accept_all(events.clone()).await {
            Ok(()) => StatusCode::OK,
            Err(IntakeError::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
            Err(IntakeError::TooLarge) => self.take_singly(channel, events, body).await,
        }
    }

    /// One event that does not fit must not cost its neighbours: it is kept, they are published.
    async fn take_singly(
        &self,
        channel: &'static str,
        events: Vec<InboundEvent>,
        body: &Bytes,
    ) -> StatusCode {
        for event in events {
            match self.intake.accept(event).await {
                Ok(()) => {}
                Err(IntakeError::TooLarge) if self.keep(channel, &["too_large"], body).await => {}
                Err(IntakeError::TooLarge | IntakeError::Unavailable) => {
                    return StatusCode::SERVICE_UNAVAILABLE;
                }
            }
        }
        StatusCode::OK
    }

    /// Keeps a request that has elements which became no event, under a key that the log shows.
    pub(crate) async fn keep(
        &self,
        channel: &'static str,
        causes: &[&'static str],
        body: &Bytes,
    ) -> bool {
        match self.store.put(body.clone()).await {
            Ok(object) => {
                for cause in causes {
                    self.metrics.elements.inc([channel, "kept", cause]);
                    tracing::warn!(
                        channel,
                        cause,
                        object.key,
                        "a webhook element became no event; the original is kept"
                    );
                }
                true
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    channel,
                    "cannot keep an original"
                );
                false
            }
        }
    }
}
