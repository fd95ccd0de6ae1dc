//! Lines that nobody can take from, by who could change that.
//!
//! A line waits for the agents of its team and their helpers. One that is held for its former agent, who is there and full,
//! waits for them alone: what anybody else does cannot move it, so nobody else's changes look at it.

use std::collections::{BTreeSet, HashMap};

use solmu_domain::ids::{AgentId, TeamId};

use crate::waiting::Shape;

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stuck {
    all: BTreeSet<usize>,
    by_team: HashMap<TeamId, BTreeSet<usize>>,
    by_holder: HashMap<AgentId, BTreeSet<usize>>,
}

impl Stuck {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.all.iter().copied()
    }

    /// Lines of a team that wait for anybody.
    pub(crate) fn of_team(&self, team: TeamId) -> impl Iterator<Item = usize> {
        self.by_team.get(&team).into_iter().flatten().copied()
    }

    /// Lines that an agent had before, whether they hold them or not.
    pub(crate) fn held_for(&self, agent: AgentId) -> impl Iterator<Item = usize> {
        self.by_holder.get(&agent).into_iter().flatten().copied()
    }

    /// `held`: it waits for its former agent alone.
    pub(crate) fn insert(&mut self, line: usize, shape: &Shape, held: bool) {
        self.all.insert(line);
        if !held {
            self.by_team.entry(shape.team).or_default().insert(line);
        }
        if let Some(holder) = shape.held_for {
            self.by_holder.entry(holder).or_default().insert(line);
        }
    }

    /// False if it was not there.
    pub(crate) fn remove(&mut self, line: usize, shape: &Shape) -> bool {
        if !self.all.remove(&line) {
            return false;
        }
        take(&mut self.by_team, &shape.team, line);
        if let Some(holder) = &shape.held_for {
            take(&mut self.by_holder, holder, line);
        }
        true
    }
}

fn take<K: Eq + std::hash::Hash>(of: &mut HashMap<K, BTreeSet<usize>>, key: &K, line: usize) {
    if let Some(lines) = of.get_mut(key) {
        lines.remove(&line);
        if lines.is_empty() {
            of.remove(key);
        }
    }
}
