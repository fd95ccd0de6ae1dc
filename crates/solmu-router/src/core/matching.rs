//! Matching: everything that waits meets everybody who is free.
//!
//! The floor (`solmu-matching`) says who gets what; here its placements become decisions with their reasons. A ticket
//! that found nobody holds up nobody else; its team is told to the ticket service, with the reason why it waits.

use std::collections::HashMap;

use jiff::Timestamp;
use solmu_domain::ids::{AgentId, DecisionId, TeamId};
use solmu_matching::{How, Placement};

use super::{
    care::Mode,
    decision::{Considered, Decision, Kind},
    desk::{Presence, considered, tickets},
    state::State,
    ticket::{Phase, Route, Ticket, Waiting},
};

/// What a round of matching is made with.
pub(crate) struct Round<'a> {
    pub(crate) now: Timestamp,
    pub(crate) epoch: i64,
    /// How many agents a decision names at most.
    pub(crate) candidates: usize,
    /// Tickets that get an agent at most; the rest is for the next round.
    pub(crate) most: usize,
    pub(crate) new_id: &'a dyn Fn() -> DecisionId,
}

impl State {
    /// Decides on all that can be decided on, and says where the rest waits.
    pub(crate) fn decide(&mut self, round: &Round<'_>) -> Vec<Decision> {
        self.desk.set_now(round.now);
        self.release_held(round.now);
        let mut decisions = Vec::new();
        if self.desk.untidy {
            self.ask_again_everywhere();
        }
        self.place_restricted(round, &mut decisions);
        self.tidy(round, &mut decisions);
        let placements = self.desk.floor.decide(&solmu_matching::Round {
            now: round.now.as_microsecond(),
            top: round.candidates,
            most: round.most,
        });
        for placement in &placements {
            decisions.extend(self.reserve(placement, round));
        }
        self.announce(round, &mut decisions);
        decisions
    }

    /// Whether a round at this time could decide something that no event tells of.
    pub(crate) fn is_ripe(&self, now: Timestamp) -> bool {
        self.desk.floor.has_work(now.as_microsecond()) || self.desk.has_shift_change(now)
    }

    fn release_held(&mut self, now: Timestamp) {
        while let Some((until, id)) = self.held.first().copied()
            && until <= now
        {
            self.change(id, |ticket| {
                if let Phase::Waiting(waiting) = &mut ticket.phase {
                    waiting.held_until = None;
                }
            });
        }
        while let Some((until, id)) = self.lapses.first().copied()
            && until <= now
        {
            self.change(id, |ticket| ticket.forgive(now));
        }
    }

    /// Gives a ticket to an agent, until the ticket service says otherwise.
    fn reserve(&mut self, placement: &Placement, round: &Round<'_>) -> Option<Decision> {
        let (id, agent) = (placement.ticket, placement.agent);
        let ticket = self.ticket(id)?;
        let route = ticket.route.clone()?;
        let load_version = self.desk.load(agent).version;
        let choice = self.choice_for(ticket, &route);
        let reason = format!("{choice}; {}", self.why_they(placement));
        let candidates = considered(&placement.considered);
        let asks = self.desk.care(route.team).mode == Mode::Offer
            && placement.how != How::Pulled
            && ticket.promised != Some(agent);
        let decision = Decision {
            agent: Some(agent),
            agent_load_version: load_version,
            kind: match placement.how {
                _ if asks => Kind::Offered,
                How::Pulled => Kind::Pulled,
                How::Best | How::Former | How::Moved => Kind::Assigned,
            },
            ..new_decision(ticket, route, reason, candidates, round)
        };
        if asks {
            self.open_offer(&decision, agent, round);
            self.desk.had_a_turn(agent, round.now);
            return Some(decision);
        }
        let phase = Phase::Reserved {
            agent,
            decision: decision.id,
        };
        let pulled = placement.how == How::Pulled;
        self.change(id, |ticket| {
            ticket.phase = phase;
            ticket.declined.retain(|it| !pulled || it.agent != agent);
        });
        self.desk.had_a_turn(agent, round.now);
        Some(decision)
    }

    /// Gives an agent the next ticket that they may do, or says why there is none.
    pub(crate) fn pull(
        &mut self,
        agent: AgentId,
        team: Option<TeamId>,
        round: &Round<'_>,
    ) -> Result<Decision, String> {
        self.desk.set_now(round.now);
        self.release_held(round.now);
        let of_round = solmu_matching::Round {
            now: round.now.as_microsecond(),
            top: round.candidates,
            most: 1,
        };
        let placement = self.desk.floor.take_next(agent, team, &of_round);
        let decision = placement.and_then(|placement| self.reserve(&placement, round));
        decision.ok_or_else(|| self.why_none(agent))
    }

