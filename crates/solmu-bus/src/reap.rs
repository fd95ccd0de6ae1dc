//! Removes what was done long ago from a stream that keeps everything until then.
//!
//! A stream with an age limit would drop messages that nobody could file during a long outage. So INBOUND has none;
//! instead what is both older than the keeping time and acknowledged by every durable goes. Where that is more than the
//! stream may hold, what is done goes earlier: keeping it is for looking back, and must not keep new mail out.

use std::time::Duration;

use async_nats::jetstream::{
    consumer::{AckPolicy, DeliverPolicy, pull},
    stream::Stream,
};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use crate::{
    bus::{Bus, BusError},
    partitions,
};

/// From this fullness on room is made, in per mille: before the alert at 800, and long before a sender is refused.
const ROOM_FROM: u64 = 700;
/// Down to about this much, in per mille.
const ROOM_DOWN_TO: u64 = 600;

/// What share of its bytes, in per mille, a stream has to lose; none while it has room.
fn too_much(bytes: u64, max_bytes: i64) -> Option<u64> {
    let limit = u64::try_from(max_bytes).ok().filter(|limit| *limit > 0)?;
    let per_mille = |of: u64| u128::from(limit) * u128::from(of) / 1_000;
    if u128::from(bytes) < per_mille(ROOM_FROM) {
        return None;
    }
    let over = u128::from(bytes).saturating_sub(per_mille(ROOM_DOWN_TO));
    let share = over * 1_000 / u128::from(bytes.max(1));
    u64::try_from(share).ok()
}

/// Up to where every durable has done everything, and nothing waits that none of them takes. None without durables: then
/// nothing was acknowledged by anybody.
async fn done(bus: &Bus, stream: &Stream, name: &str) -> Result<Option<u64>, BusError> {
    let last = stream.cached_info().state.last_sequence;
    let consumers: Vec<_> = stream
        .consumers()
        .try_collect()
        .await
        .map_err(BusError::apply(name))?;
    let durables = consumers
        .iter()
        .filter(|info| info.config.durable_name.is_some());
    let done = durables.map(|info| match (info.num_pending, info.num_ack_pending) {
        // Everything that it takes is done; the messages between belong to others.
        (0, 0) => last,
        _ => info.ack_floor.stream_sequence,
    });
    let Some(done) = done.min() else {
        return Ok(None);
    };
    let unfiled = partitions::unfiled(bus, stream, &consumers).await?;
    let first = unfiled
        .iter()
        .map(|it| {
            it.first
                .map_or(0, |(sequence, _)| sequence.saturating_sub(1))
        })
        .min();
    Ok(Some(first.map_or(done, |first| first.min(done))))
}

/// Removes what is before `keep_from`.
async fn purge(stream: &Stream, name: &str, keep_from: u64) -> Result<u64, BusError> {
    if keep_from <= stream.cached_info().state.first_sequence {
        return Ok(0);
    }
    let purged = stream
        .purge()
        .sequence(keep_from)
        .await
        .map_err(BusError::apply(name))?;
    Ok(purged.purged)
}

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
        let Some(done) = done(self, &stream, &name).await? else {
            return Ok(0);
        };
        let state = &stream.cached_info().state;
        let young = match self.first_since(&stream, &name, before).await? {
            Some(sequence) => sequence,
            None => state.last_sequence + 1,
        };
        let keep_from = young.min(done + 1);
        purge(&stream, &name, keep_from).await
    }

    /// Makes room in `stream` when it is nearly full: removes messages that every durable has acknowledged, oldest first, down
    /// to about [`ROOM_DOWN_TO`] of what it may hold. What is not done stays, whatever that means for those who publish.
    /// Returns how many went.
    pub async fn make_room(&self, stream: &str) -> Result<u64, BusError> {
        let name = self.stream_name(stream);
        let stream = self
            .jetstream()
            .get_stream(&name)
            .await
            .map_err(BusError::apply(&name))?;
        let info = stream.cached_info();
        let Some(share) = too_much(info.state.bytes, info.config.max_bytes) else {
            return Ok(0);
        };
        let Some(done) = done(self, &stream, &name).await? else {
            return Ok(0);
        };
        let first = info.state.first_sequence;
        let messages = info.state.last_sequence.saturating_sub(first) + 1;
        // Messages differ in size, so it is about that share of the bytes; the next look sees how much it was.
        let goes = messages.saturating_mul(share).div_ceil(1_000);
        purge(&stream, &name, (first + goes).min(done + 1)).await
    }

    /// Sequence of the first message since `at`.
    async fn first_since(
        &self,
        stream: &Stream,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_only_where_there_is_little() {
        assert_eq!(too_much(699, 1_000), None);
        assert_eq!(too_much(800, 1_000), Some(250), "200 of 800");
        assert_eq!(too_much(1_000, 1_000), Some(400));
        assert_eq!(too_much(u64::MAX, -1), None, "no limit");
        assert_eq!(too_much(0, 0), None);
        assert_eq!(
            too_much(i64::MAX.unsigned_abs(), i64::MAX),
            Some(400),
            "large numbers do not overflow"
        );
    }
}
