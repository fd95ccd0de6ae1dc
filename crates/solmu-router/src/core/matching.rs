//! Matching: everything that waits meets everybody who is free.
//!
//! Tickets go in one order over all teams (priority, due time, age). A ticket whose team has nobody free is passed by,
//! so it holds up nobody else; its team is told to the ticket service, with the reason why it waits.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use jiff::Timestamp;
use solmu_domain::{
    ids::{DecisionId, TeamId, TicketId},
    routing::{QueuePlace, Standing},
};

use super::{
    decision::{Considered, Decision},
    state::State,
    ticket::{Phase, Route, Ticket, Waiting},
};

/// What a round of matching is made with.
pub(crate) struct Round<'a> {
    pub(crate) now: Timestamp,
    pub(crate) epoch: i64,
    /// How many agents a decision names at most.
    pub(crate) candidates: usize,
    pub(crate) new_id: &'a dyn Fn() -> DecisionId,
}

impl State {
    /// Decides on all that can be decided on, and says where the rest waits.
    pub(crate) fn decide(&mut self, round: &Round<'_>) -> Vec<Decision> {
        self.release_held(round.now);
        let mut decisions = Vec::new();
        let mut heads: BinaryHeap<Reverse<(QueuePlace, TeamId)>> = self
            .queues
            .iter()
            .filter(|(team, _)| self.desk.next(**team).is_some())
            .filter_map(|(team, queue)| Some(Reverse((*queue.first()?, *team))))
            .collect();
        while let Some(Reverse((place, team))) = heads.pop() {
            let Some(standing) = self.desk.next(team) else {
                continue;
            };
            let Some(decision) = self.reserve(place.ticket(), standing, round) else {
                continue;
            };
            decisions.push(decision);
            let next = self.queues.get(&team).and_then(|queue| queue.first());
            heads.extend(next.map(|next| Reverse((*next, team))));
        }
        self.announce(round, &mut decisions);
        decisions
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
    }

    /// Gives a ticket to an agent, until the ticket service says otherwise.
    fn reserve(&mut self, id: TicketId, standing: Standing, round: &Round<'_>) -> Option<Decision> {
        let ticket = self.ticket(id)?;
        let route = ticket.route.clone()?;
        let load_version = self.desk.load(standing.agent).version;
        let name = self.desk.agent(standing.agent).map(|it| it.name.as_str());
        let reason = format!(
            "{}; {} has the least load there, {} of {}",
            self.choice_of(&route),
            name.unwrap_or("the agent"),
            standing.load,
            standing.capacity
        );
        let candidates = self.desk.considered(route.team, round.candidates);
        let decision = Decision {
            agent: Some(standing.agent),
            agent_load_version: load_version,
            ..new_decision(ticket, route, reason, candidates, round)
        };
        let phase = Phase::Reserved {
            agent: standing.agent,
            decision: decision.id,
        };
        self.change(id, |ticket| ticket.phase = phase);
        self.desk.had_a_turn(standing.agent, round.now);
        Some(decision)
    }

    /// Tells the ticket service the teams of those that found nobody.
    fn announce(&mut self, round: &Round<'_>, decisions: &mut Vec<Decision>) {
        // Loads do not change any more in this round: what is true of a team is true for each of its tickets.
        let mut why: HashMap<TeamId, (String, Vec<Considered>)> = HashMap::new();
        for id in std::mem::take(&mut self.unannounced) {
            let Some(ticket) = self.ticket(id) else {
                continue;
            };
            let Some(route) = ticket.route.clone() else {
                continue;
            };
            let (sentence, candidates) = why
                .entry(route.team)
                .or_insert_with(|| self.desk.why_nobody(route.team, round.candidates))
                .clone();
            let reason = format!("{}; {sentence}", self.choice_of(&route));
            let decision = new_decision(ticket, route, reason, candidates, round);
            let waiting = Waiting {
                announced: Some(decision.id),
                ..Waiting::because(sentence)
            };
            self.change(id, |ticket| ticket.phase = Phase::Waiting(waiting));
            decisions.push(decision);
        }
    }

    fn choice_of(&self, route: &Route) -> String {
        let team = self.desk.team_name(route.team);
        match &route.rule {
            Some(rule) => format!("rule '{}' chose team '{team}'", rule.name),
            None if route.by_hand => format!("team '{team}' was chosen by hand"),
            None => format!("no rule matches, so default team '{team}'"),
        }
    }
}

/// A decision for the queue of a team.
fn new_decision(
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
