//! The consumer: pulls, gathers, hands over, and acts on the verdicts.
//!
//! Layers, outside in: leases decide which lanes are open; messages are gathered for a moment, so that one transaction
//! does the work of many; each event gets its span, continued from its creation, and the batch one that is linked with
//! them; an event whose key is blocked by an earlier failure waits; what fails too often is dead-lettered before it is
//! acknowledged.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_nats::jetstream::AckKind;
use solmu_domain::clock::SharedClock;
use solmu_telemetry::metrics::intern;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    bus::Bus,
    cause::{Cause, Verdict},
    envelope::{ReceivedEvent, decode_message},
    handler::{ConsumerSpec, Delivered, Handler, Held},
    lanes::{Lanes, Pull, Pulled},
    metrics::ConsumerMetrics,
    order::{Order, Position},
    spans,
};

/// Runs a consumer until `stop`. It never fails: it waits for what is away.
pub async fn run(
    bus: Bus,
    spec: ConsumerSpec,
    handler: Arc<dyn Handler>,
    mut held: watch::Receiver<Held>,
    clock: SharedClock,
    metrics: ConsumerMetrics,
    stop: CancellationToken,
) {
    let mut consumer = Consumer {
        bus,
        spec,
        handler,
        clock,
        metrics,
        orders: BTreeMap::new(),
        next_batch: Instant::now(),
    };
    let mut failures = 0_u32;
    while !stop.is_cancelled() {
        let mine = held.borrow_and_update().clone();
        if mine.is_empty() {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = held.changed() => if changed.is_err() { return },
            }
            continue;
        }
        let reconnected = another_connection(consumer.bus.connections());
        let mut lanes = Lanes::new();
        match lanes
            .open(
                &consumer.bus,
                &mine,
                consumer.spec.lanes.as_ref(),
                consumer.spec.max_events,
            )
            .await
        {
            Ok(()) => {
                failures = 0;
                consumer.orders.clear();
                consumer
                    .consume(&mut lanes, &mut held, reconnected, &stop)
                    .await;
            }
            Err(error) => {
                failures = (failures + 1).min(5);
                tracing::warn!(
                    consumer = consumer.spec.name,
                    error = &error as &dyn std::error::Error,
                    "cannot open a consumer; trying again"
                );
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(100 << failures)) => {}
                }
            }
        }
    }
}

struct Consumer {
    bus: Bus,
    spec: ConsumerSpec,
    handler: Arc<dyn Handler>,
    clock: SharedClock,
    metrics: ConsumerMetrics,
    orders: BTreeMap<(i32, usize), Order>,
    /// Not before this does the next batch begin, unless it is full.
    next_batch: Instant,
}

/// A bus message in work.
struct Work {
    pulled: Pulled,
    sequence: u64,
    /// How often it has been delivered.
    deliveries: i64,
    events: Vec<ReceivedEvent>,
}

/// Where an event of the batch came from.
struct Origin {
    work: usize,
    at: Position,
    key: String,
}

