//! From requests to checked values: everything that is wrong is reported at once, each with its field.

mod agent;
mod rule;
mod team;
mod words;

use std::str::FromStr;

use solmu_domain::ids::{ParseIdError, TeamId};
use solmu_proto::routing::v1 as proto;
use solmu_runtime::{ApiError, api_error::Violation};

pub use agent::{overlay, profile};
pub use rule::rule;
pub use team::team;

use crate::presence::Presence;

/// Characters of a name at most.
const NAME_MAX: usize = 100;
/// Characters of the name of a skill, a language or a channel at most.
const WORD_MAX: usize = 60;
/// The highest level of a skill.
const LEVEL_MAX: i32 = 5;
/// Skills, languages or channels that one thing names at most.
const WORDS_MAX: usize = 100;
/// Teams that one thing names at most.
const TEAMS_MAX: usize = 100;
/// Days that a duration may have at most.
const DAYS_MAX: i64 = 30;

/// An id.
pub fn id<T: FromStr<Err = ParseIdError>>(field: &str, text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error: ParseIdError| ApiError::invalid(field, error.to_string()))
}

/// A presence that somebody asked for.
pub fn presence(presence: proto::Presence) -> Result<Presence, ApiError> {
    match presence {
        proto::Presence::Online => Ok(Presence::Online),
        proto::Presence::Busy => Ok(Presence::Busy),
        proto::Presence::Away => Ok(Presence::Away),
        proto::Presence::Offline => Ok(Presence::Offline),
        proto::Presence::Unspecified => Err(ApiError::invalid(
            "presence",
            "say online, busy, away or offline",
        )),
    }
}

/// Collects what is wrong with a request.
#[derive(Default)]
struct Checker(Vec<Violation>);

