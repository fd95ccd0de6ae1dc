//! The repair step: what was placed in the same round moves on, so that one more ticket finds somebody.
//!
//! Taking tickets in their order and repairing along alternating paths places the greatest possible weight as long as
//! each takes one slot: the sets that can be placed form a matroid. With channels of different units it is still never
//! worse than without. Nobody has heard of these placements yet, so moving them costs nothing; work that somebody
//! has is never moved here.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::{
    choice::{Choice, How},
    floor::{Floor, Item},
    round::{Placed, Round},
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
        shape: &Shape,
        round: &Round,
        placed: &mut Vec<Placed>,
    ) -> bool {
        if !self.policy.repair || placed.is_empty() || self.is_held(shape) {
            return false;
        }
        let mut given: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, placed) in placed.iter().enumerate() {
            let agent = self.numbers[&placed.placement.agent];
            given.entry(agent).or_default().push(index);
        }
        let Some((last, index, free, trail)) = self.search(shape, placed, &given) else {
            return false;
        };
        // From the end: each move makes the room that the one before it needs.
        let (mut from, mut moving, mut to) = (last, index, free);
        loop {
            self.move_placed(&mut placed[moving], from, to, round);
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
        self.place(place, choice, shape.clone(), round, placed);
        true
    }

    /// Whether it waits for its former agent: one who is there and could take it, were they not full.
    pub(crate) fn is_held(&self, shape: &Shape) -> bool {
        let holder = shape.held_for.and_then(|former| self.numbers.get(&former));
        holder.is_some_and(|number| {
            self.seats[*number].reachable(shape.channel)
                && self.is_member(*number, shape)
                && !self.skill_lack(*number, shape)
        })
    }

    /// The shortest path to somebody with room: the last full agent, which placement of theirs, who takes it.
    fn search(
        &self,
        shape: &Shape,
        placed: &[Placed],
        given: &HashMap<usize, Vec<usize>>,
    ) -> Option<(usize, usize, usize, Trail)> {
        let mut trail = Trail::new();
        let mut open: VecDeque<usize> = VecDeque::new();
        let mut tried: HashSet<(usize, Shape)> = HashSet::new();
        for agent in self.full_ones(shape, given) {
            trail.insert(agent, None);
            open.push_back(agent);
        }
        while let Some(agent) = open.pop_front() {
            for index in given.get(&agent).into_iter().flatten().copied() {
                let moving = &placed[index];
                // What the one before wants put here has to fit once this is gone.
                let wanted = trail[&agent].map_or(shape, |(_, which)| &placed[which].shape);
                if moving.placement.how == How::Former || !self.fits_without(agent, moving, wanted)
                {
                    continue;
                }
                if !tried.insert((agent, moving.shape.clone())) {
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
    fn full_ones(&self, shape: &Shape, given: &HashMap<usize, Vec<usize>>) -> Vec<usize> {
        let mut found = Vec::new();
        self.each_skilled(shape, None, |number| {
            let full = || {
                matches!(
                    self.obstacle(number, shape),
                    Some(
                        Obstacle::Full
                            | Obstacle::ChannelFull
                            | Obstacle::OnACall
                            | Obstacle::InLiveTalk
                    )
                )
            };
            if given.contains_key(&number) && full() {
                found.push(number);
            }
        });
        found
    }

    /// Whether `wanted` fits an agent from whom `moving` is taken.
    fn fits_without(&self, agent: usize, moving: &Placed, wanted: &Shape) -> bool {
        let mut seat = self.seats[agent].clone();
        let channel = moving.stands.channel;
        seat.items[channel] -= 1;
        seat.used -= self.rates[channel].units;
        let rate = self.rates[wanted.channel];
        let taken = self.on_a_call(&seat) || (rate.exclusive && self.in_live_talk(&seat));
        !taken
            && seat.count(wanted.channel) < seat.limit(wanted.channel)
            && seat.used.saturating_add(rate.units) <= seat.capacity
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
