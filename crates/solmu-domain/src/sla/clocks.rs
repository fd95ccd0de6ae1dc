//! The clocks of one ticket as an incremental state machine.
//!
//! Each event changes the state once; the state after the last event is the same as that of a replay from creation.
//! A clock that has ended sees no more changes of priority or calendar, and a reopened one goes on under the terms that
//! it ended with. Changes are prospective: what is consumed stays consumed, in whichever calendar it was.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    cycle::{Cycle, Outcome},
    event::{ChangeKind, ClockChange, ClockEvent, ClockEventKind},
    metric::{ClockStatus, Metric},
    policy::{NextResponseFrom, Policy},
    rules::{OnMerge, OnPriority},
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
    /// Of those metrics that have another calendar.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    calendars: BTreeMap<Metric, String>,
    /// Key of the policy; empty for the one that the terms give.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    policy: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) team: Option<String>,
    pub(super) responded: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    outbound: bool,
    pub(super) first_response: Option<Cycle>,
    pub(super) resolution: Option<Cycle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) agent_work: Option<Cycle>,
    pub(super) next_response: Option<Cycle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) periodic_update: Option<Cycle>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ownership: Option<Cycle>,
    /// Ended cycles of metrics that have several, oldest first.
    pub(super) answered: Vec<Cycle>,
    /// Set while the ticket is part of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) merged: Option<MergedAway>,
}

/// What is needed to take a merge back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MergedAway {
    /// When it was merged.
    pub(super) at: Timestamp,
    /// The metrics whose cycles the merge ended.
    pub(super) ended: Vec<Metric>,
    /// The status that it had.
    pub(super) status: ClockStatus,
}

