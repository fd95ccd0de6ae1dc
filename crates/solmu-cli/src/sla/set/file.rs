//! Files with policies and calendars: YAML, JSON or TOML, one thing, a list, or both kinds by name.
//!
//! Targets and steps are written as on the command line, so what `show --json` prints is a file, too.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Map, Value};
use solmu_proto::sla::v1::Policy;

use super::super::parse;

/// Where policies stand that do not say.
const POSITION: i32 = 100;
/// What pauses a policy that does not say.
const PAUSES: [&str; 2] = ["waiting_on_customer", "waiting_on_third_party"];

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) calendars: Vec<CalendarEntry>,
    pub(super) policies: Vec<PolicyEntry>,
}

/// A calendar of a file.
#[derive(Debug, Deserialize)]
pub(super) struct CalendarEntry {
    #[serde(default)]
    pub(super) id: String,
    #[serde(alias = "display_name", default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) etag: String,
    /// In a file that `show` printed; else its fields stand beside the name.
    #[serde(default)]
    pub(super) definition: Value,
    #[serde(flatten)]
    rest: Map<String, Value>,
    /// Where in the file, for messages.
    #[serde(skip)]
    pub(super) place: String,
}

/// A policy of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicyEntry {
    pub(super) id: String,
    #[serde(alias = "display_name")]
    pub(super) name: String,
    pub(super) etag: String,
    /// Taken from what `show` printed; the server counts.
    #[serde(rename = "version")]
    _version: i32,
    position: Option<i32>,
    condition: String,
    /// Name or id.
    #[serde(alias = "calendar_id")]
    pub(super) calendar: Option<String>,
    calendar_from: String,
    targets: Vec<String>,
    team_targets: Vec<String>,
    pause_on: Option<Vec<String>>,
    #[serde(alias = "metric_pauses")]
    pause_for: Vec<String>,
    remind_before: Option<String>,
    remind_before_seconds: i32,
    steps: Vec<String>,
    next_response_from: String,
    on_priority: String,
    on_reopen: String,
    on_merge: String,
    on_edit: String,
    quiet: bool,
    combine: bool,
    sticky: bool,
    #[serde(skip)]
    pub(super) place: String,
}

impl Entries {
    /// Reads a file; a thing without a name around it is of `kind`.
    pub(super) fn read(path: &Path, kind: &str) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = if path == Path::new("-") {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map(|_| text)
        } else {
            fs::read_to_string(path)
        };
        let text = text.with_context(|| format!("cannot read '{shown}'"))?;
        let extension = path
            .extension()
            .and_then(|it| it.to_str())
            .unwrap_or("yaml");
        let value = parse_text(&text, extension).with_context(|| format!("'{shown}'"))?;
        Self::of(value, kind).with_context(|| format!("'{shown}'"))
    }

    fn of(value: Value, kind: &str) -> anyhow::Result<Self> {
        let mut lists = Map::new();
        match value {
            Value::Object(fields)
                if fields.contains_key("policies") || fields.contains_key("calendars") =>
            {
                lists = fields;
            }
            Value::Array(_) => drop(lists.insert(kind.to_owned(), value)),
            Value::Object(_) => {
                drop(lists.insert(kind.to_owned(), Value::Array(vec![value])));
            }
            _ => bail!("it holds neither policies nor calendars"),
        }
        let mut entries = Self::default();
        for (name, list) in lists {
            let are_policies = name == "policies";
            if !are_policies && name != "calendars" {
                bail!("'{name}' is unknown: there are policies and calendars");
            }
            let Value::Array(list) = list else {
                bail!("'{name}' must be a list");
            };
            for (index, value) in list.into_iter().enumerate() {
                let title = value.get("name").or_else(|| value.get("display_name"));
                let title = title.and_then(Value::as_str).unwrap_or_default();
                let place = format!("{name}[{index}] '{title}'");
                if are_policies {
                    entries.policies.push(PolicyEntry::of(value, place)?);
                } else {
                    entries.calendars.push(CalendarEntry::of(value, place)?);
                }
            }
        }
        entries.check_names()?;
        Ok(entries)
    }

    /// One name twice would make the second run undo what the first one did.
    fn check_names(&self) -> anyhow::Result<()> {
        let calendars = self
            .calendars
            .iter()
            .map(|it| (&it.id, &it.name, &it.place));
        let policies = self.policies.iter().map(|it| (&it.id, &it.name, &it.place));
        for all in [calendars.collect::<Vec<_>>(), policies.collect()] {
            for (index, (id, name, place)) in all.iter().enumerate() {
                let same = |(other_id, other, _): &(&String, &String, &String)| {
                    other.eq_ignore_ascii_case(name) && other_id == id
                };
                if all.iter().take(index).any(same) {
                    bail!("{place}: is there twice");
                }
            }
        }
        Ok(())
    }
}

