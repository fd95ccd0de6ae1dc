//! Files inbound messages on tickets.
//!
//! A message changes a ticket at most once however often it is delivered: the inbox row, the change and the outgoing
//! events commit together. What arrives together is filed in one transaction (a disk sync is the unit of cost): what
//! the batch may touch is read and locked in a few statements, decided in memory in order of arrival, and written in a
//! few more. When a batch fails, its events are filed one by one to find the culprit.

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc};

use jiff::Timestamp;
use solmu_bus::{Cause, Delivered, EventBody as _, Handler, Held, OneByOne, Verdict};
use solmu_db::{DbError, HasDbError as _, inbox, lease, outbox::Owner};
use solmu_proto::inbound::v1::{DeliveryReported, MessageReceived};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    agent_mail::notify,
    context::Context,
    error::TicketError,
    events::EventSink,
    matters,
    metrics::{Tally, channel_name},
};

mod acknowledge;
mod author;
pub mod awaited;
mod begin;
pub mod budget;
mod by_rule;
mod clean;
mod divert;
mod load;
mod load_threads;
mod plan;
mod repeat;
mod reply_to;
mod same_matter;
mod search;
mod thread;
mod unite;
mod ways;
mod words;
mod work;
mod write;
mod write_originals;
mod write_threads;

pub(crate) use author::{Author, sender_of};
pub(crate) use divert::Work;
pub(crate) use plan::Plan;
pub(crate) use words::{notice, visible};
pub(crate) use work::Filed;

use divert::Outcome;
use work::Effect;

/// Name of the lease group and, with the shard, of the durable.
pub const GROUP: &str = "tickets-inbound";

/// One event of a batch, decoded. Shared, because a transaction may run more than once.
#[derive(Debug, Clone)]
pub(crate) enum Inbound {
    Message(Arc<MessageReceived>),
    Report(Arc<DeliveryReported>),
}

/// The handler of the INBOUND stream.
#[derive(Debug)]
pub struct Filer {
    /// What it works with.
    pub context: Arc<Context>,
}

impl Handler for Filer {
    fn handle<'a>(
        &'a self,
        batch: &'a [Delivered],
        held: &'a Held,
    ) -> Pin<Box<dyn Future<Output = Vec<Verdict>> + Send + 'a>> {
        Box::pin(self.file_batch(batch, held))
    }
}

impl Filer {
    async fn file_batch(&self, batch: &[Delivered], held: &Held) -> Vec<Verdict> {
        let decoded: Vec<Result<Inbound, Cause>> = batch.iter().map(decode).collect();
        let mut verdicts: Vec<Verdict> = decoded
            .iter()
            .map(|decoded| {
                decoded
                    .as_ref()
                    .map_or_else(|cause| Verdict::Reject(cause.clone()), |_| Verdict::Done)
            })
            .collect();
        let (suspects, fresh): (Vec<usize>, Vec<usize>) = (0..batch.len())
            .filter(|index| decoded[*index].is_ok())
            .partition(|index| batch[*index].attempts > 0);
        // What has failed before would make the others fail again.
        for index in suspects {
            if let Err(error) = self.file(batch, &decoded, &[index], held).await {
                verdicts[index] = verdict_of(&error);
            }
        }
        match self.file(batch, &decoded, &fresh, held).await {
            Ok(()) => {}
            Err(error) if fresh.len() > 1 && is_about_the_input(&error) => {
                self.file_one_by_one(batch, &decoded, &fresh, held, &mut verdicts)
                    .await;
            }
            Err(error) => {
                for index in fresh {
                    verdicts[index] = verdict_of(&error);
                }
            }
        }
        verdicts
    }

