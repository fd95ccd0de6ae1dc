//! The outbox relay: takes committed events from PostgreSQL to the bus.
//!
//! One relay at a time works on an outbox (a lease), so events leave in the order of their rows, which is the order of
//! commits for any one ticket. A relay that was paused may still publish what its successor published too; consumers
//! drop the repeat by its id. Events go out as they were stored, under the trace context of the change that made them.
//! Rows stay for ten minutes after the bus has acknowledged them, so that a bus that lost its tail can be filled again.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use solmu_bus::{
    Bus, Family, PublishError,
    publish::{EncodedEvent, MAX_PAYLOAD},
};
use solmu_db::{
    Db, DbError, inbox,
    lease::{self, Held, LeaseGroup},
    outbox::{self, Owner, Unsent},
};
use solmu_domain::clock::SharedClock;
use solmu_telemetry::{
    Metrics,
    metrics::{Counter, Gauge, Unit},
};
use sqlx::{PgConnection, Postgres, pool::PoolConnection, postgres::PgListener};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use crate::runtime::Runtime;

/// How long the relay's lease lives: what a dead replica had committed goes out within five seconds.
const LEASE_TTL: Duration = Duration::from_secs(3);
/// Rows of one round.
const BATCH: i64 = 500;
/// The safety tick, should a notification get lost.
const TICK: Duration = Duration::from_secs(1);
/// After how many acknowledged rows they are marked, and how long the first of them waits for that at most. Marking
/// each round would cost a transaction and a sync for each few events.
const MARK: (usize, Duration) = (256, Duration::from_millis(100));
/// How long acknowledged rows are kept.
const KEEP: SignedDuration = SignedDuration::from_mins(10);
/// How long the inbox beside the outbox knows which events were done: longer than any stream keeps them, dead letters
/// (30 days) included, because what comes again after that would have a second effect.
const KEEP_INBOX: SignedDuration = SignedDuration::from_hours(35 * 24);
/// How often both are purged.
const PURGE: Duration = Duration::from_mins(1);
/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Room for the tag and length of an event in a batch.
const FRAME: usize = 16;

struct RelayMetrics {
    pending: Gauge<1>,
    oldest_age: Gauge<1>,
    published: Counter<1>,
    failures: Counter<2>,
    stuck: Gauge<1>,
}

impl RelayMetrics {
    fn register(metrics: &Metrics) -> Self {
        let owner = ["owner"];
        Self {
            pending: metrics.gauge(
                "solmu_outbox_pending",
                "Events that wait for the relay",
                Unit::Count,
                owner,
            ),
            oldest_age: metrics.gauge(
                "solmu_outbox_oldest_age_seconds",
                "How long the oldest event has waited for the relay",
                Unit::Seconds,
                owner,
            ),
            published: metrics.counter(
                "solmu_outbox_published_total",
                "Events that the relay brought to the bus",
                Unit::Count,
                owner,
            ),
            failures: metrics.counter(
                "solmu_outbox_failures_total",
                "Rounds of the relay that failed",
                Unit::Count,
                ["owner", "error_type"],
            ),
            stuck: metrics.gauge(
                "solmu_outbox_stuck",
                "Events that no bus message can carry, of the last round",
                Unit::Count,
                owner,
            ),
        }
    }
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("cannot read or mark the outbox")]
    Db(#[from] DbError),
    #[error("cannot publish the outbox")]
    Publish(#[from] PublishError),
}

impl RoundError {
    const fn label(&self) -> &'static str {
        match self {
            Self::Db(_) => "database",
            Self::Publish(PublishError::Unknown) => "unknown",
            Self::Publish(PublishError::Unavailable(_)) => "unavailable",
            Self::Publish(PublishError::TooLarge { .. }) => "too_large",
        }
    }
}

struct Relay {
    owner: Owner,
    db: Db,
    bus: Bus,
    clock: SharedClock,
    metrics: RelayMetrics,
    wake: Arc<Notify>,
    held: watch::Receiver<Held>,
    acknowledged: Acknowledged,
    /// Kept from round to round: the pool tries each connection that comes back, which costs more than a round's query.
    connection: Option<PoolConnection<Postgres>>,
}

/// Rows that the bus has but that are not marked yet. Should the process end before, they go out a second time, and
/// consumers drop the repeat by its id.
#[derive(Debug, Default)]
struct Acknowledged {
    ids: Vec<i64>,
    mark_at: Option<Instant>,
}

