//! What a consumer is told and what does its work: the seam between the bus layer and the services.

use std::{
    collections::{BTreeMap, HashSet},
    future::Future,
    pin::Pin,
    time::Duration,
};

use tracing::Span;

use crate::{
    cause::{Cause, Verdict},
    envelope::ReceivedEvent,
};

/// Shards that this process holds, with the epoch of each.
pub type Held = BTreeMap<i32, i64>;

/// One durable pull of a shard.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Stream, as in [`crate::streams::STREAMS`].
    pub stream: &'static str,
    /// Durable name.
    pub durable: String,
    /// Subjects that it takes.
    pub filters: Vec<String>,
    /// True when a lease makes this process its only user: then order is kept over a change of holder.
    pub leased: bool,
}

/// What to consume and how.
pub struct ConsumerSpec {
    /// Name in metrics, spans and dead letters.
    pub name: &'static str,
    /// The lanes of a shard.
    pub lanes: Box<dyn Fn(i32) -> Vec<Lane> + Send + Sync>,
    /// Events handled in one go at most.
    pub max_events: usize,
    /// The shortest time between two batches that are not full, in which messages gather.
    pub linger: Duration,
    /// Counted failures before an event is dead-lettered.
    pub max_attempts: u32,
}

/// An event in the hands of a handler.
#[derive(Debug)]
pub struct Delivered {
    /// The event.
    pub event: ReceivedEvent,
    /// Shard that it came on.
    pub shard: i32,
    /// Counted failures before this time.
    pub attempts: u32,
    /// Its span, continued from the event's creation. Effects on its behalf are traced below it.
    pub span: Span,
}

/// What does the work.
pub trait Handler: Send + Sync + 'static {
    /// Handles events, of one shard in order; one verdict for each. `held` are the epochs to fence with.
    ///
    /// An event whose key has failed earlier in the batch must not be done: see [`OneByOne`].
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        held: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>>;
}

/// Handles a batch event by event, for when the batch as a whole failed and the culprit has to be found: events behind
/// a failed one of the same key wait for it.
#[derive(Debug, Default)]
pub struct OneByOne {
    failed: HashSet<String>,
    verdicts: Vec<Verdict>,
}

impl OneByOne {
    /// Whether `delivered` may be handled now. If not, its verdict is given already.
    pub fn may_handle(&mut self, delivered: &Delivered) -> bool {
        let waits = self.failed.contains(&delivered.event.partition_key);
        if waits {
            self.verdicts.push(Verdict::Retry(Cause {
                code: "behind_another",
                detail: "an earlier event of its key failed".to_owned(),
                counts: false,
            }));
        }
        !waits
    }

    /// Notes what became of `delivered`.
    pub fn note(&mut self, delivered: &Delivered, verdict: Verdict) {
        if matches!(verdict, Verdict::Retry(_)) {
            self.failed.insert(delivered.event.partition_key.clone());
        }
        self.verdicts.push(verdict);
    }

    /// The verdicts, one for each event of the batch.
    #[must_use]
    pub fn verdicts(self) -> Vec<Verdict> {
        self.verdicts
    }
}
