//! `solmu sla calendar`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use solmu_client::Client;
use solmu_proto::sla::v1::{
    Calendar, CreateCalendarRequest, DeleteCalendarRequest, ImportHolidaysRequest,
    ListCalendarsRequest, ListTeamCalendarsRequest, PreviewCalendarRequest,
    PreviewCalendarResponse, SetTeamCalendarRequest, UpdateCalendarRequest,
};

use super::{
    parse,
    set::{self, SetArgs},
};
use crate::{connect::Session, output::table, roster::Roster, words};

/// Business calendars.
#[derive(Debug, Subcommand)]
pub enum CalendarCommand {
    /// All calendars
    List,
    /// One calendar with its definition
    Show {
        /// Its name or id
        calendar: String,
    },
    /// Make a calendar
    Create {
        /// Its name
        name: String,
        /// JSON with tz, hours, holidays, overrides, breaks or always_open
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Change a calendar: a new version
    Update {
        /// Its name or id
        calendar: String,
        /// Another name
        #[arg(long)]
        name: Option<String>,
        /// Another definition
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Make calendars, or replace them, as a file says; a second run changes nothing
    Set(SetArgs),
    /// Take a calendar away that no policy and no team uses
    Delete {
        /// Its name or id
        calendar: String,
    },
    /// The next openings
    Preview(PreviewArgs),
    /// Add the holidays of an iCalendar file
    Import {
        /// Name or id of the calendar
        calendar: String,
        /// The file (.ics)
        file: PathBuf,
        /// Years ahead for holidays without a fixed day
        #[arg(long, default_value_t = 5)]
        years: i32,
        /// Only say what would be added
        #[arg(long)]
        dry_run: bool,
    },
    /// Say which calendar a team works by; without any, list them
    Team {
        /// The team, by name or id
        team: Option<String>,
        /// The calendar, by name or id; none: the policies' own
        #[arg(long)]
        calendar: Option<String>,
    },
}

/// What to show of a calendar.
#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// Its name or id
    calendar: Option<String>,
    /// A definition that is not saved yet, in place of a calendar
    #[arg(long, value_name = "FILE", conflicts_with = "calendar")]
    file: Option<PathBuf>,
    /// From when on, e.g. 2026-12-24T08:00:00+02:00; now, if not given
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// How many
    #[arg(long, default_value_t = 10)]
    count: i32,
    /// Also say when such a target would be due, e.g. 4h
    #[arg(long, value_name = "TIME")]
    target: Option<String>,
}

pub(super) async fn run(session: &Session, command: CalendarCommand) -> anyhow::Result<()> {
    let client = session.client()?;
    match command {
        CalendarCommand::List => list(session, &client).await,
        CalendarCommand::Show { calendar } => {
            let found = find(&fetch_all(session, &client).await?, &calendar)?;
            let definition: serde_json::Value = serde_json::from_str(&found.definition_json)?;
            let text = format!(
                "{}  (version {}, id {})\n{}",
                words::short(&found.display_name, 60),
                found.version,
                found.id,
                serde_json::to_string_pretty(&definition)?
            );
            session.out.either(&CalendarView::of(&found)?, text)
        }
        CalendarCommand::Create { name, file } => {
            let calendar = Calendar {
                display_name: name,
                definition_json: read(&file)?,
                ..Calendar::default()
            };
            let calendar = Some(calendar);
            let request = CreateCalendarRequest {
                calendar,
                validate_only: false,
            };
            let made = client.sla().create_calendar(request).await;
            let made = made.map_err(|status| session.explain(status))?;
            told(session, &made.into_inner(), "is there")
        }
        CalendarCommand::Update {
            calendar,
            name,
            file,
        } => {
            let mut calendar = find(&fetch_all(session, &client).await?, &calendar)?;
            if let Some(name) = name {
                calendar.display_name = name;
            }
            if let Some(file) = file {
                calendar.definition_json = read(&file)?;
            }
            let calendar = Some(calendar);
            let request = UpdateCalendarRequest {
                calendar,
                validate_only: false,
            };
            let made = client.sla().update_calendar(request).await;
            let made = made.map_err(|status| session.explain(status))?;
            told(session, &made.into_inner(), "is changed")
        }
        CalendarCommand::Set(arguments) => set::calendars(session, &arguments).await,
        CalendarCommand::Delete { calendar } => {
            let Calendar { id, etag, .. } = find(&fetch_all(session, &client).await?, &calendar)?;
            let request = DeleteCalendarRequest {
                id: id.clone(),
                etag,
            };
            let done = client.sla().delete_calendar(request).await;
            done.map_err(|status| session.explain(status))?;
            session.out.either(
                &serde_json::json!({"id": id, "deleted": true}),
                "The calendar is gone.",
            )
        }
        CalendarCommand::Preview(arguments) => preview(session, &client, arguments).await,
        CalendarCommand::Import {
            calendar,
            file,
            years,
            dry_run,
        } => {
            let calendar = find(&fetch_all(session, &client).await?, &calendar)?;
            import(session, &client, calendar, &read(&file)?, years, dry_run).await
        }
        CalendarCommand::Team { team, calendar } => of_team(session, &client, team, calendar).await,
    }
}

async fn list(session: &Session, client: &Client) -> anyhow::Result<()> {
    let calendars = fetch_all(session, client).await?;
    let mut rows = table(&["Calendar", "Zone", "Version", "Id"]);
    let mut views = Vec::new();
    for calendar in &calendars {
        let view = CalendarView::of(calendar)?;
        let zone = view.definition.get("tz").and_then(|tz| tz.as_str());
        rows.add_row([
            words::short(&calendar.display_name, 40),
            words::short(zone.unwrap_or("UTC"), 40),
            calendar.version.to_string(),
            calendar.id.clone(),
        ]);
        views.push(view);
    }
    session.out.rows(&views, &rows, "There is no calendar.")
}

fn read(file: &PathBuf) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read '{}'", file.display()))
}

