//! Builders.

use solmu_domain::ids::{AgentId, TeamId, TicketId};
use uuid::Uuid;

use crate::{Agent, ChannelPolicy, Floor, Kind, Micros, Policy, Round, SECOND, Ticket, Want};

pub(super) fn team(id: u128) -> TeamId {
    TeamId::from_uuid(Uuid::from_u128(id))
}

pub(super) fn agent(id: u128) -> AgentId {
    AgentId::from_uuid(Uuid::from_u128(id))
}

pub(super) fn ticket(id: u128) -> TicketId {
    TicketId::from_uuid(Uuid::from_u128(id))
}

pub(super) const fn s(seconds: i64) -> Micros {
    seconds * SECOND
}

/// Phone 100 and exclusive, chat 30, e-mail 10; capacity 100 is the habit of these tests.
pub(super) fn policy() -> Policy {
    let channel = |units, exclusive, live| ChannelPolicy {
        units,
        exclusive,
        live,
        age_step: s(900),
        sticky_hold: s(120),
    };
    let channels = [
        ("phone", channel(100, true, true)),
        ("chat", channel(30, false, true)),
        ("email", channel(10, false, false)),
    ];
    Policy {
        channels: channels
            .into_iter()
            .map(|(name, policy)| (name.to_owned(), policy))
            .collect(),
        ..Policy::default()
    }
}

pub(super) fn person(id: u128) -> Agent {
    Agent::online(agent(id), team(1), 100)
}

pub(super) fn skilled(id: u128, skills: &[(&str, u8)]) -> Agent {
    let skills = skills.iter();
    Agent {
        skills: skills
            .map(|(name, level)| ((*name).to_owned(), *level))
            .collect(),
        ..person(id)
    }
}

pub(super) fn floor(agents: impl IntoIterator<Item = Agent>) -> Floor {
    let mut floor = Floor::new(policy());
    for agent in agents {
        floor.set_agent(agent);
    }
    floor
}

pub(super) fn mail(id: u128, second: i64) -> Ticket {
    Ticket::plain(ticket(id), team(1), "email", s(second))
}

pub(super) fn on(channel: &str, id: u128, second: i64) -> Ticket {
    Ticket::plain(ticket(id), team(1), channel, s(second))
}

pub(super) fn needs(skill: &str, level: u8, relax_after: Option<i64>) -> Want {
    Want {
        skill: skill.to_owned(),
        level,
        language: false,
        kind: Kind::Required {
            relax_after: relax_after.map(s),
        },
    }
}

/// Ticket and agent of each placement.
pub(super) fn decide(floor: &mut Floor, second: i64) -> Vec<(u128, u128)> {
    let round = Round {
        now: s(second),
        top: 3,
        most: usize::MAX,
    };
    let placements = floor.decide(&round).into_iter();
    placements
        .map(|it| (it.ticket.as_uuid().as_u128(), it.agent.as_uuid().as_u128()))
        .collect()
}

/// All tickets wait, then one round at `second`.
pub(super) fn run(
    floor: &mut Floor,
    tickets: impl IntoIterator<Item = Ticket>,
    second: i64,
) -> Vec<(u128, u128)> {
    for ticket in tickets {
        floor.wait(&ticket, s(second));
    }
    decide(floor, second)
}
