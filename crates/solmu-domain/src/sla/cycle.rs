//! One clock of one metric: what it has consumed, and since when it runs.
//!
//! A running cycle is not touched by the passing of time: consumed time is settled only when it stops, or when target
//! or calendar change. So its deadline is a function of the stored state alone, and a timer that looks at the cycle
//! cannot move it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{calendar::Calendar, metric::Metric};

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// How a cycle ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What it waited for was done, in time or late.
    Met,
    /// It lost its meaning, and counts for nothing.
    Void,
}

/// The end of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// How.
    pub outcome: Outcome,
    /// When.
    pub at: Timestamp,
}

/// One cycle of a metric. A cycle that has ended keeps target and calendar as they were then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// What it measures.
    pub metric: Metric,
    /// Counted from 1 for each metric.
    pub number: u32,
    /// Key of the calendar that the running stretch is counted in.
    pub calendar: String,
    /// Target in business seconds; None while the priority has none.
    pub target_s: Option<i64>,
    /// When it began.
    pub started_at: Timestamp,
    /// Business microseconds consumed before `since`.
    pub consumed_us: i64,
    /// Start of the running stretch; None while it stands still.
    pub since: Option<Timestamp>,
    /// The deadline that was missed first. Never taken back.
    pub breached_at: Option<Timestamp>,
    /// How and when it ended.
    pub end: Option<End>,
    /// The team whose part it is, for [`Metric::Ownership`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

impl Cycle {
    /// Business microseconds consumed at `at`, which is not before `since`.
    pub(super) fn consumed_at(&self, at: Timestamp, calendar: &Calendar) -> i64 {
        let running = self
            .since
            .map_or(0, |since| calendar.elapsed_micros(since, at));
        self.consumed_us + running.max(0)
    }

    /// Target less what is consumed, in microseconds.
    fn left(&self, consumed: i64) -> Option<i64> {
        Some(
            self.target_s?
                .saturating_mul(SECOND)
                .saturating_sub(consumed),
        )
    }

    /// What is left of the target, in microseconds, when `percent` of it are used.
    pub(super) fn spare_at(&self, percent: u8) -> i64 {
        let rest = i64::from(100 - percent.min(100));
        // Targets are at most ten years, so this is far from the limits.
        self.target_s.unwrap_or(0).saturating_mul(rest) * (SECOND / 100)
    }

    /// [`Self::left`] at an instant.
    pub(super) fn left_at(&self, at: Timestamp, calendar: &Calendar) -> Option<i64> {
        self.left(self.consumed_at(at, calendar))
    }

    /// The instant at which the target is used up; None while it stands still or has no target.
    ///
    /// A target that was used up already when the stretch began is due at its beginning, not back in time.
    pub(super) fn deadline(&self, calendar: &Calendar) -> Option<Timestamp> {
        self.used_up_but(0, calendar)
    }

    /// The instant at which no more than `spare` microseconds of the target are left.
    pub(super) fn used_up_but(&self, spare: i64, calendar: &Calendar) -> Option<Timestamp> {
        let since = self.since?;
        let left = self.left(self.consumed_us)?.saturating_sub(spare);
        // At zero left the deadline is the next opening; what is over, or within the warning, is so at once.
        if left < 0 || (left == 0 && spare > 0) {
            Some(since)
        } else {
            calendar.try_due(since, left)
        }
    }

    /// Notes a deadline that lies before `at`; the answer is a new breach.
    pub(super) fn note_breach(&mut self, at: Timestamp, calendar: &Calendar) -> Option<Timestamp> {
        if self.breached_at.is_some() {
            return None;
        }
        self.breached_at = self.deadline(calendar).filter(|deadline| at > *deadline);
        self.breached_at
    }

    /// Books what was consumed until `at`; a running cycle runs on from there.
    pub(super) fn settle(&mut self, at: Timestamp, calendar: &Calendar) {
        self.consumed_us = self.consumed_at(at, calendar);
        self.since = self.since.map(|_| at);
    }

    /// Stops it; the answer is whether it was running.
    pub(super) fn pause(&mut self, at: Timestamp, calendar: &Calendar) -> bool {
        self.settle(at, calendar);
        self.since.take().is_some()
    }

    /// Lets it run; the answer is whether it stood still.
    pub(super) fn resume(&mut self, at: Timestamp) -> bool {
        let stood = self.since.is_none();
        self.since = self.since.or(Some(at));
        stood
    }

    /// Ends it.
    pub(super) fn finish(&mut self, outcome: Outcome, at: Timestamp, calendar: &Calendar) {
        self.pause(at, calendar);
        self.end = Some(End { outcome, at });
    }

    /// Swaps the target and keeps what is consumed; the answer is whether the target is another.
    pub(super) fn retarget(
        &mut self,
        target_s: Option<i64>,
        at: Timestamp,
        calendar: &Calendar,
    ) -> bool {
        if self.target_s == target_s {
            return false;
        }
        self.settle(at, calendar);
        self.target_s = target_s;
        true
    }

    /// Begins anew at `at`; a breach stays one.
    pub(super) fn restart(&mut self, at: Timestamp) {
        self.started_at = at;
        self.consumed_us = 0;
        self.since = self.since.map(|_| at);
    }

    /// Whether it waits for what ends it.
    pub fn is_active(&self) -> bool {
        self.end.is_none()
    }

    /// Consumed whole seconds.
    pub fn consumed_s(&self) -> i64 {
        self.consumed_us / SECOND
    }
}
