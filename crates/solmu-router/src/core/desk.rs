//! The people: who is there, how loaded, and what the router counts for each of them.
//!
//! Who can take what, and in which order, is the business of the floor (`solmu-matching`); this is what people set up
//! of agents and teams, and the loads that are stored.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use solmu_domain::ids::{AgentId, TeamId, TicketId};
use solmu_matching::{Availability, Floor, Location, Obstacle, Policy, TeamPolicy, Why};

pub(crate) use solmu_roster::presence::Presence;

pub(crate) use super::hours::Hours;
use super::{care::Care, decision::Considered};

/// Units of capacity that one ticket of ordinary weight takes: capacities are told in tickets.
pub(crate) const UNITS: u32 = 100;

/// An agent as people set them up.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) name: String,
    pub(crate) teams: Vec<TeamId>,
    /// Teams that they help once a ticket has waited.
    pub(crate) backup_teams: Vec<TeamId>,
    pub(crate) presence: Presence,
    /// Open tickets of ordinary weight at most.
    pub(crate) capacity: u32,
    /// Level by skill.
    pub(crate) skills: BTreeMap<String, u8>,
    /// Empty: any.
    pub(crate) languages: BTreeSet<String>,
    /// Tickets of a channel at most.
    pub(crate) limits: BTreeMap<String, u32>,
    pub(crate) location: Option<Location>,
    pub(crate) hours: Hours,
    /// Since when they are present as they are.
    pub(crate) since: Timestamp,
    /// They were removed.
    pub(crate) archived: bool,
    /// Grows with each change of the above.
    pub(crate) version: i64,
}

impl Agent {
    /// Skills in small letters: `Billing` and `billing` are one, at the higher level.
    fn small_skills(&self) -> BTreeMap<String, u8> {
        let mut skills = BTreeMap::new();
        for (name, level) in &self.skills {
            let known: &mut u8 = skills.entry(name.to_lowercase()).or_default();
            *known = (*known).max(*level);
        }
        skills
    }

    /// As the floor sees them.
    fn seen(&self, now: Timestamp) -> solmu_matching::Agent {
        solmu_matching::Agent {
            id: self.id,
            teams: self.teams.clone(),
            backup_teams: self.backup_teams.clone(),
            skills: self.small_skills(),
            languages: self.languages.clone(),
            availability: match self.presence {
                _ if self.archived => Availability::Offline,
                Presence::Online => Availability::Online,
                Presence::Busy => Availability::Busy,
                Presence::Away => Availability::Away,
                Presence::Offline => Availability::Offline,
            },
            open: self.hours.is_open(now),
            capacity: self.capacity.saturating_mul(UNITS),
            limits: self.limits.clone(),
            location: self.location,
        }
    }
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

#[derive(Debug, Clone, Default)]
struct Seat {
    /// Absent for somebody whom tickets name and the roster does not.
    agent: Option<Agent>,
    load: Load,
}

/// A team as people set it up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Team {
    pub(crate) name: String,
    pub(crate) policy: TeamPolicy,
    pub(crate) care: Care,
    /// It was removed.
    pub(crate) gone: bool,
}

/// All agents.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    pub(super) floor: Floor,
    seats: HashMap<AgentId, Seat>,
    teams: HashMap<TeamId, Team>,
    /// Those who are away, offline, outside their hours or removed.
    pub(super) absent: BTreeSet<AgentId>,
    /// Since when who is outside their hours is.
    closed: HashMap<AgentId, Timestamp>,
    /// Those who own tickets and are not on the roster, as far as anybody has looked.
    pub(super) strangers: BTreeSet<AgentId>,
    /// When the hours of each agent who has some change next.
    shifts: BTreeSet<(Timestamp, AgentId)>,
    next_shift: HashMap<AgentId, Timestamp>,
    /// Number of the last assignment.
    turn: u64,
    changed: HashSet<AgentId>,
    /// Somebody has changed since what they own was last looked at.
    pub(super) untidy: bool,
    now: Timestamp,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new(Policy::default())
    }
}

