//! What clocks tell: the state of each metric, the deadlines to store, and the instants for the timers.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    calendar::Calendar,
    clocks::TicketClocks,
    cycle::{Cycle, Outcome},
    metric::Metric,
    rules::{ActionKind, StepAt},
    terms::{ClockError, Terms},
};

/// A reminder that was sent is sent again when its deadline moved later by more than this.
pub const REARM_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// Whether a deadline has moved so far past the one that was reminded of that a new reminder is due.
pub fn reminder_rearms(reminded_of: Timestamp, due: Timestamp) -> bool {
    due.duration_since(reminded_of) > REARM_AFTER
}

/// What a clock is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockState {
    /// It counts.
    Running,
    /// It stands still.
    Paused,
    /// What it waited for was done, in time or late (see `breached`).
    Met,
    /// It ended without meaning.
    Void,
}

/// One cycle as it stands at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricReport {
    /// What it measures.
    pub metric: Metric,
    /// Its cycle, counted from 1.
    pub cycle: u32,
    /// What it is doing.
    pub state: ClockState,
    /// Target in business seconds.
    pub target_s: i64,
    /// Whole business seconds consumed.
    pub elapsed_s: i64,
    /// Whether a deadline was missed.
    pub breached: bool,
    /// The deadline that was missed first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breached_at: Option<Timestamp>,
    /// While running: when the target is used up. When it is overdue, the deadline that was missed; when it was used up
    /// to the second with the last closing, the next opening.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The next opening, where `due` is exactly a closing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_open: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// A warning ahead of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reminder {
    /// Which clock.
    pub metric: Metric,
    /// When, counted back from the deadline in business time; never before the report's own instant.
    pub remind_at: Timestamp,
}

/// All clocks of a ticket as they stand at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketReport {
    /// First response, resolution, then each cycle of next response. Clocks without a target are left out.
    pub metrics: Vec<MetricReport>,
    /// The earliest deadline of the running clocks, missed ones included.
    pub next_due: Option<Timestamp>,
    /// Reminders of running clocks that have missed nothing; None when the policy reminds nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reminders: Option<Vec<Reminder>>,
}

/// The deadlines of running clocks, to be stored with the ticket. They change only when an event changes them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueTimes {
    /// Deadline of the first response.
    pub first_response_due: Option<Timestamp>,
    /// Deadline of the next response.
    pub next_response_due: Option<Timestamp>,
    /// Deadline of the resolution.
    pub resolution_due: Option<Timestamp>,
    /// Deadline of the next update for the customer.
    #[serde(default)]
    pub periodic_update_due: Option<Timestamp>,
    /// Deadline of the agents' work.
    #[serde(default)]
    pub agent_work_due: Option<Timestamp>,
    /// Deadline of the team that has the ticket.
    #[serde(default)]
    pub ownership_due: Option<Timestamp>,
}

impl DueTimes {
    /// The earliest of them.
    pub fn earliest(&self) -> Option<Timestamp> {
        [
            self.first_response_due,
            self.next_response_due,
            self.resolution_due,
            self.periodic_update_due,
            self.agent_work_due,
            self.ownership_due,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// Why a timer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstantKind {
    /// The reminder ahead of the deadline.
    Warning,
    /// The deadline is missed.
    Breach,
    /// A step of the policy after a missed deadline, or one ahead of it that does more than warn.
    Escalation,
}

/// An instant at which something is to be done if no event comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instant {
    /// Why.
    pub kind: InstantKind,
    /// Which clock.
    pub metric: Metric,
    /// When. A breach is a microsecond after `due`: what happens exactly at the deadline is in time.
    pub at: Timestamp,
    /// Its cycle, counted from 1.
    pub cycle: u32,
    /// The deadline; with metric, cycle, kind and step it makes the timer's idempotency key.
    pub due: Timestamp,
    /// Number of the policy's step; None for the breach and for the reminder of `remind_before_s`.
    pub step: Option<usize>,
}

impl TicketClocks {
    /// The clocks as they stand at `at` (or at the last event, when that is later), without changing them.
    pub fn report(&self, at: Timestamp, terms: &Terms<'_>) -> Result<TicketReport, ClockError> {
        let at = crate::clock::truncate_to_micros(at).max(self.at);
        let current = terms.current(self.policy_key())?;
        let terms = &Terms {
            policy: current.get(),
            ..*terms
        };
        let mut metrics = Vec::new();
        for cycle in self.cycles() {
            metrics.extend(metric_report(cycle, at, terms)?);
        }
        let next_due = metrics.iter().filter_map(|metric| metric.due).min();
        let reminders = match terms.policy.remind_before_s {
            None => None,
            Some(_) => Some(self.reminders(at, terms)?),
        };
        Ok(TicketReport {
            metrics,
            next_due,
            reminders,
        })
    }

