//! Agents, as people set them up.

use std::collections::BTreeMap;

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::{
    ids::{AgentId, TeamId},
    sla::CalendarSpec,
};
use solmu_matching::Location;
use sqlx::{PgConnection, PgExecutor, types::Json};
use uuid::Uuid;

use super::team::uuids;
use crate::presence::Presence;

/// An agent as they are stored.
#[derive(Debug, Clone)]
pub struct AgentRow {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// Their address; may be empty.
    pub email: String,
    /// Open tickets of ordinary weight at most.
    pub capacity: i32,
    /// Stable name of their presence.
    pub presence: String,
    presence_at: SqlTimestamp,
    /// Open tickets that are theirs or reserved for them.
    pub load: i64,
    /// Their teams.
    pub team_ids: Vec<Uuid>,
    /// Teams that they help once a ticket has waited.
    pub backup_ids: Vec<Uuid>,
    /// Level by skill.
    pub skills: Json<BTreeMap<String, u8>>,
    /// Codes; empty: any.
    pub languages: Vec<String>,
    /// Tickets of a channel at most.
    pub channel_limits: Json<BTreeMap<String, u32>>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    /// When they work; absent: always.
    pub hours: Option<Json<CalendarSpec>>,
    absent_from: Vec<SqlTimestamp>,
    absent_to: Vec<SqlTimestamp>,
    /// When it was removed.
    pub archived_at: Option<SqlTimestamp>,
}
solmu_db::from_row!(AgentRow {
    id,
    display_name,
    email,
    capacity,
    presence,
    presence_at,
    load,
    team_ids,
    backup_ids,
    skills,
    languages,
    channel_limits,
    latitude,
    longitude,
    hours,
    absent_from,
    absent_to,
    archived_at
});

impl AgentRow {
    /// Where they work, if that is known.
    pub fn location(&self) -> Option<Location> {
        let both = self.latitude.zip(self.longitude);
        both.map(|(latitude, longitude)| Location {
            latitude,
            longitude,
        })
    }

    /// First instant of each absence, and the first after it.
    pub fn absences(&self) -> impl Iterator<Item = (Timestamp, Timestamp)> {
        let both = self.absent_from.iter().zip(&self.absent_to);
        both.map(|(from, to)| (from.to_jiff(), to.to_jiff()))
    }

    /// Since when they are present as they are.
    pub fn presence_at(&self) -> Timestamp {
        self.presence_at.to_jiff()
    }
}

/// What people say of an agent.
#[derive(Debug, Clone, Default)]
pub struct AgentProfile {
    /// What people call it.
    pub display_name: String,
    /// Their address; may be empty.
    pub email: String,
    /// Open tickets of ordinary weight at most.
    pub capacity: i32,
    /// Teams.
    pub teams: Vec<TeamId>,
    /// Teams that they help once a ticket has waited.
    pub backup_teams: Vec<TeamId>,
    /// Level by skill.
    pub skills: BTreeMap<String, u8>,
    /// Codes; empty: any.
    pub languages: Vec<String>,
    /// Tickets of a channel at most.
    pub channel_limits: BTreeMap<String, u32>,
    /// Where they work.
    pub location: Option<Location>,
    /// When they work; absent: always.
    pub hours: Option<CalendarSpec>,
    /// First instant of each absence, and the first after it.
    pub absences: Vec<(Timestamp, Timestamp)>,
}

/// Makes an agent.
pub async fn agent_insert(
    tx: &mut PgConnection,
    id: AgentId,
    profile: &AgentProfile,
    presence: Presence,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO routing.agent (id, display_name, email, capacity, presence, presence_at, version, created_at,
            skills, languages, channel_limits, latitude, longitude, hours)
         VALUES ($1, $2, $3, $4, $5, $6, 1, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(id.as_uuid())
    .bind(&profile.display_name)
    .bind(&profile.email)
    .bind(profile.capacity)
    .bind(presence.name())
    .bind(now.to_sqlx())
    .bind(Json(&profile.skills))
    .bind(&profile.languages)
    .bind(Json(&profile.channel_limits))
    .bind(profile.location.map(|it| it.latitude))
    .bind(profile.location.map(|it| it.longitude))
    .bind(profile.hours.as_ref().map(Json))
    .execute(&mut *tx)
    .await?;
    agent_set_lists(tx, id, profile).await
}

/// Locks an agent against other changes; false when there is none of that id.
pub async fn agent_lock(tx: &mut PgConnection, id: AgentId) -> Result<bool, DbError> {
    let found: Option<i32> = sqlx::query_scalar(
        "SELECT 1 FROM routing.agent WHERE id = $1 AND archived_at IS NULL FOR UPDATE",
    )
    .bind(id.as_uuid())
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

/// Changes an agent.
pub async fn agent_update(
    tx: &mut PgConnection,
    id: AgentId,
    profile: &AgentProfile,
) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE routing.agent SET display_name = $2, email = $3, capacity = $4, skills = $5, languages = $6,
            channel_limits = $7, latitude = $8, longitude = $9, hours = $10, version = version + 1
         WHERE id = $1",
    )
    .bind(id.as_uuid())
    .bind(&profile.display_name)
    .bind(&profile.email)
    .bind(profile.capacity)
    .bind(Json(&profile.skills))
    .bind(&profile.languages)
    .bind(Json(&profile.channel_limits))
    .bind(profile.location.map(|it| it.latitude))
    .bind(profile.location.map(|it| it.longitude))
    .bind(profile.hours.as_ref().map(Json))
    .execute(&mut *tx)
    .await?;
    for table in [
        "DELETE FROM routing.agent_team WHERE agent_id = $1",
        "DELETE FROM routing.absence WHERE agent_id = $1",
    ] {
        sqlx::query(table)
            .bind(id.as_uuid())
            .execute(&mut *tx)
            .await?;
    }
    agent_set_lists(tx, id, profile).await
}