impl TicketClocks {
    /// The clocks of a new ticket. The customer's message that opened it is part of the start and no event.
    pub fn start(start: &TicketStart, terms: &Terms<'_>) -> Result<Self, ClockError> {
        terms.calendar(&start.calendar)?;
        for calendar in start.calendars.values() {
            terms.calendar(calendar)?;
        }
        let current = terms.current(&start.policy)?;
        let policy = current.get();
        let mut clocks = Self {
            at: truncate_to_micros(start.at),
            status: start.status,
            priority: start.priority.clone(),
            calendar: start.calendar.clone(),
            calendars: start.calendars.clone(),
            policy: start.policy.clone(),
            team: start.team.clone(),
            responded: false,
            outbound: start.outbound,
            first_response: None,
            resolution: None,
            agent_work: None,
            next_response: None,
            periodic_update: None,
            ownership: None,
            answered: Vec::new(),
            merged: None,
        };
        clocks.begin_missing(policy, &mut Vec::new());
        if policy.next_response_from == NextResponseFrom::Any && !start.outbound {
            clocks.begin(Metric::NextResponse, policy, &mut Vec::new());
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
    /// The clocks are unchanged when a calendar or policy is missing or the event is older than the last one.
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
        let key = match &event.kind {
            ClockEventKind::Policy { to } => to,
            _ => &self.policy,
        };
        let current = terms.current(key)?;
        let terms = &Terms {
            policy: current.get(),
            ..*terms
        };
        self.at = at;
        let mut changes = self.note_breaches(terms)?;
        match &event.kind {
            ClockEventKind::Status { to } => self.change_status(*to, terms, &mut changes)?,
            ClockEventKind::AgentReply => self.answer(terms, &mut changes)?,
            ClockEventKind::CustomerMessage => self.ask(terms, &mut changes),
            ClockEventKind::Priority { to } => {
                self.priority.clone_from(to);
                self.reprioritise(terms, &mut changes)?;
            }
            ClockEventKind::Policy { to } => {
                self.policy.clone_from(to);
                self.retarget(terms, &mut changes)?;
                self.run_or_pause(terms, &mut changes)?;
                if !self.status.is_done() {
                    self.begin_missing(terms.policy, &mut changes);
                }
            }
            ClockEventKind::Calendar { to, metrics } => {
                self.move_to(to, metrics, terms, &mut changes)?;
            }
            ClockEventKind::Team { to } => self.change_team(to.as_deref(), terms, &mut changes)?,
            ClockEventKind::Absorbed {
                unanswered_since, ..
            } => {
                if let Some(since) = unanswered_since {
                    self.absorb(truncate_to_micros(*since), terms, &mut changes)?;
                }
            }
            ClockEventKind::Merged => self.merge_away(terms, &mut changes)?,
            ClockEventKind::Unmerged => self.unmerge(terms, &mut changes)?,
            ClockEventKind::Unabsorbed { .. } | ClockEventKind::Tick => {}
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

    /// Key of the policy that holds; empty for the one that the terms give.
    pub fn policy_key(&self) -> &str {
        &self.policy
    }

    /// The ticket's team as the clocks know it.
    pub fn team(&self) -> Option<&str> {
        self.team.as_deref()
    }

    /// Key of the calendar that new clocks get, but for those metrics that have another one.
    pub fn calendar_key(&self) -> &str {
        &self.calendar
    }

    /// Keys of the calendars of metrics that have one of their own.
    pub const fn metric_calendars(&self) -> &BTreeMap<Metric, String> {
        &self.calendars
    }

    /// Since when the customer waits for an answer at `at`, the instant of a merge: also when the merge has closed the
    /// ticket before it was told here.
    pub fn unanswered_since(&self, at: Timestamp) -> Option<Timestamp> {
        let waits = |cycle: &&Cycle| match cycle.end {
            None => true,
            Some(end) => end.outcome == Outcome::Void && end.at == truncate_to_micros(at),
        };
        let asked = self.cycles().filter(waits);
        let asked = asked
            .filter(|cycle| matches!(cycle.metric, Metric::FirstResponse | Metric::NextResponse));
        asked.map(|cycle| cycle.started_at).min()
    }

    /// All cycles: first response, resolution and agent work, then those that have ended of the metrics with several
    /// cycles, then their present ones.
    pub fn cycles(&self) -> impl Iterator<Item = &Cycle> {
        let single = self.first_response.iter().chain(&self.resolution);
        let single = single.chain(&self.agent_work).chain(&self.answered);
        let several = self.next_response.iter().chain(&self.periodic_update);
        single.chain(several).chain(&self.ownership)
    }

    /// Keys of the calendars that the next event needs.
    pub fn calendar_keys(&self) -> impl Iterator<Item = &str> {
        let cycles = self.cycles().map(|cycle| cycle.calendar.as_str());
        let own = self.calendars.values().map(String::as_str);
        std::iter::once(self.calendar.as_str())
            .chain(own)
            .chain(cycles)
    }

    fn check_calendars(&self, kind: &ClockEventKind, terms: &Terms<'_>) -> Result<(), ClockError> {
        let single = self.first_response.iter().chain(&self.resolution);
        let single = single.chain(&self.agent_work).chain(&self.next_response);
        for cycle in single.chain(&self.periodic_update).chain(&self.ownership) {
            terms.calendar(&cycle.calendar)?;
        }
        let (current, own) = if let ClockEventKind::Calendar { to, metrics } = kind {
            (to, metrics)
        } else {
            (&self.calendar, &self.calendars)
        };
        for calendar in own.values().chain([current]) {
            terms.calendar(calendar)?;
        }
        Ok(())
    }

    pub(super) fn active(&mut self) -> impl Iterator<Item = &mut Cycle> {
        let single = self.first_response.iter_mut().chain(&mut self.resolution);
        let single = single
            .chain(&mut self.agent_work)
            .filter(|cycle| cycle.end.is_none());
        let several = self
            .next_response
            .iter_mut()
            .chain(&mut self.periodic_update);
        single.chain(several).chain(&mut self.ownership)
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

    pub(super) fn run_or_pause(
        &mut self,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let (at, status) = (self.at, self.status);
        for cycle in self.active() {
            if terms.policy.pauses(cycle.metric, status) {
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
        self.end(Metric::FirstResponse, Outcome::Met, terms, changes)?;
        self.responded = true;
        self.end(Metric::NextResponse, Outcome::Met, terms, changes)?;
        self.end(Metric::PeriodicUpdate, Outcome::Met, terms, changes)?;
        if !self.status.is_done() {
            self.begin(Metric::PeriodicUpdate, terms.policy, changes);
        }
        Ok(())
    }

    fn ask(&mut self, terms: &Terms<'_>, changes: &mut Vec<ClockChange>) {
        let begun = self.responded
            || self.first_response.is_none()
            || terms.policy.next_response_from == NextResponseFrom::Any;
        if begun {
            self.begin(Metric::NextResponse, terms.policy, changes);
        }
    }

    fn reprioritise(
        &mut self,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        match terms.policy.rules.on_priority {
            OnPriority::Keep => return Ok(()),
            OnPriority::Retarget => {}
            OnPriority::Restart => {
                let at = self.at;
                for cycle in self.active() {
                    cycle.restart(at);
                    changes.push(change(cycle, at, ChangeKind::Rescheduled));
                }
            }
        }
        self.retarget(terms, changes)
    }

    fn retarget(
        &mut self,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let at = self.at;
        let (priority, team) = (self.priority.clone(), self.team.clone());
        for cycle in self.active() {
            let target = terms
                .policy
                .target_in(&priority, cycle.metric, team.as_deref());
            if cycle.retarget(target, at, terms.calendar(&cycle.calendar)?) {
                changes.push(change(cycle, at, ChangeKind::Rescheduled));
            }
        }
        Ok(())
    }

    fn move_to(
        &mut self,
        to: &str,
        metrics: &BTreeMap<Metric, String>,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let at = self.at;
        to.clone_into(&mut self.calendar);
        self.calendars.clone_from(metrics);
        for cycle in self.active() {
            let to = metrics.get(&cycle.metric).map_or(to, String::as_str);
            if cycle.calendar == to {
                continue;
            }
            cycle.settle(at, terms.calendar(&cycle.calendar)?);
            to.clone_into(&mut cycle.calendar);
            changes.push(change(cycle, at, ChangeKind::Rescheduled));
        }
        Ok(())
    }

    fn change_team(
        &mut self,
        to: Option<&str>,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        if self.team.as_deref() == to {
            return Ok(());
        }
        self.end(Metric::Ownership, Outcome::Met, terms, changes)?;
        self.team = to.map(str::to_owned);
        if !self.status.is_done() {
            self.begin(Metric::Ownership, terms.policy, changes);
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
        if terms.policy.rules.on_merge == OnMerge::Ignore {
            return Ok(());
        }
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

    /// A new cycle that starts now.
    pub(super) fn new_cycle(&self, metric: Metric, policy: &Policy) -> Cycle {
        let same = |cycle: &&Cycle| cycle.metric == metric;
        let before = self.answered.iter().filter(same).count();
        let own = self.calendars.get(&metric);
        Cycle {
            metric,
            number: u32::try_from(before + 1).unwrap_or(u32::MAX),
            calendar: own.unwrap_or(&self.calendar).clone(),
            target_s: policy.target_in(&self.priority, metric, self.team.as_deref()),
            started_at: self.at,
            consumed_us: 0,
            since: (!policy.pauses(metric, self.status)).then_some(self.at),
            breached_at: None,
            end: None,
            team: self.team.clone().filter(|_| metric == Metric::Ownership),
        }
    }

    /// Whether a metric that was never measured can have a clock now.
    pub(super) fn can_begin(&self, metric: Metric) -> bool {
        match metric {
            Metric::FirstResponse => !self.outbound && !self.responded,
            Metric::Resolution | Metric::AgentWork => true,
            Metric::Ownership => self.team.is_some(),
            // These begin with a message.
            Metric::NextResponse | Metric::PeriodicUpdate => false,
        }
    }
}

pub(super) const fn change(cycle: &Cycle, at: Timestamp, kind: ChangeKind) -> ClockChange {
    ClockChange {
        metric: cycle.metric,
        cycle: cycle.number,
        at,
        kind,
    }
}
