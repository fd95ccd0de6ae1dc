//! Lists of half-open intervals of instants, in microseconds since the Unix epoch.

/// An open stretch `[open, close)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Interval {
    pub(super) open: i64,
    pub(super) close: i64,
}

/// Sorts, drops empty intervals, and joins those that overlap or touch.
pub(super) fn merge(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.retain(|interval| interval.open < interval.close);
    intervals.sort_unstable();
    let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
    for interval in intervals {
        match merged.last_mut() {
            Some(last) if interval.open <= last.close => {
                last.close = last.close.max(interval.close);
            }
            _ => merged.push(interval),
        }
    }
    merged
}

/// Takes `cuts` out of `intervals`.
pub(super) fn subtract(mut intervals: Vec<Interval>, cuts: &[Interval]) -> Vec<Interval> {
    for cut in cuts.iter().filter(|cut| cut.open < cut.close) {
        let mut kept = Vec::with_capacity(intervals.len() + 1);
        for interval in intervals {
            if cut.close <= interval.open || cut.open >= interval.close {
                kept.push(interval);
                continue;
            }
            if interval.open < cut.open {
                kept.push(Interval {
                    open: interval.open,
                    close: cut.open,
                });
            }
            if cut.close < interval.close {
                kept.push(Interval {
                    open: cut.close,
                    close: interval.close,
                });
            }
        }
        intervals = kept;
    }
    intervals
}

/// An interval with the open time from the start of its block to its close.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    interval: Interval,
    sum: i64,
}

/// The open time of a fixed run of days, with prefix sums: every question is a binary search.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// First instant of the block.
    pub(super) start: i64,
    /// First instant after the block.
    pub(super) end: i64,
    stretches: Vec<Stretch>,
}

impl Block {
    /// Clips merged intervals to `[start, end)`.
    pub(super) fn new(start: i64, end: i64, merged: &[Interval]) -> Self {
        let mut stretches = Vec::with_capacity(merged.len());
        let mut sum = 0;
        for interval in merged {
            let clipped = Interval {
                open: interval.open.max(start),
                close: interval.close.min(end),
            };
            if clipped.open < clipped.close {
                sum += clipped.close - clipped.open;
                stretches.push(Stretch {
                    interval: clipped,
                    sum,
                });
            }
        }
        stretches.shrink_to_fit();
        Self {
            start,
            end,
            stretches,
        }
    }

    /// Open time of the whole block.
    pub(super) fn total(&self) -> i64 {
        self.stretches.last().map_or(0, |stretch| stretch.sum)
    }

    /// Open time from the start of the block to `at`.
    pub(super) fn open_before(&self, at: i64) -> i64 {
        let begun = self
            .stretches
            .partition_point(|stretch| stretch.interval.open < at);
        match begun
            .checked_sub(1)
            .and_then(|last| self.stretches.get(last))
        {
            None => 0,
            Some(last) => last.sum - (last.interval.close - at).max(0),
        }
    }

    /// The earliest instant at which `sum` of open time has passed since the start of the block.
    ///
    /// `sum` is above zero; None when the block has less.
    pub(super) fn instant_of(&self, sum: i64) -> Option<i64> {
        let index = self.stretches.partition_point(|stretch| stretch.sum < sum);
        self.stretches
            .get(index)
            .map(|stretch| stretch.interval.close - (stretch.sum - sum))
    }

    /// The first open instant at or after `at`, if the block has one.
    pub(super) fn next_opening(&self, at: i64) -> Option<i64> {
        let index = self
            .stretches
            .partition_point(|stretch| stretch.interval.close <= at);
        self.stretches
            .get(index)
            .map(|stretch| stretch.interval.open.max(at))
    }

    /// The end of the stretch that is open at `at`, and whether that is the end of the block, too.
    pub(super) fn closing(&self, at: i64) -> Option<(i64, bool)> {
        let index = self
            .stretches
            .partition_point(|stretch| stretch.interval.close <= at);
        let stretch = self.stretches.get(index)?;
        let close = stretch.interval.close;
        (stretch.interval.open <= at).then_some((close, close == self.end))
    }
}
