//! A business calendar and its arithmetic.
//!
//! Time is cut into blocks of 128 civil days. A block is built on first use (its intervals merged, with prefix sums)
//! and kept for the life of the calendar, so `due` and `elapsed` are two binary searches and a jump over whole blocks
//! whatever the weeks between look like. Skipping by "regular weeks" was rejected: it needs a second path for weeks with
//! an exception or a change of the clocks, and is no faster than a block's sum.

use std::{fmt, sync::OnceLock};

use jiff::{
    Span, Timestamp,
    civil::{Date, date},
};

use super::{
    intervals::{Block, merge},
    plan::Plan,
    spec::{CalendarError, CalendarSpec},
};

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;
/// Microseconds of a day of 24 hours.
const DAY: i64 = 86_400 * SECOND;
const BLOCK_DAYS: i64 = 128;
/// Blocks kept: from 1970 into 2110. Others are built anew for each question.
const CACHED_BLOCKS: usize = 400;
/// Last block that starts in the years that jiff can hold.
const LAST_BLOCK: i64 = 2_932_000 / BLOCK_DAYS;
/// A search gives up after this many empty blocks in a row (25 years): only a calendar that [`Calendar::new`]
/// refuses can be closed for so long.
const EMPTY_BLOCKS: u32 = 72;
/// Civil days looked at on each side of a block, because a shift in a gap may reach over midnight.
const MARGIN_DAYS: i64 = 2;

/// Business hours in one time zone. Immutable; share it behind an `Arc`.
///
/// Instants count in microseconds (anything finer is cut off), durations are elapsed time and never differences of
/// wall clocks: a 24-hour Sunday with 25 hours has 25. All functions are exact and monotone.
pub struct Calendar {
    /// None when the calendar is always open.
    plan: Option<Plan>,
    blocks: Box<[OnceLock<Block>]>,
}

impl fmt::Debug for Calendar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calendar")
            .field("plan", &self.plan)
            .finish_non_exhaustive()
    }
}

/// A stretch of open time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    /// The first open instant.
    pub open: Timestamp,
    /// The first instant that is closed again.
    pub close: Timestamp,
}

impl Calendar {
    /// Parses and checks a calendar.
    ///
    /// # Errors
    /// The first field that is wrong, or [`CalendarError::NeverOpens`] when it is closed for 366 days in a row.
    pub fn new(spec: &CalendarSpec) -> Result<Self, CalendarError> {
        let calendar = Self::unchecked(spec)?;
        if let Some(plan) = &calendar.plan {
            plan.check_opens()?;
        }
        Ok(calendar)
    }

    /// A calendar that may never open; [`Calendar::try_due`] is then None.
    pub(super) fn unchecked(spec: &CalendarSpec) -> Result<Self, CalendarError> {
        let plan = Plan::parse(spec)?;
        if spec.always_open {
            return Ok(Self {
                plan: None,
                blocks: Box::default(),
            });
        }
        let blocks = (0..CACHED_BLOCKS).map(|_| OnceLock::new()).collect();
        Ok(Self {
            plan: Some(plan),
            blocks,
        })
    }

    /// Whole seconds of open time from `from` to `to`; negative when `to` is earlier.
    ///
    /// Exact when both instants are whole seconds, else rounded towards zero: add up
    /// [`elapsed_micros`](Self::elapsed_micros) where parts must sum to the whole.
    pub fn elapsed(&self, from: Timestamp, to: Timestamp) -> i64 {
        self.elapsed_micros(from, to) / SECOND
    }

    /// Microseconds of open time from `from` to `to`; negative when `to` is earlier.
    pub fn elapsed_micros(&self, from: Timestamp, to: Timestamp) -> i64 {
        let (from, to) = (from.as_microsecond(), to.as_microsecond());
        let Some(plan) = &self.plan else {
            return to - from;
        };
        if to < from {
            -self.open_between(plan, to, from)
        } else {
            self.open_between(plan, from, to)
        }
    }

    /// The earliest instant at or after `start` at which `target_s` seconds of open time have passed.
    ///
    /// That is the closing instant, not the next opening, when they end together. A target of zero (or less) is due at
    /// `start` when open, else at the next opening. [`Timestamp::MAX`] when the target reaches beyond the year 9999.
    pub fn due(&self, start: Timestamp, target_s: i64) -> Timestamp {
        self.try_due(start, target_s.saturating_mul(SECOND))
            .unwrap_or(Timestamp::MAX)
    }

    /// Like [`due`](Self::due), but the next opening where that is exactly a closing.
    pub fn due_open(&self, start: Timestamp, target_s: i64) -> Timestamp {
        let due = self.due(start, target_s);
        self.next_opening(due)
    }

    /// Whether `at` is in a window; the closing instant is not.
    pub fn is_open(&self, at: Timestamp) -> bool {
        self.try_next_opening(at) == Some(micros_of(at))
    }

    /// `at` when it is open, else the next instant that is; [`Timestamp::MAX`] when there is none.
    pub fn next_opening(&self, at: Timestamp) -> Timestamp {
        self.try_next_opening(at).unwrap_or(Timestamp::MAX)
    }

