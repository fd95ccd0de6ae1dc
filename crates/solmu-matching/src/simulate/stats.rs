//! What a simulation says at its end.

use std::collections::BTreeMap;

use serde::Serialize;

use super::input::{Plan, Planned};
use crate::Micros;

/// Microseconds as seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "statistics need no more than 53 bits"
)]
pub(super) fn seconds(micros: Micros) -> f64 {
    micros as f64 / 1_000_000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
const fn real(count: usize) -> f64 {
    count as f64
}

/// How long tickets waited, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Waits {
    /// Tickets.
    pub count: usize,
    /// Mean of all.
    pub mean: f64,
    /// Half waited no longer.
    pub p50: f64,
    /// Nine of ten waited no longer.
    pub p90: f64,
    /// All but one of a hundred waited no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
    /// Share of those with a time limit who were served within it; absent if none had one. What nobody took missed it.
    pub within: Option<f64>,
    /// Tickets besides that nobody took: how long they would have waited is not known.
    pub left: usize,
}

/// What one agent did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentReport {
    /// Name.
    pub agent: String,
    /// Tickets.
    pub tickets: usize,
    /// Units in use of those that were there, over their shifts: 1 is all of the capacity all the time. Without shifts,
    /// over the time from the end of the warm-up to the end of the last work.
    pub occupancy: f64,
    /// Seconds of work after the end of their shifts, summed over tickets.
    pub overtime: f64,
}

/// What a simulation says at its end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Of all tickets.
    pub all: Waits,
    /// By priority.
    pub by_priority: BTreeMap<String, Waits>,
    /// Share of tickets whose agent had every skill that was asked for.
    pub best_skill: f64,
    /// Mean occupancy of the agents.
    pub occupancy: f64,
    /// Jain's index of the occupancies: 1 when all have the same share.
    pub fairness: f64,
    /// Tickets that nobody took.
    pub left: usize,
    /// Each agent.
    pub agents: Vec<AgentReport>,
}

struct Served {
    priority: &'static str,
    /// Absent: nobody took it.
    waited: Option<Micros>,
    within: Option<bool>,
}

/// Work on one ticket.
struct Work {
    begin: Micros,
    end: Micros,
    units: f64,
}

/// What is noted on the way.
pub(super) struct Ledger {
    served: Vec<Served>,
    best: usize,
    /// Tickets of each worker that count in the statistics.
    taken: Vec<usize>,
    /// All work of each worker.
    work: Vec<Vec<Work>>,
    end: Micros,
}

