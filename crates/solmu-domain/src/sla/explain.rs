//! How the clocks of a ticket came to be what they are: each event with what it did, and for each clock the stretches
//! in which it ran, stood still, or waited for opening hours.
//!
//! It is a replay that takes notes, so it cannot tell anything else than what the clocks themselves did.

use jiff::Timestamp;

use super::{
    clocks::TicketClocks,
    cycle::Cycle,
    event::{ClockChange, ClockEvent},
    metric::Metric,
    report::TicketReport,
    terms::{ClockError, Terms, TicketStart},
};
use crate::clock::truncate_to_micros;

/// Stretches of one clock at most; a timeline with more is cut.
pub const MAX_SEGMENTS: usize = 500;

/// One event with what it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedStep {
    /// When it happened.
    pub at: Timestamp,
    /// The event; None for the opening of the ticket.
    pub event: Option<ClockEvent>,
    /// What it did, breaches first.
    pub changes: Vec<ClockChange>,
}

/// What a clock did for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentKind {
    /// It counted.
    Running,
    /// It was to run, but the calendar was closed.
    Closed,
    /// It stood still.
    Paused,
}

/// A stretch of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// What the clock did.
    pub kind: SegmentKind,
}

/// What one cycle did, from its start to its end or to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    /// What it measures.
    pub metric: Metric,
    /// Its cycle, counted from 1.
    pub cycle: u32,
    /// In order, without gaps, except for the time in which the ticket was resolved.
    pub segments: Vec<Segment>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The opening, then each event that reached the clocks.
    pub steps: Vec<ExplainedStep>,
    /// One for each cycle, in the order of the report.
    pub timelines: Vec<Timeline>,
    /// The clocks as they stand.
    pub report: TicketReport,
}

/// Explains the clocks as they stand at `now`. Events are in order (see [`sort_events`](super::sort_events)).
pub fn explain(
    start: &TicketStart,
    events: &[ClockEvent],
    terms: &Terms<'_>,
    now: Timestamp,
) -> Result<Explanation, ClockError> {
    let mut clocks = TicketClocks::start(start, terms)?;
    let mut notes = Notes::default();
    let mut steps = vec![ExplainedStep {
        at: clocks.last_event_at(),
        event: None,
        changes: Vec::new(),
    }];
    for event in events {
        notes.until(truncate_to_micros(event.at), &clocks, terms)?;
        let changes = clocks.apply(event, terms)?;
        steps.push(ExplainedStep {
            at: event.at,
            event: Some(event.clone()),
            changes,
        });
    }
    let now = truncate_to_micros(now).max(clocks.last_event_at());
    notes.until(now, &clocks, terms)?;
    let timelines = clocks.cycles().map(|cycle| notes.timeline(cycle)).collect();
    Ok(Explanation {
        steps,
        timelines,
        report: clocks.report(now, terms)?,
    })
}

/// Timelines in the making, in the order in which the clocks began.
#[derive(Default)]
struct Notes(Vec<Timeline>);

impl Notes {
    /// Notes what each clock does from the last event until `at`.
    fn until(
        &mut self,
        at: Timestamp,
        clocks: &TicketClocks,
        terms: &Terms<'_>,
    ) -> Result<(), ClockError> {
        let from = clocks.last_event_at();
        if from >= at {
            return Ok(());
        }
        for cycle in clocks.cycles().filter(|cycle| cycle.is_active()) {
            let timeline = self.of(cycle);
            if cycle.since.is_none() {
                timeline.add(from, at, SegmentKind::Paused);
                continue;
            }
            let mut done = from;
            let calendar = terms.calendar(&cycle.calendar)?;
            for opening in calendar.openings(from, at, MAX_SEGMENTS) {
                timeline.add(done, opening.open, SegmentKind::Closed);
                timeline.add(opening.open, opening.close, SegmentKind::Running);
                done = opening.close;
            }
            timeline.add(done, at, SegmentKind::Closed);
        }
        Ok(())
    }

    fn of(&mut self, cycle: &Cycle) -> &mut Timeline {
        let same = |it: &Timeline| (it.metric, it.cycle) == (cycle.metric, cycle.number);
        let index = self.0.iter().position(same).unwrap_or_else(|| {
            self.0.push(Timeline {
                metric: cycle.metric,
                cycle: cycle.number,
                segments: Vec::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    fn timeline(&mut self, cycle: &Cycle) -> Timeline {
        self.of(cycle).clone()
    }
}

impl Timeline {
    fn add(&mut self, from: Timestamp, to: Timestamp, kind: SegmentKind) {
        if from >= to {
            return;
        }
        if let Some(last) = self.segments.last_mut()
            && last.to == from
            && last.kind == kind
        {
            last.to = to;
        } else if self.segments.len() < MAX_SEGMENTS {
            self.segments.push(Segment { from, to, kind });
        }
    }
}
