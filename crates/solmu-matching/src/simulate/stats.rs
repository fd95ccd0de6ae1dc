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
    /// Share of those with a time limit who were served within it; absent if none had one.
    pub within: Option<f64>,
}

/// What one agent did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentReport {
    /// Name.
    pub agent: String,
    /// Tickets.
    pub tickets: usize,
    /// Units in use of those that were there, over their shifts.
    pub occupancy: f64,
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
    waited: Micros,
    within: Option<bool>,
}

/// What is noted on the way.
pub(super) struct Ledger {
    served: Vec<Served>,
    best: usize,
    /// Tickets and unit-microseconds of each worker.
    work: Vec<(usize, f64)>,
    end: Micros,
}

impl Ledger {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            served: Vec::new(),
            best: 0,
            work: vec![(0, 0.0); workers],
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
        if ticket.arrived < plan.warm_up {
            return;
        }
        let waited = now - ticket.arrived;
        self.served.push(Served {
            priority: ticket.priority.name(),
            waited,
            within: planned.within.map(|within| waited <= within),
        });
        self.best += usize::from(missing == 0);
        let units = plan.policy.channel(&ticket.channel).units;
        self.work[worker].0 += 1;
        self.work[worker].1 += f64::from(units) * seconds(planned.handling);
        self.end = self.end.max(now);
    }

    pub(super) fn report(self, plan: &Plan, left: usize) -> Report {
        let mut by_priority: BTreeMap<String, Vec<&Served>> = BTreeMap::new();
        for served in &self.served {
            let of = by_priority.entry(served.priority.to_owned()).or_default();
            of.push(served);
        }
        let span = seconds(self.end - plan.warm_up).max(f64::MIN_POSITIVE);
        let agents: Vec<AgentReport> = plan
            .workers
            .iter()
            .zip(&self.work)
            .map(|(worker, (tickets, work))| {
                let inside = worker.shifts.iter().map(|(begin, end)| {
                    let begin = (*begin).max(plan.warm_up);
                    seconds((*end - begin).max(0))
                });
                let there = if worker.shifts.is_empty() {
                    span
                } else {
                    inside.sum()
                };
                let room = f64::from(worker.agent.capacity) * there;
                AgentReport {
                    agent: worker.name.clone(),
                    tickets: *tickets,
                    occupancy: if room > 0.0 { work / room } else { 0.0 },
                }
            })
            .collect();
        let all: Vec<&Served> = self.served.iter().collect();
        let priorities = by_priority.into_iter();
        Report {
            best_skill: real(self.best) / real(all.len().max(1)),
            all: waits(&all),
            by_priority: priorities.map(|(name, of)| (name, waits(&of))).collect(),
            occupancy: agents.iter().map(|it| it.occupancy).sum::<f64>() / real(agents.len()),
            fairness: jain(agents.iter().map(|it| it.occupancy)),
            left,
            agents,
        }
    }
}

fn waits(served: &[&Served]) -> Waits {
    let mut times: Vec<Micros> = served.iter().map(|it| it.waited).collect();
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
                waited: second * crate::SECOND,
                within: Some(second <= 4),
            })
            .collect();
        let waits = waits(&served.iter().collect::<Vec<_>>());
        let found = (waits.mean, waits.p50, waits.p90, waits.p99, waits.max);
        assert_eq!(found, (5.5, 5.0, 9.0, 10.0, 10.0));
        assert_eq!(waits.within, Some(0.4));
    }
}
