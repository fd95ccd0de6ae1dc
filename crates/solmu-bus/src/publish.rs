//! Publishing: events of one shard go in one message, and nothing is done before the bus has it on disk.

use std::collections::BTreeMap;

use async_nats::jetstream::{context::PublishErrorKind, message::PublishMessage};
use bytes::Bytes;
use futures::future::join_all;
use prost::Message as _;
use tracing::Instrument as _;

use crate::{
    bus::Bus,
    envelope::{BATCH_HEADER, Event, batch_id, binary_headers, encode_batch},
    family::Family,
    spans,
};

/// Payload of one bus message at most. NATS takes 1 MiB by default; the rest is for headers.
pub const MAX_PAYLOAD: usize = 960 * 1024;
/// Where a batch is cut, so that one message does not hold up a consumer for long.
const BATCH_TARGET: usize = 512 * 1024;
const BATCH_EVENTS: usize = 500;

/// A publish that failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// No answer came: the events may or may not be on the bus. Publish the same ones again, or tell the sender to.
    #[error("the bus did not acknowledge in time")]
    Unknown,
    /// The bus cannot be reached, or is full.
    #[error("the bus does not take events")]
    Unavailable(#[source] async_nats::jetstream::context::PublishError),
    /// One event is larger than a message may be. Put its parts into the object store.
    #[error("an event of {size} bytes is larger than {MAX_PAYLOAD}")]
    TooLarge {
        /// Encoded size.
        size: usize,
    },
}

/// An event that is encoded already: from an outbox.
#[derive(Debug, Clone)]
pub struct EncodedEvent {
    /// Its id.
    pub id: String,
    /// Where it goes.
    pub family: Family,
    /// Shard of that family.
    pub shard: i32,
    /// Encoded `solmu.bus.v1.Event`.
    pub bytes: Vec<u8>,
}

impl Bus {
    /// Encodes an event and finds its shard.
    #[must_use]
    pub fn encode(&self, event: &Event) -> EncodedEvent {
        EncodedEvent {
            id: event.id.to_string(),
            family: event.family,
            shard: i32::from(self.shard(&event.partition_key)),
            bytes: event.to_proto().encode_to_vec(),
        }
    }

    /// Publishes events; `Ok` when all are on the bus's disk. Events of one shard keep their order.
    pub async fn publish(&self, events: &[Event]) -> Result<(), PublishError> {
        let span = spans::of_send(events);
        let sending = self.publish_encoded(events.iter().map(|event| self.encode(event)).collect());
        let outcome = sending.instrument(span.clone()).await;
        if outcome.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        outcome
    }

    /// As [`Bus::publish`], for events that are encoded already.
    pub async fn publish_encoded(&self, events: Vec<EncodedEvent>) -> Result<(), PublishError> {
        let mut by_subject: BTreeMap<String, Vec<EncodedEvent>> = BTreeMap::new();
        for event in events {
            if event.bytes.len() > MAX_PAYLOAD {
                return Err(PublishError::TooLarge {
                    size: event.bytes.len(),
                });
            }
            by_subject
                .entry(self.subject(event.family, event.shard))
                .or_default()
                .push(event);
        }
        let mut acknowledgements = Vec::new();
        for (subject, events) in by_subject {
            for chunk in chunks(&events) {
                let message = message_of(chunk)?;
                let sent = self
                    .jetstream()
                    .send_publish(subject.clone(), message)
                    .await;
                acknowledgements.push(sent.map_err(classify)?.into_future());
            }
        }
        for outcome in join_all(acknowledgements).await {
            outcome.map_err(classify)?;
        }
        Ok(())
    }
}

/// Cuts events of one subject into messages.
fn chunks(events: &[EncodedEvent]) -> Vec<&[EncodedEvent]> {
    let mut chunks = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (index, event) in events.iter().enumerate() {
        let full = index > start
            && (size + event.bytes.len() > BATCH_TARGET || index - start >= BATCH_EVENTS);
        if full {
            chunks.push(&events[start..index]);
            (start, size) = (index, 0);
        }
        size += event.bytes.len();
    }
    if start < events.len() {
        chunks.push(&events[start..]);
    }
    chunks
}

fn message_of(events: &[EncodedEvent]) -> Result<PublishMessage, PublishError> {
    if let [single] = events {
        // An event that we encoded ourselves decodes; anything else is sent as a batch of one, for the consumer to reject.
        if let Ok(mut event) = solmu_proto::bus::v1::Event::decode(single.bytes.as_slice()) {
            let data = Bytes::from(std::mem::take(&mut event.data));
            return Ok(PublishMessage::build()
                .headers(binary_headers(&event))
                .message_id(&single.id)
                .payload(data));
        }
    }
    let payload = encode_batch(events.iter().map(|event| event.bytes.as_slice()));
    if payload.len() > MAX_PAYLOAD {
        return Err(PublishError::TooLarge {
            size: payload.len(),
        });
    }
    Ok(PublishMessage::build()
        .header(BATCH_HEADER, events.len().to_string().as_str())
        .message_id(batch_id(events.iter().map(|event| event.id.as_str())))
        .payload(payload))
}

fn classify(error: async_nats::jetstream::context::PublishError) -> PublishError {
    match error.kind() {
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => PublishError::Unknown,
        _ => PublishError::Unavailable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(size: usize) -> EncodedEvent {
        EncodedEvent {
            id: String::new(),
            family: Family::Inbound,
            shard: 0,
            bytes: vec![0; size],
        }
    }

    #[test]
    fn chunks_keep_order_and_limits() {
        let events: Vec<_> = [300_000, 300_000, 10, 900_000, 1]
            .map(event)
            .into_iter()
            .collect();
        let sizes: Vec<Vec<usize>> = chunks(&events)
            .iter()
            .map(|chunk| chunk.iter().map(|event| event.bytes.len()).collect())
            .collect();
        assert_eq!(
            sizes,
            [vec![300_000], vec![300_000, 10], vec![900_000], vec![1]]
        );
        assert!(chunks(&[]).is_empty());
    }
}