fn parse_text(text: &str, extension: &str) -> anyhow::Result<Value> {
    let value = match extension {
        "json" => serde_json::from_str(text)?,
        "toml" => toml::from_str(text)?,
        _ => serde_norway::from_str(text)?,
    };
    Ok(value)
}

impl CalendarEntry {
    fn of(value: Value, place: String) -> anyhow::Result<Self> {
        let entry: Self = serde_json::from_value(value).with_context(|| place.clone())?;
        let mut entry = Self { place, ..entry };
        // Of what `show` printed; the server counts.
        entry.rest.remove("version");
        if entry.definition.is_null() {
            entry.definition = Value::Object(std::mem::take(&mut entry.rest));
        }
        if let Some(field) = entry.rest.keys().next() {
            bail!("{}: '{field}' stands beside its definition", entry.place);
        }
        check_name(&entry.name, &entry.place)?;
        Ok(entry)
    }
}

impl PolicyEntry {
    fn of(value: Value, place: String) -> anyhow::Result<Self> {
        let entry: Self = serde_json::from_value(value).with_context(|| place.clone())?;
        check_name(&entry.name, &place)?;
        Ok(Self { place, ..entry })
    }

    /// All of it but its calendar.
    pub(super) fn policy(&self) -> anyhow::Result<Policy> {
        let remind_before_seconds = match &self.remind_before {
            Some(time) => parse::seconds(time).context("remind_before")?,
            None => self.remind_before_seconds,
        };
        let pause_on = self.pause_on.clone();
        Ok(Policy {
            display_name: self.name.clone(),
            position: self.position.unwrap_or(POSITION),
            condition: self.condition.clone(),
            calendar_from: self.calendar_from.clone(),
            targets: each("targets", &self.targets, parse::target)?,
            team_targets: each("team_targets", &self.team_targets, parse::team_target)?,
            pause_on: pause_on.unwrap_or_else(|| PAUSES.map(str::to_owned).into()),
            metric_pauses: each("pause_for", &self.pause_for, parse::metric_pauses)?,
            remind_before_seconds,
            steps: each("steps", &self.steps, parse::step)?,
            next_response_from: self.next_response_from.clone(),
            on_priority: self.on_priority.clone(),
            on_reopen: self.on_reopen.clone(),
            on_merge: self.on_merge.clone(),
            on_edit: self.on_edit.clone(),
            quiet: self.quiet,
            combine: self.combine,
            sticky: self.sticky,
            ..Policy::default()
        })
    }
}

fn check_name(name: &str, place: &str) -> anyhow::Result<()> {
    if name.trim().is_empty() {
        bail!("{place}: it has no name");
    }
    Ok(())
}

