//! The file of a simulation: JSON lines, each with its `type`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::BufRead,
};

use solmu_domain::ids::{AgentId, TeamId, TicketId};
use uuid::Uuid;

use super::{
    arrivals::Chance,
    format::{
        ARRIVALS_FIELDS, AgentLine, ArrivalsLine, Common, Line, PolicyLine, TICKET_FIELDS,
        WantLine, nothing_else,
    },
};
use crate::{
    Agent, Availability, ChannelPolicy, Kind, Micros, Policy, Strategy, TeamPolicy, Ticket, Want,
    lines::{JsonFault, lines},
    numbers::{Lasting, Seconds},
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
        source: JsonFault,
    },
    /// A line says something that cannot be.
    #[error("line {line}: {what}")]
    Wrong {
        /// Counted from 1.
        line: usize,
        /// What, and what to write instead.
        what: String,
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
    for (number, line) in lines(input) {
        let line = line.map_err(|source| InputError::Read {
            line: number,
            source,
        })?;
        let line = serde_json::from_str(&line).map_err(|source| InputError::Json {
            line: number,
            source: source.into(),
        })?;
        reader.line = number;
        reader
            .take(line)
            .map_err(|what| InputError::Wrong { line: number, what })?;
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
    /// Agents who have a line of their own.
    there: BTreeSet<String>,
    /// Whom tickets go to first, and the line that says so.
    sticky: BTreeMap<String, usize>,
    /// Tickets that have a line of their own.
    tickets: BTreeSet<String>,
    /// Teams that have a line of their own.
    teams_told: BTreeSet<String>,
    /// Teams that somebody has to work for, and the first line that names each.
    needed: BTreeMap<String, usize>,
    has_policy: bool,
    line: usize,
}

impl Reader {
    /// Takes a line in, or says what is wrong with it.
    fn take(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Policy(line) => {
                if std::mem::replace(&mut self.has_policy, true) {
                    return Err("there is a policy already: it is said once".to_owned());
                }
                self.plan.warm_up = line.warm_up.micros();
                self.plan.policy = policy(&line);
            }
            Line::Team {
                id,
                overflow_after,
                overflow_to,
                follow_sun,
                strategy,
            } => {
                if !self.teams_told.insert(id.clone()) {
                    return Err(format!("there is a team '{id}' already"));
                }
                for team in &overflow_to {
                    self.needed.entry(team.clone()).or_insert(self.line);
                }
                let policy = TeamPolicy {
                    overflow_after: overflow_after.map(Lasting::micros),
                    overflow_to: overflow_to.iter().map(|it| self.team(it)).collect(),
                    strategy,
                    pull: false,
                    follow_sun,
                };
                let team = self.team(&id);
                self.plan.teams.insert(team, policy);
            }
            Line::Agent(line) => self.agent_line(*line)?,
            Line::Ticket(line) => {
                nothing_else(&line.rest, TICKET_FIELDS)?;
                if !self.tickets.insert(line.id.clone()) {
                    return Err(format!("there is a ticket '{}' already", line.id));
                }
                if let Some(name) = &line.sticky {
                    self.sticky.entry(name.clone()).or_insert(self.line);
                }
                let sticky = line.sticky.as_ref().map(|it| self.agent(it));
                let (at, handle) = (line.at.micros(), line.handle.micros());
                self.ticket(line.id, at, handle, sticky, &line.common);
            }
            Line::Arrivals(line) => {
                nothing_else(&line.rest, ARRIVALS_FIELDS)?;
                self.arrivals(&line)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Plan, InputError> {
        if !self.has_policy {
            self.plan.policy = policy(&PolicyLine::default());
        }
        let unknown = self
            .sticky
            .iter()
            .find(|(name, _)| !self.there.contains(*name));
        if let Some((name, line)) = unknown {
            return Err(InputError::Wrong {
                line: *line,
                what: format!("sticky: there is no agent '{name}'"),
            });
        }
        if self.plan.workers.is_empty() || self.plan.tickets.is_empty() {
            return Err(InputError::Empty);
        }
        if let Some((name, line)) = self.needed.iter().find(|(name, _)| !self.has_agents(name)) {
            return Err(InputError::Wrong {
                line: *line,
                what: format!(
                    "no agent works for team '{name}': name it in 'teams' of an agent, or correct the name"
                ),
            });
        }
        Ok(self.plan)
    }

    /// Whether somebody works for a team, or helps it.
    fn has_agents(&self, name: &str) -> bool {
        let Some(id) = self.teams.get(name) else {
            return false;
        };
        let policy = self.plan.teams.get(id);
        let helpers = policy.map_or(&[][..], |policy| &policy.overflow_to);
        self.plan.workers.iter().any(|worker| {
            let agent = &worker.agent;
            let theirs = |team: &TeamId| team == id || helpers.contains(team);
            agent.teams.iter().any(theirs) || agent.backup_teams.contains(id)
        })
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

    fn agent_line(&mut self, line: AgentLine) -> Result<(), String> {
        if !self.there.insert(line.id.clone()) {
            return Err(format!("there is an agent '{}' already", line.id));
        }
        if let Some((begin, end)) = line
            .shifts
            .iter()
            .find(|(begin, end)| begin.get() >= end.get())
        {
            return Err(format!(
                "shifts: [{}, {}] ends before it begins",
                begin.get(),
                end.get()
            ));
        }
        if line.capacity.0 == 0 {
            return Err("capacity: must be at least 1".to_owned());
        }
        let id = self.agent(&line.id);
        let agent = Agent {
            id,
            teams: line.teams.iter().map(|it| self.team(it)).collect(),
            backup_teams: line.backup_teams.iter().map(|it| self.team(it)).collect(),
            skills: line.skills,
            languages: line.languages,
            availability: Availability::Online,
            open: true,
            capacity: line.capacity.0,
            limits: line.max,
            location: None,
        };
        let shifts = line.shifts.into_iter();
        let shifts = shifts.map(|(begin, end)| (begin.micros(), end.micros()));
        self.plan.workers.push(Worker {
            name: line.id,
            agent,
            shifts: united(shifts.collect()),
        });
        Ok(())
    }

    fn arrivals(&mut self, line: &ArrivalsLine) -> Result<(), String> {
        if line.per_hour < 0.0 {
            return Err("per_hour: must not be less than zero".to_owned());
        }
        if line.to.get() <= line.from.get() {
            return Err("to: must be after 'from'".to_owned());
        }
        if line.per_hour == 0.0 {
            return Ok(());
        }
        let chance = Chance::new(line.seed);
        let mut at = line.from.get();
        for number in 1.. {
            at += chance.exponential(3_600.0 / line.per_hour);
            if at >= line.to.get() || self.plan.tickets.len() > TICKETS_MAX {
                break;
            }
            let handle = chance.exponential(line.handle_mean.get());
            let name = format!("{}{number}", line.id);
            let (at, handle) = (Seconds::new(at).micros(), Seconds::new(handle).micros());
            self.ticket(name, at, handle, None, &line.common);
        }
        Ok(())
    }

    fn ticket(
        &mut self,
        name: String,
        arrived: Micros,
        handling: Micros,
        former: Option<AgentId>,
        common: &Common,
    ) {
        let id = TicketId::from_uuid(Uuid::from_u128(self.plan.tickets.len() as u128 + 1));
        let want = |it: &WantLine| Want {
            skill: it.n.clone(),
            level: it.lvl,
            language: false,
            kind: if it.preferred {
                Kind::Preferred
            } else {
                Kind::Required {
                    relax_after: it.relax.map(Lasting::micros),
                }
            },
        };
        let within = common.within.map(Lasting::micros);
        if !self.needed.contains_key(&common.team) {
            self.needed.insert(common.team.clone(), self.line);
        }
        let team = self.team(&common.team);
        let ticket = Ticket {
            priority: common.priority.into(),
            vip: common.vip,
            wants: common.skills.iter().map(want).collect(),
            former,
            due: within.map(|within| arrived.saturating_add(within)),
            ..Ticket::plain(id, team, &common.channel, arrived)
        };
        self.plan.tickets.push(Planned {
            name,
            ticket,
            handling,
            within,
        });
    }
}

/// Shifts in their order; those that overlap or meet are one.
fn united(mut shifts: Vec<(Micros, Micros)>) -> Vec<(Micros, Micros)> {
    shifts.sort_unstable();
    let mut united: Vec<(Micros, Micros)> = Vec::new();
    for (begin, end) in shifts {
        match united.last_mut() {
            Some((_, last)) if begin <= *last => *last = end.max(*last),
            _ => united.push((begin, end)),
        }
    }
    united
}

fn policy(line: &PolicyLine) -> Policy {
    let names = line.weights.keys().chain(&line.exclusive).chain(&line.live);
    let of = |name: &String| ChannelPolicy {
        units: line.weights.get(name).map_or(10, |it| it.0),
        exclusive: line.exclusive.contains(name),
        live: line.live.contains(name),
        age_step: line.age_step.micros(),
        sticky_hold: line.sticky_hold.micros(),
    };
    Policy {
        channels: names.map(|name| (name.clone(), of(name))).collect(),
        other: of(&String::new()),
        risk_lead: line.risk_lead.micros(),
        strategy: line.strategy,
        repair: line.repair,
        ..Policy::default()
    }
}
