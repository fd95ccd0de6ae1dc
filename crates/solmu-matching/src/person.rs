//! An agent as the floor sees them.

use std::collections::{BTreeMap, BTreeSet};

use solmu_domain::ids::{AgentId, TeamId};

/// Earth's mean diameter in kilometres.
const DIAMETER_KM: f64 = 12_742.0;

/// Whether an agent takes work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Availability {
    /// On every channel.
    Online,
    /// On these channels only.
    OnlineFor(BTreeSet<String>),
    /// Is there, and takes nothing new.
    Busy,
    /// Comes back.
    Away,
    /// Is not there.
    #[default]
    Offline,
}

/// A place on earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// North of the equator.
    pub latitude: f64,
    /// East of Greenwich.
    pub longitude: f64,
}

impl Location {
    /// Great-circle distance in kilometres.
    #[must_use]
    pub fn kilometres(self, other: Self) -> f64 {
        let half_sine = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let across = self.latitude.to_radians().cos() * other.latitude.to_radians().cos();
        let chord = half_sine(other.latitude - self.latitude)
            + across * half_sine(other.longitude - self.longitude);
        DIAMETER_KM * chord.min(1.0).sqrt().asin()
    }
}

/// An agent as people set them up.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Who.
    pub id: AgentId,
    /// Teams that they work for.
    pub teams: Vec<TeamId>,
    /// Teams that they help once a ticket has waited.
    pub backup_teams: Vec<TeamId>,
    /// Level by skill, from 1.
    pub skills: BTreeMap<String, u8>,
    /// Languages that they write; empty: nobody said, so any.
    pub languages: BTreeSet<String>,
    /// Whether they take work.
    pub availability: Availability,
    /// Whether they are inside their working hours.
    pub open: bool,
    /// Units of work at most.
    pub capacity: u32,
    /// Tickets of a channel at most.
    pub limits: BTreeMap<String, u32>,
    /// Where they are.
    pub location: Option<Location>,
}

impl Agent {
    /// Somebody online in one team with room for so many units.
    #[must_use]
    pub fn online(id: AgentId, team: TeamId, capacity: u32) -> Self {
        Self {
            id,
            teams: vec![team],
            backup_teams: Vec::new(),
            skills: BTreeMap::new(),
            languages: BTreeSet::new(),
            availability: Availability::Online,
            open: true,
            capacity,
            limits: BTreeMap::new(),
            location: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helsinki_to_tampere() {
        let helsinki = Location {
            latitude: 60.17,
            longitude: 24.94,
        };
        let tampere = Location {
            latitude: 61.50,
            longitude: 23.76,
        };
        let distance = helsinki.kilometres(tampere);
        assert!((160.0..163.0).contains(&distance), "{distance}");
        assert!(helsinki.kilometres(helsinki) < 0.001);
    }
}