fn each<T>(
    field: &str,
    texts: &[String],
    parse: fn(&str) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<T>> {
    let parsed = texts
        .iter()
        .enumerate()
        .map(|(index, text)| parse(text).with_context(|| format!("{field}[{index}]")));
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use solmu_proto::sla::v1::ActionKind;

    use super::*;

    const BOTH: &str = r#"
calendars:
  - name: Office
    tz: Europe/Helsinki
    hours:
      mon: [["08:00", "16:00"]]
policies:
  - name: VIP
    position: 10
    condition: tags:vip AND priority >= high
    calendar: Office
    targets:
      - urgent:first_response=15m,resolution=4h
      - "*:first_response=1h"
    remind_before: 15m
    steps:
      - any:after=30m:notify=team_lead
      - any:after=1h:notify_event=manager
    quiet: true
"#;

    fn entries(text: &str, extension: &str, kind: &str) -> anyhow::Result<Entries> {
        Entries::of(parse_text(text, extension)?, kind)
    }

    fn refused(text: &str) -> String {
        format!("{:#}", entries(text, "yaml", "policies").unwrap_err())
    }

    #[test]
    fn a_file_holds_calendars_and_policies() {
        let both = entries(BOTH, "yaml", "policies").unwrap();
        assert_eq!(both.calendars.len(), 1);
        let office = &both.calendars[0];
        assert_eq!(office.definition["hours"]["mon"][0][1], "16:00");
        assert_eq!(office.definition.get("name"), None);
        let policy = both.policies[0].policy().unwrap();
        assert_eq!((policy.position, policy.quiet), (10, true));
        assert_eq!(policy.targets[1].first_response_seconds, 3_600);
        assert_eq!(policy.remind_before_seconds, 900);
        assert_eq!(policy.pause_on, PAUSES, "as a new one");
        let steps: Vec<_> = policy
            .steps
            .iter()
            .map(|it| (it.action(), it.event_only))
            .collect();
        assert_eq!(
            steps,
            [(ActionKind::Notify, false), (ActionKind::Notify, true)]
        );
    }

    #[test]
    fn one_thing_and_lists_are_files_too() {
        let json = r#"{"name": "Night", "always_open": true}"#;
        let one = entries(json, "json", "calendars").unwrap();
        assert_eq!(
            one.calendars[0].definition.to_string(),
            r#"{"always_open":true}"#
        );
        let shown = r#"[{"id": "7", "display_name": "Night", "version": 3, "etag": "\"3\"",
            "definition": {"always_open": true}}]"#;
        let shown = entries(shown, "json", "calendars").unwrap();
        assert_eq!(
            (
                shown.calendars[0].id.as_str(),
                shown.calendars[0].etag.as_str()
            ),
            ("7", "\"3\"")
        );
        let toml = "name = \"VIP\"\npause_on = []\ntargets = [\"*:resolution=1h\"]\n";
        let toml = entries(toml, "toml", "policies").unwrap();
        assert!(toml.policies[0].policy().unwrap().pause_on.is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let said = refused("- name: A\n- name: VIP\n  prio: 1\n");
        assert!(
            said.starts_with("policies[1] 'VIP': unknown field `prio`"),
            "{said}"
        );
        assert!(refused("- name: ' '").contains("it has no name"));
        assert!(refused("- name: A\n- name: a").contains("is there twice"));
        assert!(refused("policies: 3").contains("must be a list"));
        assert!(refused("policies: []\nrules: []").contains("'rules' is unknown"));
        assert!(refused("7").contains("neither policies nor calendars"));
        assert!(refused("a: [").contains(" at line 2"));
        let both = "name: A\ndefinition: {}\nhours: {}";
        let both = entries(both, "yaml", "calendars").unwrap_err();
        assert!(both.to_string().contains("'hours' stands beside"), "{both}");
        let bad = entries("name: A\nsteps: ['any:soon:warn']", "yaml", "policies").unwrap();
        let error = format!("{:#}", bad.policies[0].policy().unwrap_err());
        assert!(error.starts_with("steps[0]: 'soon' is no time"), "{error}");
    }
}