impl Desk {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            floor: Floor::new(policy),
            seats: HashMap::new(),
            teams: HashMap::new(),
            absent: BTreeSet::new(),
            closed: HashMap::new(),
            strangers: BTreeSet::new(),
            shifts: BTreeSet::new(),
            next_shift: HashMap::new(),
            turn: 0,
            changed: HashSet::new(),
            untidy: true,
            now: Timestamp::UNIX_EPOCH,
        }
    }

    /// What time it is: hours begin and end. Never goes back.
    pub(crate) fn set_now(&mut self, now: Timestamp) {
        if now <= self.now {
            return;
        }
        self.now = now;
        while let Some((at, id)) = self.shifts.first().copied()
            && at <= now
        {
            let seat = self.seats.get(&id).and_then(|seat| seat.agent.as_ref());
            let hours = seat.map(|agent| (agent.hours.is_open(now), agent.hours.next_change(now)));
            if let Some((open, _)) = hours {
                self.floor.set_open(id, open);
                self.note_absence(id, open);
            }
            self.set_shift(id, hours.map(|(_, next)| next));
        }
    }

    /// Notes whether somebody is there, and since when they are not. Who is outside their hours still is so since the
    /// same time.
    fn note_absence(&mut self, id: AgentId, open: bool) {
        let Some(agent) = self.seats.get(&id).and_then(|seat| seat.agent.as_ref()) else {
            return;
        };
        let away = agent.archived || matches!(agent.presence, Presence::Away | Presence::Offline);
        let before = self.closed.get(&id).copied();
        let since = match before {
            _ if open => None,
            Some(since) => Some(since),
            None => agent.hours.closed_since(self.now),
        };
        if since != before {
            self.untidy = true;
        }
        match since {
            Some(since) => self.closed.insert(id, since),
            None => self.closed.remove(&id),
        };
        if away || since.is_some() {
            self.absent.insert(id);
        } else {
            self.absent.remove(&id);
        }
    }

    /// Since when somebody does no work, by their presence or their hours; absent while they do.
    pub(super) fn away_since(&self, id: AgentId) -> Option<Timestamp> {
        let agent = self.agent(id)?;
        let away = matches!(agent.presence, Presence::Away | Presence::Offline);
        let away = away.then_some(agent.since);
        let closed = self.closed.get(&id).copied();
        away.into_iter().chain(closed).min()
    }

    /// Notes when somebody's hours change next; absent: never.
    fn set_shift(&mut self, id: AgentId, next: Option<Timestamp>) {
        if let Some(old) = self.next_shift.remove(&id) {
            self.shifts.remove(&(old, id));
        }
        if let Some(next) = next {
            self.shifts.insert((next, id));
            self.next_shift.insert(id, next);
        }
    }

    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether somebody's hours have begun or ended since they were last looked at.
    pub(crate) fn has_shift_change(&self, now: Timestamp) -> bool {
        // A clock that goes back changes nothing: the hours are those of the latest instant that was seen.
        let due = self.shifts.iter().take_while(|(at, _)| *at <= now);
        now > self.now
            && due.into_iter().any(|(_, id)| {
                self.agent(*id)
                    .is_some_and(|it| it.hours.is_open(now) != it.hours.is_open(self.now))
            })
    }

    /// Sets up an agent, or changes them. Their load stays.
    pub(crate) fn set_agent(&mut self, agent: Agent) {
        let hours = &agent.hours;
        let next = (!hours.always()).then(|| hours.next_change(self.now));
        self.set_shift(agent.id, next);
        let open = agent.hours.is_open(self.now);
        self.floor.set_agent(agent.seen(self.now));
        self.strangers.remove(&agent.id);
        self.untidy = true;
        let id = agent.id;
        self.seats.entry(id).or_default().agent = Some(agent);
        // Their hours may be others now.
        self.closed.remove(&id);
        self.note_absence(id, open);
    }

    /// Restores what was stored of an agent's load. The count follows from the tickets that were taken in before; if
    /// it differs from the stored one, the agent has changed.
    pub(crate) fn restore(&mut self, id: AgentId, stored: Load) {
        self.turn = self.turn.max(stored.last_assigned);
        self.floor
            .set_last_assigned(id, signed(stored.last_assigned));
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
    }

    /// Names and policies of all teams.
    pub(crate) fn set_teams(&mut self, teams: HashMap<TeamId, Team>) {
        let now = self.now.as_microsecond();
        for (id, team) in &teams {
            self.floor.set_team(*id, team.policy.clone(), now);
        }
        self.teams = teams;
        self.untidy = true;
    }

    pub(crate) fn care(&self, team: TeamId) -> Care {
        self.teams
            .get(&team)
            .map_or_else(Care::default, |it| it.care)
    }

    /// A team that is there, where none is the right one: the first by name.
    pub(super) fn some_team(&self) -> Option<TeamId> {
        let there = self.teams.iter().filter(|(_, team)| !team.gone);
        let first = there.min_by_key(|(id, team)| (team.name.as_str(), **id));
        first.map(|(id, _)| *id)
    }

    /// Whether a team is there.
    pub(super) fn has_team(&self, team: TeamId) -> bool {
        self.teams.get(&team).is_some_and(|it| !it.gone)
    }

    /// Whether a team was removed, or never was: people and services may have named any id while nobody could say. Teams
    /// are read before the tickets that name them, so one that is not known is not there. Before they were read, all are.
    pub(crate) fn is_gone(&self, team: TeamId) -> bool {
        let unread = self.teams.is_empty();
        self.teams.get(&team).map_or(!unread, |it| it.gone)
    }

    /// The earliest that any team moves tickets at risk, in seconds before they are due.
    pub(super) fn rebalances_before(&self) -> Option<u32> {
        let all = self.teams.values();
        all.filter_map(|it| it.care.rebalance_s).max()
    }

    pub(super) fn name_of(&self, agent: AgentId) -> &str {
        self.agent(agent).map_or("the agent", |it| it.name.as_str())
    }

    pub(crate) fn team_name(&self, team: TeamId) -> &str {
        self.teams.get(&team).map_or("(unknown)", |it| &it.name)
    }

    pub(crate) fn agent(&self, id: AgentId) -> Option<&Agent> {
        self.seats.get(&id)?.agent.as_ref()
    }

    pub(crate) fn load(&self, id: AgentId) -> Load {
        self.seats
            .get(&id)
            .map_or(Load::default(), |seat| seat.load)
    }

    /// A ticket counts for an agent.
    pub(crate) fn add(&mut self, id: AgentId) {
        self.count(id, |count| count + 1);
    }

    /// A ticket counts for an agent no more.
    pub(crate) fn subtract(&mut self, id: AgentId) {
        self.count(id, |count| count.saturating_sub(1));
    }

    /// The router gave them a ticket: they are last among equals from now on.
    pub(crate) fn had_a_turn(&mut self, id: AgentId, at: Timestamp) {
        self.turn += 1;
        let load = &mut self.seats.entry(id).or_default().load;
        load.last_assigned = self.turn;
        load.last_assigned_at = Some(at);
        self.floor.set_last_assigned(id, signed(self.turn));
    }

    /// Why nobody can take a ticket: a sentence, and the first `limit` agents with their reasons.
    pub(super) fn why_nobody(&self, ticket: TicketId, limit: usize) -> (String, Vec<Considered>) {
        let why: Why = self.floor.why(ticket, limit).unwrap_or_default();
        let sentence = match why.held_for.and_then(|id| self.agent(id)) {
            Some(agent) => format!("it waits for {}, who had it and is full", agent.name),
            None => why.sentence(),
        };
        let note = |id: AgentId, obstacle: Obstacle| match obstacle {
            Obstacle::Full => {
                let (used, capacity) = self.floor.units(id);
                format!(
                    "full: {} of {} open tickets",
                    tickets(used),
                    tickets(capacity)
                )
            }
            other => other.words().to_owned(),
        };
        let considered = why.agents.iter().map(|(id, obstacle)| Considered {
            agent: *id,
            eligible: false,
            note: note(*id, *obstacle),
        });
        (sentence, considered.collect())
    }

    /// Agents whose load changed since the last call.
    pub(crate) fn take_changed(&mut self) -> Vec<AgentId> {
        let mut changed: Vec<_> = self.changed.drain().collect();
        // One order for everybody who locks several agents.
        changed.sort_unstable();
        changed
    }

    fn count(&mut self, id: AgentId, change: impl FnOnce(u32) -> u32) {
        let load = &mut self.seats.entry(id).or_default().load;
        load.count = change(load.count);
        load.version += 1;
        self.changed.insert(id);
    }
}

