//! A round: everything that can be decided is, in the order of all.

use std::{cmp::Reverse, collections::BinaryHeap};

use solmu_domain::ids::{AgentId, TeamId, TicketId};

use crate::{
    Micros,
    choice::{Choice, Considered, How},
    floor::{Floor, Item},
    policy::Turns,
    ticket::Place,
    waiting::{Shape, Stands},
};

/// What a round is made with.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// When it is.
    pub now: Micros,
    /// How many of the agents who could take a ticket are told.
    pub top: usize,
    /// Tickets placed at most; the rest is for the next round.
    pub most: usize,
}

/// A ticket that found somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Which.
    pub ticket: TicketId,
    /// Who.
    pub agent: AgentId,
    /// Why they.
    pub how: How,
    /// Where it stood.
    pub place: Place,
    /// The first of those who could take it, in the order of choice, as they were then.
    pub considered: Vec<Considered>,
}

/// A ticket that was placed in this round and may still be moved.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) placement: Placement,
    pub(crate) shape: Shape,
    pub(crate) stands: Stands,
}

impl Floor {
    /// Places what can be placed. Who got something has it from now on; what is not among the answers waits.
    pub fn decide(&mut self, round: &Round) -> Vec<Placement> {
        self.pass_time(round.now);
        self.ripen();
        let mut heads: BinaryHeap<Reverse<(Place, usize)>> = BinaryHeap::new();
        for line in &self.waiting.ripe {
            let first = self.waiting.lines[*line].queue.first();
            heads.extend(first.map(|place| Reverse((*place, *line))));
        }
        let mut placed: Vec<Placed> = Vec::new();
        while placed.len() < round.most
            && let Some(Reverse((place, line))) = heads.pop()
        {
            let Some(stands) = self.waiting.tickets.get(&place.ticket) else {
                continue;
            };
            let shape = &self.waiting.lines[line].shape;
            if self.is_pulled(shape.team) {
                self.waiting.asked_in_vain(line);
                continue;
            }
            let (choice, shape) = (self.choose(stands, shape, round.top), shape.clone());
            if let Some(choice) = choice {
                self.place(place, choice, shape, round, &mut placed);
            } else if !self.make_room(place, &shape, round, &mut placed) {
                self.waiting.asked_in_vain(line);
                continue;
            }
            // The line may be gone and its number used anew only by tickets that begin to wait: not within a round.
            let next = self.waiting.lines[line].queue.first();
            heads.extend(next.map(|next| Reverse((*next, line))));
        }
        placed.into_iter().map(|placed| placed.placement).collect()
    }

    /// Gives an agent the next ticket that they may do, of one team or of all of theirs, whether it would be given out
    /// or not. Nothing if there is none, or if they cannot take any.
    pub fn take_next(
        &mut self,
        agent: AgentId,
        team: Option<TeamId>,
        round: &Round,
    ) -> Option<Placement> {
        self.pass_time(round.now);
        let number = self.numbers.get(&agent).copied()?;
        let lines = self.waiting.ripe.iter().chain(&self.waiting.stuck);
        let next = lines.filter_map(|line| {
            let line = &self.waiting.lines[*line];
            let other = team.is_some_and(|team| team != line.shape.team);
            let held = line.shape.held_for != Some(agent) && self.is_held(&line.shape);
            let may = !other && !held && self.obstacle(number, &line.shape).is_none();
            line.queue.first().copied().filter(|_| may)
        });
        let place = next.min()?;
        let stands = self.waiting.tickets.get(&place.ticket)?;
        let shape = self.waiting.lines[stands.line].shape.clone();
        let choice = Choice {
            number,
            how: How::Pulled,
            considered: vec![self.considered(number, stands)],
        };
        let mut placed = Vec::with_capacity(1);
        self.place(place, choice, shape, round, &mut placed);
        placed.pop().map(|placed| placed.placement)
    }

    /// Whether agents take the tickets of a team themselves.
    pub(crate) fn is_pulled(&self, team: TeamId) -> bool {
        self.teams.get(&team).is_some_and(|team| team.policy.pull)
    }

    pub(crate) fn place(
        &mut self,
        place: Place,
        choice: Choice,
        shape: Shape,
        round: &Round,
        placed: &mut Vec<Placed>,
    ) {
        let Some(stands) = self.waiting.remove(place.ticket) else {
            return;
        };
        let Choice {
            number,
            how,
            considered,
        } = choice;
        let item = Item {
            agent: number,
            channel: stands.channel,
        };
        self.put(place.ticket, item);
        self.had_a_turn(number, round.now);
        let placement = Placement {
            ticket: place.ticket,
            agent: self.seats[number].id,
            how,
            place,
            considered,
        };
        placed.push(Placed {
            placement,
            shape,
            stands,
        });
    }

    pub(crate) fn had_a_turn(&mut self, number: usize, now: Micros) {
        self.turn += 1;
        self.seats[number].last_assigned = match self.policy.turns {
            Turns::Counted => self.turn,
            Turns::Timed => now,
        };
    }
}
