//! Who of all who can take a ticket gets it.

use std::cmp::{Ordering, Reverse};

use solmu_domain::ids::AgentId;

use crate::{
    bits::{Bits, Need},
    floor::{Floor, Seat},
    policy::Strategy,
    ticket::Kind,
    waiting::{Shape, Stands},
};

/// The distance of somebody whose place is not known, for a ticket with a place: behind all others.
const NOWHERE: u64 = 1_000_000;

/// What no limit counts as where limits are compared.
const NO_LIMIT: u32 = 1_000_000;

/// Why this agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// They know it, or its customer.
    Former,
    /// First in the order of choice.
    Best,
    /// Moved there in the same round, so that another ticket found somebody.
    Moved,
    /// They asked for the next one.
    Pulled,
}

/// An agent who could take the ticket, as they were before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Considered {
    /// Who.
    pub agent: AgentId,
    /// Units in use.
    pub used: u32,
    /// Units at most.
    pub capacity: u32,
    /// Skills that the ticket asked for and no longer insists on, which they lack.
    pub missing: u32,
    /// Preferred skills that they have.
    pub preferred: u32,
    /// Distance in steps of the policy's kilometres; absent for a ticket without a place.
    pub distance: Option<u64>,
}

/// A share of a capacity; compared without division.
#[derive(Debug, Clone, Copy)]
struct Share {
    used: u64,
    capacity: u64,
}

impl Share {
    const NONE: Self = Self {
        used: 0,
        capacity: 1,
    };

    fn of(seat: &Seat) -> Self {
        Self {
            used: seat.used.into(),
            capacity: u64::from(seat.capacity).max(1),
        }
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.used * other.capacity).cmp(&(other.used * self.capacity))
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Share {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Share {}

/// The order of choice: the least is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    missing: u32,
    preferred: Reverse<u32>,
    distance: u64,
    first: u64,
    share: Share,
    last_assigned: i64,
    agent: AgentId,
}

/// Who was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) number: usize,
    pub(crate) how: How,
    /// The first in the order of choice.
    pub(crate) considered: Vec<Considered>,
}

impl Floor {
    /// The agent who gets a ticket, and the first `top` of those who could. `None`: nobody can, or it waits for
    /// its former agent.
    pub(crate) fn choose(&self, stands: &Stands, shape: &Shape, top: usize) -> Option<Choice> {
        if let Some(former) = stands.former
            && let Some(number) = self.numbers.get(&former).copied()
        {
            if self.is_member(number, shape) && self.obstacle(number, shape).is_none() {
                return Some(Choice {
                    number,
                    how: How::Former,
                    considered: vec![self.considered(number, stands)],
                });
            }
            if self.is_held(shape) {
                return None;
            }
        }
        let strategy = self.strategy_of(shape.team);
        let mut best: Vec<(Rank, usize)> = Vec::new();
        let room = top.max(1);
        self.each_candidate(shape, |number| {
            if self.room_obstacle(number, shape).is_some() || self.skill_lack(number, shape) {
                return;
            }
            let rank = self.rank(number, stands, strategy);
            if best.len() == room && best.last().is_some_and(|(last, _)| *last <= rank) {
                return;
            }
            let at = best.partition_point(|(other, _)| *other < rank);
            best.insert(at, (rank, number));
            best.truncate(room);
        });
        let number = best.first()?.1;
        let considered = best.iter();
        let considered = considered.map(|(_, number)| self.considered(*number, stands));
        Some(Choice {
            number,
            how: How::Best,
            considered: considered.take(top).collect(),
        })
    }

    /// Visits those of the right teams who are free for something and have the skills at some level.
    pub(crate) fn each_candidate(&self, shape: &Shape, visit: impl FnMut(usize)) {
        self.each_skilled(shape, Some(&self.ready), visit);
    }

    /// As [`Floor::each_candidate`], whether they are free or not if `ready` is absent.
    pub(crate) fn each_skilled(
        &self,
        shape: &Shape,
        ready: Option<&Bits>,
        visit: impl FnMut(usize),
    ) {
        let mut all: Vec<Need<'_>> = Vec::with_capacity(shape.needs.len() + 1);
        all.extend(ready.map(|set| Need { set, or: None }));
        all.extend(shape.needs.iter().map(|(skill, _, language)| Need {
            set: &self.skilled[*skill],
            or: language.then_some(&self.speaks_any),
        }));
        self.each_of_team(shape, &all, visit);
    }

    /// Visits those of the right teams who are in all of some sets.
    pub(crate) fn each_of_team(&self, shape: &Shape, all: &[Need<'_>], visit: impl FnMut(usize)) {
        let Some(team) = self.teams.get(&shape.team) else {
            return;
        };
        let mut any = vec![&team.members];
        if shape.overflow {
            any.push(&team.helpers);
            let others = team.policy.overflow_to.iter();
            any.extend(others.filter_map(|other| Some(&self.teams.get(other)?.members)));
        }
        Bits::each_of(&any, all, visit);
    }

    /// Whether a skill of the shape is missing or too low.
    pub(crate) fn skill_lack(&self, number: usize, shape: &Shape) -> bool {
        let seat = &self.seats[number];
        let mut needs = shape.needs.iter();
        needs.any(|(skill, level, language)| !seat.has(*skill, *level, *language))
    }

    fn rank(&self, number: usize, stands: &Stands, strategy: Strategy) -> Rank {
        let seat = &self.seats[number];
        let about = self.considered(number, stands);
        let channel = stands.channel;
        let (first, share) = match strategy {
            Strategy::Balanced => (0, Share::of(seat)),
            Strategy::RoundRobin => (0, Share::NONE),
            Strategy::Spare => {
                let limit = seat.limits.get(channel).copied().flatten();
                let spare = limit
                    .unwrap_or(NO_LIMIT)
                    .saturating_sub(seat.count(channel));
                (u64::from(u32::MAX - spare), Share::NONE)
            }
            Strategy::FewestSkills => (seat.skill_count as u64, Share::of(seat)),
        };
        Rank {
            missing: about.missing,
            preferred: Reverse(about.preferred),
            distance: about.distance.unwrap_or(0),
            first,
            share,
            last_assigned: seat.last_assigned,
            agent: seat.id,
        }
    }

    pub(crate) fn considered(&self, number: usize, stands: &Stands) -> Considered {
        let seat = &self.seats[number];
        let (mut missing, mut preferred) = (0, 0);
        for asked in &stands.asked {
            let has = seat.has(asked.skill, asked.level, asked.language);
            match asked.kind {
                Kind::Required { .. } => missing += u32::from(!has),
                Kind::Preferred => preferred += u32::from(has),
            }
        }
        let distance = stands.location.map(|to| {
            seat.location.map_or(NOWHERE, |from| {
                steps(from.kilometres(to), self.policy.geo_km)
            })
        });
        Considered {
            agent: seat.id,
            used: seat.used,
            capacity: seat.capacity,
            missing,
            preferred,
            distance,
        }
    }
}

/// Whole steps of a distance; no place on earth is as far as [`NOWHERE`]. The remainder is taken away first, so that a
/// distance of exactly so many steps is not one step less by rounding.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is between 0 and a million"
)]
fn steps(distance: f64, step: f64) -> u64 {
    let steps = ((distance - distance % step) / step).round();
    if steps.is_finite() {
        steps.clamp(0.0, 999_999.0) as u64
    } else {
        0
    }
}
