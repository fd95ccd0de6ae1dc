//! The decision core alone, for `cargo bench -p solmu-router`: events in, decisions out, no database and no bus.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use solmu_conditions::parse;
use solmu_domain::{
    ids::{AgentId, DecisionId, RuleId, TeamId, TicketId},
    ticket::{Priority, Status},
};
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use crate::{
    config::Config,
    core::{
        answers::Answers,
        decision::Decision,
        desk::{Agent, Hours, Presence},
        event::{TicketEvent, What},
        matching::Round,
        rules::{Actions, Rule, RuleSet, SCHEMA},
        state::State,
        ticket::{Facts, Wish},
    },
};

/// Teams that the agents are spread over.
const TEAMS: u128 = 20;
/// Skills that agents and rules name.
const SKILLS: u128 = 12;
/// Open tickets of an agent at most.
const CAPACITY: u32 = 3;

/// A leader's knowledge with agents, rules and a queue.
pub struct Core {
    state: State,
    next: u128,
    second: i64,
    /// Tickets that somebody has.
    owned: VecDeque<(TicketId, Facts)>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").finish_non_exhaustive()
    }
}

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn skill(number: u128) -> String {
    format!("skill{}", number % SKILLS)
}

impl Core {
    /// So many agents who are full, rules that ask for skills, and tickets that wait.
    #[must_use]
    pub fn new(agents: u128, rules: u128, waiting: usize) -> Self {
        let terms = Config::default().matching.terms();
        let mut state = State::new(terms.policy, terms.language_relax_s);
        state.set_rules(RuleSet::new(1, (0..rules).filter_map(rule).collect(), None));
        for number in 0..agents {
            state.desk_mut().set_agent(agent(number));
        }
        let mut core = Self {
            state,
            next: 0,
            second: 1_000_000,
            owned: VecDeque::new(),
        };
        let room = usize::try_from(agents).unwrap_or(0) * 3;
        // The more agents have found something, the more tickets only fit some of the rest.
        while core.owned.len() < room * 9 / 10 || core.state.waiting() < waiting {
            core.open();
        }
        core
    }

    /// A ticket is opened: how many decisions that makes.
    pub fn open(&mut self) -> usize {
        self.next += 1;
        self.second += 1;
        let id = TicketId::from_uuid(uuid(self.next));
        let facts = self.facts();
        self.hear(id, facts, What::Told)
    }

    /// The oldest ticket that somebody has is resolved: how many decisions that makes.
    pub fn finish(&mut self) -> usize {
        let Some((id, mut facts)) = self.owned.pop_front() else {
            return 0;
        };
        self.second += 1;
        facts.version += 1;
        facts.status = Status::Resolved;
        self.hear(id, facts, What::Told)
    }

    /// How many tickets wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.waiting()
    }

    fn facts(&self) -> Facts {
        let number = self.next;
        let created = Timestamp::from_second(self.second).unwrap_or(Timestamp::UNIX_EPOCH);
        let priorities = Priority::ALL;
        let priority = usize::try_from(number % 7).unwrap_or(0).min(3);
        Facts {
            number: i64::try_from(number).unwrap_or(0),
            version: 1,
            routing_version: 1,
            status: Status::New,
            priority: priorities[priority],
            channel: "email".to_owned(),
            account: format!("box{}", number % 200),
            recipient: String::new(),
            language: ["fi", "en", "sv"][usize::try_from(number % 3).unwrap_or(0)].to_owned(),
            tags: Vec::new(),
            team: None,
            assignee: None,
            created,
            next_due: None,
            contact: None,
            category: String::new(),
            organizations: Vec::new(),
            fields: BTreeMap::new(),
        }
    }

    fn hear(&mut self, id: TicketId, facts: Facts, what: What) -> usize {
        let time = Timestamp::from_second(self.second).unwrap_or(Timestamp::UNIX_EPOCH);
        let event = TicketEvent {
            ticket: Some(id),
            facts: Some(facts),
            what,
            time,
            answered: false,
            within: None,
            trace: TraceContext::default(),
        };
        self.state.learn(&event);
        self.state.route(&Answers::default(), 500);
        let second = u128::try_from(self.second).unwrap_or(0) << 64;
        let count = std::cell::Cell::new(0_u128);
        let new_id = || {
            count.set(count.get() + 1);
            DecisionId::from_uuid(uuid(second + count.get()))
        };
        let decisions = self.state.decide(&Round {
            now: time,
            epoch: 1,
            candidates: 5,
            most: 2_000,
            new_id: &new_id,
        });
        for decision in &decisions {
            self.applied(decision, time);
        }
        let changes = self.state.take_changes();
        self.state.desk_mut().take_changed();
        self.state.forget_done(&changes.tickets);
        decisions.len()
    }

    /// The ticket service does what was decided.
    fn applied(&mut self, decision: &Decision, time: Timestamp) {
        let Some(known) = self.state.ticket(decision.ticket) else {
            return;
        };
        let facts = Facts {
            version: known.facts.version + 1,
            routing_version: known.facts.routing_version + 1,
            team: Some(decision.team),
            assignee: decision.agent,
            ..known.facts.clone()
        };
        if decision.agent.is_some() {
            self.owned.push_back((decision.ticket, facts.clone()));
        }
        self.state.learn(&TicketEvent {
            ticket: Some(decision.ticket),
            facts: Some(facts),
            what: What::Assigned {
                decision: Some(decision.id),
            },
            time,
            answered: false,
            within: None,
            trace: TraceContext::default(),
        });
    }
}

fn rule(number: u128) -> Option<Rule> {
    let condition = parse(&format!("account = box{number}"), &SCHEMA).ok()?;
    let wishes = vec![Wish {
        skill: skill(number),
        level: 1,
        required: !number.is_multiple_of(3),
        relax_after_s: number.is_multiple_of(2).then_some(600),
    }];
    let actions = Actions {
        team: Some(TeamId::from_uuid(uuid(number % TEAMS + 1))),
        wishes,
        ..Actions::default()
    };
    let id = RuleId::from_uuid(uuid(number + 1));
    Some(Rule::new(
        id,
        1,
        format!("rule {number}"),
        condition,
        actions,
    ))
}

fn agent(number: u128) -> Agent {
    let languages: &[&str] = match number % 4 {
        0 => &["fi", "en"],
        1 => &["fi", "sv"],
        2 => &["en"],
        _ => &[],
    };
    let skills = [number / TEAMS, number / TEAMS + 1, number / TEAMS + 5];
    Agent {
        id: AgentId::from_uuid(uuid(number + 1)),
        name: format!("agent {number}"),
        teams: vec![TeamId::from_uuid(uuid(number % TEAMS + 1))],
        backup_teams: Vec::new(),
        presence: Presence::Online,
        capacity: CAPACITY,
        skills: skills.into_iter().map(|it| (skill(it), 3)).collect(),
        languages: languages.iter().map(|it| (*it).to_owned()).collect(),
        limits: BTreeMap::new(),
        location: None,
        hours: Hours::default(),
        since: Timestamp::UNIX_EPOCH,
        archived: false,
        version: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_is_full_and_each_place_that_comes_free_is_taken() {
        let mut core = Core::new(40, 40, 100);
        assert!(core.waiting() >= 100);
        let before = core.waiting();
        let taken: usize = (0..20).map(|_| core.finish()).sum();
        assert!(taken > 0, "somebody gets what waits");
        assert!(core.waiting() < before);
        assert!(core.open() <= 1);
    }
}
