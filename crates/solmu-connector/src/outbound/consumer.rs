//! From the bus into the table.

use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc, time::Duration};

use solmu_bus::{
    Bus, Cause, ConsumerSpec, Delivered, EventBody as _, Family, Handler, Held, Lane, Verdict,
    streams,
};
use solmu_db::Db;
use solmu_domain::{clock::SharedClock, ids::MessageId};
use solmu_proto::{outbound::v1::MessageQueued, types::v1::Channel};
use solmu_telemetry::TraceContext;
use tokio::sync::Notify;

use super::{
    Sender,
    store::{self, NewMessage},
};
use crate::names::channel_name;

/// Stores messages to send and wakes the worker.
pub(super) struct Enqueue<S> {
    db: Db,
    clock: SharedClock,
    channel: Channel,
    sender: Arc<S>,
    wake: Arc<Notify>,
}

/// How the messages of `channel` are consumed: one replica takes them all, which keeps the order of a conversation;
/// storing is quick, and the sending is shared by all replicas.
pub(super) fn spec(bus: &Bus, channel: Channel) -> ConsumerSpec {
    let family = Family::Outbound(channel);
    let lane = Lane {
        stream: streams::stream_of(family).name,
        durable: format!("outbound_{}", channel_name(channel)),
        filters: vec![bus.subject_filter(family)],
        leased: true,
    };
    ConsumerSpec {
        name: consumer_name(channel),
        lanes: Box::new(move |_| vec![lane.clone()]),
        max_events: 200,
        linger: Duration::from_millis(2),
        max_attempts: 5,
    }
}

/// Name in metrics and dead letters.
const fn consumer_name(channel: Channel) -> &'static str {
    match channel {
        Channel::Unspecified => "outbound.unspecified",
        Channel::Email => "outbound.email",
        Channel::Chat => "outbound.chat",
        Channel::Form => "outbound.form",
        Channel::Whatsapp => "outbound.whatsapp",
        Channel::Telegram => "outbound.telegram",
    }
}

impl<S: Sender> Enqueue<S> {
    pub(super) fn new(
        db: Db,
        clock: SharedClock,
        channel: Channel,
        sender: Arc<S>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            db,
            clock,
            channel,
            sender,
            wake,
        }
    }

    async fn enqueue(&self, batch: &[Delivered]) -> Vec<Verdict> {
        let mut read: Vec<Result<NewMessage, Cause>> = batch.iter().map(read).collect();
        for new in read.iter_mut().flatten() {
            if new.message.account.is_empty() {
                new.message.account = self.sender.default_account();
            }
            new.lane = self.sender.lane(&new.message);
        }
        let mut seen = HashSet::new();
        let new: Vec<NewMessage> = read
            .iter()
            .filter_map(|read| read.as_ref().ok())
            .filter(|new| seen.insert(new.id))
            .cloned()
            .collect();
        let stored =
            store::enqueue(&self.db, channel_name(self.channel), &new, self.clock.now()).await;
        self.wake.notify_one();
        read.into_iter()
            .map(|read| match (read, &stored) {
                (Err(cause), _) => Verdict::Reject(cause),
                (Ok(_), Ok(())) => Verdict::Done,
                (Ok(_), Err(error)) if error.is_unavailable() => {
                    Verdict::Retry(Cause::passing("database", error))
                }
                (Ok(_), Err(error)) => Verdict::Retry(Cause::new("database", error)),
            })
            .collect()
    }
}

fn read(delivered: &Delivered) -> Result<NewMessage, Cause> {
    if delivered.event.event_type != MessageQueued::TYPE {
        return Err(cause("unknown_event_type"));
    }
    let message: MessageQueued = delivered
        .event
        .decode()
        .map_err(|error| Cause::new("undecodable", &error))?;
    let id: MessageId = message
        .message_id
        .parse()
        .map_err(|_| cause("bad_message_id"))?;
    let trace = TraceContext::of(&delivered.span);
    let trace = if trace.is_empty() {
        delivered.event.trace.clone()
    } else {
        trace
    };
    Ok(NewMessage {
        id: id.as_uuid(),
        lane: String::new(),
        message,
        trace,
    })
}

fn cause(code: &'static str) -> Cause {
    Cause {
        code,
        detail: String::new(),
        counts: true,
    }
}

impl<S: Sender> Handler for Enqueue<S> {
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        _held: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>> {
        Box::pin(self.enqueue(batch))
    }
}