    async fn file_one_by_one(
        &self,
        batch: &[Delivered],
        decoded: &[Result<Inbound, Cause>],
        chosen: &[usize],
        held: &Held,
        verdicts: &mut [Verdict],
    ) {
        let mut order = OneByOne::default();
        for index in chosen {
            if !order.may_handle(&batch[*index]) {
                continue;
            }
            let verdict = match self.file(batch, decoded, &[*index], held).await {
                Ok(()) => Verdict::Done,
                Err(error) => verdict_of(&error),
            };
            order.note(&batch[*index], verdict);
        }
        for (index, verdict) in chosen.iter().zip(order.verdicts()) {
            verdicts[*index] = verdict;
        }
    }

    /// Files the chosen events of the batch in one transaction.
    async fn file(
        &self,
        batch: &[Delivered],
        decoded: &[Result<Inbound, Cause>],
        chosen: &[usize],
        held: &Held,
    ) -> Result<(), TicketError> {
        let items = chosen.iter().filter_map(|index| {
            let inbound = decoded[*index].as_ref().ok()?.clone();
            Some(Item {
                event: batch[*index].event.id,
                trace: TraceContext::of(&batch[*index].span),
                inbound,
            })
        });
        // Messages lock tickets as they find them, reports all of theirs at once: in one transaction two replicas
        // would wait for each other.
        let (messages, reports): (Vec<Item>, Vec<Item>) =
            items.partition(|item| matches!(item.inbound, Inbound::Message(_)));
        let shards: Held = chosen
            .iter()
            .filter_map(|index| {
                held.get_key_value(&batch[*index].shard)
                    .map(|(shard, epoch)| (*shard, *epoch))
            })
            .collect();
        let parts = [
            ("ticket.file_messages", messages),
            ("ticket.apply_reports", reports),
        ];
        for (name, items) in parts {
            if !items.is_empty() {
                self.file_part(name, Arc::new(items), &shards).await?;
            }
        }
        Ok(())
    }

    async fn file_part(
        &self,
        name: &'static str,
        items: Arc<Vec<Item>>,
        shards: &Held,
    ) -> Result<(), TicketError> {
        let group = self.context.group(GROUP);
        let tally = self
            .context
            .db
            .tx(name, |tx| {
                let (context, items, shards, group) = (
                    self.context.clone(),
                    items.clone(),
                    shards.clone(),
                    group.clone(),
                );
                Box::pin(async move {
                    lease::fence(tx, &group, &shards).await?;
                    file_items(tx, &context, &items).await
                })
            })
            .await?;
        self.context.metrics.record(&tally);
        Ok(())
    }
}

/// An event to be filed, with the trace that it continues.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) event: solmu_domain::ids::EventId,
    pub(crate) trace: TraceContext,
    pub(crate) inbound: Inbound,
}

async fn file_items(
    tx: &mut PgConnection,
    context: &Context,
    items: &[Item],
) -> Result<Tally, TicketError> {
    let now = context.clock.now();
    let ids: Vec<_> = items.iter().map(|item| item.event).collect();
    let new = inbox::claim(tx, Owner::Tickets, GROUP, &ids, now).await?;
    let fresh: Vec<&Item> = {
        let mut left = new;
        items
            .iter()
            .filter(|item| left.remove(&item.event))
            .collect()
    };
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );

    let messages: Vec<(&MessageReceived, &TraceContext)> = fresh
        .iter()
        .filter_map(|item| match &item.inbound {
            Inbound::Message(message) => Some((message.as_ref(), &item.trace)),
            Inbound::Report(_) => None,
        })
        .collect();
    let mut tally = file_messages(tx, context, &messages, &mut events, now).await?;
    tally.duplicates = (items.len() - fresh.len()) as u64;
    let reports: Vec<(&DeliveryReported, &TraceContext)> = fresh
        .iter()
        .filter_map(|item| match &item.inbound {
            Inbound::Report(report) => Some((report.as_ref(), &item.trace)),
            Inbound::Message(_) => None,
        })
        .collect();
    crate::delivery::apply(tx, context, &reports, &mut events).await?;
    activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    Ok(tally)
}

