//! `solmu sla policy set FILE` and `solmu sla calendar set FILE`: promises that are kept as files beside other
//! configuration.
//!
//! A file says all of a policy: what it leaves out is as in a new one. What would come of it is asked of the server
//! (`validate_only`) and compared with what is there, so that a second run changes nothing, and nothing is changed
//! before all of the file is found good. What the file does not name is left alone: taking a policy away is a command of
//! its own.

mod difference;
mod file;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use solmu_client::Client;
use solmu_proto::sla::v1::{
    Calendar, CreateCalendarRequest, CreatePolicyRequest, Policy, UpdateCalendarRequest,
    UpdatePolicyRequest,
};

use self::{
    difference::{Change, changes},
    file::{CalendarEntry, Entries, PolicyEntry},
};
use super::{
    calendar,
    people::name_to_id,
    policy::{self, PolicyView},
};
use crate::{connect::Session, words};

/// What to set.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// YAML, JSON or TOML, by its name; - is YAML on standard input
    file: PathBuf,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// One thing of the file, next to what is there.
struct Planned<T> {
    wanted: T,
    /// "created", "updated" or "unchanged".
    action: &'static str,
    changes: Vec<Change>,
}

impl<T> Planned<T> {
    fn new(wanted: T, current: Option<&Value>, next: &Value) -> Self {
        let changes = changes(current, next);
        let action = match (current, changes.is_empty()) {
            (None, _) => "created",
            (Some(_), true) => "unchanged",
            (Some(_), false) => "updated",
        };
        Self {
            wanted,
            action,
            changes,
        }
    }

    fn is_needed(&self) -> bool {
        self.action != "unchanged"
    }
}

/// Sets calendars.
pub(super) async fn calendars(session: &Session, arguments: &SetArgs) -> anyhow::Result<()> {
    let entries = Entries::read(&arguments.file, "calendars")?;
    if !entries.policies.is_empty() {
        bail!("the file has policies: set it with `solmu sla policy set`");
    }
    let client = session.client()?;
    let there = calendar::fetch_all(session, &client).await?;
    let planned = plan_calendars(session, &client, &entries.calendars, &there).await?;
    write_calendars(session, &client, planned, arguments.dry_run).await
}

/// Sets policies, and the calendars of the same file before them.
pub(super) async fn policies(session: &Session, arguments: &SetArgs) -> anyhow::Result<()> {
    let entries = Entries::read(&arguments.file, "policies")?;
    let client = session.client()?;
    let there = calendar::fetch_all(session, &client).await?;
    let calendars = plan_calendars(session, &client, &entries.calendars, &there).await?;
    let new: Vec<String> = calendars
        .iter()
        .filter(|it| it.wanted.id.is_empty())
        .map(|it| it.wanted.display_name.clone())
        .collect();
    // Now, so that a fault in a policy leaves the calendars as they are.
    plan_policies(session, &client, &entries.policies, &there, &new).await?;
    write_calendars(session, &client, calendars, arguments.dry_run).await?;
    let there = calendar::fetch_all(session, &client).await?;
    let planned = plan_policies(session, &client, &entries.policies, &there, &new).await?;
    write_policies(session, &client, planned, arguments.dry_run).await
}

async fn plan_calendars(
    session: &Session,
    client: &Client,
    entries: &[CalendarEntry],
    there: &[Calendar],
) -> anyhow::Result<Vec<Planned<Calendar>>> {
    let mut planned = Vec::new();
    for entry in entries {
        let same = |it: &&Calendar| is_meant(&entry.id, &entry.name, &it.id, &it.display_name);
        let current = one(there.iter().filter(same), &entry.id, &entry.place)?;
        let mut wanted = Calendar {
            display_name: entry.name.clone(),
            definition_json: entry.definition.to_string(),
            ..Calendar::default()
        };
        if let Some(current) = current {
            wanted.id.clone_from(&current.id);
            wanted.etag = etag_of(&entry.etag, &current.etag);
        }
        let next = put_calendar(client, wanted.clone(), true).await;
        let next = next
            .map_err(|status| session.explain(status))
            .with_context(|| entry.place.clone())?;
        let current = current.map(calendar_value).transpose()?;
        let next = calendar_value(&next)?;
        planned.push(Planned::new(wanted, current.as_ref(), &next));
    }
    Ok(planned)
}

/// Calendars that are `new` are not there yet: policies are tried with another one then.
async fn plan_policies(
    session: &Session,
    client: &Client,
    entries: &[PolicyEntry],
    calendars: &[Calendar],
    new: &[String],
) -> anyhow::Result<Vec<Planned<Policy>>> {
    let there = policy::fetch_all(session, client).await?;
    let mut planned = Vec::new();
    for entry in entries {
        let same = |it: &&Policy| is_meant(&entry.id, &entry.name, &it.id, &it.display_name);
        let current = one(there.iter().filter(same), &entry.id, &entry.place)?;
        let mut wanted = entry.policy().with_context(|| entry.place.clone())?;
        let named = name_to_id(session, client, &mut wanted).await;
        named.with_context(|| entry.place.clone())?;
        let meant = entry.calendar.as_deref();
        let is_new = |name: &str| new.iter().any(|it| it.eq_ignore_ascii_case(name));
        let known = match meant {
            Some(name) => calendar::find(calendars, name).map(|it| it.id),
            None => policy::only(calendars),
        };
        let to_come = known.is_err() && meant.is_some_and(is_new);
        wanted.calendar_id = match (known, calendars.first()) {
            (Ok(id), _) => id,
            (Err(_), Some(other)) if to_come => other.id.clone(),
            (Err(error), _) => return Err(error.context(entry.place.clone())),
        };
        if let Some(current) = current {
            wanted.id.clone_from(&current.id);
            wanted.etag = etag_of(&entry.etag, &current.etag);
        }
        let next = put_policy(client, wanted.clone(), true).await;
        let next = next
            .map_err(|status| session.explain(status))
            .with_context(|| entry.place.clone())?;
        let name_of = |policy: &Policy| match (to_come, meant) {
            (true, Some(name)) => name.to_owned(),
            _ => calendar::name(calendars, &policy.calendar_id).to_owned(),
        };
        let next = policy_value(&next, &name_of(&next))?;
        let current = current.map(|it| {
            let calendar = calendar::name(calendars, &it.calendar_id);
            policy_value(it, calendar)
        });
        planned.push(Planned::new(wanted, current.transpose()?.as_ref(), &next));
    }
    Ok(planned)
}

