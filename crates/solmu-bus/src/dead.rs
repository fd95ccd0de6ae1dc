//! Dead letters: what a consumer could not do, kept with its cause, shown and replayed.

use async_nats::jetstream::{consumer::pull, message::PublishMessage};
use futures::StreamExt as _;
use jiff::Timestamp;
use prost::Message as _;
use solmu_proto::bus::v1 as proto;

use crate::{
    bus::{Bus, BusError},
    cause::Cause,
    envelope::{BATCH_HEADER, ReceivedEvent, encode_batch, to_proto_time},
    family::Family,
    publish::PublishError,
};

/// A dead letter with its place in the DEAD stream.
#[derive(Debug, Clone)]
pub struct DeadEntry {
    /// Sequence in the stream: what `dead show` and `dead replay` take.
    pub sequence: u64,
    /// The letter.
    pub letter: proto::DeadLetter,
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

    /// Up to `limit` dead letters, oldest first, from sequence `from` on.
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
            match proto::DeadLetter::decode(message.payload.clone()) {
                Ok(letter) => entries.push(DeadEntry { sequence, letter }),
                Err(error) => tracing::warn!(
                    sequence,
                    error = &error as &dyn std::error::Error,
                    "a dead letter does not decode"
                ),
            }
        }
        Ok(entries)
    }

    /// Publishes a dead event again where it came from, with its original id and time, and removes the letter.
    /// `nonce` makes the bus take it although it has seen the id.
    pub async fn replay(&self, entry: &DeadEntry, nonce: u64) -> Result<(), BusError> {
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
        let stream = self
            .jetstream()
            .get_stream(&name)
            .await
            .map_err(BusError::apply(&name))?;
        stream
            .delete_message(entry.sequence)
            .await
            .map_err(BusError::apply(&name))?;
        Ok(())
    }
}
