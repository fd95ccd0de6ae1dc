//! A round: everything that can be decided is, in the order of all.

use std::{cmp::Reverse, collections::BinaryHeap};

use solmu_domain::ids::{AgentId, TicketId};

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