impl Acknowledged {
    fn add(&mut self, ids: Vec<i64>) {
        self.ids.extend(ids);
        self.mark_at.get_or_insert_with(|| Instant::now() + MARK.1);
    }

    fn is_due(&self) -> bool {
        self.ids.len() >= MARK.0 || self.mark_at.is_some_and(|at| at <= Instant::now())
    }
}

/// Relays the outbox of `owner` until the process stops. Any number of processes may call this; one works.
pub fn start(runtime: &Runtime, owner: Owner) {
    // Its own token: the lease is given back after the last round, not before it.
    let release = CancellationToken::new();
    let wake = Arc::new(Notify::new());
    let group = LeaseGroup {
        ttl: LEASE_TTL,
        ..LeaseGroup::new(format!("relay.{}", owner.schema()), 1, &runtime.instance)
    };
    let relay = Relay {
        owner,
        db: runtime.db.clone(),
        bus: runtime.bus.clone(),
        clock: Arc::clone(&runtime.clock),
        metrics: RelayMetrics::register(&runtime.metrics),
        wake: Arc::clone(&wake),
        held: lease::keep(&runtime.db, group, &runtime.background, release.clone()),
        acknowledged: Acknowledged::default(),
        connection: None,
    };
    let stop = runtime.shutdown.stop.clone();
    let listening = listen(runtime.db.clone(), owner, wake, stop.clone());
    runtime.spawn_background("relay.listen", listening);
    runtime.spawn_background("relay", async move {
        let _release = release.drop_guard();
        relay.run(stop).await;
    });
}

