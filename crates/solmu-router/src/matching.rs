//! Settings of matching: what work of each channel costs, how patient it is, and in which order people are chosen.

use std::collections::BTreeMap;

use jiff::{SignedDuration, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_matching::{ChannelPolicy, Policy, SECOND, Strategy, Turns};

use crate::{core::desk::UNITS, error::Error, recall::Terms};

/// Seconds of a day.
const DAY: u32 = 86_400;

/// How tickets and agents are matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Matching {
    /// By name of the channel; channels that are not named have what stands under `other`.
    pub channels: BTreeMap<String, Channel>,
    /// For all other channels.
    pub other: Channel,
    /// How long before its next due time a ticket passes all that are not late, in seconds.
    pub risk_lead_seconds: u32,
    /// Unless a team has its own: `balanced`, `round_robin`, `spare` or `fewest_skills`.
    pub strategy: String,
    /// Whether the language of a ticket counts: agents who have set languages, and not this one, get it only after a
    /// while.
    pub languages: bool,
    /// How long the language of a ticket is insisted on, in seconds.
    pub language_relax_seconds: u32,
    /// How long a contact is brought back to the agent of their last ticket, in days; 0: never.
    pub returning_days: u32,
    /// Kilometres that count as equally near.
    #[schemars(range(min = 1))]
    pub geo_km: u32,
    /// Zone of the fields `hour` and `weekday` of rules, such as `Europe/Helsinki`.
    pub time_zone: String,
}

/// What work of a channel costs and how patient it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Channel {
    /// Hundredths of an ordinary ticket that one takes of an agent's capacity.
    #[schemars(range(min = 1, max = 100_000))]
    pub weight: u32,
    /// Who has one gets nothing else, and one goes only to who has nothing live: calls.
    pub exclusive: bool,
    /// Somebody waits at the other end for each word: chats and calls.
    pub live: bool,
    /// How much later a ticket of the next lower priority is treated as having arrived, in seconds: within three of
    /// these steps, nothing starves.
    pub age_step_seconds: u32,
    /// How long a ticket waits for its former agent who is there but full, in seconds.
    pub sticky_hold_seconds: u32,
}

impl Default for Channel {
    fn default() -> Self {
        Self {
            weight: UNITS,
            exclusive: false,
            live: false,
            age_step_seconds: 4 * 3_600,
            sticky_hold_seconds: 900,
        }
    }
}

impl Default for Matching {
    fn default() -> Self {
        let chat = Channel {
            live: true,
            age_step_seconds: 120,
            sticky_hold_seconds: 90,
            ..Channel::default()
        };
        let phone = Channel {
            exclusive: true,
            sticky_hold_seconds: 0,
            ..chat.clone()
        };
        let messenger = Channel {
            age_step_seconds: 1_800,
            ..Channel::default()
        };
        let channels = [
            ("chat", chat),
            ("phone", phone),
            ("telegram", messenger.clone()),
            ("whatsapp", messenger),
        ];
        Self {
            channels: channels
                .into_iter()
                .map(|(name, channel)| (name.to_owned(), channel))
                .collect(),
            other: Channel::default(),
            risk_lead_seconds: 900,
            strategy: Strategy::FewestSkills.name().to_owned(),
            languages: true,
            language_relax_seconds: 1_800,
            returning_days: 30,
            geo_km: 25,
            time_zone: "UTC".to_owned(),
        }
    }
}

impl Matching {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if Strategy::from_name(&self.strategy).is_none() {
            return Err(Error::UnknownStrategy(self.strategy.clone()));
        }
        if TimeZone::get(&self.time_zone).is_err() {
            return Err(Error::UnknownZone(self.time_zone.clone()));
        }
        if self.geo_km == 0 {
            return Err(Error::Zero("matching.geo_km"));
        }
        let mut channels = self.channels.values().chain([&self.other]);
        if channels.any(|channel| !(1..=100_000).contains(&channel.weight)) {
            return Err(Error::Weight);
        }
        Ok(())
    }

    /// As the engine takes them.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            policy: self.policy(),
            language_relax_s: self.languages.then_some(self.language_relax_seconds),
            zone: TimeZone::get(&self.time_zone).unwrap_or(TimeZone::UTC),
            returning: SignedDuration::from_secs(i64::from(self.returning_days) * i64::from(DAY)),
        }
    }

    fn policy(&self) -> Policy {
        let channels = self.channels.iter();
        Policy {
            channels: channels
                .map(|(name, channel)| (name.clone(), channel.policy()))
                .collect(),
            other: self.other.policy(),
            risk_lead: micros(self.risk_lead_seconds),
            geo_km: f64::from(self.geo_km),
            strategy: Strategy::from_name(&self.strategy).unwrap_or_default(),
            repair: true,
            turns: Turns::Counted,
            ..Policy::default()
        }
    }
}

impl Channel {
    fn policy(&self) -> ChannelPolicy {
        ChannelPolicy {
            units: self.weight,
            exclusive: self.exclusive,
            live: self.live,
            age_step: micros(self.age_step_seconds),
            sticky_hold: micros(self.sticky_hold_seconds),
        }
    }
}

fn micros(seconds: u32) -> i64 {
    i64::from(seconds) * SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(Matching::default().check().is_ok());
        let wrong = |change: fn(&mut Matching)| {
            let mut matching = Matching::default();
            change(&mut matching);
            matching.check().unwrap_err().to_string()
        };
        assert_eq!(
            wrong(|it| it.strategy = "best".to_owned()),
            "router.matching.strategy 'best' is none of balanced, round_robin, spare, fewest_skills"
        );
        assert_eq!(
            wrong(|it| it.time_zone = "Mars/Olympus".to_owned()),
            "router.matching.time_zone 'Mars/Olympus' is no IANA time zone"
        );
        assert!(wrong(|it| it.geo_km = 0).contains("geo_km"));
        assert!(wrong(|it| it.other.weight = 0).contains("weight"));
    }
}
