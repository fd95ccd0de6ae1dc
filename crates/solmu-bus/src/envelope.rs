//! The event envelope: CloudEvents 1.0 in binary mode, or as an element of a batch.

use async_nats::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use prost::Message as _;
use solmu_domain::ids::EventId;
use solmu_proto::bus::v1 as proto;
use solmu_telemetry::trace_context::TraceContext;
use uuid::Uuid;

use crate::{events::EventBody, family::Family};

/// Header that marks a message as a batch; its value is the number of events.
pub const BATCH_HEADER: &str = "solmu-batch";
const CONTENT_TYPE: &str = "application/protobuf";
/// The type that a bus message gets as a dead letter, if it was no event.
pub(crate) const UNDECODABLE: &str = "solmu.undecodable";

/// An event to publish.
#[derive(Debug, Clone)]
pub struct Event {
    /// CloudEvents id. The consumers' inboxes key on it.
    pub id: EventId,
    /// CloudEvents type, e.g. "solmu.ticket.opened.v1".
    pub event_type: String,
    /// Which subjects it goes to.
    pub family: Family,
    /// When it happened.
    pub time: Timestamp,
    /// CloudEvents source: the service.
    pub source: String,
    /// What it is about.
    pub subject: String,
    /// Events of one key keep their order.
    pub partition_key: String,
    /// Trace context of its creation.
    pub trace: TraceContext,
    /// The encoded protobuf message.
    pub data: Bytes,
}

impl Event {
    /// Wraps `body`, with the trace context of the current span.
    #[must_use]
    pub fn new<B: EventBody>(id: EventId, time: Timestamp, body: &B) -> Self {
        Self::traced(id, time, body, TraceContext::current())
    }

    /// Wraps `body` with a given trace context.
    #[must_use]
    pub fn traced<B: EventBody>(
        id: EventId,
        time: Timestamp,
        body: &B,
        trace: TraceContext,
    ) -> Self {
        Self {
            id,
            event_type: B::TYPE.to_owned(),
            family: body.family(),
            time,
            source: format!("/services/{}", B::SOURCE),
            subject: body.subject(),
            partition_key: body.partition_key(),
            trace,
            data: body.encode_to_vec().into(),
        }
    }

    /// The protobuf form, as in a batch and in an outbox.
    #[must_use]
    pub fn to_proto(&self) -> proto::Event {
        proto::Event {
            id: self.id.to_string(),
            source: self.source.clone(),
            r#type: self.event_type.clone(),
            time: Some(to_proto_time(self.time)),
            subject: self.subject.clone(),
            partition_key: self.partition_key.clone(),
            traceparent: self.trace.traceparent.clone(),
            tracestate: self.trace.tracestate.clone(),
            data: self.data.to_vec(),
        }
    }
}

/// An event as it was received.
#[derive(Debug, Clone)]
pub struct ReceivedEvent {
    /// CloudEvents id.
    pub id: EventId,
    /// CloudEvents type.
    pub event_type: String,
    /// When it happened.
    pub time: Timestamp,
    /// What it is about.
    pub subject: String,
    /// Events of one key keep their order.
    pub partition_key: String,
    /// Trace context of its creation.
    pub trace: TraceContext,
    /// The encoded protobuf message.
    pub data: Bytes,
    source: String,
}

