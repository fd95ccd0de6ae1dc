//! The clocks of one ticket with what was told about them. No IO: events and time go in, notices come out.
//!
//! A warning or breach is told once. What was told is remembered by metric and cycle, not by timer, because each event
//! makes all timers anew: a breach is told again only after a late event has taken it back, a warning only after its
//! deadline has moved later by more than a minute.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use solmu_domain::{
    clock::truncate_to_micros,
    ids::{PolicyId, TicketId},
    sla::{
        ClockError, ClockEvent, ClockEventKind, DueTimes, Instant, InstantKind, Metric, Terms,
        TicketClocks, TicketStart, reminder_rearms, sort_events,
    },
};

/// Something that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announced {
    pub(crate) kind: InstantKind,
    pub(crate) metric: Metric,
    pub(crate) cycle: u32,
    /// The deadline that it was about.
    pub(crate) due: Timestamp,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) kind: InstantKind,
    pub(crate) metric: Metric,
    pub(crate) cycle: u32,
    pub(crate) due: Timestamp,
    /// When it was to be told, and when it is.
    pub(crate) scheduled_at: Timestamp,
    pub(crate) fired_at: Timestamp,
    pub(crate) priority: String,
    /// False when an event showed the breach before its timer did.
    pub(crate) by_timer: bool,
}

/// A version of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PolicyKey {
    pub(crate) id: PolicyId,
    pub(crate) version: i32,
}

/// What the ticket service was told last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) due: DueTimes,
    /// Whether a clock that has not ended has missed its deadline.
    pub(crate) breached: bool,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tracked {
    pub(crate) ticket: TicketId,
    pub(crate) version: i64,
    /// None when no policy fits the ticket.
    pub(crate) promise: Option<Promise>,
    pub(crate) decided: Decided,
}

/// The clocks of a ticket to which something is promised.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Promise {
    pub(crate) policy: PolicyKey,
    pub(crate) start: TicketStart,
    pub(crate) clocks: TicketClocks,
    pub(crate) announced: Vec<Announced>,
}

impl Promise {
    /// The clocks of a new ticket after `events`, which are those that came before its opening did.
    pub(crate) fn open(
        policy: PolicyKey,
        start: TicketStart,
        mut events: Vec<ClockEvent>,
        terms: &Terms<'_>,
    ) -> Result<Self, ClockError> {
        let clocks = replay(&start, &mut events, terms)?;
        Ok(Self {
            policy,
            start,
            clocks,
            announced: Vec::new(),
        })
    }

    /// Whether one of the events is not newer than what the clocks know, so that [`Promise::replay`] is needed. Events
    /// of one instant have an order of their own (see [`sort_events`]), which only a replay can keep.
    pub(crate) fn is_late(&self, events: &[ClockEvent]) -> bool {
        let last = self.clocks.last_event_at();
        events
            .iter()
            .any(|event| truncate_to_micros(event.at) <= last)
    }

    /// Applies events of which none is late.
    pub(crate) fn apply(
        &mut self,
        mut events: Vec<ClockEvent>,
        terms: &Terms<'_>,
    ) -> Result<(), ClockError> {
        sort_events(&mut events);
        for event in &events {
            self.clocks.apply(event, terms)?;
        }
        self.forget_taken_back();
        Ok(())
    }

    /// Computes the clocks anew from all events, late ones included.
    pub(crate) fn replay(
        &mut self,
        mut history: Vec<ClockEvent>,
        terms: &Terms<'_>,
    ) -> Result<(), ClockError> {
        let known_until = self.clocks.last_event_at();
        self.clocks = replay(&self.start, &mut history, terms)?;
        // Timers leave no history: what they had noted is noted again.
        if self.clocks.last_event_at() < known_until {
            self.clocks.apply(&tick(known_until), terms)?;
        }
        self.forget_taken_back();
        Ok(())
    }

    /// Breaches that nobody has been told of. They count as told from here on.
    pub(crate) fn tell_breaches(&mut self, now: Timestamp, by_timer: bool) -> Vec<Notice> {
        let mut notices = Vec::new();
        for cycle in self.clocks.cycles() {
            let Some(due) = cycle.breached_at else {
                continue;
            };
            let told = Announced {
                kind: InstantKind::Breach,
                metric: cycle.metric,
                cycle: cycle.number,
                due,
            };
            if self.announced.iter().any(|other| other.is_about(&told)) {
                continue;
            }
            let scheduled_at = after(due);
            notices.push(told.notice(scheduled_at, now, self.clocks.priority(), by_timer));
            self.announced.push(told);
        }
        notices
    }

