//! The pulls of a consumer: one lane per shard that this process holds, merged into one flow.
//!
//! A leased lane starts where the last holder's acknowledged work ends, by making its durable anew: JetStream would
//! redeliver what a dead holder had in hand only after `ack_wait`, behind newer messages, and break the order.

use std::{collections::BTreeSet, pin::Pin, time::Duration};

use async_nats::jetstream::{
    self, Message,
    consumer::{AckPolicy, DeliverPolicy, pull},
    stream::RetentionPolicy,
};
use futures::{Stream, StreamExt as _, stream::SelectAll};

use crate::{
    bus::{Bus, BusError},
    handler::{Held, Lane},
};

/// How long a message may be in hand on a leased lane. A new holder does not wait for it.
const LEASED_WAIT: Duration = Duration::from_mins(1);
/// How long on a lane that replicas share: what a replica had in hand when it died waits that long for another one.
/// One that is only slow loses nothing but work, because every effect knows its event.
const SHARED_WAIT: Duration = Duration::from_secs(10);

/// A bus message and the lane that it came on.
pub(crate) struct Pulled {
    pub(crate) shard: i32,
    pub(crate) lane: usize,
    pub(crate) message: Message,
}

/// What a pull yields: a message, or the end of the pull.
pub(crate) enum Pull {
    Message(Box<Pulled>),
    Broken,
}

type PullStream = Pin<Box<dyn Stream<Item = Pull> + Send>>;

/// The open pulls.
pub(crate) struct Lanes {
    streams: SelectAll<PullStream>,
    open: BTreeSet<i32>,
    leased: bool,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self {
            streams: SelectAll::new(),
            open: BTreeSet::new(),
            leased: false,
        }
    }

    /// Opens the lanes of shards that are held and not open. Closing is by making all anew.
    pub(crate) async fn open(
        &mut self,
        bus: &Bus,
        held: &Held,
        lanes: &(dyn Fn(i32) -> Vec<Lane> + Send + Sync),
        prefetch: usize,
    ) -> Result<(), BusError> {
        for shard in held.keys() {
            if self.open.contains(shard) {
                continue;
            }
            for (index, lane) in lanes(*shard).into_iter().enumerate() {
                self.leased |= lane.leased;
                self.streams
                    .push(pull(bus, *shard, index, &lane, prefetch).await?);
            }
            self.open.insert(*shard);
        }
        Ok(())
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    pub(crate) fn are_leased(&self) -> bool {
        self.leased
    }

    pub(crate) fn holds_more_than(&self, held: &Held) -> bool {
        self.open.iter().any(|shard| !held.contains_key(shard))
    }

    pub(crate) async fn next(&mut self) -> Option<Pull> {
        self.streams.next().await
    }
}

async fn pull(
    bus: &Bus,
    shard: i32,
    index: usize,
    lane: &Lane,
    prefetch: usize,
) -> Result<PullStream, BusError> {
    let stream_name = bus.stream_name(lane.stream);
    let stream = bus
        .jetstream()
        .get_stream(&stream_name)
        .await
        .map_err(BusError::apply(&stream_name))?;
    let start = if lane.leased {
        forget_holder(&stream, lane).await?
    } else {
        DeliverPolicy::All
    };
    let config = pull::Config {
        durable_name: Some(lane.durable.clone()),
        deliver_policy: start,
        ack_policy: AckPolicy::Explicit,
        ack_wait: if lane.leased {
            LEASED_WAIT
        } else {
            SHARED_WAIT
        },
        // We dead-letter ourselves, before a message could vanish from every figure.
        max_deliver: -1,
        max_ack_pending: 1_000,
        filter_subjects: lane.filters.clone(),
        ..pull::Config::default()
    };
    let consumer: jetstream::consumer::PullConsumer = stream
        .get_or_create_consumer(&lane.durable, config)
        .await
        .map_err(BusError::apply(&lane.durable))?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(prefetch)
        .expires(Duration::from_secs(20))
        .heartbeat(Duration::from_secs(5))
        .messages()
        .await
        .map_err(BusError::apply(&lane.durable))?;
    let durable = lane.durable.clone();
    let flow = messages
        .map(move |item| match item {
            Ok(message) => Pull::Message(Box::new(Pulled {
                shard,
                lane: index,
                message,
            })),
            Err(error) => {
                tracing::warn!(
                    consumer = durable,
                    error = &error as &dyn std::error::Error,
                    "a pull broke; opening it again"
                );
                Pull::Broken
            }
        })
        .chain(futures::stream::once(std::future::ready(Pull::Broken)));
    Ok(Box::pin(flow))
}

/// Removes the durable of the last holder and says where its acknowledged work ends.
async fn forget_holder(
    stream: &jetstream::stream::Stream,
    lane: &Lane,
) -> Result<DeliverPolicy, BusError> {
    let Ok(info) = stream.consumer_info(&lane.durable).await else {
        return Ok(DeliverPolicy::All);
    };
    stream
        .delete_consumer(&lane.durable)
        .await
        .map_err(BusError::apply(&lane.durable))?;
    // What a work queue still has was not acknowledged; it takes no other start.
    let work_queue = stream.cached_info().config.retention == RetentionPolicy::WorkQueue;
    let floor = info.ack_floor.stream_sequence;
    Ok(if work_queue || floor == 0 {
        DeliverPolicy::All
    } else {
        DeliverPolicy::ByStartSequence {
            start_sequence: floor + 1,
        }
    })
}
