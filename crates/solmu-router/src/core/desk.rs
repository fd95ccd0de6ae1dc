//! The people: who is there, how loaded, and for each team who of them is next.
//!
//! Each team keeps its eligible agents in the order of choice, so that a decision looks at the first and not at all,
//! and a team with nobody eligible costs nothing however many tickets wait for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use solmu_domain::{
    ids::{AgentId, TeamId},
    routing::Standing,
};

use super::decision::Considered;

/// Whether an agent takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Online,
    Away,
    Offline,
}

impl Presence {
    /// Stable name, as stored.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Away => "away",
            Self::Offline => "offline",
        }
    }

    /// The presence of a stored name. What is not known takes no work.
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "online" => Self::Online,
            "away" => Self::Away,
            _ => Self::Offline,
        }
    }
}

/// An agent as people set them up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) name: String,
    pub(crate) teams: Vec<TeamId>,
    pub(crate) presence: Presence,
    /// Open tickets at most.
    pub(crate) capacity: u32,
    /// Grows with each change of the above.
    pub(crate) version: i64,
}

/// What the router counts for an agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Open tickets that are theirs or reserved for them.
    pub(crate) count: u32,
    /// Grows with each change of `count`.
    pub(crate) version: i64,
    /// Number of their last assignment in the order of all; 0 for never.
    pub(crate) last_assigned: u64,
    pub(crate) last_assigned_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Seat {
    /// Absent for somebody whom tickets name and the roster does not.
    agent: Option<Agent>,
    load: Load,
}

impl Seat {
    /// Their place in the order of choice, if they can take a ticket.
    fn standing(&self) -> Option<Standing> {
        let agent = self.agent.as_ref()?;
        let free = agent.presence == Presence::Online && self.load.count < agent.capacity;
        free.then_some(Standing {
            load: self.load.count,
            capacity: agent.capacity,
            last_assigned: self.load.last_assigned,
            agent: agent.id,
        })
    }
}

/// All agents.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    seats: HashMap<AgentId, Seat>,
    /// Eligible agents of each team, the next one first.
    benches: HashMap<TeamId, BTreeSet<Standing>>,
    members: BTreeMap<TeamId, BTreeSet<AgentId>>,
    team_names: HashMap<TeamId, String>,
    /// Number of the last assignment.
    turn: u64,
    changed: HashSet<AgentId>,
}

impl Desk {
    /// Sets up an agent, or changes them. Their load stays.
    pub(crate) fn set_agent(&mut self, agent: Agent) {
        let id = agent.id;
        self.stand_up(id);
        let seat = self.seats.entry(id).or_default();
        let old_teams = seat.agent.take().map(|old| old.teams).unwrap_or_default();
        for team in old_teams {
            if let Some(members) = self.members.get_mut(&team) {
                members.remove(&id);
            }
        }
        for team in &agent.teams {
            self.members.entry(*team).or_default().insert(id);
        }
        seat.agent = Some(agent);
        self.sit_down(id);
    }

    /// Restores what was stored of an agent's load. The count follows from the tickets that were taken in before; if
    /// it differs from the stored one, the agent has changed.
    pub(crate) fn restore(&mut self, id: AgentId, stored: Load) {
        self.stand_up(id);
        self.turn = self.turn.max(stored.last_assigned);
        let load = &mut self.seats.entry(id).or_default().load;
        if load.count == stored.count {
            *load = stored;
            self.changed.remove(&id);
        } else {
            *load = Load {
                count: load.count,
                version: stored.version + 1,
                ..stored
            };
            self.changed.insert(id);
        }
        self.sit_down(id);
    }

    pub(crate) fn set_team_names(&mut self, names: HashMap<TeamId, String>) {
        self.team_names = names;
    }

    pub(crate) fn team_name(&self, team: TeamId) -> &str {
        self.team_names
            .get(&team)
            .map_or("(unknown)", String::as_str)
    }

    pub(crate) fn agent(&self, id: AgentId) -> Option<&Agent> {
        self.seats.get(&id)?.agent.as_ref()
    }

    pub(crate) fn load(&self, id: AgentId) -> Load {
        self.seats
            .get(&id)
            .map_or(Load::default(), |seat| seat.load)
    }

