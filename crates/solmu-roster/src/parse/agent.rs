//! Agents.

use std::collections::BTreeMap;

use jiff::Timestamp;
use solmu_bus::envelope::from_proto_time;
use solmu_domain::{
    contact::EmailAddress,
    sla::{Calendar, CalendarSpec},
};
use solmu_matching::Location;
use solmu_proto::routing::v1 as proto;
use solmu_runtime::ApiError;

use super::{Checker, WORDS_MAX, words};
use crate::store::people::AgentProfile;

/// Tickets that one agent can have at most.
const CAPACITY_MAX: i32 = 1_000_000;
/// Windows of a week at most.
const WINDOWS_MAX: usize = 50;
/// Absences of an agent at most.
const ABSENCES_MAX: usize = 200;
/// What an update without a mask takes: all that the first release knew.
const FIRST_FIELDS: [&str; 4] = ["display_name", "team_ids", "capacity", "email"];

/// An agent with what the mask names taken from another one.
pub fn overlay(
    mut agent: proto::Agent,
    wanted: proto::Agent,
    mask: &prost_types::FieldMask,
) -> Result<proto::Agent, ApiError> {
    let named: Vec<&str> = if mask.paths.is_empty() {
        FIRST_FIELDS.to_vec()
    } else {
        mask.paths.iter().map(String::as_str).collect()
    };
    let from = wanted;
    for field in named {
        match field {
            "display_name" => agent.display_name.clone_from(&from.display_name),
            "team_ids" => agent.team_ids.clone_from(&from.team_ids),
            "capacity" => agent.capacity = from.capacity,
            "email" => agent.email.clone_from(&from.email),
            "backup_team_ids" => agent.backup_team_ids.clone_from(&from.backup_team_ids),
            "skills" => agent.skills.clone_from(&from.skills),
            "languages" => agent.languages.clone_from(&from.languages),
            "channel_limits" => agent.channel_limits.clone_from(&from.channel_limits),
            "location" => agent.location = from.location,
            "working_hours" => agent.working_hours.clone_from(&from.working_hours),
            "absences" => agent.absences.clone_from(&from.absences),
            other => {
                let wrong = format!("'{other}' is no field of an agent that can be changed so");
                return Err(ApiError::invalid("update_mask", wrong));
            }
        }
    }
    Ok(agent)
}

/// What people say of an agent.
pub fn profile(agent: &proto::Agent) -> Result<AgentProfile, ApiError> {
    let mut checker = Checker::default();
    let display_name = checker.name("agent.display_name", &agent.display_name);
    if !(1..=CAPACITY_MAX).contains(&agent.capacity) {
        checker.wrong("agent.capacity", format!("must be 1 to {CAPACITY_MAX}"));
    }
    let email = agent.email.trim();
    if !email.is_empty() && EmailAddress::parse(email).is_err() {
        checker.wrong("agent.email", "must be an address such as anna@example.com");
    }
    let teams = checker.teams("agent.team_ids", &agent.team_ids);
    let backup_teams = checker.teams("agent.backup_team_ids", &agent.backup_team_ids);
    let profile = AgentProfile {
        display_name,
        email: email.to_owned(),
        capacity: agent.capacity,
        teams,
        backup_teams,
        skills: checker.skills(agent),
        languages: checker.languages(agent),
        channel_limits: checker.limits(agent),
        location: checker.location(agent),
        hours: checker.hours(agent),
        absences: checker.absences(agent),
    };
    checker.done(profile)
}

impl Checker {
    fn few(&mut self, field: &str, count: usize, most: usize) {
        if count > most {
            self.wrong(field, format!("at most {most}"));
        }
    }

    fn skills(&mut self, agent: &proto::Agent) -> BTreeMap<String, u8> {
        let field = "agent.skills";
        self.few(field, agent.skills.len(), WORDS_MAX);
        let mut skills = BTreeMap::new();
        for (name, level) in agent.skills.iter().take(WORDS_MAX) {
            skills.insert(self.word(field, name), self.level(field, *level));
        }
        skills
    }

    fn languages(&mut self, agent: &proto::Agent) -> Vec<String> {
        let field = "agent.languages";
        self.few(field, agent.languages.len(), WORDS_MAX);
        let mut languages = Vec::new();
        for text in agent.languages.iter().take(WORDS_MAX) {
            match words::language(text.trim()) {
                Ok(code) if languages.contains(&code) => {}
                Ok(code) => languages.push(code),
                Err(wrong) => self.wrong(field, wrong),
            }
        }
        languages
    }

    fn limits(&mut self, agent: &proto::Agent) -> BTreeMap<String, u32> {
        let field = "agent.channel_limits";
        self.few(field, agent.channel_limits.len(), WORDS_MAX);
        let mut limits = BTreeMap::new();
        for (name, limit) in agent.channel_limits.iter().take(WORDS_MAX) {
            let name = match words::channel(name.trim()) {
                Ok(name) => name,
                Err(wrong) => {
                    self.wrong(field, wrong);
                    continue;
                }
            };
            match u32::try_from(*limit) {
                Ok(count) if *limit <= CAPACITY_MAX => {
                    limits.insert(name, count);
                }
                _ => {
                    self.wrong(field, format!("a limit is 0 to {CAPACITY_MAX}"));
                }
            }
        }
        limits
    }

    fn location(&mut self, agent: &proto::Agent) -> Option<Location> {
        let location = agent.location?;
        let (latitude, longitude) = (location.latitude, location.longitude);
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            self.wrong(
                "agent.location",
                "latitude is -90 to 90, longitude -180 to 180",
            );
        }
        Some(Location {
            latitude,
            longitude,
        })
    }

    fn hours(&mut self, agent: &proto::Agent) -> Option<CalendarSpec> {
        let hours = agent.working_hours.as_ref()?;
        let field = "agent.working_hours";
        self.few(field, hours.windows.len(), WINDOWS_MAX);
        let mut spec = CalendarSpec {
            tz: hours.time_zone.clone(),
            ..CalendarSpec::default()
        };
        for window in hours.windows.iter().take(WINDOWS_MAX) {
            let day = spec.hours.entry(window.day.clone()).or_default();
            day.push([window.opens.clone(), window.closes.clone()]);
        }
        if let Err(error) = Calendar::new(&spec) {
            self.wrong(field, error.to_string());
        }
        Some(spec)
    }

    fn absences(&mut self, agent: &proto::Agent) -> Vec<(Timestamp, Timestamp)> {
        let field = "agent.absences";
        self.few(field, agent.absences.len(), ABSENCES_MAX);
        let mut absences = Vec::new();
        for absence in agent.absences.iter().take(ABSENCES_MAX) {
            let start = absence.start_time.as_ref().map(from_proto_time);
            let end = absence.end_time.as_ref().map(from_proto_time);
            match start.zip(end) {
                Some((start, end)) if start < end => absences.push((start, end)),
                _ => self.wrong(field, "an absence begins, and ends after that"),
            }
        }
        absences
    }
}