/// Files messages in order, and what waited for them.
async fn file_messages(
    tx: &mut PgConnection,
    context: &Context,
    messages: &[(&MessageReceived, &TraceContext)],
    events: &mut EventSink<'_>,
    now: Timestamp,
) -> Result<Tally, TicketError> {
    let (mut tally, mut keys) = file_all(tx, context, messages, events, now).await?;
    let mut room = awaited::BATCH;
    // What is taken out may be waited for, too. What there is no room for is left to the sweep.
    while !keys.is_empty() {
        let awaited = awaited::take(tx, &keys, room, now).await?;
        room -= awaited.len();
        let traces = vec![TraceContext::current(); awaited.len()];
        let items: Vec<_> = awaited.iter().zip(&traces).collect();
        let (more, next) = file_all(tx, context, &items, events, now).await?;
        tally.add(more);
        keys = next;
    }
    Ok(tally)
}

/// Files messages in order: what is no customer's one by one, what lies between in one go. Returns the keys that are
/// known from now on.
async fn file_all(
    tx: &mut PgConnection,
    context: &Context,
    messages: &[(&MessageReceived, &TraceContext)],
    events: &mut EventSink<'_>,
    now: Timestamp,
) -> Result<(Tally, Vec<thread::ThreadKey>), TicketError> {
    // Before any ticket is locked.
    let cuts = matters::cuts(tx, context, messages).await?;
    let diverted = divert::find(tx, messages, &context.config).await?;
    let (mut tally, mut keys) = (Tally::default(), Vec::new());
    let mut begin = 0;
    for (index, (message, trace)) in messages.iter().enumerate() {
        let Some(diversion) = diverted.get(&index) else {
            continue;
        };
        for part in parts(begin, index, &cuts) {
            let before = &messages[part];
            file_customers(tx, context, before, events, now, &mut tally, &mut keys).await?;
        }
        begin = index + 1;
        let mut work = Work {
            context,
            message,
            trace: (*trace).clone(),
            events: &mut *events,
            now,
            released: false,
            tally: Tally::default(),
        };
        let outcome = Box::pin(work.file(tx, diversion)).await?;
        tally.add(work.tally);
        if matches!(outcome, Outcome::Ordinary) {
            begin = index;
        }
    }
    for part in parts(begin, messages.len(), &cuts) {
        let rest = &messages[part];
        file_customers(tx, context, rest, events, now, &mut tally, &mut keys).await?;
    }
    Ok((tally, keys))
}

/// What is filed together from `begin` to `end`: as much as lies between two cuts.
fn parts(begin: usize, end: usize, cuts: &BTreeSet<usize>) -> Vec<std::ops::Range<usize>> {
    let inner = cuts
        .iter()
        .copied()
        .filter(|cut| (begin + 1..end).contains(cut));
    let ends: Vec<usize> = inner.chain([end]).collect();
    let begins = std::iter::once(begin).chain(ends.iter().copied());
    begins.zip(&ends).map(|(begin, end)| begin..*end).collect()
}

/// Files messages of customers.
async fn file_customers(
    tx: &mut PgConnection,
    context: &Context,
    messages: &[(&MessageReceived, &TraceContext)],
    events: &mut EventSink<'_>,
    now: Timestamp,
    tally: &mut Tally,
    keys: &mut Vec<thread::ThreadKey>,
) -> Result<(), TicketError> {
    if messages.is_empty() {
        return Ok(());
    }
    let inbound = messages.iter().map(|(message, _)| *message);
    let loaded = load::load(tx, inbound, context, now).await?;
    let mut plan = Plan::new(loaded, context, now);
    for (message, trace) in messages {
        plan.file(message, (*trace).clone())?;
    }
    write::write(tx, &mut plan, events).await?;
    for (queued, trace) in notify::about(tx, context, &plan).await? {
        events.add(&queued, trace);
    }
    tally.add(tally_of(&plan));
    keys.extend(plan.new_ways().cloned());
    Ok(())
}