impl Relay {
    async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut purged = Instant::now();
        let mut pause = PAUSES.0;
        loop {
            let ticked = tokio::select! {
                () = stop.cancelled() => break,
                () = self.wake.notified() => false,
                // Taking over the lease is a reason to look, too. Without the keeper there is nothing left to do.
                changed = self.held.changed() => if changed.is_err() { break } else { true },
                () = sleep_until(self.acknowledged.mark_at) => false,
                _ = tick.tick() => true,
            };
            if !self.is_ours() {
                self.mark_or_warn().await;
                self.connection = None;
                self.forget_gauges();
                continue;
            }
            match self.drain().await {
                Ok(()) => pause = PAUSES.0,
                Err(error) => {
                    self.failed(&error);
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
            if ticked {
                self.measure().await;
            }
            if purged.elapsed() >= PURGE {
                purged = Instant::now();
                self.purge().await;
            }
        }
        // What the work in hand committed last.
        if self.is_ours()
            && let Err(error) = self.drain().await
        {
            self.failed(&error);
        }
        self.mark_or_warn().await;
        self.forget_gauges();
    }

    fn is_ours(&self) -> bool {
        !self.held.borrow().is_empty()
    }

    /// Rounds until nothing waits or the lease is gone.
    async fn drain(&mut self) -> Result<(), RoundError> {
        while self.is_ours() && self.round().await? {}
        if self.acknowledged.is_due() {
            self.mark().await?;
        }
        Ok(())
    }

    /// Marks what the bus has acknowledged.
    async fn mark(&mut self) -> Result<(), RoundError> {
        if !self.acknowledged.ids.is_empty() {
            let connection = connect(&mut self.connection, &self.db).await?;
            let ids = &self.acknowledged.ids;
            outbox::mark_sent(connection, self.owner, ids, self.clock.now()).await?;
        }
        self.acknowledged = Acknowledged::default();
        Ok(())
    }

    /// The last chance to mark; what it misses goes out a second time.
    async fn mark_or_warn(&mut self) {
        if let Err(error) = self.mark().await {
            self.failed(&error);
        }
        self.acknowledged = Acknowledged::default();
    }

    /// One round. Returns whether there may be more.
    async fn round(&mut self) -> Result<bool, RoundError> {
        if self.acknowledged.ids.len() >= MARK.0 {
            self.mark().await?;
        }
        let connection = connect(&mut self.connection, &self.db).await?;
        let known = &self.acknowledged.ids;
        let rows = outbox::take(connection, self.owner, known, BATCH).await?;
        let full = i64::try_from(rows.len()).is_ok_and(|count| count == BATCH);
        let (mut ids, mut events, mut stuck) = (Vec::new(), Vec::new(), 0_u32);
        for row in rows {
            let id = row.id;
            match encoded(row) {
                Ok(event) => {
                    ids.push(id);
                    events.push(event);
                }
                Err(reason) => {
                    // It stays, so that the age of the oldest raises the alarm; those behind it go on.
                    stuck += 1;
                    tracing::error!(
                        owner = self.owner.schema(),
                        row = id,
                        reason,
                        "event cannot be relayed"
                    );
                }
            }
        }
        self.metrics
            .stuck
            .set([self.owner.schema()], f64::from(stuck));
        if ids.is_empty() {
            return Ok(false);
        }
        self.bus.publish_encoded(events).await?;
        self.metrics
            .published
            .add([self.owner.schema()], ids.len() as u64);
        self.acknowledged.add(ids);
        Ok(full)
    }

    fn failed(&mut self, error: &RoundError) {
        // It may be what is broken.
        self.connection = None;
        self.metrics
            .failures
            .inc([self.owner.schema(), error.label()]);
        let cause = error as &dyn std::error::Error;
        tracing::warn!(
            owner = self.owner.schema(),
            error = cause,
            "outbox round failed; it is repeated"
        );
    }

    async fn measure(&self) {
        let owner = [self.owner.schema()];
        // What fails here fails in the round, too, and is logged there.
        if let Ok(backlog) = outbox::backlog(self.db.pool(), self.owner).await {
            let age = backlog.oldest.map_or(SignedDuration::ZERO, |oldest| {
                self.clock.now().duration_since(oldest)
            });
            let pending = u32::try_from(backlog.pending).unwrap_or(u32::MAX);
            self.metrics.pending.set(owner, f64::from(pending));
            self.metrics
                .oldest_age
                .set(owner, age.as_secs_f64().max(0.0));
        }
    }

    async fn purge(&self) {
        let now = self.clock.now();
        let (Ok(sent), Ok(seen)) = (now.checked_sub(KEEP), now.checked_sub(KEEP_INBOX)) else {
            return;
        };
        let (pool, owner) = (self.db.pool(), self.owner);
        let purged = async {
            outbox::purge(pool, owner, sent).await?;
            let mut connection = pool.acquire().await.map_err(DbError::from)?;
            inbox::purge(&mut connection, owner, seen).await
        };
        if let Err(error) = purged.await {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(
                owner = owner.schema(),
                error = cause,
                "cannot purge the outbox and inbox"
            );
        }
    }

    /// Who does not work on the outbox does not report on it.
    fn forget_gauges(&self) {
        let owner = [self.owner.schema()];
        self.metrics.pending.remove(owner);
        self.metrics.oldest_age.remove(owner);
        self.metrics.stuck.remove(owner);
    }
}

/// The connection of the last round, or a new one.
async fn connect<'c>(
    connection: &'c mut Option<PoolConnection<Postgres>>,
    db: &Db,
) -> Result<&'c mut PgConnection, DbError> {
    let kept = match connection.take() {
        Some(kept) => kept,
        None => db.pool().acquire().await?,
    };
    Ok(connection.insert(kept))
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A row as the bus wants it, or why it cannot go.
fn encoded(row: Unsent) -> Result<EncodedEvent, &'static str> {
    let family = Family::from_token(&row.family).ok_or("unknown_family")?;
    if row.event.len() + FRAME > MAX_PAYLOAD {
        return Err("too_large");
    }
    Ok(EncodedEvent {
        id: row.event_id.to_string(),
        family,
        shard: row.shard,
        bytes: row.event,
    })
}

/// Passes PostgreSQL's notifications on: a commit wakes the relay, wherever it was made. Waking it within the process, too,
/// would be a little sooner and cost a second, empty round for each commit.
async fn listen(db: Db, owner: Owner, wake: Arc<Notify>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            outcome = listen_once(&db, owner, &wake) => {
                let Err(error) = outcome;
                // The tick does its work meanwhile.
                let cause = &error as &dyn std::error::Error;
                tracing::warn!(owner = owner.schema(), error = cause, "cannot listen for the outbox");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

async fn listen_once(
    db: &Db,
    owner: Owner,
    wake: &Notify,
) -> Result<std::convert::Infallible, sqlx::Error> {
    let mut listener = PgListener::connect_with(db.pool()).await?;
    listener.listen(owner.channel()).await?;
    loop {
        // None: the connection was lost and is made anew; there may be rows either way.
        listener.try_recv().await?;
        wake.notify_one();
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
