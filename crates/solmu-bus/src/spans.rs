//! The spans of the bus, after the OpenTelemetry conventions for messaging.
//!
//! - Each event is processed in a span of its own, whose parent is the event's creation: so one trace tells the whole way of a
//!   message. The conventions allow a parent where one message is meant, and links otherwise.
//! - The batch that it was handled in is a trace of its own, because it belongs to many: a root span with a link to the
//!   creation of each event, and a link from the span of each event back to it. The transaction of a batch is inside of it.
//! - Sending is a part of the event's trace if there is one event, and a root with links if there are several.
//!
//! Spans of batches and of sending are made only where an event's trace is exported: nobody could find the others.

use std::collections::HashSet;

use solmu_telemetry::trace_context::{self, TraceContext};
use tracing::Span;

use crate::{
    cause::Cause,
    envelope::{Event, ReceivedEvent},
    handler::Delivered,
};

/// The span in which `consumer` processes an event; `deliveries` counts how often its bus message has come.
pub(crate) fn of_event(consumer: &'static str, event: &ReceivedEvent, deliveries: i64) -> Span {
    let span = tracing::info_span!(
        "bus.process",
        otel.name = format!("process {}", event.event_type),
        otel.kind = "consumer",
        otel.status_code = tracing::field::Empty,
        "error.type" = tracing::field::Empty,
        messaging.system = "nats",
        "messaging.operation.name" = "process",
        "messaging.operation.type" = "process",
        messaging.consumer.group.name = consumer,
        messaging.message.id = %event.id,
        messaging.nats.delivery_count = tracing::field::Empty,
    );
    trace_context::set_parent(&span, &event.trace);
    if deliveries > 1 {
        span.record("messaging.nats.delivery_count", deliveries);
    }
    span
}

/// The span in which a batch is handled, linked both ways with its events; none if no trace of them is exported.
pub(crate) fn of_batch(consumer: &'static str, batch: &[Delivered]) -> Span {
    if !batch
        .iter()
        .any(|delivered| delivered.event.trace.is_exported())
    {
        return Span::none();
    }
    let span = tracing::info_span!(
        parent: None,
        "bus.batch",
        otel.name = format!("process {consumer}"),
        otel.kind = "consumer",
        messaging.system = "nats",
        "messaging.operation.name" = "process",
        "messaging.operation.type" = "process",
        messaging.consumer.group.name = consumer,
        messaging.batch.message_count = count(batch.len()),
        sampling.priority = 1_i64,
    );
    link(&span, batch.iter().map(|delivered| &delivered.event.trace));
    let here = TraceContext::of(&span);
    for delivered in batch {
        if delivered.event.trace.is_exported() {
            trace_context::add_link(&delivered.span, &here);
        }
    }
    span
}

/// The span in which events are sent and their acknowledgement is awaited; none if no trace of them is exported.
pub(crate) fn of_send(events: &[Event]) -> Span {
    let Some(first) = events.iter().find(|event| event.trace.is_exported()) else {
        return Span::none();
    };
    let span = tracing::info_span!(
        parent: None,
        "bus.send",
        otel.name = format!("send {}", first.family.token()),
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        messaging.system = "nats",
        "messaging.operation.name" = "send",
        "messaging.operation.type" = "send",
        messaging.destination.template = first.family.token(),
        messaging.batch.message_count = count(events.len()),
        sampling.priority = 1_i64,
    );
    if let [only] = events {
        trace_context::set_parent(&span, &only.trace);
    } else {
        link(&span, events.iter().map(|event| &event.trace));
    }
    span
}

/// As a whole number in the export: of the kinds of numbers that spans take, only this one stays one.
fn count(events: usize) -> i64 {
    i64::try_from(events).unwrap_or(i64::MAX)
}

/// A link to each creation: those of one call share theirs.
fn link<'a>(span: &Span, creations: impl Iterator<Item = &'a TraceContext>) {
    let exported: HashSet<&TraceContext> = creations
        .filter(|creation| creation.is_exported())
        .collect();
    for creation in exported {
        trace_context::add_link(span, creation);
    }
}

/// Notes on an event's span that it could not be done this time, or ever.
pub(crate) fn failed(delivered: &Delivered, cause: &Cause) {
    delivered.span.record("otel.status_code", "ERROR");
    delivered.span.record("error.type", cause.code);
}
