//! Calendars: versions, previews, holidays out of files, and which team works by which.

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use solmu_bus::envelope::{from_proto_time, to_proto_time};
use solmu_domain::{
    ids::CalendarId,
    sla::{Calendar, CalendarFrom, CalendarSpec, HolidayImport, Opening, holidays_of_ical},
};
use solmu_proto::sla::v1 as proto;
use solmu_runtime::ApiError;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    SlaServer, check_etag,
    policies::{edit_begin, is_renamed},
};
use crate::{
    store::catalogue::{self as store, CalendarRow},
    wanted::{WantedCalendar, check_definition, definition, etag, id_in},
};

/// Openings in a preview at most, and if no number is asked for.
const OPENINGS_MAX: i32 = 200;
const OPENINGS: i32 = 10;
/// How far a preview looks ahead.
const PREVIEW_YEARS: i32 = 10;
/// Years for which rules of holidays are written out at most, and if no number is asked for.
const HOLIDAY_YEARS_MAX: i32 = 20;
const HOLIDAY_YEARS: i32 = 5;

impl SlaServer {
    pub(super) async fn create_calendar(
        &self,
        request: proto::CreateCalendarRequest,
    ) -> Result<proto::Calendar, ApiError> {
        let dry = request.validate_only;
        let wanted = WantedCalendar::parse(request.calendar)?;
        let row = CalendarRow {
            id: CalendarId::generate(self.maker.clock.as_ref(), self.maker.rng.as_ref()),
            version: 1,
            display_name: wanted.display_name,
            definition: wanted.definition,
            deleted: false,
        };
        if dry {
            let mut connection = self.connection().await?;
            check_name(&mut connection, &row).await?;
            return calendar_to_proto(&row);
        }
        let now = self.maker.clock.now();
        self.db
            .tx("sla.create_calendar", |tx| {
                let row = row.clone();
                Box::pin(async move {
                    store::revise(tx).await?;
                    check_name(tx, &row).await?;
                    Ok::<_, ApiError>(store::calendar_insert(tx, &row, now).await?)
                })
            })
            .await?;
        tracing::info!(calendar.id = %row.id, "calendar created");
        calendar_to_proto(&row)
    }

    pub(super) async fn get_calendar(
        &self,
        request: proto::GetCalendarRequest,
    ) -> Result<proto::Calendar, ApiError> {
        let mut connection = self.connection().await?;
        let row = calendar_current(&mut connection, id_in("id", &request.id)?).await?;
        calendar_to_proto(&row)
    }

    pub(super) async fn list_calendars(
        &self,
        _: proto::ListCalendarsRequest,
    ) -> Result<proto::ListCalendarsResponse, ApiError> {
        let mut connection = self.connection().await?;
        let rows = store::calendar_list(&mut connection).await?;
        // The newest version of each: versions of one calendar follow each other.
        let newest = rows.chunk_by(|a, b| a.id == b.id).filter_map(<[_]>::last);
        let newest = newest.filter(|row| !row.deleted);
        let calendars = newest.map(calendar_to_proto).collect::<Result<_, _>>()?;
        Ok(proto::ListCalendarsResponse { calendars })
    }

    pub(super) async fn update_calendar(
        &self,
        request: proto::UpdateCalendarRequest,
    ) -> Result<proto::Calendar, ApiError> {
        let given = request.calendar.as_ref();
        let id: CalendarId = id_in("calendar.id", given.map_or("", |it| it.id.as_str()))?;
        let etag = given.map(|it| it.etag.clone()).unwrap_or_default();
        let dry = request.validate_only;
        let wanted = WantedCalendar::parse(request.calendar)?;
        let row = CalendarRow {
            id,
            version: 0,
            display_name: wanted.display_name,
            definition: wanted.definition,
            deleted: false,
        };
        let now = self.maker.clock.now();
        let row = self
            .db
            .tx("sla.update_calendar", |tx| {
                let (row, etag) = (row.clone(), etag.clone());
                Box::pin(async move {
                    if dry {
                        return calendar_next(tx, row, &etag).await;
                    }
                    calendar_update(tx, row, &etag, now).await
                })
            })
            .await?;
        if !dry {
            tracing::info!(calendar.id = %row.id, version = row.version, "calendar updated");
        }
        calendar_to_proto(&row)
    }

    pub(super) async fn delete_calendar(
        &self,
        request: proto::DeleteCalendarRequest,
    ) -> Result<proto::DeleteCalendarResponse, ApiError> {
        let id: CalendarId = id_in("id", &request.id)?;
        let now = self.maker.clock.now();
        self.db
            .tx("sla.delete_calendar", |tx| {
                let etag = request.etag.clone();
                Box::pin(async move { calendar_delete(tx, id, &etag, now).await })
            })
            .await?;
        tracing::info!(calendar.id = %id, "calendar deleted");
        Ok(proto::DeleteCalendarResponse {})
    }

