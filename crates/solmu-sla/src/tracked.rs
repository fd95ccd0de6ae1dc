//! The clocks of one ticket with what was told about them. No IO: events and time go in, notices come out.
//!
//! A warning or breach is told once. What was told is remembered by metric and cycle, not by timer, because each event
//! makes all timers anew: a breach is told again only after a late event has taken it back, a warning only after its
//! deadline has moved later by more than a minute.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use solmu_domain::{
    clock::truncate_to_micros,
    ids::{TeamId, TicketId},
    sla::{
        ActionKind, ClockError, ClockEvent, ClockEventKind, DueTimes, Instant, InstantKind, Metric,
        Outcome, Step, Terms, TicketClocks, TicketStart, drop_taken_back, reminder_rearms,
        sort_events,
    },
};
use solmu_telemetry::TraceContext;

use crate::{
    facts::TicketFacts, policy_set::PolicySet, store::cycles::Booking, unpromised::Unpromised,
};

/// What is told later than this after its time is marked as late.
const ON_TIME: SignedDuration = SignedDuration::from_secs(1);
/// Rounds in which one firing looks for what has become due: a warning, its breach, the chain after it, and nothing.
const ROUNDS: usize = 4;

/// Something that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Announced {
    pub(crate) kind: InstantKind,
    pub(crate) metric: Metric,
    pub(crate) cycle: u32,
    /// The deadline that it was about.
    pub(crate) due: Timestamp,
    /// Key of the policy's step; empty for a breach and for the reminder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) step: String,
    /// When it was told; None where the release before did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) told_at: Option<Timestamp>,
    /// See [`Notice::is_late`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) late: bool,
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
    /// Key of the policy's step; empty for a breach and for the reminder.
    pub(crate) step: String,
    pub(crate) action: ActionKind,
    pub(crate) target: String,
    /// Of a step that notifies: nobody gets a mail.
    pub(crate) event_only: bool,
}

impl Notice {
    /// Whether it comes after its time: after an outage, or when an event showed what nobody had noted.
    pub(crate) fn is_late(&self) -> bool {
        self.fired_at.duration_since(self.scheduled_at) > ON_TIME
    }
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
    /// What is kept until one does; None beside a promise, and in rows of the release before.
    pub(crate) unpromised: Option<Box<Unpromised>>,
    pub(crate) channel: String,
    /// The cycles that are booked for attainment.
    pub(crate) booked: Vec<Booking>,
    pub(crate) decided: Decided,
    /// Where the ticket's opening stands in its trace.
    pub(crate) trace: TraceContext,
    /// What policies look at, as of the newest event that may have changed it; None in rows of the release before.
    pub(crate) facts: Option<Box<TicketFacts>>,
}

impl Tracked {
    /// The team that the ticket is in.
    pub(crate) fn team(&self) -> Option<TeamId> {
        let kept = || self.unpromised.as_ref()?.facts.team.map(TeamId::from_uuid);
        match &self.promise {
            Some(promise) => promise.clocks.team()?.parse().ok(),
            None => kept(),
        }
    }

    /// Whether the ticket is neither resolved nor closed.
    pub(crate) fn is_open(&self) -> bool {
        let kept = || self.unpromised.as_ref().is_some_and(|kept| kept.open);
        let promise = self.promise.as_ref();
        promise.map_or_else(kept, |it| !it.clocks.status().is_done())
    }
}

/// The clocks of a ticket to which something is promised.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Promise {
    /// Those that hold now; the start names those that held first.
    pub(crate) policies: PolicySet,
    pub(crate) start: TicketStart,
    pub(crate) clocks: TicketClocks,
    pub(crate) announced: Vec<Announced>,
}

impl Promise {
    /// The clocks of a new ticket after `events`, which are those that came before its opening did.
    pub(crate) fn open(
        policies: PolicySet,
        start: TicketStart,
        mut events: Vec<ClockEvent>,
        terms: &Terms<'_>,
    ) -> Result<Self, ClockError> {
        let clocks = replay(&start, &mut events, terms)?;
        Ok(Self {
            policies,
            start,
            clocks,
            announced: Vec::new(),
        })
    }

    /// Rows of the release before do not name their first policy; to be called before they get another one.
    pub(crate) fn name_policy(&mut self) {
        if self.start.policy.is_empty() {
            self.start.policy = self.policies.to_string();
        }
    }

