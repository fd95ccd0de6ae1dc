//! The lines of a plan as they are read. What is left out has the value that docs/routing.md tells.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use solmu_domain::ticket::Priority;

use crate::{
    Strategy,
    numbers::{Lasting, Seconds, Units},
};

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    /// What holds for all. At most one, before the others.
    Policy(PolicyLine),
    /// A team with something of its own.
    Team {
        id: String,
        overflow_after: Option<Lasting>,
        #[serde(default)]
        overflow_to: Vec<String>,
        #[serde(default)]
        follow_sun: bool,
        strategy: Option<Strategy>,
    },
    /// Somebody who works.
    Agent(Box<AgentLine>),
    /// One ticket.
    Ticket(Box<TicketLine>),
    /// A random stream of tickets.
    Arrivals(Box<ArrivalsLine>),
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PolicyLine {
    pub(super) weights: BTreeMap<String, Units>,
    pub(super) exclusive: BTreeSet<String>,
    pub(super) live: BTreeSet<String>,
    pub(super) age_step: Lasting,
    pub(super) risk_lead: Lasting,
    pub(super) sticky_hold: Lasting,
    pub(super) strategy: Strategy,
    pub(super) repair: bool,
    /// Seconds at the beginning that do not count in the statistics.
    pub(super) warm_up: Lasting,
}

impl Default for PolicyLine {
    fn default() -> Self {
        Self {
            weights: BTreeMap::new(),
            exclusive: BTreeSet::new(),
            live: BTreeSet::new(),
            age_step: Lasting::minutes(15),
            risk_lead: Lasting::minutes(15),
            sticky_hold: Lasting::default(),
            strategy: Strategy::default(),
            repair: true,
            warm_up: Lasting::default(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentLine {
    pub(super) id: String,
    pub(super) teams: Vec<String>,
    #[serde(default)]
    pub(super) backup_teams: Vec<String>,
    #[serde(default)]
    pub(super) skills: BTreeMap<String, u8>,
    #[serde(default)]
    pub(super) languages: BTreeSet<String>,
    #[serde(default = "hundred")]
    pub(super) capacity: Units,
    #[serde(default)]
    pub(super) max: BTreeMap<String, u32>,
    /// Begin and end in seconds; none: always there.
    #[serde(default)]
    pub(super) shifts: Vec<(Seconds, Seconds)>,
}

const fn hundred() -> Units {
    Units(100)
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct WantLine {
    pub(super) n: String,
    #[serde(default = "one")]
    pub(super) lvl: u8,
    pub(super) relax: Option<Lasting>,
    #[serde(default)]
    pub(super) preferred: bool,
}

const fn one() -> u8 {
    1
}

/// What tickets of a line have in common.
#[derive(Deserialize, Clone)]
pub(super) struct Common {
    pub(super) team: String,
    pub(super) channel: String,
    #[serde(default)]
    pub(super) priority: PriorityName,
    #[serde(default)]
    pub(super) vip: bool,
    #[serde(default)]
    pub(super) skills: Vec<WantLine>,
    /// Seconds within which somebody should have it.
    pub(super) within: Option<Lasting>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum PriorityName {
    Low,
    #[default]
    Normal,
    High,
    Urgent,
}

impl From<PriorityName> for Priority {
    fn from(name: PriorityName) -> Self {
        match name {
            PriorityName::Low => Self::Low,
            PriorityName::Normal => Self::Normal,
            PriorityName::High => Self::High,
            PriorityName::Urgent => Self::Urgent,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct TicketLine {
    pub(super) id: String,
    /// Seconds since the beginning.
    pub(super) at: Lasting,
    /// Seconds of work.
    pub(super) handle: Lasting,
    pub(super) sticky: Option<String>,
    #[serde(flatten)]
    pub(super) common: Common,
    /// What nobody knows.
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct ArrivalsLine {
    /// Their ids begin with it.
    pub(super) id: String,
    /// Seconds.
    #[serde(default)]
    pub(super) from: Lasting,
    /// Seconds.
    pub(super) to: Lasting,
    /// On average.
    pub(super) per_hour: f64,
    /// Seconds of work, on average; exponentially distributed.
    pub(super) handle_mean: Lasting,
    #[serde(default)]
    pub(super) seed: u64,
    #[serde(flatten)]
    pub(super) common: Common,
    /// What nobody knows.
    #[serde(flatten)]
    pub(super) rest: BTreeMap<String, serde_json::Value>,
}

/// Fields of a ticket's line, for messages.
pub(super) const TICKET_FIELDS: &str =
    "id, at, handle, sticky, team, channel, priority, vip, skills, within";
/// Fields of a line of arrivals.
pub(super) const ARRIVALS_FIELDS: &str =
    "id, from, to, per_hour, handle_mean, seed, team, channel, priority, vip, skills, within";

/// A misspelt field would silently mean nothing.
pub(super) fn nothing_else(
    rest: &BTreeMap<String, serde_json::Value>,
    known: &str,
) -> Result<(), String> {
    match rest.keys().find(|name| *name != "type") {
        None => Ok(()),
        Some(name) => Err(format!("unknown field '{name}', expected one of {known}")),
    }
}
