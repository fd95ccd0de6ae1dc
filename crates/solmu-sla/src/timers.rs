//! The timer loop of the leader.
//!
//! It sleeps until the next timer, which the table knows, and is woken when a batch adds an earlier one. While there is
//! a timer it also looks at the clock a few times a second (no query): the machine's clock may jump, and the clock of a
//! test stands still until it is moved. A scan every second was rejected: it costs a query when there is nothing to do
//! and up to a second when there is.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use solmu_bus::Family;
use solmu_bus::streams;
use solmu_db::{DbError, lease::Held};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::{
    config::Config, consumer::durable, reconsider::ReconsiderError, store::clocks, worker::Worker,
};

/// How often the table is asked anyway, for what others wrote.
const REFRESH: Duration = Duration::from_secs(5);
/// Pause when a due ticket was in another transaction's hands.
const BUSY: Duration = Duration::from_millis(20);
/// Pause after a failure.
const FAILED: Duration = Duration::from_millis(500);
/// How often a new leader asks whether it has caught up.
const CATCH_UP_POLL: Duration = Duration::from_millis(50);
/// How long it waits for one answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The loop.
pub(crate) struct Timers {
    pub(crate) worker: Worker,
    pub(crate) config: Config,
    pub(crate) held: watch::Receiver<Held>,
    pub(crate) stop: CancellationToken,
}

impl Timers {
    /// Fires timers while this process leads, until it stops.
    pub(crate) async fn run(mut self) {
        loop {
            let term = tokio::select! {
                () = self.stop.cancelled() => return,
                leading = self.held.wait_for(|held| !held.is_empty()) => match leading {
                    Ok(held) => held.clone(),
                    Err(_) => return,
                },
            };
            self.catch_up(&term).await;
            self.lead(&term).await;
        }
    }

    /// Whether the lease is as it was, so that work under it goes on.
    fn still(&mut self, term: &Held) -> bool {
        !self.stop.is_cancelled() && *self.held.borrow_and_update() == *term
    }

    /// Waits until this leader has read what happened while nobody worked. What happens from now on is no reason to wait:
    /// on a busy desk there is always something that is not read yet.
    async fn catch_up(&mut self, term: &Held) {
        let deadline = Instant::now() + self.config.catch_up();
        let mut goals = BTreeMap::new();
        while self.still(term) && !self.has_caught_up(term, &mut goals).await {
            if Instant::now() >= deadline {
                tracing::warn!(
                    "ticket events are not read up to the end yet; firing timers all the same"
                );
                return;
            }
            self.pause(CATCH_UP_POLL).await;
        }
    }

    /// `goals` are the places in the stream that each shard has to have read: its end at the first look.
    async fn has_caught_up(&self, term: &Held, goals: &mut BTreeMap<i32, u64>) -> bool {
        let stream = streams::stream_of(Family::Tickets).name;
        for shard in term.keys() {
            let durable = durable(*shard);
            let info = streams::consumer_info(&self.worker.maker.bus, stream, &durable);
            let Ok(Ok(info)) = tokio::time::timeout(PATIENCE, info).await else {
                return false;
            };
            let end = info.delivered.stream_sequence + info.num_pending;
            let goal = *goals.entry(*shard).or_insert(end);
            let is_idle = info.num_pending == 0 && info.num_ack_pending == 0;
            if !is_idle && info.ack_floor.stream_sequence < goal {
                return false;
            }
        }
        true
    }

    async fn lead(&mut self, term: &Held) {
        while self.still(term) {
            let span = tracing::info_span!("sla.fire_timers");
            match self.round(term).instrument(span).await {
                Ok(()) => {}
                // The keeper sees it, too, and ends this term.
                Err(ReconsiderError::Db(DbError::LeaseLost { .. })) => self.pause(FAILED).await,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot fire timers; trying again"
                    );
                    self.pause(FAILED).await;
                    continue;
                }
            }
            self.sleep(term).await;
        }
    }

    /// Fires what is due, and asks the table for the next timer.
    async fn round(&mut self, term: &Held) -> Result<(), ReconsiderError> {
        let limit = self.config.timer_batch;
        while self.still(term) {
            let fired = self.worker.fire(term, limit).await?;
            if fired < limit as usize {
                break;
            }
        }
        loop {
            self.worker.alarm.reset();
            let (next, edited) = self.ask().await?;
            if let Some(at) = next {
                self.worker.alarm.set(at);
            }
            // Timers do not wait for an edit that concerns many tickets: they are looked at between its batches.
            if !edited || self.is_due() || !self.still(term) {
                return Ok(());
            }
            self.worker.apply_edit(term, limit).await?;
            self.worker.reconsider(term, limit).await?;
        }
    }

    /// The next timer, and whether an edit is on its way to the tickets.
    async fn ask(&self) -> Result<(Option<Timestamp>, bool), DbError> {
        let pool = self.worker.db.pool();
        let mut connection = pool.acquire().await.map_err(DbError::from)?;
        clocks::next_wake(&mut connection).await
    }

    /// Sleeps until a timer is due or the table should be asked again.
    async fn sleep(&mut self, term: &Held) {
        let refresh = Instant::now() + REFRESH;
        let alarm = Arc::clone(&self.worker.alarm);
        if self.is_due() {
            // It was due a moment ago, too, and another transaction had it.
            self.pause(BUSY).await;
            return;
        }
        while self.still(term) && !self.is_due() && Instant::now() < refresh {
            let longest = refresh.saturating_duration_since(Instant::now());
            let until_next = self.until_next();
            let nap = until_next.map_or(longest, |until| until.min(self.config.clock_poll()));
            tokio::select! {
                () = alarm.changed() => {}
                () = self.pause(nap.min(longest)) => {}
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.worker.maker.clock.now()
    }

    fn is_due(&self) -> bool {
        self.until_next().is_some_and(|until| until.is_zero())
    }

    /// None when there is no timer.
    fn until_next(&self) -> Option<Duration> {
        let until = self.worker.alarm.next()?.duration_since(self.now());
        Some(Duration::try_from(until).unwrap_or(Duration::ZERO))
    }

    /// Ends early when the process stops or the lease changes.
    async fn pause(&mut self, time: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            _ = self.held.changed() => {}
            () = tokio::time::sleep(time) => {}
        }
    }
}