impl Checker {
    fn wrong(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    fn name(&mut self, field: &str, text: &str) -> String {
        let name = text.trim();
        if name.is_empty() || name.chars().count() > NAME_MAX {
            self.wrong(field, format!("needs 1 to {NAME_MAX} characters"));
        } else if name.chars().any(char::is_control) {
            self.wrong(field, "must not hold control characters");
        }
        name.to_owned()
    }

    /// The name of a skill, a language or a channel.
    fn word(&mut self, field: &str, text: &str) -> String {
        let word = text.trim();
        let long = word.chars().count() > WORD_MAX;
        if word.is_empty() || long || word.contains(char::is_control) {
            self.wrong(
                field,
                format!("a name has 1 to {WORD_MAX} characters and no control characters"),
            );
        }
        word.to_owned()
    }

    fn level(&mut self, field: &str, level: i32) -> u8 {
        if !(1..=LEVEL_MAX).contains(&level) {
            self.wrong(field, format!("a level is 1 to {LEVEL_MAX}"));
        }
        u8::try_from(level).unwrap_or(0)
    }

    fn teams(&mut self, field: &str, ids: &[String]) -> Vec<TeamId> {
        if ids.len() > TEAMS_MAX {
            self.wrong(field, format!("at most {TEAMS_MAX} teams"));
        }
        let mut teams = Vec::new();
        for text in ids.iter().take(TEAMS_MAX) {
            match text.parse::<TeamId>() {
                Ok(team) => teams.push(team),
                Err(error) => self.wrong(field, error.to_string()),
            }
        }
        teams
    }

    /// Whole seconds.
    fn seconds(&mut self, field: &str, duration: prost_types::Duration) -> i32 {
        let most = DAYS_MAX * 86_400;
        if !(0..=most).contains(&duration.seconds) || duration.nanos != 0 {
            self.wrong(
                field,
                format!("must be whole seconds, up to {DAYS_MAX} days"),
            );
        }
        i32::try_from(duration.seconds).unwrap_or(0)
    }

    fn done<T>(self, value: T) -> Result<T, ApiError> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ApiError::InvalidArgument { violations: self.0 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(error: ApiError) -> Vec<String> {
        match error {
            ApiError::InvalidArgument { violations } => {
                violations.into_iter().map(|it| it.field).collect()
            }
            other => panic!("{other} is no list of violations"),
        }
    }

    #[test]
    fn all_that_is_wrong_with_a_rule_is_said_at_once() {
        let wrong = proto::Rule {
            display_name: " ".to_owned(),
            team_id: "x".to_owned(),
            set_priority: "soon".to_owned(),
            add_tags: vec![String::new()],
            condition: "chanel = email AND priority = sky".to_owned(),
            agent_id: "x".to_owned(),
            skills: vec![proto::SkillWish {
                skill: "calm".to_owned(),
                level: 9,
                ..proto::SkillWish::default()
            }],
            hold: Some(prost_types::Duration {
                seconds: 1 << 40,
                nanos: 0,
            }),
            ..proto::Rule::default()
        };
        assert_eq!(
            fields(rule(&wrong).unwrap_err()),
            [
                "rule.display_name",
                "rule.team_id",
                "rule.set_priority",
                "rule.add_tags",
                "rule.skills",
                "rule.hold",
                "rule.agent_id",
                "rule.condition",
                "rule.condition"
            ]
        );
    }

    #[test]
    fn a_rule_without_condition_always_holds() {
        let always = proto::Rule {
            display_name: "all".to_owned(),
            team_id: uuid::Uuid::from_u128(1).to_string(),
            ..proto::Rule::default()
        };
        assert_eq!(rule(&always).unwrap().1.fields(), Vec::<&str>::new());
    }

    #[test]
    fn an_agent_needs_a_name_and_room() {
        let nobody = proto::Agent {
            email: "no address".to_owned(),
            team_ids: vec!["x".to_owned()],
            ..proto::Agent::default()
        };
        assert_eq!(
            fields(profile(&nobody).unwrap_err()),
            [
                "agent.display_name",
                "agent.capacity",
                "agent.email",
                "agent.team_ids"
            ]
        );
    }

    #[test]
    fn a_rule_chooses_a_team_or_goes_on() {
        let without = proto::Rule {
            display_name: "no team".to_owned(),
            ..proto::Rule::default()
        };
        assert_eq!(fields(rule(&without).unwrap_err()), ["rule.team_id"]);
        let goes_on = proto::Rule {
            goes_on: true,
            ..without
        };
        assert_eq!(rule(&goes_on).unwrap().0.actions.team, None);
    }

    #[test]
    fn languages_and_channels_of_an_agent_are_known_ones() {
        let mut anna = proto::Agent {
            display_name: "Anna".to_owned(),
            capacity: 5,
            languages: vec!["FI".to_owned(), " sv".to_owned(), "fi".to_owned()],
            channel_limits: [("Chat".to_owned(), 2)].into(),
            ..proto::Agent::default()
        };
        let good = profile(&anna).unwrap();
        assert_eq!(good.languages, ["fi", "sv"]);
        assert_eq!(good.channel_limits.get("chat"), Some(&2));
        anna.languages.push("Finnish".to_owned());
        anna.channel_limits.insert("caht".to_owned(), 3);
        let wrong = fields(profile(&anna).unwrap_err());
        assert_eq!(wrong, ["agent.languages", "agent.channel_limits"]);
    }

    #[test]
    fn a_rule_asks_for_what_tickets_may_have() {
        let late = |condition: &str| proto::Rule {
            display_name: "late".to_owned(),
            team_id: uuid::Uuid::from_u128(1).to_string(),
            condition: condition.to_owned(),
            ..proto::Rule::default()
        };
        assert!(rule(&late("hour >= 23 AND language = fi")).is_ok());
        for odd in ["hour > 25", "language = FI"] {
            assert_eq!(fields(rule(&late(odd)).unwrap_err()), ["rule.condition"]);
        }
    }

    #[test]
    fn hours_and_absences_are_checked() {
        let window = |day: &str, opens: &str| proto::Window {
            day: day.to_owned(),
            opens: opens.to_owned(),
            closes: "16:00".to_owned(),
        };
        let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let anna = |windows, zone: &str, end| proto::Agent {
            display_name: "Anna".to_owned(),
            capacity: 5,
            working_hours: Some(proto::WorkingHours {
                time_zone: zone.to_owned(),
                windows,
            }),
            absences: vec![proto::Absence {
                start_time: time(10),
                end_time: time(end),
            }],
            ..proto::Agent::default()
        };
        let good = anna(vec![window("mon", "08:00")], "Europe/Helsinki", 20);
        let profile_of = profile(&good).unwrap();
        assert!(profile_of.hours.is_some() && profile_of.absences.len() == 1);
        for (bad, field) in [
            (
                anna(vec![window("mon", "8")], "UTC", 20),
                "agent.working_hours",
            ),
            (
                anna(vec![window("xmas", "08:00")], "UTC", 20),
                "agent.working_hours",
            ),
            (
                anna(vec![window("mon", "08:00")], "Nowhere", 20),
                "agent.working_hours",
            ),
            (
                anna(vec![window("mon", "08:00")], "UTC", 10),
                "agent.absences",
            ),
        ] {
            assert_eq!(fields(profile(&bad).unwrap_err()), [field]);
        }
    }

    #[test]
    fn a_mask_names_what_changes() {
        let present = proto::Agent {
            display_name: "Anna".to_owned(),
            capacity: 5,
            languages: vec!["fi".to_owned()],
            ..proto::Agent::default()
        };
        let wanted = proto::Agent {
            capacity: 7,
            ..proto::Agent::default()
        };
        let mask = |paths: &[&str]| prost_types::FieldMask {
            paths: paths.iter().map(|it| (*it).to_owned()).collect(),
        };
        let changed = overlay(present.clone(), wanted.clone(), &mask(&["capacity"])).unwrap();
        assert_eq!(
            (changed.display_name.as_str(), changed.capacity),
            ("Anna", 7)
        );
        assert_eq!(changed.languages, ["fi"]);
        let changed = overlay(present.clone(), wanted.clone(), &mask(&[])).unwrap();
        assert_eq!(changed.display_name, "");
        assert_eq!(changed.languages, ["fi"]);
        let error = overlay(present, wanted, &mask(&["load"])).unwrap_err();
        assert_eq!(fields(error), ["update_mask"]);
    }
}