    /// Who is next in a team.
    pub(crate) fn next(&self, team: TeamId) -> Option<Standing> {
        self.benches.get(&team)?.first().copied()
    }

    /// A ticket more for an agent.
    pub(crate) fn add(&mut self, id: AgentId) {
        self.count(id, |count| count + 1);
    }

    /// A ticket less for an agent.
    pub(crate) fn subtract(&mut self, id: AgentId) {
        self.count(id, |count| count.saturating_sub(1));
    }

    /// The router gave them a ticket: they are last among equals from now on.
    pub(crate) fn had_a_turn(&mut self, id: AgentId, at: Timestamp) {
        self.stand_up(id);
        self.turn += 1;
        let load = &mut self.seats.entry(id).or_default().load;
        load.last_assigned = self.turn;
        load.last_assigned_at = Some(at);
        self.sit_down(id);
    }

    /// The first `limit` eligible agents of a team, in order.
    pub(crate) fn considered(&self, team: TeamId, limit: usize) -> Vec<Considered> {
        let bench = self.benches.get(&team).into_iter().flatten();
        bench
            .take(limit)
            .map(|standing| Considered {
                agent: standing.agent,
                eligible: true,
                note: format!("{} of {} open tickets", standing.load, standing.capacity),
            })
            .collect()
    }

    /// Why nobody of a team can take a ticket: a sentence, and the first `limit` agents with their reasons.
    pub(crate) fn why_nobody(&self, team: TeamId, limit: usize) -> (String, Vec<Considered>) {
        let (mut offline, mut away, mut full) = (0_usize, 0_usize, 0_usize);
        let mut considered = Vec::new();
        for seat in self.members.get(&team).into_iter().flatten() {
            let Some(Seat {
                agent: Some(agent),
                load,
            }) = self.seats.get(seat)
            else {
                continue;
            };
            let note = match agent.presence {
                Presence::Offline => {
                    offline += 1;
                    "offline".to_owned()
                }
                Presence::Away => {
                    away += 1;
                    "away".to_owned()
                }
                Presence::Online => {
                    full += 1;
                    format!("full: {} of {} open tickets", load.count, agent.capacity)
                }
            };
            if considered.len() < limit {
                considered.push(Considered {
                    agent: agent.id,
                    eligible: false,
                    note,
                });
            }
        }
        let reason = if offline + away + full == 0 {
            "the team has no agents".to_owned()
        } else {
            let counts = [(full, "full"), (away, "away"), (offline, "offline")];
            let parts = counts.iter().filter(|(count, _)| *count > 0);
            let parts: Vec<_> = parts
                .map(|(count, state)| format!("{count} {state}"))
                .collect();
            format!("nobody of the team is free: {}", parts.join(", "))
        };
        (reason, considered)
    }

    /// Agents whose load changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Vec<AgentId> {
        let mut changed: Vec<_> = self.changed.drain().collect();
        // One order for everybody who locks several agents.
        changed.sort_unstable();
        changed
    }

    fn count(&mut self, id: AgentId, change: impl FnOnce(u32) -> u32) {
        self.stand_up(id);
        let load = &mut self.seats.entry(id).or_default().load;
        load.count = change(load.count);
        load.version += 1;
        self.changed.insert(id);
        self.sit_down(id);
    }

    /// Takes an agent off the benches, before something changes that their place depends on.
    fn stand_up(&mut self, id: AgentId) {
        let Some(seat) = self.seats.get(&id) else {
            return;
        };
        let (Some(standing), Some(agent)) = (seat.standing(), &seat.agent) else {
            return;
        };
        for team in &agent.teams {
            if let Some(bench) = self.benches.get_mut(team) {
                bench.remove(&standing);
            }
        }
    }

    fn sit_down(&mut self, id: AgentId) {
        let Some(seat) = self.seats.get(&id) else {
            return;
        };
        let (Some(standing), Some(agent)) = (seat.standing(), &seat.agent) else {
            return;
        };
        for team in &agent.teams {
            self.benches.entry(*team).or_default().insert(standing);
        }
    }
}