    /// Fires every timer that is due at `now`.
    pub(crate) fn fire(
        &mut self,
        now: Timestamp,
        terms: &Terms<'_>,
    ) -> Result<Vec<Notice>, ClockError> {
        let mut notices = Vec::new();
        for instant in self.pending(terms)? {
            if instant.at > now {
                break;
            }
            match instant.kind {
                InstantKind::Warning => {
                    let told = Announced::of(&instant);
                    notices.push(told.notice(instant.at, now, self.clocks.priority(), true));
                    self.announced.push(told);
                }
                // At the timer's time and not at `now`: an event that is on its way and happened in between is in
                // order, and a replay gives the same state whenever the timer fired.
                InstantKind::Breach => {
                    let at = instant.at.max(self.clocks.last_event_at());
                    self.clocks.apply(&tick(at), terms)?;
                }
            }
        }
        notices.extend(self.tell_breaches(now, true));
        notices.sort_by_key(|notice| notice.scheduled_at);
        Ok(notices)
    }

    /// When [`Promise::fire`] has something to do next.
    pub(crate) fn wake_at(&self, terms: &Terms<'_>) -> Result<Option<Timestamp>, ClockError> {
        Ok(self.pending(terms)?.first().map(|instant| instant.at))
    }

    /// What the ticket service has to know.
    pub(crate) fn decide(&self, terms: &Terms<'_>) -> Result<Decided, ClockError> {
        let mut open = self.clocks.cycles().filter(|cycle| cycle.end.is_none());
        Ok(Decided {
            due: self.clocks.due_times(terms)?,
            breached: open.any(|cycle| cycle.breached_at.is_some()),
        })
    }

    /// Timers that have not been told of, earliest first.
    fn pending(&self, terms: &Terms<'_>) -> Result<Vec<Instant>, ClockError> {
        let mut instants = self.clocks.next_instants(terms)?;
        instants.retain(|instant| match instant.kind {
            InstantKind::Breach => true,
            InstantKind::Warning => {
                let wanted = Announced::of(instant);
                let told = self
                    .announced
                    .iter()
                    .filter(|other| other.is_about(&wanted));
                let latest = told.map(|told| told.due).max();
                latest.is_none_or(|latest| reminder_rearms(latest, instant.due))
            }
        });
        Ok(instants)
    }

    /// A late event may show that a breach was none. Should it come after all, it is told again.
    fn forget_taken_back(&mut self) {
        let clocks = &self.clocks;
        self.announced.retain(|told| {
            told.kind != InstantKind::Breach
                || clocks.cycles().any(|cycle| {
                    cycle.metric == told.metric
                        && cycle.number == told.cycle
                        && cycle.breached_at.is_some()
                })
        });
    }
}

impl Announced {
    const fn of(instant: &Instant) -> Self {
        Self {
            kind: instant.kind,
            metric: instant.metric,
            cycle: instant.cycle,
            due: instant.due,
        }
    }

    /// Whether both are about the same thing, whatever the deadline.
    fn is_about(&self, other: &Self) -> bool {
        self.kind == other.kind && self.metric == other.metric && self.cycle == other.cycle
    }

    fn notice(
        self,
        scheduled_at: Timestamp,
        fired_at: Timestamp,
        priority: &str,
        by_timer: bool,
    ) -> Notice {
        Notice {
            kind: self.kind,
            metric: self.metric,
            cycle: self.cycle,
            due: self.due,
            scheduled_at,
            fired_at,
            priority: priority.to_owned(),
            by_timer,
        }
    }
}

fn replay(
    start: &TicketStart,
    events: &mut [ClockEvent],
    terms: &Terms<'_>,
) -> Result<TicketClocks, ClockError> {
    // What is dated before the ticket happened on it all the same: its sender's clock is wrong.
    for event in events.iter_mut() {
        event.at = event.at.max(start.at);
    }
    sort_events(events);
    TicketClocks::replay(start, events, terms)
}

const fn tick(at: Timestamp) -> ClockEvent {
    ClockEvent::new(at, ClockEventKind::Tick)
}

/// The first instant at which a deadline is missed.
fn after(due: Timestamp) -> Timestamp {
    due.saturating_add(jiff::SignedDuration::from_micros(1))
        .unwrap_or(due)
}

#[cfg(test)]
#[path = "tracked_tests.rs"]
mod tests;