    /// The openings from `from` until `until`, at most `limit`; the first and the last are cut to that time.
    pub fn openings(&self, from: Timestamp, until: Timestamp, limit: usize) -> Vec<Opening> {
        let mut openings = Vec::new();
        let mut at = from;
        while openings.len() < limit {
            let Some(open) = self.try_next_opening(at).filter(|open| *open < until) else {
                break;
            };
            let close = self.closing_after(open, until);
            openings.push(Opening { open, close });
            at = close;
        }
        openings
    }

    /// When what is open at `open` closes, or `until` when that comes first.
    fn closing_after(&self, open: Timestamp, until: Timestamp) -> Timestamp {
        let Some(plan) = &self.plan else {
            return until;
        };
        let (mut at, last) = (open.as_microsecond(), until.as_microsecond());
        let mut index = self.block_of(plan, at);
        while at < last {
            let closing = self.with_block(plan, index, |block| block.closing(at));
            let Some((closing, at_the_end)) = closing else {
                break;
            };
            at = closing;
            if !at_the_end {
                break;
            }
            // It may go on in the next block.
            index += 1;
        }
        instant(at).map_or(until, |closing| closing.min(until))
    }

    /// [`due`](Self::due) with a target in microseconds; None when it never comes.
    pub(super) fn try_due(&self, start: Timestamp, target: i64) -> Option<Timestamp> {
        let from = start.as_microsecond();
        let Some(plan) = &self.plan else {
            return instant(from.checked_add(target.max(0))?);
        };
        if target <= 0 {
            return self.try_next_opening(start);
        }
        let mut index = self.block_of(plan, from);
        let mut left = self
            .with_block(plan, index, |block| block.open_before(from))
            .checked_add(target)?;
        let mut empty = 0;
        while index <= LAST_BLOCK && empty < EMPTY_BLOCKS {
            let (found, total) =
                self.with_block(plan, index, |block| (block.instant_of(left), block.total()));
            if found.is_some() {
                return found.and_then(instant);
            }
            left -= total;
            empty = if total == 0 { empty + 1 } else { 0 };
            index += 1;
        }
        None
    }

    /// [`next_opening`](Self::next_opening), or None.
    pub(super) fn try_next_opening(&self, at: Timestamp) -> Option<Timestamp> {
        let from = at.as_microsecond();
        let Some(plan) = &self.plan else {
            return Some(micros_of(at));
        };
        let first = self.block_of(plan, from);
        (first..=LAST_BLOCK.min(first + i64::from(EMPTY_BLOCKS)))
            .find_map(|index| self.with_block(plan, index, |block| block.next_opening(from)))
            .and_then(instant)
    }

    fn open_between(&self, plan: &Plan, from: i64, to: i64) -> i64 {
        let (first, last) = (self.block_of(plan, from), self.block_of(plan, to));
        let mut open = -self.with_block(plan, first, |block| block.open_before(from));
        for index in first..last {
            open += self.with_block(plan, index, Block::total);
        }
        open + self.with_block(plan, last, |block| block.open_before(to))
    }

    /// The block that holds the instant: the one of its UTC day, or a neighbour when the local date differs.
    fn block_of(&self, plan: &Plan, at: i64) -> i64 {
        let guess = at.div_euclid(DAY * BLOCK_DAYS);
        let (start, end) = self.with_block(plan, guess, |block| (block.start, block.end));
        if at < start {
            guess - 1
        } else if at >= end {
            guess + 1
        } else {
            guess
        }
    }

    fn with_block<T>(&self, plan: &Plan, index: i64, read: impl FnOnce(&Block) -> T) -> T {
        let cached = usize::try_from(index)
            .ok()
            .and_then(|slot| self.blocks.get(slot));
        match cached {
            Some(slot) => read(slot.get_or_init(|| build(plan, index))),
            None => read(&build(plan, index)),
        }
    }
}

/// Computes the block that starts at civil day `index * 128` since 1970-01-01.
fn build(plan: &Plan, index: i64) -> Block {
    let (Some(first), Some(after)) = (
        epoch_day(index * BLOCK_DAYS),
        epoch_day((index + 1) * BLOCK_DAYS),
    ) else {
        // Beyond the years that jiff can hold nothing is open.
        return Block::new(
            index.saturating_mul(BLOCK_DAYS * DAY),
            (index + 1).saturating_mul(BLOCK_DAYS * DAY),
            &[],
        );
    };
    let mut intervals = Vec::new();
    let mut day = epoch_day(index * BLOCK_DAYS - MARGIN_DAYS).unwrap_or(first);
    let stop = epoch_day((index + 1) * BLOCK_DAYS + MARGIN_DAYS).unwrap_or(after);
    while day < stop {
        intervals.extend(plan.day(day));
        let Ok(tomorrow) = day.tomorrow() else { break };
        day = tomorrow;
    }
    Block::new(
        plan.instant(first, 0),
        plan.instant(after, 0),
        &merge(intervals),
    )
}

/// The civil date that many days after 1970-01-01.
fn epoch_day(days: i64) -> Option<Date> {
    let span = Span::new().try_days(days).ok()?;
    date(1970, 1, 1).checked_add(span).ok()
}

fn instant(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

fn micros_of(at: Timestamp) -> Timestamp {
    crate::clock::truncate_to_micros(at)
}
