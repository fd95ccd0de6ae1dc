//! From the bus into the clocks: one batch, one transaction.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use solmu_bus::{
    Bus, Cause, ConsumerSpec, Delivered, Family, Handler, Held, Lane, Verdict, streams,
};
use solmu_db::DbError;
use solmu_domain::ids::EventId;
use solmu_telemetry::TraceContext;

use crate::{
    config::Config,
    error::BatchError,
    intake,
    worker::{NAME, Todo, Worker},
};

/// Shards of the service: one leader does the work of a thousand tickets a second. With more, each shard takes its part
/// of the bus's partitions; timers may be fired by any holder.
pub(crate) const SHARDS: u16 = 1;
/// Counted failures before an event is dead-lettered.
const MAX_ATTEMPTS: u32 = 8;
/// How often a batch asks anew because policies changed while it asked.
const ASKED_AGAIN: u32 = 3;

/// How ticket events are consumed.
pub(crate) fn spec(bus: &Bus, config: &Config) -> ConsumerSpec {
    let bus = bus.clone();
    ConsumerSpec {
        name: NAME,
        lanes: Box::new(move |shard| vec![lane(&bus, shard, SHARDS)]),
        max_events: config.batch_events,
        linger: config.linger(),
        max_attempts: MAX_ATTEMPTS,
    }
}

/// The durable of a shard.
pub(crate) fn durable(shard: i32) -> String {
    format!("{NAME}-{shard}")
}

fn lane(bus: &Bus, shard: i32, shards: u16) -> Lane {
    let family = Family::Tickets;
    let filters = if shards == 1 {
        vec![bus.subject_filter(family)]
    } else {
        let partitions = 0..i32::from(bus.config().partitions);
        partitions
            .filter(|partition| partition % i32::from(shards) == shard)
            .map(|partition| bus.subject(family, partition))
            .collect()
    };
    Lane {
        stream: streams::stream_of(family).name,
        durable: durable(shard),
        filters,
        leased: true,
    }
}

impl Handler for Worker {
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        held: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>> {
        Box::pin(self.handle_batch(batch, held))
    }
}

impl Worker {
    async fn handle_batch(&self, batch: &[Delivered], held: &Held) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Done; batch.len()];
        let mut todo = Vec::new();
        let mut places = Vec::new();
        for (place, delivered) in batch.iter().enumerate() {
            match intake::read(&delivered.event) {
                Ok(None) => {}
                Ok(Some(heard)) => {
                    places.push((place, delivered.event.id));
                    todo.push(Todo {
                        id: delivered.event.id,
                        heard,
                        trace: TraceContext::of(&delivered.span),
                    });
                }
                Err(error) => {
                    verdicts[place] = Verdict::Reject(Cause::new("malformed_event", &error));
                }
            }
        }
        let (failed, rest) = self.apply_but_for_failing(todo, held).await;
        for (place, event) in places {
            if let Some(cause) = failed.get(&event).or(rest.as_ref()) {
                verdicts[place] = Verdict::Retry(cause.clone());
            }
        }
        verdicts
    }

    /// Applies what can be applied. A ticket that makes the transaction fail is left out of the next try, so that it
    /// holds up nobody else; what its events had claimed in the inbox is rolled back with the try.
    async fn apply_but_for_failing(
        &self,
        mut todo: Vec<Todo>,
        held: &Held,
    ) -> (BTreeMap<EventId, Cause>, Option<Cause>) {
        let mut failed = BTreeMap::new();
        let mut asked = self.see_owners(&mut todo, &mut failed).await;
        let mut patience = ASKED_AGAIN;
        while !todo.is_empty() {
            let work = Arc::new(todo);
            let error = match self.apply(&work, &asked, held).await {
                Ok(()) => return (failed, None),
                Err(error) => error,
            };
            if matches!(error, BatchError::AskAgain) && patience > 0 {
                patience -= 1;
                todo = work.to_vec();
                asked = self.see_owners(&mut todo, &mut failed).await;
                continue;
            }
            let BatchError::Ticket { ticket, .. } = &error else {
                return (failed, Some(cause_of(&error)));
            };
            let cause = Cause::new("clocks_refuse", &error);
            let (bad, others): (Vec<Todo>, Vec<Todo>) = work
                .iter()
                .cloned()
                .partition(|todo| todo.heard.ticket().is_some_and(|it| it.concerns(*ticket)));
            failed.extend(bad.iter().map(|todo| (todo.id, cause.clone())));
            todo = others;
        }
        (failed, None)
    }
}

fn cause_of(error: &BatchError) -> Cause {
    match error {
        BatchError::Db(DbError::LeaseLost { .. }) => Cause::passing("lease_lost", error),
        BatchError::Db(db) if db.is_unavailable() || db.is_conflict() => {
            Cause::passing("database_away", error)
        }
        BatchError::AskAgain => Cause::passing("policies_changed", error),
        BatchError::Db(_) | BatchError::Ticket { .. } => Cause::new("database", error),
    }
}
