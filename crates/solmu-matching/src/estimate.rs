//! How long a ticket will probably wait: from how fast its team took others lately.

use std::collections::{HashMap, VecDeque};

use solmu_domain::ids::TeamId;

use crate::Micros;

/// Assignments of a team that are remembered.
const KEPT: usize = 100;
/// Fewer than this say nothing.
const ENOUGH: usize = 3;

/// The last assignments of each team.
#[derive(Debug, Clone, Default)]
pub struct Estimate {
    taken: HashMap<TeamId, VecDeque<Micros>>,
}

impl Estimate {
    /// A ticket of a team was taken.
    pub fn note(&mut self, team: TeamId, at: Micros) {
        let taken = self.taken.entry(team).or_default();
        if taken.len() == KEPT {
            taken.pop_front();
        }
        taken.push_back(at);
    }

    /// How long it will take until `position` more tickets of a team are taken. Nothing without enough history.
    #[must_use]
    pub fn wait(&self, team: TeamId, position: usize, now: Micros) -> Option<Micros> {
        let taken = self.taken.get(&team).filter(|it| it.len() >= ENOUGH)?;
        let span = now.max(*taken.back()?).saturating_sub(*taken.front()?);
        let each = span / i64::try_from(taken.len()).unwrap_or(i64::MAX);
        Some(each.saturating_mul(i64::try_from(position).unwrap_or(i64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::SECOND;

    #[test]
    fn one_a_minute_makes_five_minutes_for_the_fifth() {
        let team = TeamId::from_uuid(Uuid::from_u128(1));
        let mut estimate = Estimate::default();
        assert_eq!(estimate.wait(team, 5, 0), None);
        for minute in 0..200 {
            estimate.note(team, minute * 60 * SECOND);
        }
        let wait = estimate.wait(team, 5, 200 * 60 * SECOND);
        assert_eq!(wait, Some(5 * 60 * SECOND));
        // Nobody took anything since: it takes longer.
        assert!(estimate.wait(team, 5, 400 * 60 * SECOND) > wait);
    }
}