fn told(session: &Session, calendar: &Calendar, what: &str) -> anyhow::Result<()> {
    let name = words::short(&calendar.display_name, 40);
    let text = format!(
        "Calendar '{name}' {what}, version {}, id {}.",
        calendar.version, calendar.id
    );
    session.out.either(&CalendarView::of(calendar)?, text)
}

/// All calendars.
pub(super) async fn fetch_all(session: &Session, client: &Client) -> anyhow::Result<Vec<Calendar>> {
    let answer = client.sla().list_calendars(ListCalendarsRequest {}).await;
    let answer = answer.map_err(|status| session.explain(status))?;
    Ok(answer.into_inner().calendars)
}

/// The calendar that somebody means by an id or a name.
pub(super) fn find(calendars: &[Calendar], meant: &str) -> anyhow::Result<Calendar> {
    if let Some(calendar) = calendars.iter().find(|calendar| calendar.id == meant) {
        return Ok(calendar.clone());
    }
    let named = |calendar: &&Calendar| calendar.display_name.eq_ignore_ascii_case(meant);
    let mut found = calendars.iter().filter(named);
    match (found.next(), found.next()) {
        (Some(calendar), None) => Ok(calendar.clone()),
        (None, _) => bail!("there is no calendar '{meant}'"),
        _ => bail!("several calendars are called '{meant}': name one by its id"),
    }
}

/// The name of a calendar, or the id that none has.
pub(super) fn name<'a>(calendars: &'a [Calendar], id: &'a str) -> &'a str {
    let found = calendars.iter().find(|calendar| calendar.id == id);
    found.map_or(id, |calendar| &calendar.display_name)
}