impl Consumer {
    /// Consumes until the leases change for the worse, a pull breaks, the connection is a new one, or `stop`. What was on
    /// its way on the old connection is lost, and the server would send it again only after `ack_wait`: a minute on a
    /// leased lane. Leased lanes that are opened anew get it at once; a shared one would only wait for more.
    async fn consume(
        &mut self,
        lanes: &mut Lanes,
        held: &mut watch::Receiver<Held>,
        reconnected: impl Future<Output = ()>,
        stop: &CancellationToken,
    ) {
        let mut reconnected = std::pin::pin!(reconnected);
        while lanes.is_open() {
            let mine = held.borrow_and_update().clone();
            if lanes.holds_more_than(&mine) {
                return;
            }
            let prefetch = self.spec.max_events;
            if let Err(error) = lanes
                .open(&self.bus, &mine, self.spec.lanes.as_ref(), prefetch)
                .await
            {
                tracing::warn!(
                    consumer = self.spec.name,
                    error = &error as &dyn std::error::Error,
                    "cannot open a consumer"
                );
                return;
            }
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                changed = held.changed() => { if changed.is_err() { return } continue }
                () = &mut reconnected, if lanes.are_leased() => return,
                pull = lanes.next() => pull,
            };
            let Some(Pull::Message(first)) = first else {
                return;
            };
            let (batch, broken) = self.gather(*first, lanes).await;
            self.next_batch = Instant::now() + self.spec.linger;
            self.handle(batch, &mine).await;
            if broken {
                return;
            }
        }
    }

    /// What is there, and what comes until the linger time since the last batch is over, up to the limit of events. So a
    /// message that comes alone waits for nobody, and a steady flow still shares its transactions.
    async fn gather(&self, first: Pulled, lanes: &mut Lanes) -> (Vec<Pulled>, bool) {
        let deadline = self.next_batch;
        let mut count = events_in(&first);
        let mut batch = vec![first];
        while count < self.spec.max_events {
            match tokio::time::timeout_at(deadline, lanes.next()).await {
                Ok(Some(Pull::Message(pulled))) => {
                    count += events_in(&pulled);
                    batch.push(*pulled);
                }
                Ok(Some(Pull::Broken) | None) => return (batch, true),
                Err(_) => break,
            }
        }
        (batch, false)
    }

    async fn handle(&mut self, pulled: Vec<Pulled>, held: &Held) {
        let started = Instant::now();
        let mut works = Vec::with_capacity(pulled.len());
        for pulled in pulled {
            works.extend(self.decode(pulled).await);
        }
        let mut retry: Vec<Option<u32>> = vec![None; works.len()];
        let (batch, origins) = self.deliverable(&mut works, &mut retry);
        let oldest = batch.iter().map(|delivered| delivered.event.time).min();
        let verdicts = if batch.is_empty() {
            Vec::new()
        } else {
            let span = spans::of_batch(self.spec.name, &batch);
            self.handler.handle(&batch, held).instrument(span).await
        };
        self.tell_of_waiting(&verdicts);
        for (index, origin) in origins.iter().enumerate() {
            let verdict = verdicts.get(index).cloned().unwrap_or_else(|| {
                Verdict::Retry(Cause {
                    code: "no_verdict",
                    detail: "the handler gave no verdict".to_owned(),
                    counts: true,
                })
            });
            let lane = (
                works[origin.work].pulled.shard,
                works[origin.work].pulled.lane,
            );
            let subject = works[origin.work].pulled.message.subject.to_string();
            if let Some(attempts) = self
                .settle(verdict, &batch[index], origin, lane, &subject)
                .await
            {
                let slot = &mut retry[origin.work];
                *slot = Some(slot.map_or(attempts, |other| other.max(attempts)));
            }
        }
        for (work, retry) in works.iter().zip(retry) {
            if retry.is_none() {
                let lane = (work.pulled.shard, work.pulled.lane);
                self.orders.entry(lane).or_default().forget(work.sequence);
            }
            acknowledge(work, retry).await;
        }
        self.report(batch.len(), oldest, started);
    }

    /// Decodes a bus message. One that does not decode can never be done: it is dead-lettered whole.
    async fn decode(&mut self, pulled: Pulled) -> Option<Work> {
        let info = pulled
            .message
            .info()
            .map(|info| (info.stream_sequence, info.delivered, info.pending));
        let (sequence, delivered, pending) = info.unwrap_or((0, 1, 0));
        if delivered > 1 {
            self.metrics.redelivered.inc([self.spec.name]);
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge of messages that wait")]
        self.metrics.pending.set([self.spec.name], pending as f64);
        match decode_message(pulled.message.headers.as_ref(), &pulled.message.payload) {
            Ok(events) => Some(Work {
                pulled,
                sequence,
                deliveries: delivered,
                events,
            }),
            Err(error) => {
                let event = ReceivedEvent::undecodable(sequence, &pulled.message.payload);
                let cause = Cause::new("undecodable", &error);
                let subject = pulled.message.subject.to_string();
                let buried = self.bury(&event, &subject, &cause, 1).await;
                let work = Work {
                    pulled,
                    sequence,
                    deliveries: delivered,
                    events: Vec::new(),
                };
                acknowledge(&work, (!buried).then_some(1)).await;
                None
            }
        }
    }

    /// The events that may be handled now; messages with others are marked for another time.
    fn deliverable(
        &self,
        works: &mut [Work],
        retry: &mut [Option<u32>],
    ) -> (Vec<Delivered>, Vec<Origin>) {
        let mut batch = Vec::new();
        let mut origins = Vec::new();
        for (index, work) in works.iter_mut().enumerate() {
            let order = self.orders.get(&(work.pulled.shard, work.pulled.lane));
            for (place, event) in std::mem::take(&mut work.events).into_iter().enumerate() {
                let at = (work.sequence, place);
                if order.is_some_and(|order| order.is_finished(at)) {
                    continue;
                }
                if order.is_some_and(|order| order.must_wait(&event.partition_key, at)) {
                    retry[index] = Some(retry[index].unwrap_or(0));
                    continue;
                }
                let attempts = order.map_or(0, |order| order.attempts(&event.partition_key, at));
                origins.push(Origin {
                    work: index,
                    at,
                    key: event.partition_key.clone(),
                });
                let span = spans::of_event(self.spec.name, &event, work.deliveries);
                batch.push(Delivered {
                    event,
                    shard: work.pulled.shard,
                    attempts,
                    span,
                });
            }
        }
        (batch, origins)
    }

    /// Acts on a verdict; returns the number of attempts if the event has to come again.
    async fn settle(
        &mut self,
        verdict: Verdict,
        delivered: &Delivered,
        origin: &Origin,
        lane: (i32, usize),
        subject: &str,
    ) -> Option<u32> {
        let name = self.spec.name;
        let (cause, attempts) = match verdict {
            Verdict::Done => {
                self.metrics.events.inc([name, "done"]);
                self.orders
                    .entry(lane)
                    .or_default()
                    .done(&origin.key, origin.at);
                return None;
            }
            Verdict::Retry(cause) => {
                spans::failed(delivered, &cause);
                let attempts = self.orders.entry(lane).or_default().failed(
                    &origin.key,
                    origin.at,
                    cause.counts,
                );
                if attempts < self.spec.max_attempts {
                    self.metrics.events.inc([name, "retry"]);
                    if cause.counts {
                        tracing::warn!(consumer = name, event.id = %delivered.event.id, cause.code, cause = %cause.detail, attempts, "an event failed and will be tried again");
                    }
                    return Some(attempts);
                }
                (cause, attempts)
            }
            Verdict::Reject(cause) => {
                spans::failed(delivered, &cause);
                (cause, delivered.attempts + 1)
            }
        };
        if self.bury(&delivered.event, subject, &cause, attempts).await {
            self.orders
                .entry(lane)
                .or_default()
                .done(&origin.key, origin.at);
            None
        } else {
            self.orders
                .entry(lane)
                .or_default()
                .failed(&origin.key, origin.at, false);
            Some(attempts)
        }
    }

    /// What is away makes every event wait: one line for all of them.
    fn tell_of_waiting(&self, verdicts: &[Verdict]) {
        let mut passing = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Retry(cause) if !cause.counts => Some(cause),
            _ => None,
        });
        if let Some(cause) = passing.next() {
            let events = passing.count() + 1;
            tracing::warn!(consumer = self.spec.name, events, cause.code, cause = %cause.detail, "events have to wait and will be tried again");
        }
    }

    async fn bury(
        &self,
        event: &ReceivedEvent,
        subject: &str,
        cause: &Cause,
        attempts: u32,
    ) -> bool {
        let name = self.spec.name;
        match self
            .bus
            .bury(event, name, subject, cause, attempts, self.clock.now())
            .await
        {
            Ok(()) => {
                self.metrics.events.inc([name, "dead"]);
                self.metrics.dead.inc([name, cause.code]);
                tracing::error!(consumer = name, event.id = %event.id, cause.code, cause = %cause.detail, attempts, "an event was dead-lettered");
                true
            }
            Err(error) => {
                tracing::warn!(consumer = name, event.id = %event.id, error = &error as &dyn std::error::Error, "cannot dead-letter an event; keeping it");
                false
            }
        }
    }

    fn report(&self, events: usize, oldest: Option<jiff::Timestamp>, started: Instant) {
        let name = intern(self.spec.name);
        #[expect(clippy::cast_precision_loss, reason = "a histogram of small counts")]
        self.metrics.batch.observe([name], events as f64);
        self.metrics
            .seconds
            .observe([name], started.elapsed().as_secs_f64());
        if let Some(oldest) = oldest {
            let age = self.clock.now().duration_since(oldest).as_secs_f64();
            self.metrics.oldest_age.set([name], age.max(0.0));
        }
    }
}

/// Ends when there is another connection than now. The first one is not another: whoever opens pulls waits for it.
fn another_connection(mut connections: watch::Receiver<u64>) -> impl Future<Output = ()> {
    let now = (*connections.borrow_and_update()).max(1);
    async move {
        if connections.wait_for(|made| *made > now).await.is_err() {
            // The client is gone, and the pulls say so.
            std::future::pending::<()>().await;
        }
    }
}

fn events_in(pulled: &Pulled) -> usize {
    pulled
        .message
        .headers
        .as_ref()
        .and_then(|headers| headers.get(crate::envelope::BATCH_HEADER))
        .and_then(|count| count.as_str().parse().ok())
        .unwrap_or(1)
}

/// Acknowledges a message, or asks for it again later: 50 ms at first, 10 s at most.
async fn acknowledge(work: &Work, retry: Option<u32>) {
    let kind = match retry {
        None => AckKind::Ack,
        Some(attempts) => AckKind::Nak(Some(Duration::from_millis(
            (50_u64 << attempts.min(8)).min(10_000),
        ))),
    };
    if let Err(error) = work.pulled.message.ack_with(kind).await {
        // It will come again, and the inbox will know it.
        tracing::debug!(error = error.to_string(), "an acknowledgement was not sent");
    }
}