    /// The deadlines of the running clocks.
    pub fn due_times(&self, terms: &Terms<'_>) -> Result<DueTimes, ClockError> {
        let due = |cycle: &Option<Cycle>| match cycle {
            Some(cycle) => Ok(cycle.deadline(terms.calendar(&cycle.calendar)?)),
            None => Ok(None),
        };
        Ok(DueTimes {
            first_response_due: due(&self.first_response)?,
            next_response_due: due(&self.next_response)?,
            resolution_due: due(&self.resolution)?,
            periodic_update_due: due(&self.periodic_update)?,
            agent_work_due: due(&self.agent_work)?,
            ownership_due: due(&self.ownership)?,
        })
    }

    /// What is ahead of running clocks: warnings and the breach of those that have missed nothing, escalations of those
    /// that have. Store them as timers and replace them after each event; when a breach fires, apply
    /// [`Tick`](super::ClockEventKind::Tick). Steps that were taken are in it, too: the caller knows which.
    pub fn next_instants(&self, terms: &Terms<'_>) -> Result<Vec<Instant>, ClockError> {
        let current = terms.current(self.policy_key())?;
        let terms = &Terms {
            policy: current.get(),
            ..*terms
        };
        let mut instants = Vec::new();
        for cycle in self.running() {
            let calendar = terms.calendar(&cycle.calendar)?;
            let missed = cycle.breached_at;
            let Some(due) = missed.or_else(|| cycle.deadline(calendar)) else {
                continue;
            };
            for (step, at) in terms.policy.steps_of(cycle.metric) {
                let at = match at {
                    // With the breach, also when that comes with a closing.
                    StepAt::AfterS(0) if missed.is_some() => Some(due),
                    StepAt::AfterS(seconds) if missed.is_some() => {
                        calendar.try_due(due, micros(seconds))
                    }
                    StepAt::AfterS(_) => None,
                    _ if missed.is_some() => None,
                    StepAt::BeforeS(seconds) => cycle.used_up_but(micros(seconds), calendar),
                    StepAt::UsedPercent(percent) => {
                        cycle.used_up_but(cycle.spare_at(percent), calendar)
                    }
                };
                instants.extend(at.map(|at| cycle.instant(step, at, due, calendar, terms)));
            }
            if missed.is_none() {
                instants.push(Instant {
                    kind: InstantKind::Breach,
                    metric: cycle.metric,
                    at: after(due),
                    cycle: cycle.number,
                    due,
                    step: None,
                });
            }
        }
        instants.sort_by_key(|instant| instant.at);
        Ok(instants)
    }

    /// When people are told of something about a cycle that happens at `at`: then, or at the next opening if the policy
    /// is quiet.
    pub fn told_at(
        &self,
        cycle: &Cycle,
        at: Timestamp,
        terms: &Terms<'_>,
    ) -> Result<Timestamp, ClockError> {
        if !terms.current(self.policy_key())?.get().rules.quiet {
            return Ok(at);
        }
        let calendar = terms.calendar(&cycle.calendar)?;
        Ok(calendar.try_next_opening(at).unwrap_or(at))
    }

