//! The lines of `eval` as they are read. What is left out has the value that `router_ref.py` takes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{
    Availability, Strategy,
    numbers::{Count, Level, Seconds, Units},
};

#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) now: Seconds,
    pub(super) policy: PolicyJson,
    pub(super) agents: Vec<AgentJson>,
    pub(super) queue: Vec<TicketJson>,
}

#[derive(Deserialize)]
pub(super) struct PolicyJson {
    #[serde(default)]
    pub(super) weights: BTreeMap<String, Units>,
    #[serde(default)]
    pub(super) exclusive: BTreeSet<String>,
    #[serde(default)]
    pub(super) live: BTreeSet<String>,
    #[serde(default = "quarter_hour")]
    pub(super) age_step: Seconds,
    #[serde(default = "quarter_hour")]
    pub(super) risk_lead: Seconds,
    #[serde(default)]
    pub(super) sticky_hold: Seconds,
    #[serde(default = "near")]
    pub(super) geo_km: f64,
    #[serde(default)]
    pub(super) strategy: Strategy,
    #[serde(default)]
    pub(super) repair: bool,
    #[serde(default)]
    pub(super) overflow: BTreeMap<String, OverflowJson>,
}

#[derive(Deserialize)]
pub(super) struct OverflowJson {
    pub(super) after: Seconds,
    pub(super) to: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct AgentJson {
    pub(super) id: String,
    pub(super) teams: Vec<String>,
    #[serde(default)]
    pub(super) skills: BTreeMap<String, Level>,
    #[serde(default)]
    pub(super) items: BTreeMap<String, Count>,
    #[serde(default)]
    pub(super) max: BTreeMap<String, u32>,
    #[serde(default = "hundred")]
    pub(super) capacity: Units,
    #[serde(default)]
    pub(super) last_assigned: Seconds,
    #[serde(default)]
    pub(super) presence: PresenceJson,
    #[serde(default = "yes")]
    pub(super) open: bool,
    pub(super) geo: Option<(f64, f64)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum PresenceJson {
    One(String),
    ByChannel(BTreeMap<String, String>),
}

impl Default for PresenceJson {
    fn default() -> Self {
        Self::One("online".to_owned())
    }
}

impl From<PresenceJson> for Availability {
    fn from(presence: PresenceJson) -> Self {
        match presence {
            PresenceJson::One(name) => match name.as_str() {
                "online" => Self::Online,
                "busy" => Self::Busy,
                "away" => Self::Away,
                _ => Self::Offline,
            },
            PresenceJson::ByChannel(channels) => {
                let online = channels.into_iter().filter(|(_, state)| state == "online");
                Self::OnlineFor(online.map(|(channel, _)| channel).collect())
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct TicketJson {
    pub(super) id: String,
    pub(super) channel: String,
    pub(super) team: String,
    #[serde(default)]
    pub(super) priority: PriorityJson,
    pub(super) vip: Option<bool>,
    pub(super) arrived: Seconds,
    pub(super) due: Option<Seconds>,
    #[serde(default)]
    pub(super) skills: Vec<WantJson>,
    pub(super) sticky: Option<String>,
    #[serde(default)]
    pub(super) excluded: Vec<String>,
    pub(super) geo: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PriorityJson {
    Urgent,
    High,
    #[default]
    Normal,
    Low,
}

#[derive(Deserialize)]
pub(super) struct WantJson {
    pub(super) n: String,
    #[serde(default = "one")]
    pub(super) lvl: Level,
    pub(super) relax: Option<Seconds>,
    #[serde(default)]
    pub(super) kind: KindJson,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindJson {
    #[default]
    Required,
    Preferred,
}

const fn quarter_hour() -> Seconds {
    Seconds::new(900.0)
}

const fn near() -> f64 {
    25.0
}

const fn hundred() -> Units {
    Units(100)
}

const fn one() -> Level {
    Level(1)
}

const fn yes() -> bool {
    true
}
