//! The two transactions of the service: apply a batch of ticket events, and fire the timers that are due.
//!
//! Both begin with the fence (a process that lost its lease changes nothing) and lock the rows of the tickets that they
//! change, so they never meet in one ticket. Both end with one statement per table, whatever the number of tickets.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use solmu_db::{
    Db, DbError, inbox,
    lease::{self, Held},
    outbox::Owner,
};
use solmu_domain::{
    ids::{EventId, TicketId},
    sla::{ClockEvent, TicketStart},
};
use solmu_runtime::relay::Wake;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;

use crate::{
    alarm::Alarm,
    catalogue::{Catalogue, CatalogueCache},
    changes::{Changes, Maker, Written},
    error::{BatchError, FoldError},
    intake::{Arrival, Opening, What},
    metrics::SlaMetrics,
    store::clocks,
    tracked::{Decided, Promise, Tracked},
};

/// Name of the lease group, and of the consumer in inbox, metrics and dead letters.
pub(crate) const NAME: &str = "sla";
/// How long a ticket is left alone whose clocks refuse to be read.
const DEFER: SignedDuration = SignedDuration::from_mins(1);

/// What both transactions work with. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    pub(crate) db: Db,
    pub(crate) maker: Maker,
    pub(crate) catalogue: CatalogueCache,
    pub(crate) metrics: SlaMetrics,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) outbox: Wake,
}

/// An event to apply.
#[derive(Debug, Clone)]
pub(crate) struct Todo {
    pub(crate) id: EventId,
    pub(crate) arrival: Arrival,
    pub(crate) trace: TraceContext,
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Applied {
    written: Written,
    late: u64,
    waiting: u64,
}

/// What happened to one ticket in a batch.
#[derive(Debug, Default)]
struct Group {
    version: i64,
    opening: Option<Box<Opening>>,
    events: Vec<ClockEvent>,
    trace: TraceContext,
}

impl Worker {
    /// Applies events, each once, in one transaction.
    pub(crate) async fn apply(&self, work: &Arc<Vec<Todo>>, held: &Held) -> Result<(), BatchError> {
        let applied = self
            .db
            .tx("sla.apply", |tx| {
                let (worker, work, held) = (self.clone(), Arc::clone(work), held.clone());
                Box::pin(async move { worker.apply_in(tx, &work, &held).await })
            })
            .await?;
        self.metrics.late_events.add([], applied.late);
        self.metrics.waiting_events.add([], applied.waiting);
        self.committed(&applied.written);
        Ok(())
    }

    /// Fires the timers of at most `limit` tickets; says of how many it did.
    pub(crate) async fn fire(&self, held: &Held, limit: u32) -> Result<usize, DbError> {
        let (count, written) = self
            .db
            .tx("sla.fire_timers", |tx| {
                let (worker, held) = (self.clone(), held.clone());
                Box::pin(async move { worker.fire_in(tx, &held, limit).await })
            })
            .await?;
        self.committed(&written);
        Ok(count)
    }

    fn committed(&self, written: &Written) {
        self.metrics.told(&written.notices);
        if written.events {
            self.outbox.wake(Owner::Sla);
        }
        if let Some(at) = written.wake_at {
            self.alarm.set(at);
        }
    }

    async fn apply_in(
        &self,
        tx: &mut PgConnection,
        work: &[Todo],
        held: &Held,
    ) -> Result<Applied, BatchError> {
        let now = self.maker.clock.now();
        lease::fence(tx, NAME, held).await?;
        let ids: Vec<EventId> = work.iter().map(|todo| todo.id).collect();
        let mut new = inbox::claim(tx, Owner::Sla, NAME, &ids, now).await?;
        // Each id is taken out once: two deliveries of one event may be in one batch.
        let groups = group(work.iter().filter(|todo| new.remove(&todo.id)));
        if groups.is_empty() {
            return Ok(Applied::default());
        }
        let catalogue = self.catalogue.current(tx).await?;
        let known = clocks::clock_lock(tx, groups.keys().copied()).await?;
        let past = past_of(tx, &groups, &known).await?;
        let mut batch = Batch {
            worker: self,
            catalogue: &catalogue,
            changes: Changes::new(now),
            late: 0,
            waiting: 0,
            now,
        };
        let mut known = known;
        let mut past = past;
        for (ticket, group) in groups {
            let history = past.remove(&ticket);
            batch
                .take(ticket, group, known.remove(&ticket), history)
                .map_err(|source| BatchError::Ticket { ticket, source })?;
        }
        let (late, waiting) = (batch.late, batch.waiting);
        let written = batch.changes.write(tx, &self.maker.bus).await?;
        Ok(Applied {
            written,
            late,
            waiting,
        })
    }

    async fn fire_in(
        &self,
        tx: &mut PgConnection,
        held: &Held,
        limit: u32,
    ) -> Result<(usize, Written), DbError> {
        let now = self.maker.clock.now();
        lease::fence(tx, NAME, held).await?;
        let due = clocks::clock_lock_due(tx, now, limit).await?;
        if due.is_empty() {
            return Ok((0, Written::default()));
        }
        let catalogue = self.catalogue.current(tx).await?;
        let trace = TraceContext::current();
        let count = due.len();
        let mut changes = Changes::new(now);
        let mut stuck = Vec::new();
        for tracked in due {
            let ticket = tracked.ticket;
            if let Err(error) = self.fire_one(tracked, &catalogue, &trace, &mut changes, now) {
                tracing::error!(ticket.id = %ticket, error = &error as &dyn std::error::Error, "the timers of a ticket cannot be fired; trying again later");
                self.metrics.stuck_tickets.inc([]);
                stuck.push(ticket);
            }
        }
        let later = now.saturating_add(DEFER).unwrap_or(now);
        clocks::clock_defer(tx, &stuck, later).await?;
        let written = changes.write(tx, &self.maker.bus).await?;
        Ok((count, written))
    }

