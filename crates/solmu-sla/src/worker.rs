//! The two transactions of the service: apply a batch of ticket events, and fire the timers that are due.
//!
//! Both begin with the fence (a process that lost its lease changes nothing) and lock the rows of the tickets that they
//! change, so they never meet in one ticket. Both end with one statement per table, whatever the number of tickets.

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use solmu_db::{
    Db, DbError, inbox,
    lease::{self, Held},
    outbox::Owner,
};
use solmu_domain::ids::{EventId, TicketId};
use solmu_inquiry::{Inquiry, Watched};
use solmu_telemetry::{TraceContext, timer_span, trace_context::add_link};
use sqlx::PgConnection;
use tokio::sync::Notify;
use tracing::Span;

use crate::{
    alarm::Alarm,
    batch::{Batch, Group, absorptions, group, past_of, waves},
    catalogue::{Catalogue, CatalogueCache},
    changes::{Changes, Maker, Written},
    error::{BatchError, FoldError},
    intake::Heard,
    metrics::SlaMetrics,
    store::{clocks, erasure::Erased},
    tracked::Tracked,
};

/// Name of the lease group, and of the consumer in inbox, metrics and dead letters.
pub(crate) const NAME: &str = "sla";
/// How long a ticket is left alone whose clocks refuse to be read.
const DEFER: SignedDuration = SignedDuration::from_mins(1);

/// What both transactions work with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) db: Db,
    pub(crate) maker: Maker,
    pub(crate) catalogue: CatalogueCache,
    pub(crate) metrics: SlaMetrics,
    pub(crate) alarm: Arc<Alarm>,
    /// Wakes who calls webhooks.
    pub(crate) called: Arc<Notify>,
    /// Who knows the fields of contacts and organisations.
    pub(crate) inquiry: Arc<dyn Inquiry>,
}

/// An event to apply.
#[derive(Debug, Clone)]
pub(crate) struct Todo {
    pub(crate) id: EventId,
    pub(crate) heard: Heard,
    pub(crate) trace: TraceContext,
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Applied {
    written: Written,
    late: u64,
    waiting: u64,
}

impl Applied {
    fn add(&mut self, more: Self) {
        self.written.add(more.written);
        self.late += more.late;
        self.waiting += more.waiting;
    }
}

impl Worker {
    /// Applies events, each once, in one transaction. `asked` is what was asked for of contacts and organisations.
    pub(crate) async fn apply(
        &self,
        work: &Arc<Vec<Todo>>,
        asked: &Watched,
        held: &Held,
    ) -> Result<(), BatchError> {
        let applied = self
            .db
            .tx("sla.apply", |tx| {
                let (worker, work, held) = (self.clone(), Arc::clone(work), held.clone());
                let asked = asked.clone();
                Box::pin(async move { worker.apply_in(tx, &work, &asked, &held).await })
            })
            .await?;
        self.metrics.late_events.add([], applied.late);
        self.metrics.waiting_events.add([], applied.waiting);
        self.committed(&applied.written);
        Ok(())
    }

    /// Fires the timers of at most `limit` tickets; says of how many it did.
    pub(crate) async fn fire(&self, held: &Held, limit: u32) -> Result<usize, DbError> {
        let round = Span::current();
        let (count, written) = self
            .db
            .tx("sla.fire_timers", |tx| {
                let (worker, held, round) = (self.clone(), held.clone(), round.clone());
                Box::pin(async move { worker.fire_in(tx, &held, limit, &round).await })
            })
            .await?;
        self.committed(&written);
        Ok(count)
    }

    pub(crate) fn committed(&self, written: &Written) {
        self.metrics.told(&written.notices);
        self.metrics.ended(&written.margins);
        if written.calls {
            self.called.notify_one();
        }
        if let Some(at) = written.wake_at {
            self.alarm.set(at);
        }
    }