/// Teams and absences.
async fn agent_set_lists(
    tx: &mut PgConnection,
    id: AgentId,
    profile: &AgentProfile,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO routing.agent_team (agent_id, team_id, backup)
         SELECT $1::uuid, team, bool_and(backup)
         FROM (SELECT unnest($2::uuid[]), false UNION ALL SELECT unnest($3::uuid[]), true) AS it (team, backup)
         GROUP BY team",
    )
    .bind(id.as_uuid())
    .bind(uuids(&profile.teams))
    .bind(uuids(&profile.backup_teams))
    .execute(&mut *tx)
    .await?;
    let (from, to): (Vec<SqlTimestamp>, Vec<SqlTimestamp>) = profile
        .absences
        .iter()
        .map(|(from, to)| (from.to_sqlx(), to.to_sqlx()))
        .unzip();
    sqlx::query(
        "INSERT INTO routing.absence (agent_id, starts_at, ends_at)
         SELECT $1::uuid, starts_at, max(ends_at) FROM unnest($2::timestamptz[], $3::timestamptz[]) AS it (starts_at, ends_at)
         GROUP BY starts_at",
    )
    .bind(id.as_uuid())
    .bind(from)
    .bind(to)
    .execute(tx)
    .await?;
    Ok(())
}

/// An agent is there until `until` at least; false when there is none of that id.
pub async fn alive_set(
    tx: &mut PgConnection,
    id: AgentId,
    until: Timestamp,
) -> Result<bool, DbError> {
    let found = sqlx::query(
        "UPDATE routing.agent SET alive_until = $2 WHERE id = $1 AND archived_at IS NULL",
    )
    .bind(id.as_uuid())
    .bind(until.to_sqlx())
    .execute(tx)
    .await?
    .rows_affected();
    Ok(found == 1)
}

/// Offers in a row that may run out before an agent counts as away.
const MISSED_OFFERS: i32 = 2;

/// Those whose last heartbeat does not hold any more are offline, and those who did not answer offers are away; returns
/// whether somebody was.
pub async fn silent_go(tx: &mut PgConnection, now: Timestamp) -> Result<bool, DbError> {
    let away = sqlx::query(
        "UPDATE routing.agent SET presence = 'away', presence_at = $1, missed_offers = 0, version = version + 1
         WHERE missed_offers >= $2 AND presence = 'online'",
    )
    .bind(now.to_sqlx())
    .bind(MISSED_OFFERS)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    let gone = sqlx::query(
        "UPDATE routing.agent SET presence = 'offline', alive_until = NULL, version = version + 1,
            -- Who was away already is absent since then.
            presence_at = CASE WHEN presence = 'away' THEN presence_at ELSE $1 END
         WHERE alive_until < $1 AND presence <> 'offline'",
    )
    .bind(now.to_sqlx())
    .execute(tx)
    .await?
    .rows_affected();
    Ok(gone + away > 0)
}

/// Sets an agent's presence; false when it was that already, or there is no such agent.
pub async fn presence_set(
    tx: &mut PgConnection,
    id: AgentId,
    presence: Presence,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE routing.agent SET presence = $2, presence_at = CASE
                WHEN presence IN ('away', 'offline') AND $2 IN ('away', 'offline') THEN presence_at ELSE $3 END, version = version + 1, missed_offers = 0,
            alive_until = CASE WHEN $2 = 'offline' OR alive_until < $3 THEN NULL ELSE alive_until END
         WHERE id = $1 AND presence <> $2 AND archived_at IS NULL",
    )
    .bind(id.as_uuid())
    .bind(presence.name())
    .bind(now.to_sqlx())
    .execute(tx)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// One agent, or all, by name; of all, removed ones only if asked for.
pub async fn agents_fetch(
    db: impl PgExecutor<'_>,
    only: Option<AgentId>,
    archived: bool,
) -> Result<Vec<AgentRow>, DbError> {
    Ok(sqlx::query_as(
        "SELECT id, display_name, email, capacity, presence, presence_at, load,
            ARRAY(SELECT team_id FROM routing.agent_team WHERE agent_id = agent.id AND NOT backup ORDER BY team_id)
                AS team_ids,
            ARRAY(SELECT team_id FROM routing.agent_team WHERE agent_id = agent.id AND backup ORDER BY team_id)
                AS backup_ids,
            skills, languages, channel_limits, latitude, longitude, hours,
            ARRAY(SELECT starts_at FROM routing.absence WHERE agent_id = agent.id ORDER BY starts_at) AS absent_from,
            ARRAY(SELECT ends_at FROM routing.absence WHERE agent_id = agent.id ORDER BY starts_at) AS absent_to,
            archived_at
         FROM routing.agent AS agent WHERE id = $1 OR ($1::uuid IS NULL AND ($2 OR archived_at IS NULL))
         ORDER BY lower(display_name), id",
    )
    .bind(only.map(AgentId::as_uuid))
    .bind(archived)
    .fetch_all(db)
    .await?)
}

/// The agent who was made first.
pub async fn agent_first(tx: &mut PgConnection) -> Result<Option<AgentId>, DbError> {
    let id: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM routing.agent ORDER BY created_at, id LIMIT 1")
            .fetch_optional(tx)
            .await?;
    Ok(id.map(AgentId::from_uuid))
}