    /// Cycles that are running, in the order of the report.
    fn running(&self) -> impl Iterator<Item = &Cycle> {
        self.cycles().filter(|cycle| cycle.since.is_some())
    }

    fn reminders(&self, at: Timestamp, terms: &Terms<'_>) -> Result<Vec<Reminder>, ClockError> {
        let spare = micros(terms.policy.remind_before_s.unwrap_or(0));
        let mut reminders = Vec::new();
        for cycle in self.running() {
            let calendar = terms.calendar(&cycle.calendar)?;
            let missed = cycle.deadline(calendar).is_none_or(|due| at > due);
            if missed || cycle.breached_at.is_some() {
                continue;
            }
            if let Some(warning) = cycle.used_up_but(spare, calendar) {
                reminders.push(Reminder {
                    metric: cycle.metric,
                    remind_at: warning.max(at),
                });
            }
        }
        Ok(reminders)
    }
}

impl Cycle {
    /// The timer of a step. One that only tells people waits for business hours, if the policy says so.
    fn instant(
        &self,
        step: Option<usize>,
        at: Timestamp,
        due: Timestamp,
        calendar: &Calendar,
        terms: &Terms<'_>,
    ) -> Instant {
        let rules = &terms.policy.rules;
        let action = step.and_then(|index| rules.steps.get(index));
        let action = action.map_or(ActionKind::Warn, |step| step.action);
        // Nothing that follows a breach comes before it.
        let at = if self.breached_at.is_some() {
            at.max(after(due))
        } else {
            at
        };
        let at = if rules.quiet && action.is_telling() {
            calendar.try_next_opening(at).unwrap_or(at)
        } else {
            at
        };
        Instant {
            kind: if action == ActionKind::Warn && self.breached_at.is_none() {
                InstantKind::Warning
            } else {
                InstantKind::Escalation
            },
            metric: self.metric,
            at,
            cycle: self.number,
            due,
            step,
        }
    }
}

/// The first instant at which a deadline is missed.
fn after(due: Timestamp) -> Timestamp {
    due.saturating_add(SignedDuration::from_micros(1))
        .unwrap_or(due)
}

/// None when the cycle has no target.
fn metric_report(
    cycle: &Cycle,
    at: Timestamp,
    terms: &Terms<'_>,
) -> Result<Option<MetricReport>, ClockError> {
    let calendar = terms.calendar(&cycle.calendar)?;
    let Some(target_s) = cycle.target_s else {
        return Ok(None);
    };
    let deadline = cycle.deadline(calendar);
    let breached_at = cycle
        .breached_at
        .or(deadline.filter(|deadline| at > *deadline));
    let left = cycle.left_at(at, calendar).unwrap_or(0);
    let due = match cycle.since {
        None => None,
        Some(_) if left < 0 => breached_at,
        Some(_) if left == 0 => calendar.try_next_opening(at),
        Some(_) => deadline,
    };
    let opening = due
        .and_then(|due| calendar.try_next_opening(due))
        .filter(|_| left >= 0);
    let state = match cycle.end {
        Some(end) if end.outcome == Outcome::Met => ClockState::Met,
        Some(_) => ClockState::Void,
        None if cycle.since.is_some() => ClockState::Running,
        None => ClockState::Paused,
    };
    Ok(Some(MetricReport {
        metric: cycle.metric,
        cycle: cycle.number,
        state,
        target_s,
        elapsed_s: cycle.consumed_at(at, calendar) / 1_000_000,
        breached: breached_at.is_some(),
        breached_at,
        due,
        due_open: opening.filter(|opening| Some(*opening) != due),
        ended_at: cycle.end.map(|end| end.at),
    }))
}

const fn micros(seconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000)
}
