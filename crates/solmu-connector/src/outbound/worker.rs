//! Sends what is due, stores what became of it, and tells the bus.
//!
//! A reconciler: each turn looks at the table and does what it finds, woken by a new message, by an answer and by the
//! clock. Nothing lives only in memory except outcomes that the database did not take yet; if the process dies with
//! them, their rows become `unknown`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::{Db, DbError};
use solmu_domain::{
    clock::SharedClock,
    rng::{Rng, SharedRng},
};
use solmu_proto::{
    inbound::v1::DeliveryReported,
    types::v1::{Channel, DeliveryState},
};
use solmu_telemetry::{TraceContext, trace_context::set_parent, vendor::Call};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;
use uuid::Uuid;

use super::{
    OutboundConfig, OutboundMetrics, Rests, SendOutcome, Sender,
    claim::{self, Claimed, InLine, Place, Wanted},
    lanes::{LaneBook, Openings, Passed},
    store::{self, Step, Unreported},
};
use crate::{intake::Intake, names::channel_name};

/// Reports of one publish at most.
const REPORTS: i64 = 200;

/// Turns of the clock between two looks for rows that may be forgotten.
const PURGE_EVERY: u32 = 600;

/// A pause of a lane is longer by up to this, in per mille.
const LANE_SPREAD: u64 = 200;

/// What came of an attempt.
struct Attempt {
    id: Uuid,
    step: Step,
    passed: Passed,
}

pub(super) struct Worker<S> {
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    pub(super) rng: SharedRng,
    pub(super) tasks: TaskTracker,
    pub(super) intake: Intake,
    pub(super) channel: Channel,
    pub(super) config: OutboundConfig,
    pub(super) sender: Arc<S>,
    pub(super) wake: Arc<Notify>,
    pub(super) metrics: OutboundMetrics,
}

impl<S: Sender> Worker<S> {
    /// Runs until `drain`; what is being sent then is finished, stored and reported.
    ///
    /// Each attempt is a task of its own: one that panics leaves its row `sending`, which becomes `unknown`, and a
    /// database or bus that is slow to answer does not use up the time limits of attempts.
    pub(super) async fn run(self: Arc<Self>, drain: CancellationToken) {
        let mut sending = FuturesUnordered::new();
        let mut outcomes: Vec<(Uuid, Step)> = Vec::new();
        let mut lanes = LaneBook::default();
        let mut place = Place::default();
        let mut poll =
            tokio::time::interval(Duration::from_millis(self.config.poll_interval_ms.max(1)));
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut turns = 0_u32;
        loop {
            self.settle(&mut outcomes).await;
            if drain.is_cancelled() {
                if sending.is_empty() && outcomes.is_empty() {
                    return;
                }
            } else if outcomes.is_empty() && self.reaches_database(&drain).await {
                let room = self.config.concurrency.max(1).saturating_sub(sending.len());
                for claimed in self.claim(room, &mut lanes, &mut place).await {
                    let (worker, lane) = (Arc::clone(&self), claimed.lane.clone());
                    let attempt = self
                        .tasks
                        .spawn(async move { worker.attempt(claimed).await });
                    sending.push(attempt.map(|ended| (lane, ended.ok())));
                }
            }
            tokio::select! {
                Some(ended) = sending.next() => {
                    outcomes.extend(self.note(ended, &mut lanes));
                    while let Some(Some(ended)) = sending.next().now_or_never() {
                        outcomes.extend(self.note(ended, &mut lanes));
                    }
                }
                () = self.wake.notified() => {}
                _ = poll.tick() => {
                    turns = turns.wrapping_add(1);
                    drain.run_until_cancelled(self.tidy(turns % PURGE_EVERY == 1)).await;
                    let resting = lanes.resting(self.clock.now());
                    let resting = u32::try_from(resting).unwrap_or(u32::MAX);
                    let channel = channel_name(self.channel);
                    self.metrics.resting.set([channel], f64::from(resting));
                }
                () = drain.cancelled(), if !drain.is_cancelled() => {}
            }
        }
    }

