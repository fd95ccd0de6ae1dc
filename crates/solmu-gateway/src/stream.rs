//! A stream of messages over HTTP: a line of JSON each, or server-sent events for browsers.
//!
//! A line is `{"result": <message>}`; an end that is no good one is told by a last `{"error": <google.rpc.Status>}`, for
//! the HTTP status was sent long before. An event has the message as its data and its cursor as its id.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::{Status, Streaming};

use crate::{
    call::write,
    error::{body_of, told},
};

/// How often a silent event stream sends a comment, so that proxies keep it open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How a stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `application/x-ndjson`.
    Lines,
    /// `text/event-stream`.
    Events,
}

impl Form {
    /// What the caller accepts; lines unless they ask for events.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let events = accepts
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("text/event-stream"));
        if events { Self::Events } else { Self::Lines }
    }
}

/// A message, or why the stream ended.
struct Item {
    json: String,
    cursor: Option<String>,
    failed: bool,
}

/// The stream as an answer.
pub(crate) fn respond(
    answers: Streaming<Bytes>,
    output: MessageDescriptor,
    status: Option<MessageDescriptor>,
    form: Form,
) -> Response {
    let items = items(answers, output, status);
    let mut response = match form {
        Form::Lines => {
            let lines = items.map(|item| {
                let name = if item.failed { "error" } else { "result" };
                Ok::<_, Infallible>(format!("{{\"{name}\":{}}}\n", item.json))
            });
            let mut response = Response::new(Body::from_stream(lines));
            let kind = HeaderValue::from_static("application/x-ndjson");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Form::Events => {
            let events = items.map(|item| Ok::<_, Infallible>(event(item)));
            Sse::new(events)
                .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
                .into_response()
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx collects answers otherwise, and a watcher would see nothing for minutes.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn event(item: Item) -> Event {
    let event = Event::default().data(item.json);
    if item.failed {
        return event.event("error");
    }
    match item.cursor {
        // An id must be one line without NUL (HTML, 9.2.6).
        Some(cursor) if !cursor.contains(['\n', '\r', '\0']) => event.id(cursor),
        _ => event,
    }
}

fn items(
    answers: Streaming<Bytes>,
    output: MessageDescriptor,
    status: Option<MessageDescriptor>,
) -> impl Stream<Item = Item> {
    let started = Some((answers, output, status));
    stream::unfold(started, |state| async move {
        let (mut answers, output, status) = state?;
        let next = match answers.message().await {
            Ok(None) => return None,
            Ok(Some(bytes)) => item(&output, &bytes),
            Err(failure) => Err(told(failure)),
        };
        Some(match next {
            Ok(item) => (item, Some((answers, output, status))),
            Err(failure) => {
                let json = body_of(&failure, status.as_ref()).to_string();
                let last = Item {
                    json,
                    cursor: None,
                    failed: true,
                };
                (last, None)
            }
        })
    })
}

fn item(output: &MessageDescriptor, bytes: &Bytes) -> Result<Item, Status> {
    let json = String::from_utf8(write(output, bytes)?)
        .map_err(|_| Status::internal("an answer cannot be written as JSON"))?;
    let cursor = output.get_field_by_name("cursor").and_then(|field| {
        let message = DynamicMessage::decode(output.clone(), bytes.as_ref()).ok()?;
        let cursor = message.get_field(&field);
        cursor.as_str().map(str::to_owned)
    });
    Ok(Item {
        json,
        cursor: cursor.filter(|cursor| !cursor.is_empty()),
        failed: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_to_who_asks_for_them() {
        let with = |accept: &'static str| {
            let value = HeaderValue::from_static(accept);
            Form::wanted(&[(header::ACCEPT, value)].into_iter().collect())
        };
        assert_eq!(with("text/event-stream"), Form::Events);
        assert_eq!(
            with("application/json, text/event-stream;q=0.5"),
            Form::Events
        );
        assert_eq!(with("*/*"), Form::Lines);
        assert_eq!(Form::wanted(&HeaderMap::new()), Form::Lines);
    }
}
