//! Routing arithmetic: who is eligible, who is chosen, and why.
//!
//! Pure functions over a snapshot, so that the router, a dry run and a test decide alike.

use std::cmp::Ordering;

use jiff::Timestamp;

use crate::{
    ids::{AgentId, TeamId, TicketId},
    ticket::Priority,
};

/// An agent as the matching sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub agent: AgentId,
    /// Teams that they work for.
    pub teams: Vec<TeamId>,
    /// Whether they take work now.
    pub online: bool,
    /// Open tickets at most.
    pub capacity: u32,
    /// Open tickets now, reserved ones included.
    pub load: u32,
    /// When they got their last ticket, as a growing number; 0 for never.
    pub last_assigned: u64,
}

/// Why an agent cannot get a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ineligible {
    /// Works for other teams.
    OtherTeam,
    /// Is away or offline.
    NotOnline,
    /// Has as many open tickets as they can.
    Full,
}

impl Ineligible {
    /// Stable code, as in decision events.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::OtherTeam => "other_team",
            Self::NotOnline => "not_online",
            Self::Full => "full",
        }
    }
}

impl Candidate {
    /// Whether they can get a ticket of `team` now.
    pub fn check(&self, team: TeamId) -> Result<(), Ineligible> {
        if !self.teams.contains(&team) {
            Err(Ineligible::OtherTeam)
        } else if !self.online {
            Err(Ineligible::NotOnline)
        } else if self.load >= self.capacity {
            Err(Ineligible::Full)
        } else {
            Ok(())
        }
    }
}

/// Where an eligible agent stands in the order of choice: the least is chosen.
///
/// The smallest share of the capacity in use comes first; among equals, who has waited longest for work; then the id,
/// so that the choice depends on nothing else. A capacity of 0 counts as 1: nobody with it is eligible anyway.
#[derive(Debug, Clone, Copy)]
pub struct Standing {
    /// Open tickets now, reserved ones included.
    pub load: u32,
    /// Open tickets at most.
    pub capacity: u32,
    /// When they got their last ticket, as a growing number; 0 for never.
    pub last_assigned: u64,
    /// Who.
    pub agent: AgentId,
}

impl Ord for Standing {
    fn cmp(&self, other: &Self) -> Ordering {
        // load / capacity < other.load / other.capacity without division.
        let share = u64::from(self.load) * u64::from(other.capacity.max(1));
        let other_share = u64::from(other.load) * u64::from(self.capacity.max(1));
        share
            .cmp(&other_share)
            .then(self.last_assigned.cmp(&other.last_assigned))
            .then(self.agent.cmp(&other.agent))
    }
}

impl PartialOrd for Standing {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Standing {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Standing {}

impl Candidate {
    /// Their place in the order of choice.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        Standing {
            load: self.load,
            capacity: self.capacity,
            last_assigned: self.last_assigned,
            agent: self.agent,
        }
    }
}

/// The eligible candidate who stands first. For a snapshot; who decides many times keeps the [`Standing`]s in order.
#[must_use]
pub fn least_loaded(candidates: &[Candidate], team: TeamId) -> Option<usize> {
    candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.check(team).is_ok())
        .min_by_key(|(_, candidate)| candidate.standing())
        .map(|(index, _)| index)
}

/// Where a waiting ticket stands in its queue: the least is next.
///
/// The most urgent priority first, then the earliest due time (none is last), then the oldest, then the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueuePlace {
    priority: std::cmp::Reverse<Priority>,
    due: (bool, Option<Timestamp>),
    created: Timestamp,
    ticket: TicketId,
}

impl QueuePlace {
    /// The place of a ticket.
    #[must_use]
    pub const fn new(
        priority: Priority,
        next_due: Option<Timestamp>,
        created: Timestamp,
        ticket: TicketId,
    ) -> Self {
        Self {
            priority: std::cmp::Reverse(priority),
            due: (next_due.is_none(), next_due),
            created,
            ticket,
        }
    }

    /// Which ticket.
    #[must_use]
    pub const fn ticket(&self) -> TicketId {
        self.ticket
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn team() -> TeamId {
        TeamId::from_uuid(Uuid::from_u128(1))
    }

    fn candidate(id: u128, capacity: u32, load: u32, last_assigned: u64) -> Candidate {
        Candidate {
            agent: AgentId::from_uuid(Uuid::from_u128(id)),
            teams: vec![team()],
            online: true,
            capacity,
            load,
            last_assigned,
        }
    }

    #[test]
    fn smallest_share_of_capacity_wins_then_longest_idle() {
        let busy_small = candidate(1, 2, 1, 0);
        let busy_large = candidate(2, 10, 4, 9);
        assert_eq!(
            least_loaded(&[busy_small.clone(), busy_large], team()),
            Some(1)
        );
        let idle_later = candidate(3, 2, 1, 5);
        assert_eq!(least_loaded(&[idle_later, busy_small], team()), Some(1));
    }

    #[test]
    fn nobody_who_is_away_full_or_elsewhere() {
        let mut away = candidate(1, 5, 0, 0);
        away.online = false;
        let full = candidate(2, 1, 1, 0);
        let mut elsewhere = candidate(3, 5, 0, 0);
        elsewhere.teams.clear();
        assert_eq!(away.check(team()), Err(Ineligible::NotOnline));
        assert_eq!(full.check(team()), Err(Ineligible::Full));
        assert_eq!(elsewhere.check(team()), Err(Ineligible::OtherTeam));
        assert_eq!(least_loaded(&[away, full, elsewhere], team()), None);
    }

    #[test]
    fn queue_is_by_priority_then_due_then_age() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let ticket = |id| TicketId::from_uuid(Uuid::from_u128(id));
        let mut places = [
            QueuePlace::new(Priority::Normal, None, at(1), ticket(1)),
            QueuePlace::new(Priority::Normal, Some(at(90)), at(5), ticket(2)),
            QueuePlace::new(Priority::Normal, Some(at(80)), at(9), ticket(3)),
            QueuePlace::new(Priority::Urgent, None, at(9), ticket(4)),
            QueuePlace::new(Priority::Normal, None, at(0), ticket(5)),
        ];
        places.sort();
        let order: Vec<_> = places.iter().map(QueuePlace::ticket).collect();
        assert_eq!(order, [4, 3, 2, 5, 1].map(ticket));
    }

    proptest! {
        #[test]
        fn choice_is_eligible_and_independent_of_order(
            loads in proptest::collection::vec((1_u32..6, 0_u32..7, 0_u64..5), 0..12)
        ) {
            let mut candidates: Vec<_> = loads.iter().enumerate()
                .map(|(i, (capacity, load, last))| candidate(i as u128, *capacity, *load, *last)).collect();
            let chosen = least_loaded(&candidates, team()).map(|index| candidates[index].clone());
            if let Some(chosen) = &chosen {
                prop_assert!(chosen.check(team()).is_ok());
            } else {
                prop_assert!(candidates.iter().all(|candidate| candidate.check(team()).is_err()));
            }
            candidates.reverse();
            prop_assert_eq!(chosen, least_loaded(&candidates, team()).map(|index| candidates[index].clone()));
        }
    }
}
