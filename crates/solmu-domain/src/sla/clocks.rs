//! The clocks of one ticket as an incremental state machine.
//!
//! Each event changes the state once; the state after the last event is the same as that of a replay from creation.
//! A clock that has ended sees no more changes of priority or calendar, and a reopened one goes on under the terms that
//! it ended with. Changes are prospective: what is consumed stays consumed, in whichever calendar it was.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    cycle::{Cycle, Outcome},
    event::{ChangeKind, ClockChange, ClockEvent, ClockEventKind},
    policy::{ClockStatus, Metric, NextResponseFrom, Policy},
    terms::{ClockError, Terms, TicketStart},
};
use crate::clock::truncate_to_micros;

/// All clocks of a ticket. Stored as JSON between events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketClocks {
    pub(super) at: Timestamp,
    pub(super) status: ClockStatus,
    priority: String,
    calendar: String,
    responded: bool,
    pub(super) first_response: Option<Cycle>,
    pub(super) resolution: Option<Cycle>,
    pub(super) next_response: Option<Cycle>,
    /// Ended cycles of next response, oldest first.
    pub(super) answered: Vec<Cycle>,
}

impl TicketClocks {
    /// The clocks of a new ticket. The customer's message that opened it is part of the start and no event.
    pub fn start(start: &TicketStart, terms: &Terms<'_>) -> Result<Self, ClockError> {
        terms.calendar(&start.calendar)?;
        let mut clocks = Self {
            at: truncate_to_micros(start.at),
            status: start.status,
            priority: start.priority.clone(),
            calendar: start.calendar.clone(),
            responded: false,
            first_response: None,
            resolution: None,
            next_response: None,
            answered: Vec::new(),
        };
        let policy = terms.policy;
        if policy.measures(Metric::FirstResponse) && !start.outbound {
            clocks.first_response = Some(clocks.new_cycle(Metric::FirstResponse, policy));
        }
        if policy.measures(Metric::Resolution) {
            clocks.resolution = Some(clocks.new_cycle(Metric::Resolution, policy));
        }
        if policy.next_response_from == NextResponseFrom::Any
            && policy.measures(Metric::NextResponse)
            && !start.outbound
        {
            clocks.next_response = Some(clocks.new_cycle(Metric::NextResponse, policy));
        }
        Ok(clocks)
    }

    /// The state after all `events`, which are in order (see [`sort_events`](super::sort_events)).
    pub fn replay(
        start: &TicketStart,
        events: &[ClockEvent],
        terms: &Terms<'_>,
    ) -> Result<Self, ClockError> {
        let mut clocks = Self::start(start, terms)?;
        for event in events {
            clocks.apply(event, terms)?;
        }
        Ok(clocks)
    }

    /// Changes the clocks by one event; the answer is what it did, breaches first.
    ///
    /// # Errors
    /// The clocks are unchanged when a calendar is missing or the event is older than the last one.
    pub fn apply(
        &mut self,
        event: &ClockEvent,
        terms: &Terms<'_>,
    ) -> Result<Vec<ClockChange>, ClockError> {
        let at = truncate_to_micros(event.at);
        if at < self.at {
            return Err(ClockError::OutOfOrder { at, last: self.at });
        }
        self.check_calendars(&event.kind, terms)?;
        self.at = at;
        let mut changes = self.note_breaches(terms)?;
        match &event.kind {
            ClockEventKind::Status { to } => self.change_status(*to, terms, &mut changes)?,
            ClockEventKind::AgentReply => self.answer(terms, &mut changes)?,
            ClockEventKind::CustomerMessage => self.ask(terms, &mut changes),
            ClockEventKind::Priority { to } => {
                self.priority.clone_from(to);
                self.retarget(terms, &mut changes)?;
            }
            ClockEventKind::Policy => {
                self.retarget(terms, &mut changes)?;
                self.run_or_pause(terms, &mut changes)?;
            }
            ClockEventKind::Calendar { to } => self.move_to(to, terms, &mut changes)?,
            ClockEventKind::Absorbed { unanswered_since } => {
                if let Some(since) = unanswered_since {
                    self.absorb(truncate_to_micros(*since), terms, &mut changes)?;
                }
            }
            ClockEventKind::Merged => self.end_void(terms, &mut changes)?,
            ClockEventKind::Tick => {}
        }
        Ok(changes)
    }