async fn preview(session: &Session, client: &Client, arguments: PreviewArgs) -> anyhow::Result<()> {
    let mut request = PreviewCalendarRequest {
        count: arguments.count,
        from_time: arguments.from.map(|from| prost_types::Timestamp {
            seconds: from.as_second(),
            nanos: from.subsec_nanosecond(),
        }),
        ..PreviewCalendarRequest::default()
    };
    if let Some(target) = &arguments.target {
        request.target_seconds = i64::from(parse::seconds(target)?);
    }
    let zone = match (&arguments.calendar, &arguments.file) {
        (_, Some(file)) => {
            request.definition_json = read(file)?;
            zone_of(&request.definition_json)
        }
        (Some(meant), None) => {
            let calendar = find(&fetch_all(session, client).await?, meant)?;
            request.id = calendar.id;
            zone_of(&calendar.definition_json)
        }
        (None, None) => bail!("name a calendar, or a definition with --file"),
    };
    let answer = client.sla().preview_calendar(request).await;
    let answer = answer
        .map_err(|status| session.explain(status))?
        .into_inner();
    if session.out.is_json() {
        for opening in &answer.openings {
            session.out.object(&serde_json::json!({
                "open_time": words::time(opening.open_time.as_ref()),
                "close_time": words::time(opening.close_time.as_ref()),
            }))?;
        }
        return Ok(());
    }
    session.out.line(openings_text(&answer, &zone))
}

/// The zone of a definition; that of this machine where it cannot be told.
fn zone_of(definition: &str) -> TimeZone {
    let definition: Option<serde_json::Value> = serde_json::from_str(definition).ok();
    let name = definition.as_ref().and_then(|it| it.get("tz")?.as_str());
    TimeZone::get(name.unwrap_or("UTC")).unwrap_or_else(|_| TimeZone::system())
}

fn openings_text(answer: &PreviewCalendarResponse, zone: &TimeZone) -> String {
    let civil = |at: Option<&prost_types::Timestamp>, format: &str| {
        words::time(at).map_or_else(String::new, |at| {
            at.to_zoned(zone.clone()).strftime(format).to_string()
        })
    };
    let mut lines = vec![
        if answer.open {
            "It is open."
        } else {
            "It is closed."
        }
        .to_owned(),
    ];
    for opening in &answer.openings {
        lines.push(format!(
            "  {}  to  {}",
            civil(opening.open_time.as_ref(), "%a %Y-%m-%d %H:%M %Z"),
            civil(opening.close_time.as_ref(), "%a %Y-%m-%d %H:%M"),
        ));
    }
    if answer.due_time.is_some() {
        let due = civil(answer.due_time.as_ref(), "%a %Y-%m-%d %H:%M:%S %Z");
        lines.push(format!("Due {due}."));
    }
    lines.join("\n")
}

async fn import(
    session: &Session,
    client: &Client,
    calendar: Calendar,
    icalendar: &str,
    years: i32,
    dry_run: bool,
) -> anyhow::Result<()> {
    let request = ImportHolidaysRequest {
        calendar_id: calendar.id,
        etag: calendar.etag,
        icalendar: icalendar.to_owned(),
        years,
        dry_run,
    };
    let answer = client.sla().import_holidays(request).await;
    let answer = answer
        .map_err(|status| session.explain(status))?
        .into_inner();
    if session.out.is_json() {
        let added: Vec<_> = answer
            .added
            .iter()
            .map(|it| serde_json::json!({"date": it.date, "name": it.name}))
            .collect();
        let skipped: Vec<_> = answer
            .skipped
            .iter()
            .map(|it| serde_json::json!({"line": it.line, "name": it.name, "reason": it.reason}))
            .collect();
        return session.out.object(&serde_json::json!({
            "added": added, "known": answer.known, "skipped": skipped, "dry_run": dry_run,
        }));
    }
    for holiday in &answer.added {
        session.out.line(format!(
            "  {}  {}",
            holiday.date,
            words::short(&holiday.name, 60)
        ))?;
    }
    for entry in &answer.skipped {
        let name = words::short(&entry.name, 60);
        session
            .out
            .line(format!("  line {}: '{name}' {}", entry.line, entry.reason))?;
    }
    let verb = if dry_run { "would be added" } else { "added" };
    session.out.line(format!(
        "{} {verb}, {} there already, {} left out.",
        answer.added.len(),
        answer.known,
        answer.skipped.len()
    ))
}

