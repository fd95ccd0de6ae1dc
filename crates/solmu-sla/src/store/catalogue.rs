//! Calendars and policies. Versions are only added, and each addition makes the catalogue's revision grow.

use jiff::Timestamp;
use solmu_conditions::Condition;
use solmu_db::{DbError, ToSqlx as _};
use solmu_domain::{
    ids::{CalendarId, PolicyId},
    sla::{CalendarSpec, ClockStatus, NextResponseFrom, Policy, PolicyRules},
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::policy_set::PolicyKey;

/// A version of a calendar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CalendarRow {
    pub(crate) id: CalendarId,
    pub(crate) version: i32,
    pub(crate) display_name: String,
    pub(crate) definition: CalendarSpec,
    /// No policy may use it any more.
    pub(crate) deleted: bool,
}

/// A version of a policy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PolicyRow {
    pub(crate) key: PolicyKey,
    pub(crate) current: bool,
    pub(crate) position: i32,
    pub(crate) display_name: String,
    /// As written.
    pub(crate) condition: String,
    /// As evaluated.
    pub(crate) tree: Condition,
    pub(crate) calendar: CalendarId,
    pub(crate) terms: Policy,
}

/// The revision of the catalogue.
pub(crate) async fn revision(tx: &mut PgConnection) -> Result<i64, DbError> {
    Ok(sqlx::query_scalar("SELECT revision FROM sla.catalogue")
        .fetch_one(tx)
        .await?)
}

/// Keeps others from changing the catalogue until the commit.
pub(crate) async fn lock(tx: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query("SELECT revision FROM sla.catalogue FOR UPDATE")
        .execute(tx)
        .await?;
    Ok(())
}

/// Makes the revision grow, and keeps others from changing the catalogue until the commit.
pub(crate) async fn revise(tx: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query("UPDATE sla.catalogue SET revision = revision + 1")
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether there is any policy or calendar.
pub(crate) async fn is_empty(tx: &mut PgConnection) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT 1 FROM sla.policy) AND NOT EXISTS (SELECT 1 FROM sla.calendar)",
    )
    .fetch_one(tx)
    .await?)
}

/// The newest version of a calendar that is not taken away.
pub(crate) async fn calendar_fetch(
    tx: &mut PgConnection,
    id: CalendarId,
) -> Result<Option<CalendarRow>, DbError> {
    let row: Option<CalendarSqlRow> = sqlx::query_as(
        "SELECT id, version, display_name, definition, deleted_at IS NOT NULL AS deleted FROM sla.calendar
         WHERE id = $1 AND deleted_at IS NULL ORDER BY version DESC LIMIT 1",
    )
    .bind(id.as_uuid())
    .fetch_optional(tx)
    .await?;
    Ok(row.map(CalendarRow::from))
}

struct CalendarSqlRow {
    id: Uuid,
    version: i32,
    display_name: String,
    definition: Json<CalendarSpec>,
    deleted: bool,
}
solmu_db::from_row!(CalendarSqlRow {
    id,
    version,
    display_name,
    definition,
    deleted
});

impl From<CalendarSqlRow> for CalendarRow {
    fn from(row: CalendarSqlRow) -> Self {
        Self {
            id: CalendarId::from_uuid(row.id),
            version: row.version,
            display_name: row.display_name,
            definition: row.definition.0,
            deleted: row.deleted,
        }
    }
}

/// Every version of every calendar, in the order in which they were made; those that were taken away, too, because
/// clocks may be counted in them.
pub(crate) async fn calendar_list(tx: &mut PgConnection) -> Result<Vec<CalendarRow>, DbError> {
    let rows: Vec<CalendarSqlRow> = sqlx::query_as(
        "SELECT id, version, display_name, definition, deleted_at IS NOT NULL AS deleted FROM sla.calendar
         ORDER BY id, version",
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(CalendarRow::from).collect())
}

/// Another calendar of that name, whatever its case.
pub(crate) async fn calendar_named(
    tx: &mut PgConnection,
    name: &str,
    but: CalendarId,
) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sla.calendar AS newest
            WHERE lower(display_name) = lower($1) AND id <> $2 AND deleted_at IS NULL
            AND NOT EXISTS (SELECT 1 FROM sla.calendar AS later WHERE later.id = newest.id AND later.version > newest.version))",
    )
    .bind(name)
    .bind(but.as_uuid())
    .fetch_one(tx)
    .await?)
}

/// Takes a calendar away.
pub(crate) async fn calendar_delete(
    tx: &mut PgConnection,
    id: CalendarId,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query("UPDATE sla.calendar SET deleted_at = $2 WHERE id = $1")
        .bind(id.as_uuid())
        .bind(now.to_sqlx())
        .execute(tx)
        .await?;
    Ok(())
}

/// Who uses a calendar: names of current policies, and the number of teams.
pub(crate) async fn calendar_users(
    tx: &mut PgConnection,
    id: CalendarId,
) -> Result<(Vec<String>, i64), DbError> {
    let policies: Vec<String> = sqlx::query_scalar(
        "SELECT display_name FROM sla.policy WHERE current AND calendar_id = $1 ORDER BY position LIMIT 20",
    )
    .bind(id.as_uuid())
    .fetch_all(&mut *tx)
    .await?;
    let teams: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sla.team_calendar WHERE calendar_id = $1")
            .bind(id.as_uuid())
            .fetch_one(tx)
            .await?;
    Ok((policies, teams))
}

