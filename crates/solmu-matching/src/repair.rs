//! The repair step: what was placed in the same round moves on, so that one more ticket finds somebody.
//!
//! Taking tickets in their order and repairing along alternating paths places the greatest possible weight as long as
//! each takes one slot: the sets that can be placed form a matroid. With channels of different units it is still never
//! worse than without. Nobody has heard of these placements yet, so moving them costs nothing; work that somebody
//! has is never moved here.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use crate::{
    choice::{Choice, How},
    floor::{Floor, Item, Rate},
    policy::Hold,
    round::{Given, Placed, Round},
    ticket::Place,
    waiting::Shape,
    why::Obstacle,
};

/// Agents that one search looks at, at most: it bounds the time of a round, not its result on any floor below.
const REACH: usize = 4_096;

/// How a search came to an agent: from whom, with which of the placements of this round.
type Trail = HashMap<usize, Option<(usize, usize)>>;

impl Floor {
    /// Places a ticket by moving others; true when it worked.
    pub(crate) fn make_room(
        &mut self,
        place: Place,
        shape: &Arc<Shape>,
        round: &Round,
        given: &mut Given,
    ) -> bool {
        if !self.policy.repair || given.all.is_empty() || self.is_held(shape) {
            return false;
        }
        let Some((last, index, free, trail)) = self.search(shape, given) else {
            return false;
        };
        // From the end: each move makes the room that the one before it needs.
        let (mut from, mut moving, mut to) = (last, index, free);
        loop {
            self.move_placed(&mut given.all[moving], from, to, round);
            given.moved(moving, from, to);
            match trail[&from] {
                Some((previous, which)) => (to, moving, from) = (from, which, previous),
                None => break,
            }
        }
        let stands = &self.waiting.tickets[&place.ticket];
        let choice = Choice {
            number: from,
            how: How::Best,
            considered: vec![self.considered(from, stands)],
        };
        self.place(place, choice, Arc::clone(shape), round, given);
        true
    }

    /// Whether it waits for its former agent: one who is there and could take it, were they not full (see [`Hold`]).
    pub(crate) fn is_held(&self, shape: &Shape) -> bool {
        let holder = shape.held_for.and_then(|former| self.numbers.get(&former));
        holder.is_some_and(|number| {
            let able = || self.is_member(*number, shape) && !self.skill_lack(*number, shape);
            self.seats[*number].reachable(shape.channel)
                && (self.policy.hold == Hold::Any || able())
        })
    }

    /// The shortest path to somebody with room: the last full agent, which placement of theirs, who takes it.
    fn search(&self, shape: &Shape, given: &Given) -> Option<(usize, usize, usize, Trail)> {
        let mut trail = Trail::new();
        let mut open: VecDeque<usize> = VecDeque::new();
        let mut tried: HashSet<(usize, &Shape)> = HashSet::new();
        let placed = &given.all;
        for agent in self.full_ones(shape, given) {
            trail.insert(agent, None);
            open.push_back(agent);
        }
        while let Some(agent) = open.pop_front() {
            for index in given.with(agent).iter().copied() {
                let moving = &placed[index];
                // What the one before wants put here has to fit once this is gone.
                let wanted = trail[&agent].map_or(shape, |(_, which)| placed[which].shape.as_ref());
                if moving.placement.how == How::Former || !self.fits_without(agent, moving, wanted)
                {
                    continue;
                }
                if !tried.insert((agent, moving.shape.as_ref())) {
                    continue;
                }
                if let Some(free) = self.somebody_free(moving, agent) {
                    return Some((agent, index, free, trail));
                }
                for next in self.full_ones(&moving.shape, given) {
                    if trail.len() < REACH && !trail.contains_key(&next) {
                        trail.insert(next, Some((agent, index)));
                        open.push_back(next);
                    }
                }
            }
        }
        None
    }

    /// Those who could take it if they had room, and have something of this round.
    fn full_ones(&self, shape: &Shape, given: &Given) -> Vec<usize> {
        let mut found = Vec::new();
        self.each_skilled(shape, Some(&given.agents), |number| {
            let full = matches!(
                self.obstacle(number, shape),
                Some(
                    Obstacle::Full
                        | Obstacle::ChannelFull
                        | Obstacle::OnACall
                        | Obstacle::InLiveTalk
                )
            );
            if full {
                found.push(number);
            }
        });
        found
    }

    /// Whether `wanted` fits an agent from whom `moving` is taken.
    fn fits_without(&self, agent: usize, moving: &Placed, wanted: &Shape) -> bool {
        let seat = &self.seats[agent];
        let channel = moving.stands.channel;
        let used = seat.used - self.rates[channel].units;
        let rate = self.rates[wanted.channel];
        let has = |such: fn(&Rate) -> bool| self.has_any(seat, Some(channel), such);
        let taken = has(|rate| rate.exclusive) || (rate.exclusive && has(|rate| rate.live));
        let count = seat.count(wanted.channel) - u32::from(wanted.channel == channel);
        !taken
            && count < seat.limit(wanted.channel)
            && used.saturating_add(rate.units) <= seat.capacity
    }

    /// Somebody else who has room for it: no worse a match if there is one, and no specialist if there is another.
    fn somebody_free(&self, moving: &Placed, but: usize) -> Option<usize> {
        let mut best = None;
        self.each_candidate(&moving.shape, |number| {
            let free = number != but
                && self.room_obstacle(number, &moving.shape).is_none()
                && !self.skill_lack(number, &moving.shape);
            if free {
                let about = self.considered(number, &moving.stands);
                let key = (
                    about.missing,
                    std::cmp::Reverse(about.preferred),
                    self.seats[number].skill_count,
                    about.agent,
                );
                if best.as_ref().is_none_or(|(known, _)| key < *known) {
                    best = Some((key, number));
                }
            }
        });
        best.map(|(_, number)| number)
    }

    fn move_placed(&mut self, placed: &mut Placed, from: usize, to: usize, round: &Round) {
        debug_assert_eq!(self.numbers[&placed.placement.agent], from);
        placed.placement.considered = vec![self.considered(to, &placed.stands)];
        placed.placement.agent = self.seats[to].id;
        placed.placement.how = How::Moved;
        self.take(placed.placement.ticket);
        let item = Item {
            agent: to,
            channel: placed.stands.channel,
        };
        self.put(placed.placement.ticket, item);
        self.had_a_turn(to, round.now);
        // What moved may have been larger than what comes: the next round looks for more.
        self.fresh.insert(from);
    }
}
