//! What an agent can do, when and where they work: as it is given, and as it is shown.

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use solmu_proto::routing::v1::{Agent, WorkingHours};

use super::{meant_teams, shifts};
use crate::{roster::Roster, views::AgentView, words};

/// What an agent can do.
#[derive(Debug, Clone, Default, Args)]
pub struct AgentDetails {
    /// Skill and its level, 1 to 5; repeatable. When given, these are all
    #[arg(long = "skill", value_name = "NAME=LEVEL", value_parser = pair)]
    pub(super) skills: Vec<(String, i32)>,
    /// Language that they write, such as fi; repeatable. When given, these are all
    #[arg(long = "language", value_name = "CODE")]
    pub(super) languages: Vec<String>,
    /// Team that they help once a ticket has waited; repeatable. When given, these are all
    #[arg(long = "backup-team", value_name = "TEAM")]
    pub(super) backup_teams: Vec<String>,
    /// Most open tickets of a channel; repeatable. When given, these are all
    #[arg(long = "limit", value_name = "CHANNEL=COUNT", value_parser = pair)]
    pub(super) limits: Vec<(String, i32)>,
    /// When they work, such as 'mon-fri 08:00-12:00,12:30-16:00'; repeatable. When given, these are all; none: always
    #[arg(long, value_name = "DAYS HOURS")]
    pub(super) hours: Vec<String>,
    /// Zone of their hours, such as Europe/Helsinki
    #[arg(long)]
    pub(super) zone: Option<String>,
    /// Time in which they do not work besides, such as 2026-12-24, 2026-12-24..2026-12-27 (the last day counts) or two times;
    /// repeatable. Added to those that are there and not over
    #[arg(long = "absence", value_name = "FROM..TO")]
    pub(super) absences: Vec<String>,
    /// Forget the absences that are there
    #[arg(long)]
    pub(super) no_absences: bool,
    /// Where they are, in degrees, such as 60.17,24.94; none: not known
    #[arg(long, value_name = "LATITUDE,LONGITUDE", allow_hyphen_values = true)]
    pub(super) location: Option<String>,
}

impl AgentDetails {
    /// Puts what was given into an agent; returns the names of these fields.
    pub(super) fn apply(
        &self,
        agent: &mut Agent,
        roster: &Roster,
        now: Timestamp,
    ) -> anyhow::Result<Vec<String>> {
        let mut fields = Vec::new();
        if !self.skills.is_empty() {
            agent.skills = self.skills.iter().cloned().collect();
            fields.push("skills");
        }
        if !self.languages.is_empty() {
            agent.languages.clone_from(&self.languages);
            fields.push("languages");
        }
        if !self.backup_teams.is_empty() {
            agent.backup_team_ids = meant_teams(roster, &self.backup_teams)?;
            fields.push("backup_team_ids");
        }
        if !self.limits.is_empty() {
            agent.channel_limits = self.limits.iter().cloned().collect();
            fields.push("channel_limits");
        }
        fields.extend(self.apply_hours(agent)?);
        fields.extend(self.apply_absences(agent, now)?);
        match self.location.as_deref() {
            None => {}
            Some(shifts::NONE) => {
                agent.location = None;
                fields.push("location");
            }
            Some(text) => {
                agent.location = Some(shifts::location(text)?);
                fields.push("location");
            }
        }
        Ok(fields.into_iter().map(str::to_owned).collect())
    }

    /// The zone that is given, else that of the hours that are there.
    fn zone_of(&self, agent: &Agent) -> Option<String> {
        let known = agent
            .working_hours
            .as_ref()
            .map(|hours| hours.time_zone.clone());
        self.zone.clone().or(known)
    }