async fn of_team(
    session: &Session,
    client: &Client,
    team: Option<String>,
    calendar: Option<String>,
) -> anyhow::Result<()> {
    let calendars = fetch_all(session, client).await?;
    let roster = Roster::fetch_or_empty(session, client).await;
    let Some(team) = team else {
        let answer = client
            .sla()
            .list_team_calendars(ListTeamCalendarsRequest {})
            .await;
        let answer = answer
            .map_err(|status| session.explain(status))?
            .into_inner();
        let mut rows = table(&["Team", "Calendar"]);
        let mut views = Vec::new();
        for own in &answer.team_calendars {
            rows.add_row([
                words::short(roster.team_name(&own.team_id), 40),
                words::short(name(&calendars, &own.calendar_id), 40),
            ]);
            let (team_id, calendar_id) = (&own.team_id, &own.calendar_id);
            views.push(serde_json::json!({"team_id": team_id, "calendar_id": calendar_id}));
        }
        return session
            .out
            .rows(&views, &rows, "No team has a calendar of its own.");
    };
    let team = roster.team(&team)?;
    let found = calendar.map(|meant| find(&calendars, &meant)).transpose()?;
    let request = SetTeamCalendarRequest {
        team_id: team.id.clone(),
        calendar_id: found.as_ref().map(|it| it.id.clone()).unwrap_or_default(),
    };
    let done = client.sla().set_team_calendar(request).await;
    let done = done.map_err(|status| session.explain(status))?.into_inner();
    let by = found.map_or_else(
        || "the policies' calendars".to_owned(),
        |calendar| words::short(&calendar.display_name, 40),
    );
    let text = format!("{} works by {by}.", words::short(&team.display_name, 40));
    session.out.either(
        &serde_json::json!({"team_id": done.team_id, "calendar_id": done.calendar_id}),
        text,
    )
}

/// A calendar for scripts.
#[derive(Debug, Serialize)]
struct CalendarView {
    id: String,
    display_name: String,
    version: i32,
    etag: String,
    definition: serde_json::Value,
}

impl CalendarView {
    fn of(calendar: &Calendar) -> anyhow::Result<Self> {
        Ok(Self {
            id: calendar.id.clone(),
            display_name: calendar.display_name.clone(),
            version: calendar.version,
            etag: calendar.etag.clone(),
            definition: serde_json::from_str(&calendar.definition_json)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use solmu_proto::sla::v1::Opening;

    use super::*;

    #[test]
    fn openings_are_shown_in_the_zone_of_the_calendar() {
        let time = |text: &str| {
            let at: Timestamp = text.parse().unwrap();
            Some(prost_types::Timestamp {
                seconds: at.as_second(),
                nanos: 0,
            })
        };
        let answer = PreviewCalendarResponse {
            openings: vec![Opening {
                open_time: time("2026-11-23T06:00:00Z"),
                close_time: time("2026-11-23T14:00:00Z"),
            }],
            open: false,
            due_time: time("2026-11-23T10:00:00Z"),
        };
        let text = openings_text(&answer, &zone_of(r#"{"tz": "Europe/Helsinki"}"#));
        assert_eq!(
            text,
            "It is closed.\n  Mon 2026-11-23 08:00 EET  to  Mon 2026-11-23 16:00\nDue Mon 2026-11-23 12:00:00 EET."
        );
    }

    #[test]
    fn names_and_ids_are_found() {
        let calendar = |id: &str, name: &str| Calendar {
            id: id.to_owned(),
            display_name: name.to_owned(),
            definition_json: "{}".to_owned(),
            ..Calendar::default()
        };
        let all = [
            calendar("1", "Office"),
            calendar("2", "Night"),
            calendar("3", "night"),
        ];
        assert_eq!(find(&all, "office").unwrap().id, "1");
        assert_eq!(find(&all, "3").unwrap().id, "3");
        assert!(find(&all, "night").is_err() && find(&all, "x").is_err());
        assert_eq!((name(&all, "2"), name(&all, "9")), ("Night", "9"));
    }
}
