//! Keeps the order of a key while one of its events waits to be tried again.
//!
//! An event that failed blocks the later events of its key, and only those: they come back with it, in order. Each
//! counted failure is an attempt; after the last one the event is dead-lettered and its key goes on.

use std::collections::{HashMap, HashSet};

/// Position of an event: sequence of its message in the stream, then its place in the batch.
pub(crate) type Position = (u64, usize);

#[derive(Debug)]
struct Blocked {
    at: Position,
    attempts: u32,
}

/// The failed event of each key of one lane.
#[derive(Debug, Default)]
pub(crate) struct Order {
    blocked: HashMap<String, Blocked>,
    /// Events that are done although their message has to come again for others.
    finished: HashMap<u64, HashSet<usize>>,
}

impl Order {
    /// Whether an earlier event of this key has to be done first.
    pub(crate) fn must_wait(&self, key: &str, at: Position) -> bool {
        self.blocked.get(key).is_some_and(|blocked| at > blocked.at)
    }

    /// Attempts that failed so far.
    pub(crate) fn attempts(&self, key: &str, at: Position) -> u32 {
        self.blocked
            .get(key)
            .filter(|blocked| blocked.at == at)
            .map_or(0, |blocked| blocked.attempts)
    }

    /// The event failed; returns how often it has. `counts` is false for failures that are not its fault.
    pub(crate) fn failed(&mut self, key: &str, at: Position, counts: bool) -> u32 {
        let blocked = self
            .blocked
            .entry(key.to_owned())
            .or_insert(Blocked { at, attempts: 0 });
        if at < blocked.at {
            *blocked = Blocked { at, attempts: 0 };
        }
        if at == blocked.at {
            blocked.attempts += u32::from(counts);
        }
        blocked.attempts
    }

    /// Whether the event is done already and only its message came again.
    pub(crate) fn is_finished(&self, (sequence, place): Position) -> bool {
        self.finished
            .get(&sequence)
            .is_some_and(|places| places.contains(&place))
    }

    /// The message was acknowledged: nothing of it comes again.
    pub(crate) fn forget(&mut self, sequence: u64) {
        self.finished.remove(&sequence);
    }

    /// The event is done with, one way or the other.
    pub(crate) fn done(&mut self, key: &str, at: Position) {
        self.finished.entry(at.0).or_default().insert(at.1);
        if self
            .blocked
            .get(key)
            .is_some_and(|blocked| blocked.at <= at)
        {
            self.blocked.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_events_of_a_failed_key_wait_and_others_do_not() {
        let mut order = Order::default();
        assert_eq!(order.failed("a", (5, 0), true), 1);
        assert!(order.must_wait("a", (5, 1)) && order.must_wait("a", (6, 0)));
        assert!(!order.must_wait("a", (5, 0)) && !order.must_wait("b", (6, 0)));
        assert_eq!(order.failed("a", (5, 0), true), 2);
        assert_eq!(order.attempts("a", (5, 0)), 2);
        order.done("a", (5, 0));
        assert!(!order.must_wait("a", (6, 0)));
    }

    #[test]
    fn failures_of_others_are_not_counted() {
        let mut order = Order::default();
        assert_eq!(order.failed("a", (1, 0), false), 0);
        assert!(order.must_wait("a", (2, 0)));
    }
}