/// Those who could take a ticket, in the order of choice.
pub(super) fn considered(those: &[solmu_matching::Considered]) -> Vec<Considered> {
    let those = those.iter().map(|it| {
        let lacks = (it.missing > 0).then(|| format!(", lacks {} of the skills", it.missing));
        let has =
            (it.preferred > 0).then(|| format!(", has {} of the wanted skills", it.preferred));
        Considered {
            agent: it.agent,
            eligible: true,
            note: format!(
                "{} of {} open tickets{}{}",
                tickets(it.used),
                tickets(it.capacity),
                lacks.unwrap_or_default(),
                has.unwrap_or_default()
            ),
        }
    });
    those.collect()
}

/// Units as tickets: "3", "2.5", "0.25".
pub(crate) fn tickets(units: u32) -> String {
    let (whole, rest) = (units / UNITS, units % UNITS);
    if rest == 0 {
        whole.to_string()
    } else {
        let text = format!("{whole}.{rest:02}");
        text.trim_end_matches('0').to_owned()
    }
}

fn signed(turn: u64) -> i64 {
    i64::try_from(turn).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_as_tickets() {
        let cases = [
            (0, "0"),
            (100, "1"),
            (250, "2.5"),
            (25, "0.25"),
            (105, "1.05"),
        ];
        for (units, text) in cases {
            assert_eq!(tickets(units), text);
        }
    }
}
