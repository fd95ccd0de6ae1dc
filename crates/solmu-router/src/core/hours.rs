//! When agents work: a calendar, and what it does not know.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use solmu_domain::sla::Calendar;

/// How far ahead hours are looked at.
const HORIZON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Nights, weekends and absences in a row that are looked back over.
const STRETCHES: usize = 60;

/// When an agent works.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hours {
    /// Absent: always.
    pub(crate) calendar: Option<Arc<Calendar>>,
    /// First instant of each absence, and the first after it.
    pub(crate) absences: Vec<(Timestamp, Timestamp)>,
}

impl Hours {
    pub(crate) fn is_absent(&self, at: Timestamp) -> bool {
        let mut absences = self.absences.iter();
        absences.any(|(from, to)| *from <= at && at < *to)
    }

    pub(crate) fn is_open(&self, at: Timestamp) -> bool {
        !self.is_absent(at) && self.calendar.as_ref().is_none_or(|it| it.is_open(at))
    }

    /// Since when they do not work; absent while they do. Nights and absences that follow each other are one.
    pub(crate) fn closed_since(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_open(at) {
            return None;
        }
        let mut since = at;
        for _ in 0..STRETCHES {
            let absences = self.absences.iter();
            let absences = absences.filter(|(from, to)| *from < since && since <= *to);
            let absent = absences.map(|(from, _)| *from).min();
            let shut = self.calendar.as_ref().and_then(|calendar| {
                let earliest = since.checked_sub(HORIZON).unwrap_or(Timestamp::MIN);
                let last = calendar.openings(earliest, since, usize::MAX).pop();
                let close = last.map_or(earliest, |it| it.close);
                (close < since).then_some(close)
            });
            let Some(earlier) = absent.into_iter().chain(shut).min() else {
                break;
            };
            since = earlier;
        }
        Some(since)
    }

    pub(super) const fn always(&self) -> bool {
        self.calendar.is_none() && self.absences.is_empty()
    }

    /// The first instant after `at` at which they may begin or end, or at which to ask again.
    pub(super) fn next_change(&self, at: Timestamp) -> Timestamp {
        let horizon = at.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        let opening = self.calendar.as_ref().and_then(|calendar| {
            let first = calendar.openings(at, horizon, 1).into_iter().next()?;
            Some(if first.open <= at {
                first.close
            } else {
                first.open
            })
        });
        let absences = self.absences.iter().flat_map(|(from, to)| [*from, *to]);
        let all = absences.chain(opening).filter(|change| *change > at);
        all.min().map_or(horizon, |first| first.min(horizon))
    }
}