/// Files a message that somebody let out of the quarantine, whatever its class; returns its ticket.
pub async fn release_message(
    tx: &mut PgConnection,
    context: &Context,
    message: &MessageReceived,
    trace: TraceContext,
    events: &mut EventSink<'_>,
    now: Timestamp,
) -> Result<(Uuid, Tally), TicketError> {
    let diverted = divert::find(tx, &[(message, &trace)], &context.config).await?;
    if let Some(diversion) = diverted.get(&0) {
        let mut work = Work {
            context,
            message,
            trace: trace.clone(),
            events: &mut *events,
            now,
            released: true,
            tally: Tally::default(),
        };
        if let Outcome::Filed(ticket) = Box::pin(work.file(tx, diversion)).await? {
            return Ok((ticket, work.tally));
        }
    }
    let mut plan = Plan::new(
        load::load(tx, std::iter::once(message), context, now).await?,
        context,
        now,
    );
    plan.released = true;
    plan.file(message, trace)?;
    write::write(tx, &mut plan, events).await?;
    let filed = plan.filed.first().map(|filed| filed.ticket.id);
    // It may be there already: it came to another account of ours, too.
    filed
        .or(plan.twins.first().copied())
        .map(|ticket| (ticket, tally_of(&plan)))
        .ok_or(TicketError::BadEvent("message"))
}

fn tally_of(plan: &Plan<'_>) -> Tally {
    let filed = plan.filed.iter().map(|filed| {
        let outcome = match filed.effect {
            Effect::Opened { .. } => "opened",
            Effect::Joined { .. } => "joined",
        };
        let took = plan.now.duration_since(filed.at).as_secs_f64().max(0.0);
        (channel_name(filed.message.channel()), outcome, took)
    });
    Tally {
        filed: filed.collect(),
        quarantined: plan.quarantined.iter().map(|it| it.cause).collect(),
        ..Tally::default()
    }
}

fn decode(delivered: &Delivered) -> Result<Inbound, Cause> {
    let event = &delivered.event;
    let undecodable = |error: solmu_bus::envelope::EnvelopeError| Cause::new("undecodable", &error);
    match event.event_type.as_str() {
        MessageReceived::TYPE => {
            let mut message: MessageReceived = event.decode().map_err(undecodable)?;
            if Uuid::parse_str(&message.message_id).is_err() {
                return Err(Cause::new(
                    "bad_event",
                    &TicketError::BadEvent("message_id"),
                ));
            }
            clean::clean(&mut message);
            Ok(Inbound::Message(Arc::new(message)))
        }
        DeliveryReported::TYPE => {
            let mut report: DeliveryReported = event.decode().map_err(undecodable)?;
            clean::clean_report(&mut report);
            Ok(Inbound::Report(Arc::new(report)))
        }
        _ => Err(Cause::new(
            "unknown_event_type",
            &TicketError::BadEvent("type"),
        )),
    }
}

/// Whether another transaction with fewer events may succeed.
fn is_about_the_input(error: &TicketError) -> bool {
    match error.db_error() {
        Some(DbError::LeaseLost { .. }) => false,
        Some(error) => !error.is_unavailable(),
        None => true,
    }
}

/// What a failure means for the event.
pub fn verdict_of(error: &TicketError) -> Verdict {
    match error {
        TicketError::BadEvent(_) => Verdict::Reject(Cause::new("bad_event", error)),
        _ => match error.db_error() {
            Some(DbError::LeaseLost { .. }) => Verdict::Retry(Cause::passing("lease_lost", error)),
            Some(db) if db.is_unavailable() => {
                Verdict::Retry(Cause::passing("database_unavailable", error))
            }
            // Others were faster, time and again: nothing is wrong with the event.
            Some(db) if db.is_conflict() => Verdict::Retry(Cause::passing("conflict", error)),
            _ => Verdict::Retry(Cause::new("cannot_file", error)),
        },
    }
}
