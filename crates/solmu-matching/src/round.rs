//! A round: everything that can be decided is, in the order of all.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
};

use solmu_domain::ids::{AgentId, TeamId, TicketId};

use crate::{
    Micros,
    bits::Bits,
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
    pub(crate) shape: Arc<Shape>,
    pub(crate) stands: Stands,
}

/// What this round has placed, and with whom.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub(crate) all: Vec<Placed>,
    /// Positions in `all` by the number of the agent.
    with: HashMap<usize, Vec<usize>>,
    /// Agents who have something of it.
    pub(crate) agents: Bits,
}

impl Given {
    /// What an agent has of it.
    pub(crate) fn with(&self, agent: usize) -> &[usize] {
        self.with.get(&agent).map_or(&[], Vec::as_slice)
    }

    fn push(&mut self, placed: Placed, agent: usize) {
        self.with.entry(agent).or_default().push(self.all.len());
        self.agents.set(agent, true);
        self.all.push(placed);
    }

    /// One of it went from one agent to another.
    pub(crate) fn moved(&mut self, index: usize, from: usize, to: usize) {
        if let Some(theirs) = self.with.get_mut(&from) {
            theirs.retain(|it| *it != index);
            self.agents.set(from, !theirs.is_empty());
        }
        self.with.entry(to).or_default().push(index);
        self.agents.set(to, true);
    }
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
        let mut given = Given::default();
        while given.all.len() < round.most
            && let Some(Reverse((place, line))) = heads.pop()
        {
            let Some(stands) = self.waiting.tickets.get(&place.ticket) else {
                continue;
            };
            let shape = Arc::clone(&self.waiting.lines[line].shape);
            if self.is_pulled(shape.team) {
                self.waiting.asked_in_vain(line, false);
                continue;
            }
            if let Some(choice) = self.choose(stands, &shape, round.top) {
                self.place(place, choice, shape, round, &mut given);
            } else if !self.make_room(place, &shape, round, &mut given) {
                let held = self.is_held(&shape);
                self.waiting.asked_in_vain(line, held);
                continue;
            }
            // The line may be gone and its number used anew only by tickets that begin to wait: not within a round.
            let next = self.waiting.lines[line].queue.first();
            heads.extend(next.map(|next| Reverse((*next, line))));
        }
        let placed = given.all.into_iter();
        placed.map(|placed| placed.placement).collect()
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
        let ripe = self.waiting.ripe.iter().copied();
        let next = ripe.chain(self.waiting.stuck.iter()).filter_map(|line| {
            let line = &self.waiting.lines[line];
            let other = team.is_some_and(|team| team != line.shape.team);
            let held = line.shape.held_for != Some(agent) && self.is_held(&line.shape);
            let may = !other && !held && self.obstacle_to_wish(number, &line.shape).is_none();
            line.queue.first().copied().filter(|_| may)
        });
        let place = next.min()?;
        let stands = self.waiting.tickets.get(&place.ticket)?;
        let shape = Arc::clone(&self.waiting.lines[stands.line].shape);
        let choice = Choice {
            number,
            how: How::Pulled,
            considered: vec![self.considered(number, stands)],
        };
        let mut given = Given::default();
        self.place(place, choice, shape, round, &mut given);
        given.all.pop().map(|placed| placed.placement)
    }

    /// Whether agents take the tickets of a team themselves.
    pub(crate) fn is_pulled(&self, team: TeamId) -> bool {
        self.teams.get(&team).is_some_and(|team| team.policy.pull)
    }

    pub(crate) fn place(
        &mut self,
        place: Place,
        choice: Choice,
        shape: Arc<Shape>,
        round: &Round,
        given: &mut Given,
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
        let placed = Placed {
            placement,
            shape,
            stands,
        };
        given.push(placed, number);
    }

    pub(crate) fn had_a_turn(&mut self, number: usize, now: Micros) {
        self.turn += 1;
        self.seats[number].last_assigned = match self.policy.turns {
            Turns::Counted => self.turn,
            Turns::Timed => now,
        };
    }
}