    pub(super) async fn preview_calendar(
        &self,
        request: proto::PreviewCalendarRequest,
    ) -> Result<proto::PreviewCalendarResponse, ApiError> {
        let spec = if request.id.is_empty() {
            definition("definition_json", &request.definition_json)?
        } else {
            let mut connection = self.connection().await?;
            let row = calendar_current(&mut connection, id_in("id", &request.id)?).await?;
            row.definition
        };
        let calendar = Calendar::new(&spec).map_err(ApiError::internal)?;
        let from = request.from_time.as_ref().map(from_proto_time);
        let from = from.unwrap_or_else(|| self.maker.clock.now());
        let until = years_later(from, PREVIEW_YEARS);
        let count = number("count", request.count, OPENINGS, OPENINGS_MAX)?;
        let openings = calendar.openings(from, until, count);
        let target = Some(request.target_seconds).filter(|seconds| *seconds > 0);
        Ok(proto::PreviewCalendarResponse {
            openings: openings.into_iter().map(opening_to_proto).collect(),
            open: calendar.is_open(from),
            due_time: target.map(|seconds| to_proto_time(calendar.due(from, seconds))),
        })
    }

    pub(super) async fn import_holidays(
        &self,
        request: proto::ImportHolidaysRequest,
    ) -> Result<proto::ImportHolidaysResponse, ApiError> {
        let id: CalendarId = id_in("calendar_id", &request.calendar_id)?;
        let years = number("years", request.years, HOLIDAY_YEARS, HOLIDAY_YEARS_MAX)?;
        let now = self.maker.clock.now();
        let today = now.to_zoned(TimeZone::UTC).date();
        // Last year, too: clocks that run may have begun there.
        let first = today.saturating_sub(1.years()).first_of_year();
        let years = i64::try_from(years).unwrap_or(i64::from(HOLIDAY_YEARS_MAX));
        let last = today.saturating_add(years.years()).last_of_year();
        let import = holidays_of_ical(&request.icalendar, first, last)
            .map_err(|error| ApiError::invalid("icalendar", error.to_string()))?;
        let (row, added) = self
            .db
            .tx("sla.import_holidays", |tx| {
                let (etag, import, dry) = (request.etag.clone(), import.clone(), request.dry_run);
                Box::pin(async move { holidays_add(tx, id, &etag, &import, dry, now).await })
            })
            .await?;
        let known = import.holidays.len().saturating_sub(added.len());
        tracing::info!(calendar.id = %id, added = added.len(), known, dry_run = request.dry_run, "holidays imported");
        let skipped = import.skipped.into_iter().map(|entry| proto::SkippedEntry {
            line: i32::try_from(entry.line).unwrap_or(i32::MAX),
            name: entry.name,
            reason: entry.reason.to_owned(),
        });
        Ok(proto::ImportHolidaysResponse {
            calendar: Some(calendar_to_proto(&row)?),
            added,
            known: i32::try_from(known).unwrap_or(i32::MAX),
            skipped: skipped.collect(),
        })
    }

    pub(super) async fn set_team_calendar(
        &self,
        request: proto::SetTeamCalendarRequest,
    ) -> Result<proto::TeamCalendar, ApiError> {
        let team: Uuid = id_in("team_id", &request.team_id)?;
        let calendar: Option<CalendarId> = match request.calendar_id.as_str() {
            "" => None,
            id => Some(id_in("calendar_id", id)?),
        };
        self.db
            .tx("sla.set_team_calendar", |tx| {
                Box::pin(async move {
                    store::revise(tx).await?;
                    if let Some(id) = calendar {
                        calendar_current(tx, id).await?;
                    }
                    store::team_calendar_set(tx, team, calendar).await?;
                    Ok::<(), ApiError>(())
                })
            })
            .await?;
        tracing::info!(team.id = %team, "calendar of a team set");
        Ok(proto::TeamCalendar {
            team_id: team.to_string(),
            calendar_id: calendar.map(|id| id.to_string()).unwrap_or_default(),
        })
    }

    pub(super) async fn list_team_calendars(
        &self,
        _: proto::ListTeamCalendarsRequest,
    ) -> Result<proto::ListTeamCalendarsResponse, ApiError> {
        let mut connection = self.connection().await?;
        let rows = store::team_calendar_list(&mut connection).await?;
        let team_calendars = rows
            .into_iter()
            .map(|(team, calendar)| proto::TeamCalendar {
                team_id: team.to_string(),
                calendar_id: calendar.to_string(),
            });
        Ok(proto::ListTeamCalendarsResponse {
            team_calendars: team_calendars.collect(),
        })
    }
}

/// A number of a request that has a default and a limit.
fn number(field: &str, given: i32, default: i32, most: i32) -> Result<usize, ApiError> {
    let wanted = if given == 0 { default } else { given };
    if !(1..=most).contains(&wanted) {
        return Err(ApiError::invalid(field, format!("must be 1 to {most}")));
    }
    Ok(usize::try_from(wanted).unwrap_or_default())
}

