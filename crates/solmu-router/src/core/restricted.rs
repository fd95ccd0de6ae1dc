//! Restricted tickets: the ticket service refuses a decision that would give one to somebody whom it does not name, and
//! says whom it names. They go there, or stay as they are until the ticket changes: asking again and again helps nobody.
//!
//! The restriction itself is the ticket service's. What it said is kept until the ticket changes or the process ends.

use jiff::SignedDuration;
use solmu_domain::ids::{AgentId, TeamId, TicketId};

use super::{
    decision::{Decision, Kind},
    event::Within,
    matching::{Round, new_decision},
    state::State,
    ticket::{Phase, Route, Ticket, Waiting},
};

/// How long a restricted ticket rests that goes to nobody.
pub(super) const RESTRICTED_REST: SignedDuration = SignedDuration::from_hours(1);

/// What is said of a restricted ticket that waits for nobody.
const NOBODY: &str =
    "it is restricted, and nobody whom it names works here: an admin has to name somebody else";

impl State {
    /// Remembers that a decision was refused, or forgets it when the ticket has changed.
    pub(super) fn note_restricted(&mut self, id: TicketId) {
        let Some(ticket) = self.ticket(id) else {
            return;
        };
        let (known, waits) = (
            ticket.within.is_some(),
            matches!(ticket.phase, Phase::Waiting(_)),
        );
        if known {
            self.restricted.insert(id);
        } else {
            self.restricted.remove(&id);
        }
        if known && waits {
            self.confined.insert(id);
        }
    }

    /// How many restricted tickets can go to nobody, though they have no owner or one who was removed. Somebody has to see
    /// to them.
    pub(crate) fn stuck(&self) -> usize {
        let tickets = self.restricted.iter().filter_map(|id| self.ticket(*id));
        let stuck = tickets.filter(|ticket| {
            let lost = match ticket.phase {
                Phase::Assigned { agent } => {
                    self.desk.agent(agent).is_none_or(|agent| agent.archived)
                }
                Phase::Waiting(_) => true,
                _ => false,
            };
            lost && !self.may_leave(ticket)
        });
        stuck.count()
    }

    /// Whether a ticket can be taken from its owner: a restricted one only for somebody whom it names.
    pub(super) fn may_leave(&self, ticket: &Ticket) -> bool {
        ticket.within.is_none() || self.admitted(ticket).is_some()
    }

    /// Where a restricted ticket may go besides its owner: into the queue of a team that it names, or else to an agent,
    /// rather to one who is there.
    pub(super) fn admitted(&self, ticket: &Ticket) -> Option<(TeamId, Option<AgentId>)> {
        let within: &Within = ticket.within.as_ref()?;
        let mut teams = within.teams.iter().copied();
        if let Some(team) = teams.find(|team| self.desk.has_team(*team)) {
            return Some((team, None));
        }
        let works = |agent: &AgentId| self.desk.agent(*agent).is_some_and(|it| !it.archived);
        let owner = ticket.owner();
        let others = within.agents.iter().copied();
        let others = others.filter(|agent| Some(*agent) != owner && works(agent));
        let best = others.min_by_key(|agent| self.is_absent(*agent))?;
        Some((self.home_of(ticket)?, Some(best)))
    }

    /// Gives restricted tickets that wait in a queue whose people may not see them to whom they name.
    pub(super) fn place_restricted(&mut self, round: &Round<'_>, decisions: &mut Vec<Decision>) {
        for id in std::mem::take(&mut self.confined) {
            let Some(ticket) = self.ticket(id) else {
                continue;
            };
            if ticket.within.is_none() || !matches!(ticket.phase, Phase::Waiting(_)) {
                continue;
            }
            let Some((team, agent)) = self.admitted(ticket) else {
                let until = round.now.checked_add(RESTRICTED_REST).ok();
                self.change(id, |ticket| {
                    ticket.phase = Phase::Waiting(Waiting {
                        held_until: until,
                        ..Waiting::because(NOBODY)
                    });
                });
                continue;
            };
            let Some(agent) = agent else {
                self.change(id, |ticket| {
                    ticket.route = Some(Route::by_hand(team));
                    let why = "it is restricted, and this team may see it";
                    ticket.phase = Phase::Waiting(Waiting::because(why));
                });
                continue;
            };
            let name = self.desk.name_of(agent);
            let reason = format!("it is restricted, and names {name}");
            let route = Route::by_hand(team);
            let decision = Decision {
                agent: Some(agent),
                agent_load_version: self.desk.load(agent).version,
                kind: Kind::Assigned,
                ..new_decision(ticket, route, reason, Vec::new(), round)
            };
            let decided = decision.id;
            self.change(id, |ticket| {
                ticket.phase = Phase::Reserved {
                    agent,
                    decision: decided,
                };
            });
            self.desk.had_a_turn(agent, round.now);
            decisions.push(decision);
        }
    }
}

#[cfg(test)]
#[path = "restricted_tests.rs"]
mod tests;
