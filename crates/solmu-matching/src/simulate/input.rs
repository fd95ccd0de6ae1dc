//! The file of a simulation: JSON lines, each with its `type`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::BufRead,
};

use serde::Deserialize;
use solmu_domain::{
    ids::{AgentId, TeamId, TicketId},
    ticket::Priority,
};
use uuid::Uuid;

use super::arrivals::Chance;
use crate::{
    Agent, Availability, ChannelPolicy, Kind, Micros, Policy, Strategy, TeamPolicy, Ticket, Want,
    snapshot::micros,
};

/// Tickets of a plan at most.
const TICKETS_MAX: usize = 2_000_000;

/// A file that is no plan.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file cannot be read.
    #[error("cannot read line {line}")]
    Read {
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what the format says.
    #[error("line {line} is not understood")]
    Json {
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// There is nobody, or nothing comes.
    #[error("a simulation needs at least one agent and one ticket")]
    Empty,
    /// More tickets than fit in memory.
    #[error("line {line} brings more than {TICKETS_MAX} tickets")]
    TooMany {
        /// Counted from 1.
        line: usize,
    },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// What holds for all. At most one, before the others.
    Policy(PolicyLine),
    /// A team with something of its own.
    Team {
        id: String,
        overflow_after: Option<f64>,
        #[serde(default)]
        overflow_to: Vec<String>,
        #[serde(default)]
        follow_sun: bool,
        strategy: Option<Strategy>,
    },
    /// Somebody who works.
    Agent(Box<AgentLine>),
    /// One ticket.
    Ticket(Box<TicketLine>),
    /// A random stream of tickets.
    Arrivals(Box<ArrivalsLine>),
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PolicyLine {
    weights: BTreeMap<String, u32>,
    exclusive: BTreeSet<String>,
    live: BTreeSet<String>,
    age_step: f64,
    risk_lead: f64,
    sticky_hold: f64,
    strategy: Strategy,
    repair: bool,
    /// Seconds at the beginning that do not count in the statistics.
    warm_up: f64,
}

impl Default for PolicyLine {
    fn default() -> Self {
        Self {
            weights: BTreeMap::new(),
            exclusive: BTreeSet::new(),
            live: BTreeSet::new(),
            age_step: 900.0,
            risk_lead: 900.0,
            sticky_hold: 0.0,
            strategy: Strategy::default(),
            repair: true,
            warm_up: 0.0,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentLine {
    id: String,
    teams: Vec<String>,
    #[serde(default)]
    backup_teams: Vec<String>,
    #[serde(default)]
    skills: BTreeMap<String, u8>,
    #[serde(default)]
    languages: BTreeSet<String>,
    #[serde(default = "hundred")]
    capacity: u32,
    #[serde(default)]
    max: BTreeMap<String, u32>,
    /// Begin and end in seconds; none: always there.
    #[serde(default)]
    shifts: Vec<(f64, f64)>,
}

const fn hundred() -> u32 {
    100
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct WantLine {
    n: String,
    #[serde(default = "one")]
    lvl: u8,
    relax: Option<f64>,
    #[serde(default)]
    preferred: bool,
}

const fn one() -> u8 {
    1
}

/// What tickets of a line have in common.
#[derive(Deserialize, Clone)]
struct Common {
    team: String,
    channel: String,
    #[serde(default = "normal")]
    priority: String,
    #[serde(default)]
    vip: bool,
    #[serde(default)]
    skills: Vec<WantLine>,
    /// Seconds within which somebody should have it.
    within: Option<f64>,
}

fn normal() -> String {
    "normal".to_owned()
}

#[derive(Deserialize)]
struct TicketLine {
    id: String,
    /// Seconds since the beginning.
    at: f64,
    /// Seconds of work.
    handle: f64,
    sticky: Option<String>,
    #[serde(flatten)]
    common: Common,
}

#[derive(Deserialize)]
struct ArrivalsLine {
    /// Their ids begin with it.
    id: String,
    /// Seconds.
    #[serde(default)]
    from: f64,
    /// Seconds.
    to: f64,
    /// On average.
    per_hour: f64,
    /// Seconds of work, on average; exponentially distributed.
    handle_mean: f64,
    #[serde(default)]
    seed: u64,
    #[serde(flatten)]
    common: Common,
}

/// Somebody who works.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) agent: Agent,
    pub(super) shifts: Vec<(Micros, Micros)>,
}

impl Worker {
    pub(super) fn seen(&self, there: bool) -> Agent {
        Agent {
            availability: if there {
                Availability::Online
            } else {
                Availability::Offline
            },
            ..self.agent.clone()
        }
    }
}

/// A ticket to come.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) ticket: Ticket,
    pub(super) handling: Micros,
    pub(super) within: Option<Micros>,
}

/// A whole simulation.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub(super) policy: Policy,
    pub(super) teams: HashMap<TeamId, TeamPolicy>,
    pub(super) workers: Vec<Worker>,
    pub(super) tickets: Vec<Planned>,
    pub(super) warm_up: Micros,
}

impl Plan {
    /// Replaces the order of choice.
    #[must_use]
    pub fn with_strategy(mut self, strategy: Strategy) -> Self {
        self.policy.strategy = strategy;
        self
    }
}

/// Reads a plan.
pub fn read_plan(input: impl BufRead) -> Result<Plan, InputError> {
    let mut reader = Reader::default();
    for (index, line) in input.lines().enumerate() {
        let number = index + 1;
        let line = line.map_err(|source| InputError::Read {
            line: number,
            source,
        })?;
        if line.trim().is_empty() {
            continue;
        }
        let line = serde_json::from_str(&line).map_err(|source| InputError::Json {
            line: number,
            source,
        })?;
        reader.take(line);
        if reader.plan.tickets.len() > TICKETS_MAX {
            return Err(InputError::TooMany { line: number });
        }
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    plan: Plan,
    teams: HashMap<String, TeamId>,
    agents: HashMap<String, AgentId>,
}

impl Reader {
    fn take(&mut self, line: Line) {
        match line {
            Line::Policy(line) => {
                self.plan.warm_up = micros(line.warm_up);
                self.plan.policy = policy(&line);
            }
            Line::Team {
                id,
                overflow_after,
                overflow_to,
                follow_sun,
                strategy,
            } => {
                let policy = TeamPolicy {
                    overflow_after: overflow_after.map(micros),
                    overflow_to: overflow_to.iter().map(|it| self.team(it)).collect(),
                    strategy,
                    pull: false,
                    follow_sun,
                };
                let team = self.team(&id);
                self.plan.teams.insert(team, policy);
            }
            Line::Agent(line) => self.agent_line(*line),
            Line::Ticket(line) => {
                let sticky = line.sticky.as_ref().map(|it| self.agent(it));
                self.ticket(line.id, line.at, line.handle, sticky, &line.common);
            }
            Line::Arrivals(line) => self.arrivals(&line),
        }
    }

    fn finish(self) -> Result<Plan, InputError> {
        let plan = self.plan;
        if plan.workers.is_empty() || plan.tickets.is_empty() {
            return Err(InputError::Empty);
        }
        Ok(plan)
    }

    fn team(&mut self, name: &str) -> TeamId {
        let next = self.teams.len() as u128 + 1;
        let new = || TeamId::from_uuid(Uuid::from_u128(next));
        *self.teams.entry(name.to_owned()).or_insert_with(new)
    }

    fn agent(&mut self, name: &str) -> AgentId {
        let next = self.agents.len() as u128 + 1;
        let new = || AgentId::from_uuid(Uuid::from_u128(next));
        *self.agents.entry(name.to_owned()).or_insert_with(new)
    }

    fn agent_line(&mut self, line: AgentLine) {
        let id = self.agent(&line.id);
        let agent = Agent {
            id,
            teams: line.teams.iter().map(|it| self.team(it)).collect(),
            backup_teams: line.backup_teams.iter().map(|it| self.team(it)).collect(),
            skills: line.skills,
            languages: line.languages,
            availability: Availability::Online,
            open: true,
            capacity: line.capacity,
            limits: line.max,
            location: None,
        };
        let shifts = line.shifts.into_iter();
        let shifts = shifts.map(|(begin, end)| (micros(begin), micros(end)));
        self.plan.workers.push(Worker {
            name: line.id,
            agent,
            shifts: shifts.collect(),
        });
    }

    fn arrivals(&mut self, line: &ArrivalsLine) {
        if line.per_hour <= 0.0 {
            return;
        }
        let chance = Chance::new(line.seed);
        let mut at = line.from;
        for number in 1.. {
            at += chance.exponential(3_600.0 / line.per_hour);
            if at >= line.to || self.plan.tickets.len() > TICKETS_MAX {
                return;
            }
            let handle = chance.exponential(line.handle_mean);
            let name = format!("{}{number}", line.id);
            self.ticket(name, at, handle, None, &line.common);
        }
    }

    fn ticket(
        &mut self,
        name: String,
        at: f64,
        handle: f64,
        former: Option<AgentId>,
        common: &Common,
    ) {
        let arrived = micros(at);
        let id = TicketId::from_uuid(Uuid::from_u128(self.plan.tickets.len() as u128 + 1));
        let want = |it: &WantLine| Want {
            skill: it.n.clone(),
            level: it.lvl,
            language: false,
            kind: if it.preferred {
                Kind::Preferred
            } else {
                Kind::Required {
                    relax_after: it.relax.map(micros),
                }
            },
        };
        let within = common.within.map(micros);
        let team = self.team(&common.team);
        let ticket = Ticket {
            priority: common.priority.parse().unwrap_or(Priority::Normal),
            vip: common.vip,
            wants: common.skills.iter().map(want).collect(),
            former,
            due: within.map(|within| arrived.saturating_add(within)),
            ..Ticket::plain(id, team, &common.channel, arrived)
        };
        self.plan.tickets.push(Planned {
            name,
            ticket,
            handling: micros(handle),
            within,
        });
    }
}

fn policy(line: &PolicyLine) -> Policy {
    let names = line.weights.keys().chain(&line.exclusive).chain(&line.live);
    let of = |name: &String| ChannelPolicy {
        units: line.weights.get(name).copied().unwrap_or(10),
        exclusive: line.exclusive.contains(name),
        live: line.live.contains(name),
        age_step: micros(line.age_step),
        sticky_hold: micros(line.sticky_hold),
    };
    Policy {
        channels: names.map(|name| (name.clone(), of(name))).collect(),
        other: of(&String::new()),
        risk_lead: micros(line.risk_lead),
        strategy: line.strategy,
        repair: line.repair,
        ..Policy::default()
    }
}
