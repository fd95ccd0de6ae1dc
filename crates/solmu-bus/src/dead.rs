//! Dead letters: what a consumer could not do, kept with its cause, shown, replayed and, where nobody can ever do it,
//! dropped.

use async_nats::jetstream::{
    ErrorCode, consumer::pull, message::PublishMessage, stream::DeleteMessageErrorKind,
};
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;
use prost::Message as _;
use solmu_proto::bus::v1 as proto;

use crate::{
    bus::{Bus, BusError},
    cause::Cause,
    envelope::{BATCH_HEADER, ReceivedEvent, UNDECODABLE, encode_batch, to_proto_time},
    events,
    family::Family,
    publish::PublishError,
};

/// A dead letter with its place in the DEAD stream.
#[derive(Debug, Clone)]
pub struct DeadEntry {
    /// Sequence in the stream: what `dead show`, `dead replay` and `dead drop` take.
    pub sequence: u64,
    /// The letter; empty where its bytes are none.
    pub letter: proto::DeadLetter,
    /// Its bytes as they stand in the stream, so that they can be kept when it is dropped.
    pub bytes: Bytes,
    is_letter: bool,
}

/// Why a letter would only come back if it were published again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Somebody else wrote into the stream DEAD.
    #[error("its bytes are no dead letter")]
    NoLetter,
    /// The event was never one: a bus message without our headers.
    #[error("it holds no event")]
    NoEvent,
    /// The type is of a newer release, or nobody's.
    #[error("this release knows no event of type '{0}'")]
    UnknownType(String),
    /// The body of the event is not what its type says.
    #[error("the content of its event does not decode as '{0}'")]
    Unreadable(String),
}

