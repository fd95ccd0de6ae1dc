//! What an organisation decides about routing: weights, ageing, patience, the order of choice.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use solmu_domain::ids::TeamId;

use crate::{Micros, SECOND};

/// What work of one channel costs and how patient it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelPolicy {
    /// Units of an agent's capacity that one ticket takes.
    pub units: u32,
    /// Who has one gets nothing else, and one goes only to who has nothing live: a call.
    pub exclusive: bool,
    /// Somebody waits at the other end for each word: chats and calls.
    pub live: bool,
    /// How much later a ticket of the next lower priority is treated as having arrived.
    pub age_step: Micros,
    /// How long a ticket waits for its former agent who is there but full.
    pub sticky_hold: Micros,
}

impl Default for ChannelPolicy {
    fn default() -> Self {
        Self {
            units: 100,
            exclusive: false,
            live: false,
            age_step: 4 * 3_600 * SECOND,
            sticky_hold: 0,
        }
    }
}

/// In which order eligible agents are chosen, after skills and distance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The smallest share of the capacity in use; then the longest without an assignment.
    #[default]
    Balanced,
    /// The longest without an assignment.
    RoundRobin,
    /// The most room in the channel; then the longest without an assignment.
    Spare,
    /// Whoever has the fewest skills, so that specialists stay free; then as [`Strategy::Balanced`].
    FewestSkills,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Balanced,
        Self::RoundRobin,
        Self::Spare,
        Self::FewestSkills,
    ];

    /// Stable name, as stored.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Balanced => "balanced",
            Self::RoundRobin => "round_robin",
            Self::Spare => "spare",
            Self::FewestSkills => "fewest_skills",
        }
    }

    /// The strategy of a stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// What "longest without an assignment" counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Turns {
    /// Each assignment has a number of its own.
    #[default]
    Counted,
    /// Instants: what is assigned in one round is of one time, and ids decide.
    Timed,
}

/// For which former agent who is there a ticket is held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hold {
    /// One who could take it if they had room: of its team, with its skills.
    #[default]
    Able,
    /// Any who is there, whether they could take it or not: what the reference of snapshots does.
    Any,
}

/// What holds for all teams.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// By name of the channel.
    pub channels: HashMap<String, ChannelPolicy>,
    /// For channels that are not named.
    pub other: ChannelPolicy,
    /// How long before its due time a ticket passes all that are not late.
    pub risk_lead: Micros,
    /// Kilometres that count as equally near.
    pub geo_km: f64,
    /// Unless a team has its own.
    pub strategy: Strategy,
    /// Whether a round moves what it has just placed so that another ticket finds somebody too.
    pub repair: bool,
    /// See [`Turns`].
    pub turns: Turns,
    /// See [`Hold`].
    pub hold: Hold,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            channels: HashMap::new(),
            other: ChannelPolicy::default(),
            risk_lead: 15 * 60 * SECOND,
            geo_km: 25.0,
            strategy: Strategy::Balanced,
            repair: true,
            turns: Turns::Counted,
            hold: Hold::Able,
        }
    }
}

impl Policy {
    pub(crate) fn channel(&self, name: &str) -> &ChannelPolicy {
        self.channels.get(name).unwrap_or(&self.other)
    }

    /// Whether work of some channel takes no room, so that who is full can do it.
    pub(crate) fn has_free_work(&self) -> bool {
        let mut all = self.channels.values().chain([&self.other]);
        all.any(|channel| channel.units == 0)
    }
}

/// What holds for one team.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TeamPolicy {
    /// After this wait, agents of whom it is a backup team and those of `overflow_to` may take its tickets.
    pub overflow_after: Option<Micros>,
    /// Whole teams that then help.
    pub overflow_to: Vec<TeamId>,
    /// Its own order of choice.
    pub strategy: Option<Strategy>,
    /// Its tickets are given to nobody: agents take the next one themselves.
    pub pull: bool,
    /// Those helpers may take its tickets at once while none of its own agents is inside their working hours.
    pub follow_sun: bool,
}