/// Whether the file's id, or its name where it has none, is that of what is there.
fn is_meant(id: &str, name: &str, other_id: &str, other_name: &str) -> bool {
    if id.is_empty() {
        name.eq_ignore_ascii_case(other_name)
    } else {
        id == other_id
    }
}

fn one<'a, T>(
    mut found: impl Iterator<Item = &'a T>,
    id: &str,
    place: &str,
) -> anyhow::Result<Option<&'a T>> {
    match (found.next(), found.next()) {
        (None, _) if !id.is_empty() => bail!("{place}: there is none with the id '{id}'"),
        (first, None) => Ok(first),
        _ => bail!("{place}: several are called so: name one by its id"),
    }
}

/// What the file was written after, or what was read a moment ago.
fn etag_of(given: &str, current: &str) -> String {
    if given.is_empty() { current } else { given }.to_owned()
}

fn calendar_value(calendar: &Calendar) -> anyhow::Result<Value> {
    let mut value = json!({"name": calendar.display_name});
    let definition: Value = serde_json::from_str(&calendar.definition_json)?;
    if let (Value::Object(fields), Value::Object(definition)) = (&mut value, definition) {
        fields.extend(definition);
    }
    Ok(value)
}

fn policy_value(policy: &Policy, calendar: &str) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(PolicyView::from(policy))?;
    if let Value::Object(fields) = &mut value {
        for own in ["id", "version", "etag", "calendar_id"] {
            fields.remove(own);
        }
        fields.insert("calendar".to_owned(), json!(calendar));
    }
    Ok(value)
}

async fn put_calendar(
    client: &Client,
    calendar: Calendar,
    validate_only: bool,
) -> Result<Calendar, tonic::Status> {
    let is_new = calendar.id.is_empty();
    let calendar = Some(calendar);
    let mut sla = client.sla();
    let done = if is_new {
        sla.create_calendar(CreateCalendarRequest {
            calendar,
            validate_only,
        })
        .await
    } else {
        sla.update_calendar(UpdateCalendarRequest {
            calendar,
            validate_only,
        })
        .await
    };
    done.map(tonic::Response::into_inner)
}

async fn put_policy(
    client: &Client,
    policy: Policy,
    validate_only: bool,
) -> Result<Policy, tonic::Status> {
    let is_new = policy.id.is_empty();
    let policy = Some(policy);
    let mut sla = client.sla();
    let done = if is_new {
        sla.create_policy(CreatePolicyRequest {
            policy,
            validate_only,
        })
        .await
    } else {
        sla.update_policy(UpdatePolicyRequest {
            policy,
            validate_only,
        })
        .await
    };
    done.map(tonic::Response::into_inner)
}

async fn write_calendars(
    session: &Session,
    client: &Client,
    planned: Vec<Planned<Calendar>>,
    dry: bool,
) -> anyhow::Result<()> {
    for plan in planned {
        let name = plan.wanted.display_name.clone();
        let mut id = plan.wanted.id.clone();
        if plan.is_needed() && !dry {
            let done = put_calendar(client, plan.wanted, false).await;
            id = done.map_err(|status| session.explain(status))?.id;
        }
        told(
            session,
            "calendar",
            (&name, &id),
            plan.action,
            &plan.changes,
            dry,
        )?;
    }
    Ok(())
}

async fn write_policies(
    session: &Session,
    client: &Client,
    planned: Vec<Planned<Policy>>,
    dry: bool,
) -> anyhow::Result<()> {
    for plan in planned {
        let name = plan.wanted.display_name.clone();
        let mut id = plan.wanted.id.clone();
        if plan.is_needed() && !dry {
            let done = put_policy(client, plan.wanted, false).await;
            id = done.map_err(|status| session.explain(status))?.id;
        }
        told(
            session,
            "policy",
            (&name, &id),
            plan.action,
            &plan.changes,
            dry,
        )?;
    }
    Ok(())
}

fn told(
    session: &Session,
    kind: &str,
    (name, id): (&str, &str),
    action: &str,
    changes: &[Change],
    dry: bool,
) -> anyhow::Result<()> {
    if session.out.is_json() {
        return session.out.object(&json!({
            "kind": kind, "name": name, "id": id, "action": action, "dry_run": dry, "changes": changes,
        }));
    }
    let would = if dry && action != "unchanged" {
        "would be "
    } else {
        "is "
    };
    let name = words::short(name, 60);
    session
        .out
        .line(format!("{kind} '{name}' {would}{action}"))?;
    for change in changes {
        for line in change.lines() {
            let text = line.trim_start();
            let indent = " ".repeat(line.len() - text.len());
            session
                .out
                .line(format!("{indent}{}", words::short(text, 200)))?;
        }
    }
    Ok(())
}