/// Why a letter was not published again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Nobody could read it.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// The bus did not take it, or not let the letter go.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl DeadEntry {
    fn new(sequence: u64, bytes: Bytes) -> Self {
        let letter = proto::DeadLetter::decode(bytes.clone());
        Self {
            sequence,
            is_letter: letter.is_ok(),
            letter: letter.unwrap_or_default(),
            bytes,
        }
    }

    /// What keeps it from being done, whoever reads it: published again it would be back with another cause.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        if !self.is_letter {
            return Some(Obstacle::NoLetter);
        }
        let Some(event) = &self.letter.event else {
            return Some(Obstacle::NoEvent);
        };
        if event.r#type == UNDECODABLE || event.id.is_empty() || self.letter.subject.is_empty() {
            return Some(Obstacle::NoEvent);
        }
        match events::is_readable(&event.r#type, &event.data) {
            Some(true) => None,
            Some(false) => Some(Obstacle::Unreadable(event.r#type.clone())),
            None => Some(Obstacle::UnknownType(event.r#type.clone())),
        }
    }
}

impl Bus {
    /// Puts an event into the DEAD stream. Only after this may it be acknowledged.
    pub(crate) async fn bury(
        &self,
        event: &ReceivedEvent,
        consumer: &str,
        subject: &str,
        cause: &Cause,
        attempts: u32,
        now: Timestamp,
    ) -> Result<(), PublishError> {
        let letter = proto::DeadLetter {
            event: Some(event.to_proto()),
            consumer: consumer.to_owned(),
            subject: subject.to_owned(),
            cause_code: cause.code.to_owned(),
            cause: cause.detail.clone(),
            attempts: i32::try_from(attempts).unwrap_or(i32::MAX),
            dead_time: Some(to_proto_time(now)),
        };
        let subject = self.subject(Family::Dead, 0);
        let message = PublishMessage::build()
            .message_id(format!(
                "dead:{consumer}:{}:{}",
                event.id,
                now.as_millisecond()
            ))
            .payload(letter.encode_to_vec().into());
        let sent = self
            .jetstream()
            .send_publish(subject, message)
            .await
            .map_err(PublishError::Unavailable)?;
        sent.await.map_err(PublishError::Unavailable)?;
        Ok(())
    }

    /// The sequence of the last letter that there is or was: what comes later was not there when one looked.
    pub async fn last_dead_letter(&self) -> Result<u64, BusError> {
        let name = self.stream_name("DEAD");
        let stream = self
            .jetstream()
            .get_stream(&name)
            .await
            .map_err(BusError::apply(&name))?;
        Ok(stream.cached_info().state.last_sequence)
    }

    /// Up to `limit` dead letters, oldest first, from sequence `from` on. Bytes that are no letter are among them.
    pub async fn dead_letters(&self, from: u64, limit: usize) -> Result<Vec<DeadEntry>, BusError> {
        let name = self.stream_name("DEAD");
        let stream = self
            .jetstream()
            .get_stream(&name)
            .await
            .map_err(BusError::apply(&name))?;
        let config = pull::Config {
            deliver_policy: async_nats::jetstream::consumer::DeliverPolicy::ByStartSequence {
                start_sequence: from.max(1),
            },
            ack_policy: async_nats::jetstream::consumer::AckPolicy::None,
            inactive_threshold: std::time::Duration::from_secs(30),
            ..pull::Config::default()
        };
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(BusError::apply(&name))?;
        let mut messages = consumer
            .fetch()
            .max_messages(limit)
            .messages()
            .await
            .map_err(BusError::apply(&name))?;
        let mut entries = Vec::new();
        while let Some(Ok(message)) = messages.next().await {
            let sequence = message.info().map_or(0, |info| info.stream_sequence);
            entries.push(DeadEntry::new(sequence, message.payload.clone()));
        }
        Ok(entries)
    }

    /// Publishes a dead event again where it came from, with its original id and time, and removes the letter.
    /// `nonce` makes the bus take it although it has seen the id. One that nobody can read stays where it is.
    pub async fn replay(&self, entry: &DeadEntry, nonce: u64) -> Result<(), ReplayError> {
        if let Some(obstacle) = entry.obstacle() {
            return Err(obstacle.into());
        }
        let name = self.stream_name("DEAD");
        let event = entry.letter.event.clone().unwrap_or_default();
        let message = PublishMessage::build()
            .header(BATCH_HEADER, "1")
            .message_id(format!("replay:{}:{nonce}", event.id))
            .payload(encode_batch([event.encode_to_vec().as_slice()]));
        let subject = entry.letter.subject.clone();
        let sent = self
            .jetstream()
            .send_publish(subject, message)
            .await
            .map_err(BusError::apply(&name))?;
        sent.await.map_err(BusError::apply(&name))?;
        self.drop_dead_letter(entry.sequence).await?;
        Ok(())
    }

    /// Removes a letter for good. False if it was gone already.
    pub async fn drop_dead_letter(&self, sequence: u64) -> Result<bool, BusError> {
        let name = self.stream_name("DEAD");
        let stream = self
            .jetstream()
            .get_stream(&name)
            .await
            .map_err(BusError::apply(&name))?;
        match stream.delete_message(sequence).await {
            Ok(was_there) => Ok(was_there),
            Err(error) => match error.kind() {
                DeleteMessageErrorKind::JetStream(answer)
                    if matches!(
                        answer.error_code(),
                        ErrorCode::NO_MESSAGE_FOUND | ErrorCode::SEQUENCE_NOT_FOUND
                    ) =>
                {
                    Ok(false)
                }
                _ => Err(BusError::apply(&name)(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(event: Option<proto::Event>) -> DeadEntry {
        let letter = proto::DeadLetter {
            event,
            subject: "solmu.inbound.v1.0".to_owned(),
            ..proto::DeadLetter::default()
        };
        DeadEntry::new(7, letter.encode_to_vec().into())
    }

    #[test]
    fn what_nobody_can_read_is_told_apart() {
        const RECEIVED: &str = "solmu.inbound.message_received.v1";
        let event = |event_type: &str, data: &[u8]| {
            Some(proto::Event {
                id: "1".to_owned(),
                r#type: event_type.to_owned(),
                data: data.to_vec(),
                ..proto::Event::default()
            })
        };
        assert_eq!(entry(event(RECEIVED, b"")).obstacle(), None);
        assert_eq!(
            entry(event(RECEIVED, &[0xff])).obstacle(),
            Some(Obstacle::Unreadable(RECEIVED.to_owned()))
        );
        assert_eq!(
            entry(event("solmu.other.v9", b"")).obstacle(),
            Some(Obstacle::UnknownType("solmu.other.v9".to_owned()))
        );
        assert_eq!(
            entry(event(UNDECODABLE, b"x")).obstacle(),
            Some(Obstacle::NoEvent)
        );
        assert_eq!(entry(None).obstacle(), Some(Obstacle::NoEvent));
        let foreign = DeadEntry::new(7, Bytes::from_static(&[0xff]));
        assert_eq!(foreign.obstacle(), Some(Obstacle::NoLetter));
    }
}
