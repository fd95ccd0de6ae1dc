//! How much goes through one lane, so that a slow one does not hold up the others.
//!
//! A lane is what a channel says it is; for mail it is the recipient's domain. The book lives in the memory of each
//! process and decides what is taken from the table next: what is over a limit stays in the table, so it holds no
//! connection and no place among the attempts. A lane that was never seen gets one place at first, and what its limits
//! allow as soon as they are known.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};

/// A minute, over which the rate of a lane is counted.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// How long a lane rests after the first throttling; doubled each time.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// The longest rest.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(15);
/// Lanes that are remembered before idle ones are looked for and dropped.
const MANY_LANES: usize = 200;

/// Limits of one lane in one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneLimits {
    /// Messages at the same time; 0 for no limit.
    pub concurrency: usize,
    /// Messages in any minute; 0 for no limit.
    pub per_minute: usize,
}

/// How an attempt ended, as far as its lane is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// The other side works: taken, or refused for good.
    Well,
    /// It wants fewer; for how long, if it said so.
    Throttled(Option<Duration>),
    /// Nothing is known.
    Unclear,
}

/// What may be taken now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Openings {
    /// Lanes of which nothing may be taken.
    pub(super) closed: Vec<String>,
    /// Lanes and how many may be taken.
    pub(super) open: Vec<(String, i64)>,
}

impl Openings {
    /// How many may be taken of `lane`.
    pub(super) fn room(&self, lane: &str) -> usize {
        let known = self.open.iter().find(|(name, _)| name == lane);
        known.map_or(UNKNOWN_ROOM, |(_, room)| {
            usize::try_from(*room).unwrap_or(usize::MAX)
        })
    }
}

/// Places of a lane that is not in the book.
pub(super) const UNKNOWN_ROOM: usize = 1;

/// All lanes that something went through lately.
#[derive(Debug, Default)]
pub(super) struct LaneBook {
    lanes: HashMap<String, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    limits: LaneLimits,
    in_flight: usize,
    /// Starts within the last minute, oldest first; kept only where the rate is limited.
    started: VecDeque<Timestamp>,
    /// Times it was throttled since it last worked.
    throttled: u32,
    closed_until: Option<Timestamp>,
    /// After a pause one message at a time finds out whether the other side takes mail again. One that gets no answer
    /// must not hold up the lane for long.
    next_try: Option<Timestamp>,
}

impl Lane {
    fn room(&mut self, now: Timestamp) -> usize {
        if self.closed_until.is_some_and(|until| now < until) {
            return 0;
        }
        let mut room = match self.limits.concurrency {
            0 => usize::MAX,
            limit => limit.saturating_sub(self.in_flight),
        };
        if self.limits.per_minute > 0 {
            self.forget(now);
            room = room.min(self.limits.per_minute.saturating_sub(self.started.len()));
        }
        if self.throttled > 0 {
            let trying = self.next_try.is_some_and(|next| now < next);
            room = room.min(usize::from(!trying));
        }
        room
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some(first) = self.started.front()
            && now.duration_since(*first) >= WINDOW
        {
            self.started.pop_front();
        }
    }
}

impl LaneBook {
    /// A message of `lane` is being sent.
    pub(super) fn began(&mut self, lane: &str, limits: LaneLimits, now: Timestamp) {
        let lane = self.lanes.entry(lane.to_owned()).or_default();
        lane.limits = limits;
        lane.in_flight += 1;
        if lane.throttled > 0 {
            lane.next_try = Some(now.saturating_add(FIRST_PAUSE).unwrap_or(now));
        }
        if limits.per_minute > 0 {
            lane.forget(now);
            lane.started.push_back(now);
        }
    }

    /// An attempt ended. `extra` in per mille lengthens a pause, so that many processes do not come back together.
    pub(super) fn ended(&mut self, lane: &str, passed: Passed, now: Timestamp, extra: u32) {
        let Some(lane) = self.lanes.get_mut(lane) else {
            return;
        };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        match passed {
            Passed::Well => {
                lane.throttled = 0;
                (lane.closed_until, lane.next_try) = (None, None);
            }
            Passed::Throttled(told) => {
                let resting = lane.closed_until.is_some_and(|until| now < until);
                if resting {
                    // Others that were on their way when it closed say nothing new.
                    return;
                }
                let doubled = FIRST_PAUSE * (1_i32 << lane.throttled.min(10));
                let told = told.and_then(|told| SignedDuration::try_from(told).ok());
                // Who names a time wants no more than that; a very long one is tried for meanwhile, by one message.
                let pause = told.unwrap_or(doubled).min(LONGEST_PAUSE);
                let extra = pause / 1_000 * i32::try_from(extra.min(1_000)).unwrap_or(0);
                lane.throttled = lane.throttled.saturating_add(1);
                lane.closed_until = Some(now.saturating_add(pause + extra).unwrap_or(now));
            }
            Passed::Unclear => {}
        }
    }

    /// What may be taken at `now`.
    pub(super) fn openings(&mut self, now: Timestamp) -> Openings {
        if self.lanes.len() > MANY_LANES {
            self.drop_idle(now);
        }
        let mut openings = Openings::default();
        for (name, lane) in &mut self.lanes {
            match lane.room(now) {
                0 => openings.closed.push(name.clone()),
                room => openings
                    .open
                    .push((name.clone(), i64::try_from(room).unwrap_or(i64::MAX))),
            }
        }
        openings
    }

