//! The leader's loop: a batch of events in, one fenced transaction with all its decisions out.
//!
//! The state in memory is what the tables say; it is only kept after the commit. Whatever goes wrong, the state is
//! dropped and the next round starts from the tables, so memory cannot drift from them. Rounds run one at a time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use jiff::{SignedDuration, Timestamp};
use solmu_bus::{Bus, Event, EventBody, Held};
use solmu_db::{
    Db, inbox, lease,
    outbox::{self, OutboxEvent, Owner},
};
use solmu_domain::{
    clock::SharedClock,
    ids::{DecisionId, EventId, TicketId},
    rng::SharedRng,
};
use solmu_runtime::{Runtime, calls::REMEMBERED};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use tokio::sync::Notify;

use crate::{
    config::Config,
    core::{
        answers::{Answers, OwnChange},
        decision::{Decision, Kind, Outcome},
        event::{Erasure, Heard, RejectCause, TicketEvent},
        matching::Round,
    },
    error::RoundError,
    metrics::RouterMetrics,
    recall::{Known, Terms, find_formers, find_tickets, rebuild, refresh},
    service::once::CALLS,
    store::{
        decision::{decisions_add, outcomes_note},
        desk::loads_save,
        erasure::{erased_note, forget_erased},
        offer::{offers_prune, offers_save, pulls_prune, said_answer, said_take},
        people::silent_go,
        ticket::tickets_save,
    },
    texts::RoutingTexts,
};

/// The group of leases; its one shard makes the leader.
pub(crate) const LEASE: &str = "router";
/// Name in the inbox.
const CONSUMER: &str = "router";
/// Tickets that one round asks the rules about, and gets the words of: a new rule may move a hundred thousand.
pub(crate) const ROUTED_AT_ONCE: usize = 500;
/// Tickets that one round gives to agents, so that a transaction stays small when a thousand people come at once.
const DECIDED_AT_ONCE: usize = 2_000;
/// How often a round is tried that collides with changes of agents.
const COLLISIONS: u32 = 5;

/// How often what is old is removed.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_mins(10);
/// Rows that one statement removes.
const SWEPT_AT_ONCE: u64 = 1_000;
/// Who asked for the next ticket waits for seconds. What they left behind, and what they may ask again under a request id, is
/// kept so long.
const PULL_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// An event in the hands of the engine.
pub(crate) type Arrived = (EventId, Heard);

/// What a round is made of.
struct Work {
    arrived: Vec<Arrived>,
    held: Held,
    epoch: i64,
    answers: Answers,
}

/// What is new in a batch.
#[derive(Default)]
struct News {
    events: Vec<TicketEvent>,
    changes: Vec<OwnChange>,
    erased: Vec<Erasure>,
}

/// A committed round.
struct Done {
    known: Known,
    decisions: Vec<Decision>,
    outcomes: Vec<Outcome>,
    touched: Vec<TicketId>,
    /// There is more to route than one round takes.
    more: bool,
}

/// Decides. One per process; only the one with the lease gets through.
pub(crate) struct Engine {
    db: Db,
    bus: Bus,
    clock: SharedClock,
    rng: SharedRng,
    pub(crate) texts: Arc<dyn RoutingTexts>,
    metrics: RouterMetrics,
    candidates: usize,
    offer_retention: SignedDuration,
    terms: Terms,
    /// When old offers were last removed.
    swept: Mutex<Option<Timestamp>>,
    pub(crate) known: Mutex<Option<Known>>,
    turn: tokio::sync::Mutex<()>,
    /// Fired when a round left work for the next one.
    pub(crate) again: Notify,
    /// Fired when an agent of this process answered an offer or asks for the next ticket.
    pub(crate) asked: Arc<Notify>,
}

impl Engine {
    pub(crate) fn new(runtime: &Runtime, config: &Config, texts: Arc<dyn RoutingTexts>) -> Self {
        Self {
            db: runtime.db.clone(),
            bus: runtime.bus.clone(),
            clock: Arc::clone(&runtime.clock),
            rng: Arc::clone(&runtime.rng),
            texts,
            metrics: RouterMetrics::register(&runtime.metrics),
            candidates: config.candidates,
            offer_retention: SignedDuration::from_hours(
                i64::from(config.offer_retention_days) * 24,
            ),
            swept: Mutex::new(None),
            terms: config.matching.terms(),
            known: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
            again: Notify::new(),
            asked: Arc::default(),
        }
    }

