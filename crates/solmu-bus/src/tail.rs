//! Following a stream from a cursor on, for watchers: no durable, no acknowledgement, nothing is lost in between.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy, pull};
use futures::{Stream, StreamExt as _};

use crate::{
    bus::{Bus, BusError},
    envelope::{ReceivedEvent, decode_message},
    family::Family,
    streams::stream_of,
};

/// A place in a stream: the last event that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// Sequence of the bus message.
    pub sequence: u64,
    /// Place in its batch.
    pub place: usize,
}

/// A cursor that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// The bus refused.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// What came after the cursor has been removed from the stream already.
    #[error("the cursor is too old: its events are no longer kept")]
    TooOld,
}

impl Bus {
    /// Events of `family` after `after`, or from now on. Ends when the connection to the stream breaks: follow again
    /// from the last cursor.
    pub async fn tail(
        &self,
        family: Family,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = (Cursor, ReceivedEvent)> + Send + use<>, TailError> {
        let name = self.stream_name(stream_of(family).name);
        let stream = self
            .jetstream()
            .get_stream(&name)
            .await
            .map_err(BusError::apply(&name))?;
        if let Some(after) = after
            && after.sequence + 1 < stream.cached_info().state.first_sequence
        {
            return Err(TailError::TooOld);
        }
        // The message of the cursor comes again: its batch may hold later events.
        let deliver_policy = match after {
            Some(after) => DeliverPolicy::ByStartSequence {
                start_sequence: after.sequence.max(1),
            },
            None => DeliverPolicy::New,
        };
        let config = pull::OrderedConfig {
            deliver_policy,
            filter_subject: self.subject_filter(family),
            replay_policy: ReplayPolicy::Instant,
            ..pull::OrderedConfig::default()
        };
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(BusError::apply(&name))?;
        let messages = tokio::time::timeout(Duration::from_secs(5), consumer.messages())
            .await
            .map_err(|elapsed| BusError::apply(&name)(elapsed))?
            .map_err(BusError::apply(&name))?;
        let events = messages
            .take_while(|message| std::future::ready(message.is_ok()))
            .filter_map(|message| async move { message.ok() })
            .flat_map(move |message| {
                let sequence = message.info().map_or(0, |info| info.stream_sequence);
                let events =
                    decode_message(message.headers.as_ref(), &message.payload).unwrap_or_default();
                futures::stream::iter(
                    events
                        .into_iter()
                        .enumerate()
                        .map(move |(place, event)| (Cursor { sequence, place }, event)),
                )
            })
            .filter(move |(cursor, _)| {
                std::future::ready(after.is_none_or(|after| *cursor > after))
            });
        Ok(events)
    }
}