    fn why_none(&self, agent: AgentId) -> String {
        let known = self.desk.agent(agent).filter(|it| !it.archived);
        let Some(person) = known else {
            return "there is no such agent".to_owned();
        };
        let (used, capacity) = self.desk.floor.units(agent);
        if person.presence != Presence::Online {
            format!("{} is {}", person.name, person.presence.name())
        } else if !person.hours.is_open(self.desk.now()) {
            format!("{} is outside working hours", person.name)
        } else if used >= capacity {
            format!(
                "{} is full: {} of {} open tickets",
                person.name,
                tickets(used),
                tickets(capacity)
            )
        } else {
            format!("nothing waits that {} may do now", person.name)
        }
    }

    fn why_they(&self, placement: &Placement) -> String {
        let agent = self.desk.agent(placement.agent);
        let name = agent.map_or("the agent", |it| it.name.as_str());
        let first = placement.considered.first();
        let load = first.map_or_else(String::new, |it| {
            format!(", {} of {}", tickets(it.used), tickets(it.capacity))
        });
        let lacks = first.is_some_and(|it| it.missing > 0);
        let has = first.is_some_and(|it| it.preferred > 0);
        match placement.how {
            How::Former => format!("{name} knows it or its customer{load}"),
            How::Pulled => format!("{name} asked for the next one{load}"),
            How::Moved => format!("{name} can take it, so that another one finds somebody{load}"),
            How::Best if lacks => {
                format!(
                    "nobody with all skills came free, and {name} is the best of the others{load}"
                )
            }
            How::Best if has => {
                format!("{name} has the wanted skills and the least load there{load}")
            }
            How::Best => format!("{name} has the least load there{load}"),
        }
    }

    /// Tells the ticket service the teams of those that found nobody.
    fn announce(&mut self, round: &Round<'_>, decisions: &mut Vec<Decision>) {
        // Loads do not change any more in this round: what is true of a line is true for each ticket in it.
        let mut why: HashMap<usize, (String, Vec<Considered>)> = HashMap::new();
        for id in std::mem::take(&mut self.unannounced) {
            let Some(line) = self.desk.floor.line_of(id) else {
                continue;
            };
            let Some(ticket) = self.ticket(id) else {
                continue;
            };
            let Some(route) = ticket.route.clone() else {
                continue;
            };
            let (sentence, candidates) = why
                .entry(line)
                .or_insert_with(|| self.desk.why_nobody(id, round.candidates))
                .clone();
            let reason = format!("{}; {sentence}", self.choice_for(ticket, &route));
            let decision = new_decision(ticket, route, reason, candidates, round);
            let waiting = Waiting {
                announced: Some(decision.id),
                ..Waiting::because(sentence)
            };
            self.waits_on(id, waiting);
            decisions.push(decision);
        }
    }

    /// As [`State::choice_of`], and why a ticket leaves the team that it was given to.
    fn choice_for(&self, ticket: &Ticket, route: &Route) -> String {
        let choice = self.choice_of(route);
        let lost = ticket.facts.team.is_some_and(|it| self.desk.is_gone(it));
        if lost && ticket.facts.team != Some(route.team) {
            return format!("the team that it was with is not there; {choice}");
        }
        choice
    }

    pub(super) fn choice_of(&self, route: &Route) -> String {
        let team = self.desk.team_name(route.team);
        match &route.rule {
            Some(rule) => format!("rule '{}' chose team '{team}'", rule.name),
            None if route.by_hand => format!("team '{team}' was chosen by hand"),
            None => format!("no rule matches, so default team '{team}'"),
        }
    }
}

/// A decision for the queue of a team, to begin with.
pub(super) fn new_decision(
    ticket: &Ticket,
    route: Route,
    reason: String,
    candidates: Vec<Considered>,
    round: &Round<'_>,
) -> Decision {
    Decision {
        id: (round.new_id)(),
        ticket: ticket.id,
        routing_version: ticket.facts.routing_version,
        team: route.team,
        agent: None,
        previous: None,
        kind: Kind::Queued,
        agent_load_version: 0,
        lease_epoch: round.epoch,
        rule: route.rule,
        reason,
        candidates,
        time: round.now,
        effects: route.effects,
        trace: ticket.trace.clone(),
        waiting_since: ticket.waiting_since,
    }
}
