//! How cycles begin, end and go on: what resolving, reopening and merging do to the clocks of a ticket.

use super::{
    clocks::{MergedAway, TicketClocks, change},
    cycle::{Cycle, Outcome},
    event::{ChangeKind, ClockChange},
    metric::{ClockStatus, Metric},
    policy::Policy,
    rules::OnReopen,
    terms::{ClockError, Terms},
};

/// Metrics whose present cycle stays where it is when it ends, because a reopening may let it go on.
const SINGLE: [Metric; 3] = [Metric::FirstResponse, Metric::Resolution, Metric::AgentWork];

impl TicketClocks {
    pub(super) fn change_status(
        &mut self,
        to: ClockStatus,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let was_done = self.status.is_done();
        self.status = to;
        if !was_done && to.is_done() {
            self.end(Metric::Resolution, Outcome::Met, terms, changes)?;
            self.end(Metric::AgentWork, Outcome::Met, terms, changes)?;
            self.end(Metric::Ownership, Outcome::Met, terms, changes)?;
            self.end(Metric::FirstResponse, Outcome::Void, terms, changes)?;
            self.end(Metric::NextResponse, Outcome::Void, terms, changes)?;
            self.end(Metric::PeriodicUpdate, Outcome::Void, terms, changes)?;
        } else if was_done && !to.is_done() {
            self.reopen(terms.policy, changes);
        }
        self.run_or_pause(terms, changes)
    }

    fn reopen(&mut self, policy: &Policy, changes: &mut Vec<ClockChange>) {
        for metric in [Metric::Resolution, Metric::AgentWork] {
            match policy.rules.on_reopen {
                OnReopen::Continue => self.go_on(metric, changes),
                OnReopen::Restart => {
                    let ended = self.slot(metric).take();
                    self.answered.extend(ended);
                    self.begin(metric, policy, changes);
                }
                OnReopen::Leave => {}
            }
        }
        let unanswered = self.first_response.as_ref().and_then(|cycle| cycle.end);
        if unanswered.is_some_and(|end| end.outcome == Outcome::Void) {
            self.go_on(Metric::FirstResponse, changes);
        }
        if self.responded {
            self.begin(Metric::PeriodicUpdate, policy, changes);
        }
        self.begin(Metric::Ownership, policy, changes);
    }

    /// Lets a clock that has ended go on with what it had consumed.
    fn go_on(&mut self, metric: Metric, changes: &mut Vec<ClockChange>) {
        let at = self.at;
        let slot = self.slot(metric).as_mut();
        if let Some(cycle) = slot.filter(|cycle| cycle.end.is_some()) {
            cycle.end = None;
            changes.push(change(cycle, at, ChangeKind::Reopened));
        }
    }

    /// The ticket was merged into another one.
    pub(super) fn merge_away(
        &mut self,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        if self.merged.is_none() {
            self.merged = Some(MergedAway {
                at: self.at,
                ended: self.active().map(|cycle| cycle.metric).collect(),
                status: self.status,
            });
        }
        for metric in Metric::ALL {
            self.end(metric, Outcome::Void, terms, changes)?;
        }
        Ok(())
    }

    /// The merge was taken back: the cycles that it ended go on, whatever the policy says of reopening.
    pub(super) fn unmerge(
        &mut self,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let Some(merged) = self.merged.take() else {
            return Ok(());
        };
        self.status = merged.status;
        let at = self.at;
        for metric in merged.ended {
            let ended_by_it = |cycle: &Cycle| {
                let end = cycle.end.map(|end| (end.outcome, end.at));
                cycle.metric == metric && end == Some((Outcome::Void, merged.at))
            };
            if self.slot(metric).is_none()
                && let Some(place) = self.answered.iter().rposition(ended_by_it)
            {
                *self.slot(metric) = Some(self.answered.remove(place));
            }
            if let Some(cycle) = self.slot(metric).as_mut().filter(|it| ended_by_it(it)) {
                cycle.end = None;
                changes.push(change(cycle, at, ChangeKind::Reopened));
            }
        }
        self.run_or_pause(terms, changes)
    }

    /// Starts a cycle, if the policy measures the metric and none is under way.
    pub(super) fn begin(
        &mut self,
        metric: Metric,
        policy: &Policy,
        changes: &mut Vec<ClockChange>,
    ) {
        let homeless = metric == Metric::Ownership && self.team.is_none();
        if self.slot(metric).is_some() || !policy.measures(metric) || homeless {
            return;
        }
        let cycle = self.new_cycle(metric, policy);
        changes.push(change(&cycle, self.at, ChangeKind::Started));
        *self.slot(metric) = Some(cycle);
    }

    /// Starts the clocks that run from the beginning and are not there yet.
    pub(super) fn begin_missing(&mut self, policy: &Policy, changes: &mut Vec<ClockChange>) {
        for metric in Metric::ALL {
            if self.can_begin(metric) {
                self.begin(metric, policy, changes);
            }
        }
    }

    /// Ends the present cycle of a metric, if there is one.
    pub(super) fn end(
        &mut self,
        metric: Metric,
        outcome: Outcome,
        terms: &Terms<'_>,
        changes: &mut Vec<ClockChange>,
    ) -> Result<(), ClockError> {
        let at = self.at;
        let slot = self.slot(metric);
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
        if !SINGLE.contains(&metric) {
            let ended = slot.take();
            self.answered.extend(ended);
        }
        Ok(())
    }

    const fn slot(&mut self, metric: Metric) -> &mut Option<Cycle> {
        match metric {
            Metric::FirstResponse => &mut self.first_response,
            Metric::NextResponse => &mut self.next_response,
            Metric::Resolution => &mut self.resolution,
            Metric::PeriodicUpdate => &mut self.periodic_update,
            Metric::AgentWork => &mut self.agent_work,
            Metric::Ownership => &mut self.ownership,
        }
    }
}