    fn fire_one(
        &self,
        mut tracked: Tracked,
        catalogue: &Catalogue,
        trace: &TraceContext,
        changes: &mut Changes,
        now: Timestamp,
    ) -> Result<(), FoldError> {
        let Some(promise) = &mut tracked.promise else {
            changes.settle_without_promise(tracked);
            return Ok(());
        };
        let terms = catalogue.terms(promise.policy)?;
        let notices = promise.fire(now, &terms)?;
        changes.settle(tracked, notices, &terms, trace, &self.maker)
    }
}

fn group<'a>(work: impl Iterator<Item = &'a Todo>) -> BTreeMap<TicketId, Group> {
    let mut groups: BTreeMap<TicketId, Group> = BTreeMap::new();
    for todo in work {
        let group = groups.entry(todo.arrival.ticket).or_default();
        group.version = group.version.max(todo.arrival.version);
        group.trace = todo.trace.clone();
        match &todo.arrival.what {
            What::Opened(opening) => group.opening = Some(opening.clone()),
            What::Clock(events) => group.events.extend(events.iter().cloned()),
        }
    }
    groups
}

/// The history of tickets that need it: those that are new here, and those with a late event.
async fn past_of(
    tx: &mut PgConnection,
    groups: &BTreeMap<TicketId, Group>,
    known: &HashMap<TicketId, Tracked>,
) -> Result<BTreeMap<TicketId, Vec<ClockEvent>>, DbError> {
    let needs = |(ticket, group): &(&TicketId, &Group)| match known.get(ticket) {
        None => group.opening.is_some(),
        Some(tracked) => {
            let promise = tracked.promise.as_ref();
            promise.is_some_and(|promise| promise.is_late(&group.events))
        }
    };
    let tickets: Vec<TicketId> = groups.iter().filter(needs).map(|(id, _)| *id).collect();
    let mut past = clocks::event_list(tx, &tickets).await?;
    for ticket in tickets {
        past.entry(ticket).or_default();
    }
    Ok(past)
}

/// A batch in work.
struct Batch<'a> {
    worker: &'a Worker,
    catalogue: &'a Catalogue,
    changes: Changes,
    late: u64,
    waiting: u64,
    now: Timestamp,
}

impl Batch<'_> {
    /// Takes what happened to one ticket. `past` is there exactly when [`past_of`] says that it is needed.
    fn take(
        &mut self,
        ticket: TicketId,
        group: Group,
        known: Option<Tracked>,
        past: Option<Vec<ClockEvent>>,
    ) -> Result<(), FoldError> {
        match (known, group.opening) {
            (Some(tracked), _) => {
                self.go_on(tracked, group.version, group.events, &group.trace, past)
            }
            (None, Some(opening)) => {
                self.changes.remember(ticket, &group.events);
                let mut events = past.unwrap_or_default();
                events.extend(group.events);
                self.open(ticket, group.version, &opening, events, &group.trace)
            }
            (None, None) => {
                // Its opening was dead-lettered, and may be replayed; or it was before our time.
                self.waiting += group.events.len() as u64;
                self.changes.remember(ticket, &group.events);
                Ok(())
            }
        }
    }

    fn open(
        &mut self,
        ticket: TicketId,
        version: i64,
        opening: &Opening,
        events: Vec<ClockEvent>,
        trace: &TraceContext,
    ) -> Result<(), FoldError> {
        let mut tracked = Tracked {
            ticket,
            version,
            promise: None,
            decided: Decided::default(),
        };
        let Some(choice) = self.catalogue.choose(&opening.facts) else {
            self.changes.settle_without_promise(tracked);
            return Ok(());
        };
        let start = TicketStart {
            at: opening.at,
            status: opening.status,
            priority: opening.facts.priority.to_owned(),
            calendar: choice.calendar,
            outbound: opening.outbound,
        };
        let mut promise = Promise::open(choice.policy, start, events, &choice.terms)?;
        let notices = promise.tell_breaches(self.now, false);
        tracked.promise = Some(promise);
        let maker = &self.worker.maker;
        self.changes
            .settle(tracked, notices, &choice.terms, trace, maker)
    }

    fn go_on(
        &mut self,
        mut tracked: Tracked,
        version: i64,
        events: Vec<ClockEvent>,
        trace: &TraceContext,
        past: Option<Vec<ClockEvent>>,
    ) -> Result<(), FoldError> {
        let Some(promise) = &mut tracked.promise else {
            return Ok(());
        };
        if events.is_empty() {
            return Ok(());
        }
        let terms = self.catalogue.terms(promise.policy)?;
        self.changes.remember(tracked.ticket, &events);
        if let Some(mut history) = past {
            self.late += 1;
            history.extend(events);
            promise.replay(history, &terms)?;
        } else {
            promise.apply(events, &terms)?;
        }
        let notices = promise.tell_breaches(self.now, false);
        tracked.version = tracked.version.max(version);
        let maker = &self.worker.maker;
        self.changes.settle(tracked, notices, &terms, trace, maker)
    }
}
