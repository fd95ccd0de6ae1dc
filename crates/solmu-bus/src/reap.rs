//! Removes what was done long ago from a stream that keeps everything until then.
//!
//! A stream with an age limit would drop messages that nobody could file during a long outage. So INBOUND has none;
//! instead what is both older than the keeping time and acknowledged by every durable goes.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use crate::bus::{Bus, BusError};

impl Bus {
    /// Removes messages of `stream` that every durable has acknowledged and that are older than `before`. Returns how
    /// many went.
    pub async fn reap(&self, stream: &str, before: Timestamp) -> Result<u64, BusError> {
        let name = self.stream_name(stream);
        let stream = self
            .jetstream()
            .get_stream(&name)
            .await
            .map_err(BusError::apply(&name))?;
        let state = &stream.cached_info().state;
        let consumers: Vec<_> = stream
            .consumers()
            .try_collect()
            .await
            .map_err(BusError::apply(&name))?;
        // Without durables nothing was acknowledged by anybody.
        let durables = consumers
            .iter()
            .filter(|info| info.config.durable_name.is_some());
        let Some(done) = durables
            .map(|info| match (info.num_pending, info.num_ack_pending) {
                // Everything that it takes is done; the messages between belong to others.
                (0, 0) => state.last_sequence,
                _ => info.ack_floor.stream_sequence,
            })
            .min()
        else {
            return Ok(0);
        };
        let young = match self.first_since(&stream, &name, before).await? {
            Some(sequence) => sequence,
            None => state.last_sequence + 1,
        };
        let keep_from = young.min(done + 1);
        if keep_from <= state.first_sequence {
            return Ok(0);
        }
        let purged = stream
            .purge()
            .sequence(keep_from)
            .await
            .map_err(BusError::apply(&name))?;
        Ok(purged.purged)
    }

    /// Sequence of the first message since `at`.
    async fn first_since(
        &self,
        stream: &async_nats::jetstream::stream::Stream,
        name: &str,
        at: Timestamp,
    ) -> Result<Option<u64>, BusError> {
        let start_time =
            async_nats::datetime::parse_rfc3339(&at.to_string()).map_err(|source| {
                BusError::JetStream {
                    name: name.to_owned(),
                    source,
                }
            })?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartTime { start_time },
            ack_policy: AckPolicy::None,
            headers_only: true,
            inactive_threshold: Duration::from_secs(30),
            ..pull::Config::default()
        };
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(BusError::apply(name))?;
        let mut messages = consumer
            .fetch()
            .max_messages(1)
            .messages()
            .await
            .map_err(BusError::apply(name))?;
        let first = messages.next().await;
        Ok(first
            .and_then(Result::ok)
            .and_then(|message| message.info().ok().map(|info| info.stream_sequence)))
    }
}