    /// The instant of the last event.
    pub const fn last_event_at(&self) -> Timestamp {
        self.at
    }

    /// The ticket's status as the clocks know it.
    pub const fn status(&self) -> ClockStatus {
        self.status
    }

    /// The ticket's priority as the clocks know it.
    pub fn priority(&self) -> &str {
        &self.priority
    }

    /// All cycles: first response, resolution, then each next response, the running one last.
    pub fn cycles(&self) -> impl Iterator<Item = &Cycle> {
        let single = self.first_response.iter().chain(&self.resolution);
        single.chain(&self.answered).chain(&self.next_response)
    }

    /// Keys of the calendars that the next event needs.
    pub fn calendar_keys(&self) -> impl Iterator<Item = &str> {
        let cycles = self.cycles().map(|cycle| cycle.calendar.as_str());
        std::iter::once(self.calendar.as_str()).chain(cycles)
    }

    fn check_calendars(&self, kind: &ClockEventKind, terms: &Terms<'_>) -> Result<(), ClockError> {
        for cycle in self
            .first_response
            .iter()
            .chain(&self.resolution)
            .chain(&self.next_response)
        {
            terms.calendar(&cycle.calendar)?;
        }
        let current = if let ClockEventKind::Calendar { to } = kind {
            to
        } else {
            &self.calendar
        };
        terms.calendar(current).map(|_| ())
    }

    fn active(&mut self) -> impl Iterator<Item = &mut Cycle> {
        let single = self.first_response.iter_mut().chain(&mut self.resolution);
        single
            .filter(|cycle| cycle.end.is_none())
            .chain(&mut self.next_response)
    }

    fn note_breaches(&mut self, terms: &Terms<'_>) -> Result<Vec<ClockChange>, ClockError> {
        let now = self.at;
        let mut changes = Vec::new();
        for cycle in self.active() {
            if let Some(at) = cycle.note_breach(now, terms.calendar(&cycle.calendar)?) {
                changes.push(change(cycle, at, ChangeKind::Breached));
            }
        }
        Ok(changes)
    }

    fn change_status(
        &mut self,
        to: ClockStatus,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let was_done = self.status.is_done();
        self.status = to;
        if !was_done && to.is_done() {
            finish(&mut self.resolution, Outcome::Met, self.at, terms, changes)?;
            finish(
                &mut self.first_response,
                Outcome::Void,
                self.at,
                terms,
                changes,
            )?;
            self.end_next_response(Outcome::Void, terms, changes)?;
        } else if was_done && !to.is_done() {
            reopen(&mut self.resolution, |_| true, self.at, changes);
            reopen(
                &mut self.first_response,
                |outcome| outcome == Outcome::Void,
                self.at,
                changes,
            );
        }
        self.run_or_pause(terms, changes)
    }

    fn run_or_pause(
        &mut self,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let (at, stopped) = (self.at, terms.policy.stops(self.status));
        for cycle in self.active() {
            if stopped {
                if cycle.pause(at, terms.calendar(&cycle.calendar)?) {
                    changes.push(change(cycle, at, ChangeKind::Paused));
                }
            } else if cycle.resume(at) {
                changes.push(change(cycle, at, ChangeKind::Resumed));
            }
        }
        Ok(())
    }

    fn answer(
        &mut self,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        finish(
            &mut self.first_response,
            Outcome::Met,
            self.at,
            terms,
            changes,
        )?;
        self.responded = true;
        self.end_next_response(Outcome::Met, terms, changes)
    }

    fn ask(&mut self, terms: &Terms<'_>, changes: &mut Vec<ClockChange>) {
        if self.next_response.is_none() && self.counts_messages(terms.policy) {
            let cycle = self.new_cycle(Metric::NextResponse, terms.policy);
            changes.push(change(&cycle, self.at, ChangeKind::Started));
            self.next_response = Some(cycle);
        }
    }

    /// Whether a customer message starts a next-response clock.
    fn counts_messages(&self, policy: &Policy) -> bool {
        let begun = self.responded
            || self.first_response.is_none()
            || policy.next_response_from == NextResponseFrom::Any;
        begun && policy.measures(Metric::NextResponse)
    }