    /// Learns from events and decides on all that waits. Events that were done before have no effect.
    pub(crate) async fn round(
        self: &Arc<Self>,
        arrived: Vec<Arrived>,
        held: &Held,
    ) -> Result<(), RoundError> {
        let _turn = self.turn.lock().await;
        let started = Instant::now();
        let epoch = held.values().copied().next().unwrap_or(0);
        self.make_known(held, epoch).await?;
        let answers = self.ask(&arrived).await;
        let work = Arc::new(Work {
            arrived,
            held: held.clone(),
            epoch,
            answers,
        });
        let mut collisions = 0;
        let done = loop {
            match self.try_round(&work).await {
                Err(RoundError::RosterMoved) if collisions < COLLISIONS => collisions += 1,
                outcome => break outcome?,
            }
        };
        self.finish(done);
        self.metrics.round_took(started.elapsed().as_secs_f64());
        Ok(())
    }

    /// Whether a round without events has something to do.
    pub(crate) fn is_due(&self, held: &Held) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.as_ref() else {
            return true;
        };
        let now = self.clock.now();
        held.values().next() != Some(&known.epoch)
            || known.state.has_unrouted()
            || known.state.is_ripe(now)
            || known.state.has_chores(now)
            || known.state.next_hold().is_some_and(|until| until <= now)
    }

    /// Sets those offline whose heartbeats stopped; the next round sees it. True when there was somebody.
    pub(crate) async fn silence(&self, held: &Held) -> Result<bool, RoundError> {
        let (now, held) = (self.clock.now(), held.clone());
        self.db
            .tx("routing.silence", move |tx| {
                let held = held.clone();
                Box::pin(async move {
                    lease::fence(&mut *tx, LEASE, &held).await?;
                    Ok(silent_go(tx, now).await?)
                })
            })
            .await
    }

    /// Removes what is kept for a time only, now and then.
    pub(crate) async fn sweep(&self) -> Result<(), RoundError> {
        let now = self.clock.now();
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            let due = |at: Timestamp| at > now || now.duration_since(at) >= SWEEP_EVERY;
            if !swept.is_none_or(due) {
                return Ok(());
            }
            *swept = Some(now);
        }
        let ended = now.checked_sub(self.offer_retention).unwrap_or(now);
        let asked = now.checked_sub(PULL_KEPT).unwrap_or(now);
        while offers_prune(self.db.pool(), ended, SWEPT_AT_ONCE).await? == SWEPT_AT_ONCE {}
        pulls_prune(self.db.pool(), asked).await?;
        let called = now.checked_sub(REMEMBERED).unwrap_or(now);
        CALLS.forget(self.db.pool(), called).await?;
        Ok(())
    }

    /// Somebody else leads: what we know grows old.
    pub(crate) fn forget(&self) {
        drop(self.take_known());
        self.metrics.not_leading();
    }

    fn take_known(&self) -> Option<Known> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn keep_known(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
    }

    /// Reads the tables after a change of leader or a failure.
    async fn make_known(self: &Arc<Self>, held: &Held, epoch: i64) -> Result<(), RoundError> {
        if let Some(known) = self.take_known().filter(|known| known.epoch == epoch) {
            self.keep_known(known);
            return Ok(());
        }
        let held = held.clone();
        let terms = self.terms.clone();
        let known = self
            .db
            .tx("routing.rebuild", move |tx| {
                let (held, terms) = (held.clone(), terms.clone());
                Box::pin(async move {
                    lease::fence(tx, LEASE, &held).await?;
                    rebuild(tx, epoch, &terms).await
                })
            })
            .await?;
        tracing::info!(
            epoch,
            waiting = known.state.waiting(),
            "the router read its tables"
        );
        self.keep_known(known);
        Ok(())
    }

    async fn try_round(self: &Arc<Self>, work: &Arc<Work>) -> Result<Done, RoundError> {
        let (engine, work) = (Arc::clone(self), Arc::clone(work));
        self.db
            .tx("routing.decide", move |tx| {
                let (engine, work) = (Arc::clone(&engine), Arc::clone(&work));
                Box::pin(async move { engine.in_transaction(tx, &work).await })
            })
            .await
    }

    async fn in_transaction(&self, tx: &mut PgConnection, work: &Work) -> Result<Done, RoundError> {
        lease::fence(&mut *tx, LEASE, &work.held).await?;
        let known = self.take_known().filter(|known| known.epoch == work.epoch);
        let mut known = match known {
            Some(known) => known,
            None => rebuild(tx, work.epoch, &self.terms).await?,
        };
        refresh(tx, &mut known, &self.terms).await?;
        let now = self.clock.now();
        let news = self.claim(tx, &work.arrived).await?;
        erased_note(tx, &mut known.state, &news.erased).await?;
        let events = forget_erased(tx, news.events).await?;
        let events = find_tickets(tx, &mut known.state, events).await?;
        let since = now.checked_sub(self.terms.returning).unwrap_or(now);
        find_formers(tx, &mut known.state, &events, since).await?;
        let asked = known.stamp.asked > 0;
        let state = &mut known.state;
        for event in &events {
            state.learn(event);
        }
        for change in &news.changes {
            state.own_changed(change);
        }
        let said = said_take(tx, &state.offers_due(now), asked, now).await?;
        let (decisions, told, routed_more) = {
            let round = Round {
                now,
                epoch: work.epoch,
                candidates: self.candidates,
                most: DECIDED_AT_ONCE,
                new_id: &|| DecisionId::generate(&*self.clock, &*self.rng),
            };
            let routed_more = state.route(&work.answers, ROUTED_AT_ONCE);
            let (mut decisions, told) = state.hear_agents(&said, &round);
            decisions.extend(state.decide(&round));
            (decisions, told, routed_more)
        };
        said_answer(tx, &told, now).await?;
        let more = routed_more || state.is_ripe(now);
        let changes = state.take_changes();
        let people = state.desk_mut().take_changed();
        let tickets = changes.tickets.iter().filter_map(|id| state.ticket(*id));
        tickets_save(tx, tickets).await?;
        decisions_add(tx, &decisions).await?;
        outcomes_note(tx, &changes.outcomes).await?;
        offers_save(tx, &changes.offers).await?;
        loads_save(tx, state.desk(), &people).await?;
        let told = decisions.iter().filter(|it| it.kind != Kind::Offered);
        let told = told.map(|it| self.tell(&it.to_proto(), it.time, &it.trace));
        let offers = changes.offers.iter();
        let offers = offers.map(|it| self.tell(&it.to_proto(), it.time, &it.trace));
        outbox::add(tx, Owner::Routing, told.chain(offers).collect(), now).await?;
        Ok(Done {
            known,
            decisions,
            outcomes: changes.outcomes,
            touched: changes.tickets,
            more,
        })
    }

    /// The events that were not done yet, in order.
    async fn claim(&self, tx: &mut PgConnection, arrived: &[Arrived]) -> Result<News, RoundError> {
        let mut news = News::default();
        if arrived.is_empty() {
            return Ok(news);
        }
        let ids: Vec<EventId> = arrived.iter().map(|(id, _)| *id).collect();
        let mut new = inbox::claim(tx, Owner::Routing, CONSUMER, &ids, self.clock.now()).await?;
        // `remove`, because one batch may hold the same event twice.
        let fresh = arrived.iter().filter(|(id, _)| new.remove(id));
        for (_, heard) in fresh {
            match heard {
                Heard::Ticket(event) => news.events.push(event.as_ref().clone()),
                Heard::Own(change) => news.changes.push(change.clone()),
                Heard::Erased(erasure) => news.erased.push(erasure.clone()),
                Heard::Roster | Heard::Nothing => {}
            }
        }
        Ok(news)
    }

    fn tell<B: EventBody>(&self, body: &B, at: Timestamp, trace: &TraceContext) -> OutboxEvent {
        let id = EventId::generate(&*self.clock, &*self.rng);
        outbox_event(&self.bus, &Event::traced(id, at, body, trace.clone()))
    }

    /// After the commit: memory may follow.
    fn finish(&self, mut done: Done) {
        let state = &mut done.known.state;
        state.forget_done(&done.touched);
        self.metrics.unassigned(state.waiting());
        let stuck = state.stuck();
        self.metrics.stuck(stuck);
        let restricted = Some(RejectCause::Restricted);
        if stuck > 0 && done.outcomes.iter().any(|it| it.rejected == restricted) {
            tracing::warn!(
                tickets = stuck,
                "restricted tickets name nobody who works here, an admin has to name somebody"
            );
        }
        for decision in &done.decisions {
            self.metrics.decided(decision);
        }
        for cause in done.outcomes.iter().filter_map(|it| it.rejected) {
            self.metrics.rejected(cause);
        }
        self.keep_known(done.known);
        if done.more {
            self.again.notify_one();
        }
    }
}

/// An event as the outbox keeps it.
pub(crate) fn outbox_event(bus: &Bus, event: &Event) -> OutboxEvent {
    let encoded = bus.encode(event);
    OutboxEvent {
        event_id: event.id.as_uuid(),
        family: encoded.family.token().to_owned(),
        shard: encoded.shard,
        event: encoded.bytes,
    }
}