    fn apply_hours(&self, agent: &mut Agent) -> anyhow::Result<Option<&'static str>> {
        const FIELD: &str = "working_hours";
        if self.hours.iter().any(|text| text == shifts::NONE) {
            anyhow::ensure!(self.hours.len() == 1, "hours are 'none', or some");
            agent.working_hours = None;
            return Ok(Some(FIELD));
        }
        if self.hours.is_empty() {
            // Of an absence alone, or the same hours elsewhere.
            return Ok(match (&self.zone, &mut agent.working_hours) {
                (Some(zone), Some(hours)) => {
                    shifts::zone(zone)?;
                    hours.time_zone.clone_from(zone);
                    Some(FIELD)
                }
                (Some(_), None) => {
                    anyhow::ensure!(!self.absences.is_empty(), "a zone needs --hours");
                    None
                }
                (None, _) => None,
            });
        }
        let zone = self.zone_of(agent);
        let time_zone = zone.context("say in which zone: --zone, such as Europe/Helsinki")?;
        shifts::zone(&time_zone)?;
        let mut windows = Vec::new();
        for text in &self.hours {
            windows.extend(shifts::windows(text)?);
        }
        agent.working_hours = Some(WorkingHours { time_zone, windows });
        Ok(Some(FIELD))
    }

    fn apply_absences(
        &self,
        agent: &mut Agent,
        now: Timestamp,
    ) -> anyhow::Result<Option<&'static str>> {
        if self.absences.is_empty() && !self.no_absences {
            return Ok(None);
        }
        let zone = self.zone_of(agent);
        let zone = zone.map(|name| shifts::zone(&name)).transpose()?;
        if self.no_absences {
            agent.absences.clear();
        }
        let is_over =
            |end: Option<&prost_types::Timestamp>| words::time(end).is_some_and(|end| end <= now);
        agent
            .absences
            .retain(|absence| !is_over(absence.end_time.as_ref()));
        for text in &self.absences {
            let absence = shifts::absence(text, zone.as_ref())?;
            if !agent.absences.contains(&absence) {
                agent.absences.push(absence);
            }
        }
        Ok(Some("absences"))
    }
}

/// `name=number`.
fn pair(text: &str) -> Result<(String, i32), String> {
    let (name, number) = text
        .split_once('=')
        .ok_or_else(|| "write it as name=number".to_owned())?;
    let number = number
        .parse()
        .map_err(|_| format!("'{number}' is no number"))?;
    Ok((name.to_owned(), number))
}

/// All that is known of an agent, for scripts.
#[derive(Debug, Serialize)]
pub(super) struct AgentDetailView {
    #[serde(flatten)]
    agent: AgentView,
    backup_team_ids: Vec<String>,
    skills: Value,
    languages: Vec<String>,
    channel_limits: Value,
    /// Null: always.
    working_hours: Value,
    absences: Vec<Value>,
    /// Null: not known.
    location: Value,
}

impl From<&Agent> for AgentDetailView {
    fn from(agent: &Agent) -> Self {
        let hours = agent.working_hours.as_ref().map(|hours| {
            let windows = hours.windows.iter();
            let windows =
                windows.map(|it| json!({"day": it.day, "opens": it.opens, "closes": it.closes}));
            json!({"time_zone": hours.time_zone, "windows": windows.collect::<Vec<_>>()})
        });
        let absences = agent.absences.iter().map(|it| {
            json!({"start_time": words::time(it.start_time.as_ref()), "end_time": words::time(it.end_time.as_ref())})
        });
        let place = agent.location.as_ref();
        let place = place.map(|it| json!({"latitude": it.latitude, "longitude": it.longitude}));
        Self {
            agent: AgentView::from(agent),
            backup_team_ids: agent.backup_team_ids.clone(),
            skills: json!(agent.skills),
            languages: agent.languages.clone(),
            channel_limits: json!(agent.channel_limits),
            working_hours: hours.unwrap_or_default(),
            absences: absences.collect(),
            location: place.unwrap_or_default(),
        }
    }
}

