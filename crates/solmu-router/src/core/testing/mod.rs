//! Builders for tests of the core.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use solmu_domain::{
    ids::{AgentId, DecisionId, RuleId, TeamId, TicketId},
    ticket::{Priority, Status},
};
use solmu_matching::TeamPolicy;
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use super::{
    answers::Answers,
    care::{Care, Mode},
    decision::Decision,
    desk::{Agent, Hours, Presence, Team},
    event::{TicketEvent, What},
    matching::Round,
    offers::{Said, Told},
    rules::RuleSet,
    state::State,
    ticket::Facts,
};

pub(crate) fn team(id: u128) -> TeamId {
    TeamId::from_uuid(Uuid::from_u128(id))
}

pub(crate) fn agent(id: u128) -> AgentId {
    AgentId::from_uuid(Uuid::from_u128(id))
}

pub(crate) fn ticket(id: u128) -> TicketId {
    TicketId::from_uuid(Uuid::from_u128(id))
}

pub(crate) fn rule_id(id: u128) -> RuleId {
    RuleId::from_uuid(Uuid::from_u128(id))
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A new ticket of second `second`.
pub(crate) fn facts(second: i64) -> Facts {
    Facts {
        number: second,
        version: 1,
        routing_version: 1,
        status: Status::New,
        priority: Priority::Normal,
        channel: "email".to_owned(),
        account: "main".to_owned(),
        recipient: "help@example.com".to_owned(),
        language: String::new(),
        tags: Vec::new(),
        team: None,
        assignee: None,
        created: at(second),
        next_due: None,
        contact: None,
        category: String::new(),
        organizations: Vec::new(),
        fields: BTreeMap::new(),
    }
}

pub(crate) fn person(id: u128, teams: &[u128], presence: Presence, capacity: u32) -> Agent {
    Agent {
        id: agent(id),
        name: format!("agent {id}"),
        teams: teams.iter().map(|id| team(*id)).collect(),
        presence,
        capacity,
        version: 1,
        ..nobody(agent(id))
    }
}

/// Offline, and without anything.
pub(crate) fn nobody(id: AgentId) -> Agent {
    Agent {
        id,
        name: String::new(),
        teams: Vec::new(),
        backup_teams: Vec::new(),
        presence: Presence::Offline,
        capacity: 1,
        skills: BTreeMap::new(),
        languages: BTreeSet::new(),
        limits: BTreeMap::new(),
        location: None,
        hours: Hours::default(),
        since: Timestamp::UNIX_EPOCH,
        archived: false,
        version: 1,
    }
}

/// The default team is 1.
pub(crate) fn state(agents: impl IntoIterator<Item = Agent>) -> State {
    let mut state = State::default();
    state.set_rules(RuleSet::new(1, Vec::new(), Some(team(1))));
    for agent in agents {
        state.desk_mut().set_agent(agent);
    }
    state
}

pub(crate) fn event(id: u128, facts: &Facts, what: What, second: i64) -> TicketEvent {
    TicketEvent {
        ticket: Some(ticket(id)),
        facts: Some(facts.clone()),
        what,
        time: at(second),
        answered: false,
        within: None,
        trace: TraceContext::default(),
    }
}

/// Learns, routes and decides: one round of the engine.
pub(crate) fn round(state: &mut State, events: &[TicketEvent], second: i64) -> Vec<Decision> {
    for event in events {
        state.learn(event);
    }
    state.route(&Answers::default(), usize::MAX);
    let next = std::cell::Cell::new(0_u128);
    let new_id = || {
        next.set(next.get() + 1);
        let time = u128::try_from(second).unwrap_or_default();
        DecisionId::from_uuid(Uuid::from_u128((time << 64) + next.get()))
    };
    let decisions = state.decide(&Round {
        now: at(second),
        epoch: 1,
        candidates: 5,
        most: usize::MAX,
        new_id: &new_id,
    });
    let changes = state.take_changes();
    state.forget_done(&changes.tickets);
    decisions
}

/// Its first team looks after its tickets so.
pub(crate) fn cared(mut state: State, care: Care) -> State {
    let policy = TeamPolicy {
        pull: care.mode == Mode::Pull,
        ..TeamPolicy::default()
    };
    let first = Team {
        name: "First".to_owned(),
        policy,
        care,
        gone: false,
    };
    let second = Team {
        name: "Second".to_owned(),
        ..Team::default()
    };
    state.set_teams(HashMap::from([(team(1), first), (team(2), second)]));
    state
}

/// What agents say, in a round of second `second`.
pub(crate) fn say(state: &mut State, said: &Said, second: i64) -> (Vec<Decision>, Told) {
    let next = std::cell::Cell::new(0_u128);
    let new_id = || {
        next.set(next.get() + 1);
        let time = u128::try_from(second).unwrap();
        DecisionId::from_uuid(Uuid::from_u128((time << 64) + (1 << 50) + next.get()))
    };
    let decided = Round {
        now: at(second),
        epoch: 1,
        candidates: 5,
        most: usize::MAX,
        new_id: &new_id,
    };
    state.hear_agents(said, &decided)
}

/// The ticket service did what was decided.
pub(crate) fn applied(
    state: &mut State,
    known: &Facts,
    id: u128,
    decision: &Decision,
    second: i64,
) -> Facts {
    let facts = Facts {
        version: known.version + 1,
        routing_version: known.routing_version + 1,
        team: Some(decision.team),
        assignee: decision.agent,
        ..known.clone()
    };
    let what = What::Assigned {
        decision: Some(decision.id),
    };
    state.learn(&event(id, &facts, what, second));
    facts
}

/// A ticket that an agent owns.
pub(crate) fn owned(
    state: &mut State,
    id: u128,
    owner: u128,
    change: impl FnOnce(&mut Facts),
) -> Facts {
    let mut known = Facts {
        team: Some(team(1)),
        assignee: Some(agent(owner)),
        ..facts(1)
    };
    change(&mut known);
    assert!(round(state, &[event(id, &known, What::Told, 1)], 1).is_empty());
    known
}