/// The calendars of teams.
pub(crate) async fn team_calendar_list(
    tx: &mut PgConnection,
) -> Result<Vec<(Uuid, CalendarId)>, DbError> {
    let rows: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT team_id, calendar_id FROM sla.team_calendar ORDER BY team_id")
            .fetch_all(tx)
            .await?;
    let row = |(team, calendar)| (team, CalendarId::from_uuid(calendar));
    Ok(rows.into_iter().map(row).collect())
}

/// Gives a team a calendar, or none of its own.
pub(crate) async fn team_calendar_set(
    tx: &mut PgConnection,
    team: Uuid,
    calendar: Option<CalendarId>,
) -> Result<(), DbError> {
    let query = match calendar {
        None => sqlx::query("DELETE FROM sla.team_calendar WHERE team_id = $1").bind(team),
        Some(calendar) => sqlx::query(
            "INSERT INTO sla.team_calendar (team_id, calendar_id) VALUES ($1, $2)
             ON CONFLICT (team_id) DO UPDATE SET calendar_id = excluded.calendar_id",
        )
        .bind(team)
        .bind(calendar.as_uuid()),
    };
    query.execute(tx).await?;
    Ok(())
}

/// Adds a version of a calendar.
pub(crate) async fn calendar_insert(
    tx: &mut PgConnection,
    row: &CalendarRow,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO sla.calendar (id, version, display_name, definition, created_at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(row.id.as_uuid())
    .bind(row.version)
    .bind(&row.display_name)
    .bind(Json(&row.definition))
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

struct PolicySqlRow {
    id: Uuid,
    version: i32,
    current: bool,
    position: i32,
    display_name: String,
    condition: String,
    tree: Json<Condition>,
    calendar_id: Uuid,
    targets: Json<std::collections::BTreeMap<String, solmu_domain::sla::MetricTargets>>,
    pause_on: Json<std::collections::BTreeSet<ClockStatus>>,
    next_response_from: Json<NextResponseFrom>,
    remind_before_s: Option<i64>,
    rules: Json<PolicyRules>,
}
solmu_db::from_row!(PolicySqlRow {
    id,
    version,
    current,
    position,
    display_name,
    condition,
    tree,
    calendar_id,
    targets,
    pause_on,
    next_response_from,
    remind_before_s,
    rules
});

impl From<PolicySqlRow> for PolicyRow {
    fn from(row: PolicySqlRow) -> Self {
        Self {
            key: PolicyKey {
                id: PolicyId::from_uuid(row.id),
                version: row.version,
            },
            current: row.current,
            position: row.position,
            display_name: row.display_name,
            condition: row.condition,
            tree: row.tree.0,
            calendar: CalendarId::from_uuid(row.calendar_id),
            terms: Policy {
                targets: row.targets.0,
                pause_on: row.pause_on.0,
                next_response_from: row.next_response_from.0,
                remind_before_s: row.remind_before_s,
                rules: row.rules.0,
            },
        }
    }
}

/// Every version of every policy, in the order in which they are tried.
pub(crate) async fn policy_list(tx: &mut PgConnection) -> Result<Vec<PolicyRow>, DbError> {
    let rows: Vec<PolicySqlRow> = sqlx::query_as(
        "SELECT id, version, current, position, display_name, condition, tree, calendar_id, targets,
                to_jsonb(pause_on) AS pause_on, to_jsonb(next_response_from) AS next_response_from,
                remind_before_s, rules
         FROM sla.policy ORDER BY position, id, version",
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(PolicyRow::from).collect())
}

/// Adds a version of a policy.
pub(crate) async fn policy_insert(
    tx: &mut PgConnection,
    row: &PolicyRow,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO sla.policy (id, version, current, position, display_name, condition, tree, calendar_id,
                                 targets, pause_on, next_response_from, remind_before_s, rules, created_at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9,
                ARRAY(SELECT jsonb_array_elements_text($10::jsonb)), $11::jsonb #>> '{}', $12, $13, $14",
    )
    .bind(row.key.id.as_uuid())
    .bind(row.key.version)
    .bind(row.current)
    .bind(row.position)
    .bind(&row.display_name)
    .bind(&row.condition)
    .bind(Json(&row.tree))
    .bind(row.calendar.as_uuid())
    .bind(Json(&row.terms.targets))
    .bind(Json(&row.terms.pause_on))
    .bind(Json(row.terms.next_response_from))
    .bind(row.terms.remind_before_s)
    .bind(Json(&row.terms.rules))
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// Another policy of that name that tickets may get, whatever its case.
pub(crate) async fn policy_named(
    tx: &mut PgConnection,
    name: &str,
    but: PolicyId,
) -> Result<bool, DbError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sla.policy WHERE current AND lower(display_name) = lower($1) AND id <> $2)",
    )
    .bind(name)
    .bind(but.as_uuid())
    .fetch_one(tx)
    .await?)
}

/// No ticket gets the present version of a policy any more; says whether there was one.
pub(crate) async fn policy_retire(tx: &mut PgConnection, id: PolicyId) -> Result<bool, DbError> {
    let done = sqlx::query("UPDATE sla.policy SET current = false WHERE id = $1 AND current")
        .bind(id.as_uuid())
        .execute(tx)
        .await?;
    Ok(done.rows_affected() > 0)
}