fn years_later(from: Timestamp, years: i32) -> Timestamp {
    let later = from.to_zoned(TimeZone::UTC).checked_add(years.years());
    later.map_or(Timestamp::MAX, |later| later.timestamp())
}

async fn calendar_current(tx: &mut PgConnection, id: CalendarId) -> Result<CalendarRow, ApiError> {
    let row = store::calendar_fetch(tx, id).await?;
    row.ok_or_else(|| ApiError::not_found("calendar", &id))
}

/// The row as the next version of its calendar.
async fn calendar_next(
    tx: &mut PgConnection,
    mut row: CalendarRow,
    given: &str,
) -> Result<CalendarRow, ApiError> {
    let before = calendar_current(tx, row.id).await?;
    check_etag(given, &etag(before.version))?;
    if is_renamed(&before.display_name, &row.display_name) {
        check_name(tx, &row).await?;
    }
    row.version = before.version + 1;
    Ok(row)
}

/// As for policies: a second one of a name is refused, one that is there stays.
async fn check_name(tx: &mut PgConnection, row: &CalendarRow) -> Result<(), ApiError> {
    if store::calendar_named(tx, &row.display_name, row.id).await? {
        return Err(ApiError::AlreadyExists {
            resource: "calendar",
            id: row.display_name.clone(),
        });
    }
    Ok(())
}

async fn calendar_update(
    tx: &mut PgConnection,
    row: CalendarRow,
    given: &str,
    now: Timestamp,
) -> Result<CalendarRow, ApiError> {
    store::revise(tx).await?;
    let row = calendar_next(tx, row, given).await?;
    store::calendar_insert(tx, &row, now).await?;
    let policies = store::policy_list(tx).await?;
    let teams = store::team_calendar_list(tx).await?;
    let of_teams = teams.iter().any(|(_, calendar)| *calendar == row.id);
    for policy in policies.iter().filter(|policy| policy.current) {
        let by_team = policy.terms.rules.calendar_from != CalendarFrom::Policy;
        if policy.calendar == row.id || (of_teams && by_team) {
            edit_begin(tx, policy, now).await?;
        }
    }
    Ok(row)
}

async fn calendar_delete(
    tx: &mut PgConnection,
    id: CalendarId,
    given: &str,
    now: Timestamp,
) -> Result<(), ApiError> {
    store::revise(tx).await?;
    let row = calendar_current(tx, id).await?;
    check_etag(given, &etag(row.version))?;
    let (policies, teams) = store::calendar_users(tx, id).await?;
    if !policies.is_empty() || teams > 0 {
        let message = format!(
            "{} policies and {teams} teams work by this calendar: give them another one first",
            policies.len()
        );
        return Err(ApiError::FailedPrecondition {
            reason: "CALENDAR_IN_USE",
            message,
        });
    }
    Ok(store::calendar_delete(tx, id, now).await?)
}

/// Adds what is not there yet, in a new version if that is anything.
async fn holidays_add(
    tx: &mut PgConnection,
    id: CalendarId,
    given: &str,
    import: &HolidayImport,
    dry_run: bool,
    now: Timestamp,
) -> Result<(CalendarRow, Vec<proto::Holiday>), ApiError> {
    let mut row = calendar_current(tx, id).await?;
    check_etag(given, &etag(row.version))?;
    let mut added = Vec::new();
    for (date, name) in &import.holidays {
        if !is_known(&row.definition, date) {
            added.push(proto::Holiday {
                date: date.clone(),
                name: name.clone(),
            });
        }
    }
    let dates = added.iter().map(|holiday| holiday.date.clone());
    row.definition.holidays.extend(dates);
    check_definition("icalendar", &row.definition)?;
    if dry_run || added.is_empty() {
        return Ok((row, added));
    }
    let row = calendar_update(tx, row, given, now).await?;
    Ok((row, added))
}

/// Whether a calendar has a holiday, also as a yearly one.
fn is_known(spec: &CalendarSpec, date: &str) -> bool {
    let yearly = date.get(4..).map(|rest| format!("*{rest}"));
    let has = |date: &str| spec.holidays.iter().any(|known| known == date);
    has(date) || yearly.is_some_and(|yearly| has(&yearly))
}

fn opening_to_proto(opening: Opening) -> proto::Opening {
    proto::Opening {
        open_time: Some(to_proto_time(opening.open)),
        close_time: Some(to_proto_time(opening.close)),
    }
}

fn calendar_to_proto(row: &CalendarRow) -> Result<proto::Calendar, ApiError> {
    let definition_json = serde_json::to_string(&row.definition).map_err(ApiError::internal)?;
    Ok(proto::Calendar {
        id: row.id.to_string(),
        display_name: row.display_name.clone(),
        definition_json,
        version: row.version,
        etag: etag(row.version),
    })
}