    async fn apply_in(
        &self,
        tx: &mut PgConnection,
        work: &[Todo],
        asked: &Watched,
        held: &Held,
    ) -> Result<Applied, BatchError> {
        let now = self.maker.clock.now();
        lease::fence(tx, NAME, held).await?;
        let ids: Vec<EventId> = work.iter().map(|todo| todo.id).collect();
        let mut new = inbox::claim(tx, Owner::Sla, NAME, &ids, now).await?;
        // Each id is taken out once: two deliveries of one event may be in one batch.
        let fresh: Vec<&Todo> = work.iter().filter(|todo| new.remove(&todo.id)).collect();
        if fresh.is_empty() {
            return Ok(Applied::default());
        }
        let catalogue = self.catalogue.current(tx).await?;
        if !asked.covers(catalogue.watched()) {
            return Err(BatchError::AskAgain);
        }
        let changed = self.hear_of_people(tx, &fresh, &catalogue).await?;
        let tickets = || {
            let fresh = fresh.iter();
            fresh.filter_map(|todo| Some((todo.heard.ticket()?, &todo.trace)))
        };
        let erased = Erased::of(tx, tickets().map(|(arrival, _)| arrival)).await?;
        let waves = waves(tickets());
        if waves.len() > 1 {
            // All at once and in order, as everybody locks several.
            let all = waves.iter().flatten().flat_map(|(it, _)| it.tickets());
            clocks::clock_lock(tx, all).await?;
        }
        let mut applied = Applied::default();
        for wave in waves {
            let groups = group(wave.into_iter(), &erased);
            applied.add(self.apply_groups(tx, groups, &catalogue, now).await?);
        }
        if changed {
            // Wakes who brings it to the open tickets.
            applied.written.wake_before(now);
        }
        Ok(applied)
    }

    async fn apply_groups(
        &self,
        tx: &mut PgConnection,
        mut groups: BTreeMap<TicketId, Group>,
        catalogue: &Catalogue,
        now: Timestamp,
    ) -> Result<Applied, BatchError> {
        let mut known = clocks::clock_lock(tx, groups.keys().copied()).await?;
        absorptions(&mut groups, &known);
        let mut past = past_of(tx, &groups, &known).await?;
        let mut batch = Batch::new(self, catalogue, now);
        for (ticket, group) in groups {
            let history = past.remove(&ticket);
            batch
                .take(ticket, group, known.remove(&ticket), history)
                .map_err(|source| BatchError::Ticket { ticket, source })?;
        }
        Ok(Applied {
            late: batch.late,
            waiting: batch.waiting,
            written: batch.changes.write(tx, &self.maker.bus).await?,
        })
    }

    async fn fire_in(
        &self,
        tx: &mut PgConnection,
        held: &Held,
        limit: u32,
        round: &Span,
    ) -> Result<(usize, Written), DbError> {
        let now = self.maker.clock.now();
        lease::fence(tx, NAME, held).await?;
        let due = clocks::clock_lock_due(tx, now, limit).await?;
        if due.is_empty() {
            return Ok((0, Written::default()));
        }
        let catalogue = self.catalogue.current(tx).await?;
        let count = due.len();
        let mut changes = Changes::new(now);
        let mut stuck = Vec::new();
        for tracked in due {
            let ticket = tracked.ticket;
            add_link(round, &tracked.trace);
            if let Err(error) = self.fire_one(tracked, &catalogue, &mut changes, now) {
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

    /// A ticket's timers belong to a trace of their own, which is linked to the one in which the ticket was opened. What is
    /// published goes on from here.
    fn fire_one(
        &self,
        mut tracked: Tracked,
        catalogue: &Catalogue,
        changes: &mut Changes,
        now: Timestamp,
    ) -> Result<(), FoldError> {
        let span = timer_span!("sla.timer", &tracked.trace, ticket.id = %tracked.ticket);
        let trace = &TraceContext::of(&span);
        let Some(promise) = &mut tracked.promise else {
            changes.settle_without_promise(tracked);
            return Ok(());
        };
        let terms = catalogue.terms(&promise.policies)?;
        let notices = promise.fire(now, &terms)?;
        changes.settle(tracked, notices, catalogue, trace, &self.maker)
    }
}