    fn drop_idle(&mut self, now: Timestamp) {
        self.lanes.retain(|_, lane| {
            lane.forget(now);
            let rested = lane
                .closed_until
                .is_none_or(|until| now.duration_since(until) > LONGEST_PAUSE);
            lane.in_flight > 0 || !lane.started.is_empty() || !rested
        });
    }

    /// Lanes that rest after they were throttled.
    pub(super) fn resting(&self, now: Timestamp) -> usize {
        self.lanes
            .values()
            .filter(|lane| lane.closed_until.is_some_and(|until| now < until))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LaneLimits = LaneLimits {
        concurrency: 2,
        per_minute: 3,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn room(book: &mut LaneBook, now: Timestamp) -> usize {
        let openings = book.openings(now);
        if openings.closed.iter().any(|lane| lane == "a.example") {
            0
        } else {
            openings.room("a.example")
        }
    }

    #[test]
    fn a_lane_has_places_and_a_rate() {
        let mut book = LaneBook::default();
        assert_eq!(room(&mut book, at(0)), UNKNOWN_ROOM);
        book.began("a.example", LIMITS, at(0));
        assert_eq!(room(&mut book, at(0)), 1);
        book.began("a.example", LIMITS, at(1));
        assert_eq!(room(&mut book, at(1)), 0, "both places are taken");
        book.ended("a.example", Passed::Well, at(2), 0);
        assert_eq!(
            room(&mut book, at(2)),
            1,
            "one of three is left this minute"
        );
        book.began("a.example", LIMITS, at(3));
        book.ended("a.example", Passed::Unclear, at(3), 0);
        book.ended("a.example", Passed::Unclear, at(3), 0);
        assert_eq!(room(&mut book, at(59)), 0, "three within a minute");
        assert_eq!(room(&mut book, at(60)), 1, "the first one is a minute old");
        assert_eq!(room(&mut book, at(63)), 2);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let mut book = LaneBook::default();
        for _ in 0..10_000 {
            book.began("a.example", LaneLimits::default(), at(0));
        }
        assert_eq!(room(&mut book, at(0)), usize::try_from(i64::MAX).unwrap());
    }

    #[test]
    fn a_throttled_lane_rests_longer_each_time_and_then_tries_with_one() {
        let mut book = LaneBook::default();
        book.began("a.example", LIMITS, at(0));
        book.began("a.example", LIMITS, at(0));
        book.ended("a.example", Passed::Throttled(None), at(0), 0);
        book.ended("a.example", Passed::Throttled(None), at(1), 0);
        assert_eq!(book.resting(at(29)), 1);
        assert_eq!(room(&mut book, at(29)), 0);
        assert_eq!(
            room(&mut book, at(30)),
            1,
            "the second one said nothing new"
        );
        book.began("a.example", LIMITS, at(60));
        assert_eq!(room(&mut book, at(60)), 0, "one tries");
        assert_eq!(
            room(&mut book, at(90)),
            1,
            "and another if nothing is heard"
        );
        book.ended("a.example", Passed::Throttled(None), at(60), 0);
        assert_eq!(room(&mut book, at(119)), 0);
        assert_eq!(room(&mut book, at(120)), 1);
        book.began("a.example", LIMITS, at(120));
        book.ended("a.example", Passed::Well, at(121), 0);
        assert_eq!(room(&mut book, at(121)), 2, "it works again");
        for _ in 0..20 {
            book.began("a.example", LIMITS, at(200));
            book.ended("a.example", Passed::Throttled(None), at(200), 1_000);
            book.lanes.get_mut("a.example").unwrap().closed_until = None;
        }
        book.began("a.example", LIMITS, at(300));
        book.ended("a.example", Passed::Throttled(None), at(300), 0);
        assert_eq!(room(&mut book, at(300 + 899)), 0);
        assert_eq!(
            room(&mut book, at(300 + 900)),
            1,
            "a quarter of an hour at most"
        );
    }

    #[test]
    fn who_names_a_time_is_asked_again_after_it() {
        let mut book = LaneBook::default();
        for (told, pause) in [(5, 5), (90, 90), (36_000, 900)] {
            book.began("a.example", LIMITS, at(0));
            let told = Some(Duration::from_secs(told));
            book.ended("a.example", Passed::Throttled(told), at(0), 0);
            assert_eq!(room(&mut book, at(pause - 1)), 0);
            assert_eq!(room(&mut book, at(pause)), 1, "one tries");
            book.began("a.example", LIMITS, at(pause));
            book.ended("a.example", Passed::Well, at(pause), 0);
            book.lanes.clear();
        }
    }

    #[test]
    fn idle_lanes_are_forgotten() {
        let mut book = LaneBook::default();
        for number in 0..=MANY_LANES {
            let lane = format!("{number}.example");
            book.began(&lane, LIMITS, at(0));
            book.ended(&lane, Passed::Well, at(0), 0);
        }
        book.openings(at(30));
        assert_eq!(book.lanes.len(), MANY_LANES + 1, "their minute is not over");
        book.openings(at(61));
        assert!(book.lanes.is_empty());
    }
}