    /// Waits for the database, and not beyond the drain: what is claimed has to be known, so a claim is not left half way.
    async fn reaches_database(&self, drain: &CancellationToken) -> bool {
        match drain.run_until_cancelled(self.db.pool().acquire()).await {
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                self.warn(&DbError::from(error), "cannot look for messages to send");
                false
            }
            None => false,
        }
    }

    /// Frees the place of an attempt in its lane. One that panicked has no outcome.
    fn note(
        &self,
        (lane, attempt): (String, Option<Attempt>),
        lanes: &mut LaneBook,
    ) -> Option<(Uuid, Step)> {
        let passed = attempt
            .as_ref()
            .map_or(Passed::Unclear, |attempt| attempt.passed);
        let extra = u32::try_from(self.rng.next_u64() % LANE_SPREAD).unwrap_or(0);
        lanes.ended(&lane, passed, self.clock.now(), extra);
        attempt.map(|attempt| (attempt.id, attempt.step))
    }

    /// Takes what is due until all places are used or nothing more may be taken.
    async fn claim(
        &self,
        mut room: usize,
        lanes: &mut LaneBook,
        place: &mut Place,
    ) -> Vec<Claimed> {
        let mut all = Vec::new();
        while room > 0 {
            let openings = lanes.openings(self.clock.now());
            let found = self.in_line(room, &openings).await;
            // A lane whose places are all taken may have hidden others, and a new one may have more places now.
            let hidden = self.began(&found.claimed, &openings, lanes);
            room -= found.claimed.len().min(room);
            all.extend(found.claimed);
            if found.more && room > 0 {
                let openings = lanes.openings(self.clock.now());
                let claimed = self.lane_by_lane(room, &openings, place).await;
                if claimed.is_empty() {
                    break;
                }
                self.began(&claimed, &openings, lanes);
                room -= claimed.len().min(room);
                all.extend(claimed);
            } else if !hidden {
                break;
            }
        }
        all
    }

    /// Notes in the book what was taken. Says whether some lane is full by it, as far as that was known.
    fn began(&self, claimed: &[Claimed], openings: &Openings, lanes: &mut LaneBook) -> bool {
        let now = self.clock.now();
        let mut taken: HashMap<&str, usize> = HashMap::new();
        for message in claimed {
            let limits = self.sender.lane_limits(&message.lane);
            lanes.began(&message.lane, limits, now);
            *taken.entry(&message.lane).or_default() += 1;
        }
        taken
            .iter()
            .any(|(lane, count)| *count >= openings.room(lane))
    }

    fn wanted<'a>(&self, limit: usize, openings: &'a Openings) -> Wanted<'a> {
        let now = self.clock.now();
        Wanted {
            channel: channel_name(self.channel),
            limit,
            openings,
            now,
            until: now
                .saturating_add(self.config.claim_time())
                .unwrap_or(Timestamp::MAX),
        }
    }

    async fn in_line(&self, limit: usize, openings: &Openings) -> InLine {
        match claim::in_line(&self.db, self.wanted(limit, openings)).await {
            Ok(found) => found,
            Err(error) => {
                self.warn(&error, "cannot look for messages to send");
                InLine::default()
            }
        }
    }

    async fn lane_by_lane(
        &self,
        limit: usize,
        openings: &Openings,
        place: &mut Place,
    ) -> Vec<Claimed> {
        match claim::lane_by_lane(&self.db, self.wanted(limit, openings), place).await {
            Ok(claimed) => claimed,
            Err(error) => {
                self.warn(&error, "cannot look for messages to send");
                Vec::new()
            }
        }
    }

    async fn attempt(&self, claimed: Claimed) -> Attempt {
        let channel = channel_name(self.channel);
        let span = tracing::info_span!(
            "outbound.send",
            otel.kind = "client",
            channel,
            message.id = %claimed.id,
            attempt = claimed.attempt,
        );
        set_parent(&span, &claimed.trace);
        let Claimed {
            id,
            message,
            attempt,
            ..
        } = claimed;
        let Some(message) = message else {
            return Attempt {
                id,
                passed: Passed::Unclear,
                step: Step::Failed {
                    code: "undecodable".to_owned(),
                    text: "the stored message cannot be read".to_owned(),
                },
            };
        };
        let outcome = tokio::time::timeout(self.config.send_timeout(), self.sender.send(&message))
            .instrument(span.clone())
            .await
            .unwrap_or_else(|_| {
                SendOutcome::unknown("timeout", "no answer in time: the message may have arrived")
            });
        self.metrics.attempts.inc([channel, outcome.label()]);
        if let SendOutcome::Throttled { after, .. } = &outcome {
            self.metrics.vendors.throttled(channel, Call::Send, *after);
        }
        let _entered = span.entered();
        tracing::info!(
            outcome = outcome.label(),
            "an attempt to send a message ended"
        );
        let passed = match &outcome {
            SendOutcome::Sent { .. } | SendOutcome::Failed { .. } => Passed::Well,
            SendOutcome::Throttled {
                rests: Rests::Lane,
                after,
                ..
            } => Passed::Throttled(*after),
            SendOutcome::Throttled {
                rests: Rests::Conversation,
                ..
            }
            | SendOutcome::Retry { .. }
            | SendOutcome::Unknown { .. } => Passed::Unclear,
        };
        Attempt {
            id,
            passed,
            step: self.step(outcome, attempt),
        }
    }

    /// Where the row goes: the last failed attempt is a failure.
    fn step(&self, outcome: SendOutcome, attempt: u32) -> Step {
        match outcome {
            SendOutcome::Sent { external_id } => Step::Sent { external_id },
            SendOutcome::Failed { code, text } => Step::Failed { code, text },
            SendOutcome::Unknown { code, text } => Step::Unknown { code, text },
            SendOutcome::Retry { after, code, text }
            | SendOutcome::Throttled {
                after, code, text, ..
            } => self.again(attempt, after, code, text),
        }
    }

    fn again(&self, attempt: u32, after: Option<Duration>, code: String, text: String) -> Step {
        if attempt >= self.config.max_attempts {
            return Step::Failed { code, text };
        }
        let wait = backoff(&self.config, attempt, &*self.rng).max(after.unwrap_or_default());
        let at = self
            .clock
            .now()
            .saturating_add(wait)
            .unwrap_or(Timestamp::MAX);
        Step::Retry { at, code, text }
    }

    /// Stores outcomes and reports them. What cannot be stored now stays in `outcomes`.
    async fn settle(&self, outcomes: &mut Vec<(Uuid, Step)>) {
        if outcomes.is_empty() {
            return;
        }
        match store::finish(&self.db, outcomes, self.clock.now()).await {
            Ok(()) => {
                outcomes.clear();
                self.report().await;
            }
            Err(error) => {
                self.warn(&error, "cannot store what became of sent messages");
                // Without a pause, a database that is away would be asked in a tight loop.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    /// What the clock brings: rows of dead senders, reports that did not go out, rows to forget.
    async fn tidy(&self, purge: bool) {
        let (channel, now) = (channel_name(self.channel), self.clock.now());
        match store::give_up_orphans(&self.db, channel, now).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(
                channel,
                count,
                "messages were being sent when their sender stopped"
            ),
            Err(error) => return self.warn(&error, "cannot look for interrupted messages"),
        }
        self.report().await;
        if purge {
            let keep = Duration::from_secs(u64::from(self.config.keep_days) * 24 * 60 * 60);
            if let Err(error) = store::purge(&self.db, channel, now, keep).await {
                self.warn(&error, "cannot forget old messages");
            }
        }
    }

    async fn report(&self) {
        loop {
            let rows = match store::unreported(&self.db, channel_name(self.channel), REPORTS).await
            {
                Ok(rows) if rows.is_empty() => return,
                Ok(rows) => rows,
                Err(error) => return self.warn(&error, "cannot look for reports to publish"),
            };
            let publishing = rows.iter().map(|row| {
                let span = tracing::info_span!("outbound.report", message.id = %row.message_id);
                let trace = TraceContext {
                    traceparent: row.traceparent.clone(),
                    tracestate: row.tracestate.clone(),
                };
                set_parent(&span, &trace);
                self.intake.accept(self.report_of(row)).instrument(span)
            });
            let published = futures::future::join_all(publishing).await;
            let done: Vec<Unreported> = rows
                .iter()
                .zip(&published)
                .filter(|(_, outcome)| outcome.is_ok())
                .map(|(row, _)| row.clone())
                .collect();
            if let Err(error) = store::mark_reported(&self.db, &done).await {
                return self.warn(&error, "cannot note that reports were published");
            }
            if done.len() < rows.len()
                || rows.len() < usize::try_from(REPORTS).unwrap_or(usize::MAX)
            {
                return;
            }
        }
    }

    fn report_of(&self, row: &Unreported) -> DeliveryReported {
        let state = match row.state.as_str() {
            "sent" => DeliveryState::Sent,
            "delivered" => DeliveryState::Delivered,
            "failed" => DeliveryState::Failed,
            _ => DeliveryState::Unknown,
        };
        DeliveryReported {
            message_id: row.message_id.to_string(),
            channel: self.channel.into(),
            account: row.account.clone(),
            external_id: row.external_id.clone(),
            state: state.into(),
            report_time: Some(to_proto_time(row.finished_at.to_jiff())),
            address_invalid: is_bad_address(&row.error_code),
            // The body is gone by now, and with it whom it went to; the ticket service knows.
            address: String::new(),
            error_code: row.error_code.clone(),
            error_text: row.error_text.clone(),
        }
    }

    fn warn(&self, error: &DbError, what: &'static str) {
        tracing::warn!(
            channel = channel_name(self.channel),
            error = error as &dyn std::error::Error,
            what,
            "sending is held up"
        );
    }
}

/// Whether a code says that there is no such address (RFC 3463 section 3.2): bad mailbox, bad domain, and a domain that
/// takes no mail (RFC 7505). Alone (`5.1.1`) or after a reply code (`550 5.1.1`).
#[must_use]
pub fn is_bad_address(code: &str) -> bool {
    let status = code.rsplit(' ').next().unwrap_or_default();
    matches!(status, "5.1.1" | "5.1.2" | "5.1.10")
}

/// Doubles from attempt to attempt, give or take a fifth, so that many failures do not come back together.
fn backoff(config: &OutboundConfig, attempt: u32, rng: &dyn Rng) -> Duration {
    let doubled = config
        .first_retry_seconds
        .saturating_mul(1_u64 << attempt.saturating_sub(1).min(30));
    let base = Duration::from_secs(doubled.min(config.max_retry_seconds));
    let per_mille = u32::try_from(800 + rng.next_u64() % 401).unwrap_or(1_000);
    base * per_mille / 1_000
}