    /// Whether one of the events is not newer than what the clocks know, so that [`Promise::replay`] is needed. Events
    /// of one instant have an order of their own (see [`sort_events`]), which only a replay can keep; and a merge that is
    /// taken back leaves the past without what it had brought.
    pub(crate) fn is_late(&self, events: &[ClockEvent]) -> bool {
        let last = self.clocks.last_event_at();
        events.iter().any(|event| {
            let undoes = matches!(event.kind, ClockEventKind::Unabsorbed { .. });
            undoes || truncate_to_micros(event.at) <= last
        })
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

    /// Breaches that nobody has been told of, as far as it is time. They count as told from here on.
    pub(crate) fn tell_breaches(
        &mut self,
        now: Timestamp,
        by_timer: bool,
        terms: &Terms<'_>,
    ) -> Result<Vec<Notice>, ClockError> {
        let mut notices = Vec::new();
        for (scheduled_at, told) in self.untold_breaches(terms)? {
            if scheduled_at > now {
                continue;
            }
            let notice = told.notice(scheduled_at, now, self.clocks.priority(), by_timer);
            self.announced.push(told.into_told(&notice));
            notices.push(notice);
        }
        Ok(notices)
    }

    /// Each with the time at which it is to be told.
    fn untold_breaches(
        &self,
        terms: &Terms<'_>,
    ) -> Result<Vec<(Timestamp, Announced)>, ClockError> {
        let mut untold = Vec::new();
        for cycle in self.clocks.cycles() {
            let Some(due) = cycle.breached_at else {
                continue;
            };
            let told = Announced {
                kind: InstantKind::Breach,
                metric: cycle.metric,
                cycle: cycle.number,
                due,
                step: String::new(),
                told_at: None,
                late: false,
            };
            if !self.announced.iter().any(|other| other.is_about(&told)) {
                untold.push((self.clocks.told_at(cycle, after(due), terms)?, told));
            }
        }
        Ok(untold)
    }

    /// Fires every timer that is due at `now`.
    pub(crate) fn fire(
        &mut self,
        now: Timestamp,
        terms: &Terms<'_>,
    ) -> Result<Vec<Notice>, ClockError> {
        let mut notices = Vec::new();
        // What follows a breach shows only once that is noted.
        for _ in 0..ROUNDS {
            let before = (notices.len(), self.announced.len());
            for (instant, step) in self.pending(terms)? {
                if instant.at > now {
                    break;
                }
                if instant.kind == InstantKind::Breach {
                    // At the timer's time and not at `now`: an event that is on its way and happened in between is in
                    // order, and a replay gives the same state whenever the timer fired.
                    let at = instant.at.max(self.clocks.last_event_at());
                    self.clocks.apply(&tick(at), terms)?;
                    continue;
                }
                let told = Announced::of(&instant, step.as_ref());
                let mut notice = told.notice(instant.at, now, self.clocks.priority(), true);
                if let Some(step) = step {
                    notice.action = step.action;
                    notice.target = step.target;
                    notice.event_only = step.event_only;
                }
                self.announced.push(told.into_told(&notice));
                notices.push(notice);
            }
            notices.extend(self.tell_breaches(now, true, terms)?);
            if before == (notices.len(), self.announced.len()) {
                break;
            }
        }
        notices.sort_by_key(|notice| notice.scheduled_at);
        Ok(notices)
    }

    /// When [`Promise::fire`] has something to do next.
    pub(crate) fn wake_at(&self, terms: &Terms<'_>) -> Result<Option<Timestamp>, ClockError> {
        let untold = self.untold_breaches(terms)?.into_iter();
        let untold = untold.map(|(at, _)| at).min();
        let pending = self.pending(terms)?;
        let first = pending.first().map(|(instant, _)| instant.at);
        Ok(untold.into_iter().chain(first).min())
    }

    /// What the ticket service has to know.
    pub(crate) fn decide(&self, terms: &Terms<'_>) -> Result<Decided, ClockError> {
        let mut open = self.clocks.cycles().filter(|cycle| cycle.end.is_none());
        Ok(Decided {
            due: self.clocks.due_times(terms)?,
            breached: open.any(|cycle| cycle.breached_at.is_some() && cycle.metric.is_external()),
        })
    }

    /// Timers that have not been told of, earliest first, with the steps that they are for.
    pub(crate) fn pending(
        &self,
        terms: &Terms<'_>,
    ) -> Result<Vec<(Instant, Option<Step>)>, ClockError> {
        let current = terms.current(self.clocks.policy_key())?;
        let steps = &current.get().rules.steps;
        let mut pending = Vec::new();
        for instant in self.clocks.next_instants(terms)? {
            let step = instant.step.and_then(|index| steps.get(index));
            let wanted = Announced::of(&instant, step);
            let told = self.announced.iter();
            let told = told.filter(|other| other.is_about(&wanted));
            let latest = told.map(|told| told.due).max();
            let is_wanted = match (instant.kind, latest) {
                (InstantKind::Breach, _) | (_, None) => true,
                // Ahead of a deadline that has moved; once for a breach.
                (_, Some(latest)) => {
                    reminder_rearms(latest, instant.due) && !self.is_breached(&wanted)
                }
            };
            if is_wanted {
                pending.push((instant, step.cloned()));
            }
        }
        Ok(pending)
    }

    fn is_breached(&self, about: &Announced) -> bool {
        let mut cycles = self.clocks.cycles();
        cycles.any(|cycle| {
            (cycle.metric, cycle.number) == (about.metric, about.cycle)
                && cycle.breached_at.is_some()
        })
    }

    /// The cycles that count for attainment: kept or missed, and those that are late already. Void ones do not.
    pub(crate) fn bookings(&self) -> Vec<Booking> {
        let mut bookings = Vec::new();
        for cycle in self.clocks.cycles() {
            let counted_at = match cycle.end {
                Some(end) if end.outcome == Outcome::Met => Some(end.at),
                Some(_) => None,
                None => cycle.breached_at,
            };
            let (Some(counted_at), Some(target_s)) = (counted_at, cycle.target_s) else {
                continue;
            };
            let team = cycle.team.as_deref().or(self.clocks.team());
            bookings.push(Booking {
                metric: cycle.metric,
                cycle: cycle.number,
                target_s,
                elapsed_s: cycle.consumed_s(),
                counted_at,
                ended: cycle.end.is_some(),
                breached: cycle.breached_at.is_some(),
                team: team.and_then(|team| team.parse().ok()),
            });
        }
        bookings
    }

    /// A late event may show that a breach was none. Should it come after all, it is told again.
    fn forget_taken_back(&mut self) {
        let clocks = &self.clocks;
        self.announced.retain(|told| {
            // Steps after a deadline go with its breach.
            let of_breach = told.kind == InstantKind::Breach || told.step.starts_with("after ");
            !of_breach
                || clocks.cycles().any(|cycle| {
                    cycle.metric == told.metric
                        && cycle.number == told.cycle
                        && cycle.breached_at.is_some()
                })
        });
    }
}

impl Announced {
    fn of(instant: &Instant, step: Option<&Step>) -> Self {
        Self {
            step: step.map(Step::key).unwrap_or_default(),
            kind: instant.kind,
            metric: instant.metric,
            cycle: instant.cycle,
            due: instant.due,
            told_at: None,
            late: false,
        }
    }

    /// As it is remembered once it was told.
    fn into_told(self, notice: &Notice) -> Self {
        Self {
            told_at: Some(notice.fired_at),
            late: notice.is_late(),
            ..self
        }
    }

    /// Whether both are about the same thing, whatever the deadline.
    fn is_about(&self, other: &Self) -> bool {
        (self.kind, self.metric, self.cycle) == (other.kind, other.metric, other.cycle)
            && self.step == other.step
    }

    fn notice(
        &self,
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
            step: self.step.clone(),
            action: ActionKind::Warn,
            target: String::new(),
            event_only: false,
        }
    }
}

fn replay(
    start: &TicketStart,
    events: &mut Vec<ClockEvent>,
    terms: &Terms<'_>,
) -> Result<TicketClocks, ClockError> {
    in_order(start, events);
    TicketClocks::replay(start, events, terms)
}

/// Puts a ticket's history into the order in which it happened, without what was taken back.
pub(crate) fn in_order(start: &TicketStart, events: &mut Vec<ClockEvent>) {
    // What is dated before the ticket happened on it all the same: its sender's clock is wrong.
    for event in events.iter_mut() {
        event.at = event.at.max(start.at);
    }
    sort_events(events);
    drop_taken_back(events);
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