/// Bytes that are no event.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// A header that CloudEvents demands is missing.
    #[error("the message has no header '{0}'")]
    MissingHeader(&'static str),
    /// The id is no UUID.
    #[error("the event id is not a UUID")]
    BadId(#[source] solmu_domain::ids::ParseIdError),
    /// The body does not decode.
    #[error("cannot decode the message")]
    Decode(#[from] prost::DecodeError),
}

impl ReceivedEvent {
    /// Decodes the body. The caller has looked at `event_type`.
    pub fn decode<M: prost::Message + Default>(&self) -> Result<M, EnvelopeError> {
        Ok(M::decode(self.data.clone())?)
    }

    /// The protobuf form, to be kept as a dead letter.
    #[must_use]
    pub fn to_proto(&self) -> proto::Event {
        proto::Event {
            id: self.id.to_string(),
            source: self.source.clone(),
            r#type: self.event_type.clone(),
            time: Some(to_proto_time(self.time)),
            subject: self.subject.clone(),
            partition_key: self.partition_key.clone(),
            traceparent: self.trace.traceparent.clone(),
            tracestate: self.trace.tracestate.clone(),
            data: self.data.to_vec(),
        }
    }

    /// Stands for a message that does not decode, so that it can be kept as a dead letter.
    #[must_use]
    pub fn undecodable(sequence: u64, payload: &Bytes) -> Self {
        Self {
            id: EventId::stable("undecodable", &[&sequence.to_string()]),
            event_type: UNDECODABLE.to_owned(),
            time: Timestamp::UNIX_EPOCH,
            subject: String::new(),
            partition_key: String::new(),
            trace: TraceContext::default(),
            data: payload.clone(),
            source: String::new(),
        }
    }

    /// From the protobuf form.
    pub fn from_proto(event: proto::Event) -> Result<Self, EnvelopeError> {
        Ok(Self {
            id: event.id.parse().map_err(EnvelopeError::BadId)?,
            event_type: event.r#type,
            time: event
                .time
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, from_proto_time),
            subject: event.subject,
            partition_key: event.partition_key,
            trace: TraceContext {
                traceparent: event.traceparent,
                tracestate: event.tracestate,
            },
            data: event.data.into(),
            source: event.source,
        })
    }
}

/// The headers of binary mode (CloudEvents NATS protocol binding 1.0, section 3.1).
#[must_use]
pub fn binary_headers(event: &proto::Event) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: &str, value: &str| headers.insert(name, percent_encode(value).as_str());
    put("ce-id", &event.id);
    put("ce-source", &event.source);
    put("ce-specversion", "1.0");
    put("ce-type", &event.r#type);
    put("ce-subject", &event.subject);
    put("ce-datacontenttype", CONTENT_TYPE);
    put("ce-partitionkey", &event.partition_key);
    if let Some(time) = &event.time {
        put("ce-time", &from_proto_time(time).to_string());
    }
    if !event.traceparent.is_empty() {
        put("traceparent", &event.traceparent);
    }
    if !event.tracestate.is_empty() {
        put("tracestate", &event.tracestate);
    }
    headers
}

/// The events of a bus message, in order.
pub fn decode_message(
    headers: Option<&HeaderMap>,
    payload: &Bytes,
) -> Result<Vec<ReceivedEvent>, EnvelopeError> {
    if headers.is_some_and(|headers| headers.get(BATCH_HEADER).is_some()) {
        let batch = proto::EventBatch::decode(payload.clone())?;
        return batch
            .events
            .into_iter()
            .map(ReceivedEvent::from_proto)
            .collect();
    }
    let get = |name: &'static str| {
        headers
            .and_then(|headers| headers.get(name))
            .map(|value| percent_decode(value.as_str()))
    };
    let need = |name: &'static str| get(name).ok_or(EnvelopeError::MissingHeader(name));
    Ok(vec![ReceivedEvent {
        id: need("ce-id")?.parse().map_err(EnvelopeError::BadId)?,
        event_type: need("ce-type")?,
        source: need("ce-source")?,
        time: get("ce-time")
            .and_then(|text| text.parse().ok())
            .unwrap_or(Timestamp::UNIX_EPOCH),
        subject: get("ce-subject").unwrap_or_default(),
        partition_key: get("ce-partitionkey").unwrap_or_default(),
        trace: TraceContext {
            traceparent: get("traceparent").unwrap_or_default(),
            tracestate: get("tracestate").unwrap_or_default(),
        },
        data: payload.clone(),
    }])
}

/// A batch's payload from encoded events, without decoding them: a repeated field is the concatenation of its items.
#[must_use]
pub fn encode_batch<'a>(events: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    /// Field 1 (`events`), length-delimited.
    const TAG: u8 = 0x0a;
    let mut payload = Vec::new();
    for event in events {
        payload.push(TAG);
        prost::encoding::encode_varint(event.len() as u64, &mut payload);
        payload.extend_from_slice(event);
    }
    payload.into()
}

/// Id of a batch, for JetStream's window of duplicates: the same events in the same order have the same id.
#[must_use]
pub fn batch_id<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut name = String::new();
    for id in ids {
        name.push_str(id);
        name.push('\n');
    }
    Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()).to_string()
}

/// A protobuf timestamp.
#[must_use]
pub fn to_proto_time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

/// From a protobuf timestamp; out of range becomes the nearest instant.
#[must_use]
pub fn from_proto_time(at: &prost_types::Timestamp) -> Timestamp {
    Timestamp::new(at.seconds, at.nanos.clamp(0, 999_999_999)).unwrap_or(if at.seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

/// Header values: printable ASCII; the rest, space, quote and per cent percent-encoded (CloudEvents binding 3.1.3.2).
fn percent_encode(value: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if matches!(byte, b'!' | b'#' | b'$' | b'&'..=b'~') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    text
}

fn percent_decode(value: &str) -> String {
    let bytes = value.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| value.get(at + 1..at + 3))
            .flatten();
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_ascii_and_come_back() {
        let encoded = percent_encode("tilaus \"ä\" 100%");
        assert!(encoded.is_ascii() && !encoded.contains(' '));
        assert_eq!(percent_decode(&encoded), "tilaus \"ä\" 100%");
        assert_eq!(percent_decode("50%"), "50%");
    }

    #[test]
    fn concatenated_batch_decodes() {
        let event = |id: &str| proto::Event {
            id: id.to_owned(),
            data: vec![7; 200],
            ..proto::Event::default()
        };
        let encoded = [event("a").encode_to_vec(), event("b").encode_to_vec()];
        let batch =
            proto::EventBatch::decode(encode_batch(encoded.iter().map(Vec::as_slice))).unwrap();
        assert_eq!(batch.events, vec![event("a"), event("b")]);
    }
}
