//! Rates and latencies of the steady part of a run.
//!
//! The first mails are left out: connections, caches and prepared statements come into being with them. The end is
//! not: a backlog that is left when the last mail was accepted still has to be worked off, and its time counts.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{limits::per_second, stamps::Times};

/// A distribution, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Latency {
    /// Of a histogram of microseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds of a run are far below 2^52"
        )]
        let millis = |micros: u64| micros as f64 / 1_000.0;
        Self {
            count: histogram.len(),
            p50: millis(histogram.value_at_quantile(0.50)),
            p95: millis(histogram.value_at_quantile(0.95)),
            p99: millis(histogram.value_at_quantile(0.99)),
            max: millis(histogram.max()),
        }
    }
}

/// An empty distribution of microseconds: up to an hour, to three digits.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(3_600_000_000, 3)?)
}

/// The steady part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// Mails of the steady part.
    pub(crate) mails: usize,
    /// Its length until the last one was done, in seconds.
    pub(crate) seconds: f64,
    pub(crate) accepted_per_second: f64,
    /// Mails from accepted to filed and, where they opened a ticket, assigned.
    pub(crate) done_per_second: f64,
    pub(crate) accepted_to_filed_ms: Latency,
    pub(crate) accepted_to_assigned_ms: Latency,
}

/// Figures over the mails accepted after the first `warm_up` (a share) of them.
pub(crate) fn figures(times: &[Times], warm_up: f64) -> anyhow::Result<Figures> {
    let mut accepted: Vec<Duration> = times.iter().filter_map(|times| times.accepted).collect();
    accepted.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count is a smaller count"
    )]
    let skipped = (accepted.len() as f64 * warm_up.clamp(0.0, 0.9)) as usize;
    let (Some(start), Some(last)) = (accepted.get(skipped).copied(), accepted.last().copied())
    else {
        return Ok(Figures::default());
    };
    let steady: Vec<&Times> = times
        .iter()
        .filter(|times| times.accepted.is_some_and(|at| at >= start))
        .collect();
    let (mut filed, mut assigned) = (histogram()?, histogram()?);
    let mut end = last;
    for times in &steady {
        let since = |later: Duration| {
            // An event can be seen a little before the answer to its sender.
            let gap = later.saturating_sub(times.accepted.unwrap_or_default());
            u64::try_from(gap.as_micros()).unwrap_or(u64::MAX)
        };
        if let Some(at) = times.filed {
            filed.saturating_record(since(at));
            end = end.max(at);
        }
        if let Some(at) = times.assigned {
            assigned.saturating_record(since(at));
            end = end.max(at);
        }
    }
    // Duplicates are accepted and have no effect to wait for: they are done when they are accepted.
    Ok(Figures {
        mails: steady.len(),
        seconds: end.saturating_sub(start).as_secs_f64(),
        accepted_per_second: per_second(steady.len(), last.saturating_sub(start)),
        done_per_second: per_second(steady.len(), end.saturating_sub(start)),
        accepted_to_filed_ms: Latency::of(&filed),
        accepted_to_assigned_ms: Latency::of(&assigned),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_left_out_and_the_backlog_is_not() {
        let at = |millis: u64| Some(Duration::from_millis(millis));
        // One mail each 10 ms; filed 5 ms, assigned 20 ms later; the last one waits for a second.
        let mut times: Vec<Times> = (0..100)
            .map(|index| Times {
                accepted: at(index * 10 + 1),
                filed: at(index * 10 + 6),
                assigned: at(index * 10 + 21),
            })
            .collect();
        times[99].assigned = at(1_991);
        let figures = figures(&times, 0.1).unwrap();
        assert_eq!(figures.mails, 90);
        assert!(
            (figures.accepted_per_second - 90.0 / 0.89).abs() < 0.01,
            "{figures:?}"
        );
        assert!(
            (figures.seconds - 1.89).abs() < 0.001 && figures.done_per_second < 48.0,
            "{figures:?}"
        );
        assert!(
            (figures.accepted_to_filed_ms.p99 - 5.0).abs() < 0.1,
            "{figures:?}"
        );
        assert!((figures.accepted_to_assigned_ms.p50 - 20.0).abs() < 0.1);
        assert!((figures.accepted_to_assigned_ms.max - 1_000.0).abs() < 1.0);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(figures(&[], 0.1).unwrap(), Figures::default());
    }
}