    fn retarget(
        &mut self,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let at = self.at;
        let priority = self.priority.clone();
        for cycle in self.active() {
            let target = terms.policy.target(&priority, cycle.metric);
            if cycle.retarget(target, at, terms.calendar(&cycle.calendar)?) {
                changes.push(change(cycle, at, ChangeKind::Rescheduled));
            }
        }
        Ok(())
    }

    fn move_to(
        &mut self,
        to: &str,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let at = self.at;
        to.clone_into(&mut self.calendar);
        for cycle in self.active().filter(|cycle| cycle.calendar != to) {
            cycle.settle(at, terms.calendar(&cycle.calendar)?);
            to.clone_into(&mut cycle.calendar);
            changes.push(change(cycle, at, ChangeKind::Rescheduled));
        }
        Ok(())
    }

    /// Moves the start of the next-response clock back to `since`, or starts one there. The time between counts in
    /// full: how the other ticket was paused is not known here.
    fn absorb(
        &mut self,
        since: Timestamp,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        self.ask(terms, changes);
        let at = self.at;
        let Some(cycle) = self
            .next_response
            .as_mut()
            .filter(|cycle| since < cycle.started_at)
        else {
            return Ok(());
        };
        let calendar = terms.calendar(&cycle.calendar)?;
        cycle.settle(at, calendar);
        cycle.consumed_us += calendar.elapsed_micros(since, cycle.started_at);
        cycle.started_at = since;
        changes.push(change(cycle, at, ChangeKind::Rescheduled));
        Ok(())
    }

    fn end_void(
        &mut self,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        finish(
            &mut self.first_response,
            Outcome::Void,
            self.at,
            terms,
            changes,
        )?;
        finish(&mut self.resolution, Outcome::Void, self.at, terms, changes)?;
        self.end_next_response(Outcome::Void, terms, changes)
    }

    fn end_next_response(
        &mut self,
        outcome: Outcome,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        finish(&mut self.next_response, outcome, self.at, terms, changes)?;
        self.answered.extend(self.next_response.take());
        Ok(())
    }

    fn new_cycle(&self, metric: Metric, policy: &Policy) -> Cycle {
        let before = if metric == Metric::NextResponse {
            self.answered.len()
        } else {
            0
        };
        Cycle {
            metric,
            number: u32::try_from(before + 1).unwrap_or(u32::MAX),
            calendar: self.calendar.clone(),
            target_s: policy.target(&self.priority, metric),
            started_at: self.at,
            consumed_us: 0,
            since: (!policy.stops(self.status)).then_some(self.at),
            breached_at: None,
            end: None,
        }
    }
}

fn finish(
    slot: &mut Option<Cycle>,
    outcome: Outcome,
    at: Timestamp,
    terms: &Terms<'_>,
    changes: &mut Vec<ClockChange>,
) -> Result<(), ClockError> {
    let Some(cycle) = slot.as_mut().filter(|cycle| cycle.end.is_none()) else {
        return Ok(());
    };
    cycle.finish(outcome, at, terms.calendar(&cycle.calendar)?);
    let kind = match outcome {
        Outcome::Met => ChangeKind::Met {
            elapsed_s: cycle.consumed_s(),
            breached: cycle.breached_at.is_some(),
        },
        Outcome::Void => ChangeKind::Voided,
    };
    changes.push(change(cycle, at, kind));
    Ok(())
}

fn reopen(
    slot: &mut Option<Cycle>,
    when: fn(Outcome) -> bool,
    at: Timestamp,
    changes: &mut Vec<ClockChange>,
) {
    let Some(cycle) = slot
        .as_mut()
        .filter(|cycle| cycle.end.is_some_and(|end| when(end.outcome)))
    else {
        return;
    };
    cycle.end = None;
    changes.push(change(cycle, at, ChangeKind::Reopened));
}

const fn change(cycle: &Cycle, at: Timestamp, kind: ChangeKind) -> ClockChange {
    ClockChange {
        metric: cycle.metric,
        cycle: cycle.number,
        at,
        kind,
    }
}
