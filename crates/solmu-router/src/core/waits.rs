//! Why a ticket waits, as things are when somebody asks.
//!
//! The leader says why as it passes a ticket by, and that grows old: people come and go without a decision about it. So
//! who asks is answered from a floor like the leader's, made of what the tables say now. It decides nothing.

use std::collections::HashMap;

use jiff::Timestamp;
use solmu_domain::ids::{AgentId, TeamId, TicketId};
use solmu_matching::{Policy, SECOND};
use uuid::Uuid;

use super::{
    desk::{Agent, Desk, Team},
    ticket::{Phase, Ticket},
};

/// Everybody whom a question is about, with what they have.
#[derive(Debug)]
pub(crate) struct Scene {
    desk: Desk,
    language_relax: Option<i64>,
    /// Tickets that agents have count, whichever they are.
    items: u128,
}

/// How a ticket waits now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Present {
    /// One sentence for people.
    pub(crate) reason: String,
    /// Whether anybody works now who could take it sooner or later.
    pub(crate) staffed: bool,
}

impl Scene {
    /// Nobody yet, of these teams.
    pub(crate) fn new(
        policy: Policy,
        language_relax_s: Option<u32>,
        teams: HashMap<TeamId, Team>,
        now: Timestamp,
    ) -> Self {
        let mut desk = Desk::new(policy);
        desk.set_now(now);
        desk.set_teams(teams);
        Self {
            desk,
            language_relax: language_relax_s.map(|it| i64::from(it) * SECOND),
            items: 0,
        }
    }

    /// Somebody is there, or not, as the tables say.
    pub(crate) fn add(&mut self, agent: Agent) {
        self.desk.set_agent(agent);
    }

    /// They have so many tickets of a channel.
    pub(crate) fn give(&mut self, agent: AgentId, channel: &str, count: i64) {
        for _ in 0..count {
            self.items += 1;
            let id = TicketId::from_uuid(Uuid::from_u128(self.items));
            self.desk.floor.own(id, agent, channel);
        }
    }

    /// How a ticket that waits does so now. One that has no team yet, or that is held, keeps the reason of that: it does not
    /// depend on people.
    pub(crate) fn present(&mut self, ticket: &Ticket) -> Present {
        let Phase::Waiting(waiting) = &ticket.phase else {
            return Present {
                reason: String::new(),
                staffed: false,
            };
        };
        let now = self.desk.now();
        let Some(stands) = ticket.stands(self.language_relax) else {
            return Present {
                reason: waiting.reason.clone(),
                staffed: false,
            };
        };
        self.desk.floor.wait(&stands, now.as_microsecond());
        let held = waiting.held_until.is_some_and(|until| until > now);
        let reason = if held {
            waiting.reason.clone()
        } else {
            self.desk.why_nobody(ticket.id, 0).0
        };
        Present {
            reason,
            staffed: self.desk.floor.is_staffed_for(ticket.id),
        }
    }

    /// Whether anybody works now for a team.
    pub(crate) fn is_staffed(&self, team: TeamId) -> bool {
        self.desk.floor.is_staffed(team)
    }
}