impl Ledger {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            served: Vec::new(),
            best: 0,
            taken: vec![0; workers],
            work: (0..workers).map(|_| Vec::new()).collect(),
            end: 0,
        }
    }

    pub(super) fn assigned(
        &mut self,
        plan: &Plan,
        planned: &Planned,
        worker: usize,
        now: Micros,
        missing: u32,
    ) {
        let ticket = &planned.ticket;
        let end = now.saturating_add(planned.handling);
        self.end = self.end.max(end);
        self.work[worker].push(Work {
            begin: now,
            end,
            units: f64::from(plan.policy.channel(&ticket.channel).units),
        });
        if ticket.arrived < plan.warm_up {
            return;
        }
        let waited = now - ticket.arrived;
        self.served.push(Served {
            priority: ticket.priority.name(),
            waited: Some(waited),
            within: planned.within.map(|within| waited <= within),
        });
        self.best += usize::from(missing == 0);
        self.taken[worker] += 1;
    }

    /// Nobody took a ticket before the end.
    pub(super) fn left_over(&mut self, plan: &Plan, planned: &Planned) {
        if planned.ticket.arrived >= plan.warm_up {
            self.served.push(Served {
                priority: planned.ticket.priority.name(),
                waited: None,
                within: planned.within.map(|_| false),
            });
        }
    }

    pub(super) fn report(self, plan: &Plan) -> Report {
        let mut by_priority: BTreeMap<String, Vec<&Served>> = BTreeMap::new();
        for served in &self.served {
            let of = by_priority.entry(served.priority.to_owned()).or_default();
            of.push(served);
        }
        let each = 0..plan.workers.len();
        let agents: Vec<AgentReport> = each.map(|index| self.agent(plan, index)).collect();
        let all = waits(&self.served.iter().collect::<Vec<_>>());
        let priorities = by_priority.into_iter();
        Report {
            best_skill: real(self.best) / real(all.count.max(1)),
            by_priority: priorities.map(|(name, of)| (name, waits(&of))).collect(),
            occupancy: agents.iter().map(|it| it.occupancy).sum::<f64>() / real(agents.len()),
            fairness: jain(agents.iter().map(|it| it.occupancy)),
            left: all.left,
            all,
            agents,
        }
    }

    fn agent(&self, plan: &Plan, index: usize) -> AgentReport {
        let worker = &plan.workers[index];
        let always = [(plan.warm_up, self.end.max(plan.warm_up))];
        let there = if worker.shifts.is_empty() {
            &always[..]
        } else {
            &worker.shifts
        };
        // What of a time lies in the shifts, and after the warm-up.
        let inside = |begin: Micros, end: Micros| {
            let begin = begin.max(plan.warm_up);
            let parts = there.iter().map(|(from, to)| {
                let (from, to) = ((*from).max(begin), (*to).min(end));
                seconds((to - from).max(0))
            });
            parts.sum::<f64>()
        };
        let (mut used, mut overtime) = (0.0, 0.0);
        for work in &self.work[index] {
            let during = inside(work.begin, work.end);
            used += work.units * during;
            let all = work.end - work.begin.max(plan.warm_up);
            overtime += (seconds(all.max(0)) - during).max(0.0);
        }
        let room = f64::from(worker.agent.capacity) * inside(Micros::MIN / 2, Micros::MAX / 2);
        AgentReport {
            agent: worker.name.clone(),
            tickets: self.taken[index],
            occupancy: if room > 0.0 { used / room } else { 0.0 },
            overtime,
        }
    }
}

fn waits(served: &[&Served]) -> Waits {
    let mut times: Vec<Micros> = served.iter().filter_map(|it| it.waited).collect();
    times.sort_unstable();
    let at = |hundredths: usize| {
        let index = (times.len() * hundredths).div_ceil(100).max(1) - 1;
        times.get(index).copied().map_or(0.0, seconds)
    };
    let limited: Vec<bool> = served.iter().filter_map(|it| it.within).collect();
    let kept = limited.iter().filter(|kept| **kept).count();
    Waits {
        count: times.len(),
        mean: times.iter().copied().map(seconds).sum::<f64>() / real(times.len().max(1)),
        p50: at(50),
        p90: at(90),
        p99: at(99),
        max: at(100),
        within: (!limited.is_empty()).then(|| real(kept) / real(limited.len())),
        left: served.len() - times.len(),
    }
}

/// Jain's fairness index: the square of the sum over n times the sum of squares.
fn jain(shares: impl Iterator<Item = f64> + Clone) -> f64 {
    let (sum, squares, count) = shares.fold((0.0, 0.0, 0_usize), |(sum, squares, count), it| {
        (sum + it, it.mul_add(it, squares), count + 1)
    });
    if squares > 0.0 {
        sum * sum / (real(count) * squares)
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fairness_of_equal_and_unequal_shares() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(close(jain([0.5, 0.5, 0.5].into_iter()), 1.0));
        assert!(close(jain([1.0, 0.0, 0.0].into_iter()), 1.0 / 3.0));
    }

    #[test]
    fn percentiles_are_of_those_who_waited() {
        let served: Vec<Served> = (1..=10)
            .map(|second| Served {
                priority: "normal",
                waited: Some(second * crate::SECOND),
                within: Some(second <= 4),
            })
            .collect();
        let waits = waits(&served.iter().collect::<Vec<_>>());
        let found = (waits.mean, waits.p50, waits.p90, waits.p99, waits.max);
        assert_eq!(found, (5.5, 5.0, 9.0, 10.0, 10.0));
        assert_eq!(waits.within, Some(0.4));
    }
}