/// All that is known of an agent, for people.
pub(super) fn card(agent: &Agent, roster: &Roster) -> String {
    let mut lines = vec![format!(
        "{}  {}, {} of {}",
        words::short(&agent.display_name, 60),
        words::presence(agent.presence),
        agent.load,
        agent.capacity
    )];
    let mut field = |name: &str, text: String| {
        if !text.is_empty() {
            lines.push(format!("  {name:<11}{text}"));
        }
    };
    let teams = |ids: &[String]| {
        let names = ids.iter().map(|id| words::short(roster.team_name(id), 40));
        names.collect::<Vec<_>>().join(", ")
    };
    field("teams", teams(&agent.team_ids));
    field("helps", teams(&agent.backup_team_ids));
    field("address", words::short(&agent.email, 80));
    let pairs = |pairs: &std::collections::BTreeMap<String, i32>| {
        let all = pairs
            .iter()
            .map(|(name, number)| format!("{}={number}", words::short(name, 40)));
        all.collect::<Vec<_>>().join(", ")
    };
    field("skills", pairs(&agent.skills));
    field("languages", words::short(&agent.languages.join(", "), 80));
    field("limits", pairs(&agent.channel_limits));
    let hours = match &agent.working_hours {
        None => "always".to_owned(),
        Some(hours) => {
            let windows = hours.windows.iter();
            let windows = windows.map(|it| format!("{} {}-{}", it.day, it.opens, it.closes));
            format!(
                "{} ({})",
                windows.collect::<Vec<_>>().join(", "),
                hours.time_zone
            )
        }
    };
    field("hours", words::short(&hours, 400));
    // In their own zone, or else in UTC.
    let zone = agent.working_hours.as_ref();
    let zone = zone.and_then(|hours| shifts::zone(&hours.time_zone).ok());
    let zone = zone.unwrap_or(jiff::tz::TimeZone::UTC);
    for absence in &agent.absences {
        let civil = |at: Option<&prost_types::Timestamp>| {
            let at = words::time(at).map(|at| at.to_zoned(zone.clone()));
            at.map_or_else(String::new, |at| {
                at.strftime("%Y-%m-%d %H:%M %Z").to_string()
            })
        };
        let (from, to) = (
            civil(absence.start_time.as_ref()),
            civil(absence.end_time.as_ref()),
        );
        field("absent", format!("{from} to {to}"));
    }
    if let Some(place) = &agent.location {
        field("place", format!("{}, {}", place.latitude, place.longitude));
    }
    field("id", agent.id.clone());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::flat;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    fn apply(agent: &mut Agent, details: &AgentDetails) -> anyhow::Result<Vec<String>> {
        details.apply(agent, &Roster::default(), NOW)
    }

    #[test]
    fn details_name_the_fields_that_change() {
        let mut agent = Agent::default();
        let details = AgentDetails {
            skills: vec![pair("billing=3").unwrap()],
            languages: vec!["fi".to_owned()],
            ..AgentDetails::default()
        };
        let fields = apply(&mut agent, &details).unwrap();
        assert_eq!(fields, ["skills", "languages"]);
        assert_eq!(agent.skills["billing"], 3);
        assert_eq!(pair("billing").unwrap_err(), "write it as name=number");
        assert_eq!(pair("billing=high").unwrap_err(), "'high' is no number");
    }

    #[test]
    fn hours_absences_and_place_are_set_and_taken_away() {
        let mut agent = Agent {
            display_name: "Liisa".to_owned(),
            ..Agent::default()
        };
        let hours = AgentDetails {
            hours: vec!["mon-fri 08:00-16:00".to_owned()],
            ..AgentDetails::default()
        };
        let said = apply(&mut agent, &hours).unwrap_err().to_string();
        assert!(said.contains("--zone"), "{said}");
        let details = AgentDetails {
            zone: Some("Europe/Helsinki".to_owned()),
            // One is over.
            absences: vec!["2027-02-01".to_owned(), "2020-01-01".to_owned()],
            location: Some("60.17,24.94".to_owned()),
            ..hours.clone()
        };
        let fields = apply(&mut agent, &details).unwrap();
        assert_eq!(fields, ["working_hours", "absences", "location"]);
        let text = flat(&card(&agent, &Roster::default()));
        assert!(text.contains("hours mon 08:00-16:00, tue"), "{text}");
        assert!(
            text.contains("absent 2027-02-01 00:00 EET to 2027-02-02 00:00 EET"),
            "{text}"
        );
        assert!(text.contains("place 60.17, 24.94"), "{text}");
        let view = serde_json::to_value(AgentDetailView::from(&agent)).unwrap();
        assert_eq!(view["display_name"], "Liisa");
        assert_eq!(view["working_hours"]["windows"][4]["day"], "fri");
        // A further absence goes by the zone that is known, and the same one is there once.
        let further = AgentDetails {
            absences: vec!["2027-02-01".to_owned(), "2027-03-01..2027-03-05".to_owned()],
            ..AgentDetails::default()
        };
        assert_eq!(apply(&mut agent, &further).unwrap(), ["absences"]);
        assert_eq!(agent.absences.len(), 2, "the one that is over is gone");
        let gone = AgentDetails {
            hours: vec!["none".to_owned()],
            no_absences: true,
            location: Some("none".to_owned()),
            ..AgentDetails::default()
        };
        apply(&mut agent, &gone).unwrap();
        assert!(agent.working_hours.is_none() && agent.absences.is_empty());
        assert!(agent.location.is_none());
        let zone = AgentDetails {
            zone: Some("Europe/Helsinki".to_owned()),
            ..AgentDetails::default()
        };
        assert!(apply(&mut agent, &zone).is_err());
    }
}
