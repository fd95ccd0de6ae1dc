//! Teams and agents, as people set them up.

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::{AgentId, TeamId};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::core::desk::Presence;

/// A team as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TeamRow {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    pub(crate) is_default: bool,
}
solmu_db::from_row!(TeamRow {
    id,
    display_name,
    is_default
});

/// An agent as they are stored.
#[derive(Debug, Clone)]
pub(crate) struct AgentRow {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    pub(crate) email: String,
    pub(crate) capacity: i32,
    pub(crate) presence: String,
    presence_at: SqlTimestamp,
    pub(crate) load: i64,
    pub(crate) team_ids: Vec<Uuid>,
}
solmu_db::from_row!(AgentRow {
    id,
    display_name,
    email,
    capacity,
    presence,
    presence_at,
    load,
    team_ids
});

impl AgentRow {
    pub(crate) fn presence_at(&self) -> Timestamp {
        self.presence_at.to_jiff()
    }
}

/// What people say of an agent.
#[derive(Debug, Clone)]
pub(crate) struct AgentProfile {
    pub(crate) display_name: String,
    pub(crate) email: String,
    pub(crate) capacity: i32,
    pub(crate) teams: Vec<TeamId>,
}

/// Makes a team. One that is to be the default takes that over from the present one, and so does the first of all.
/// Returns whether it is the default.
pub(crate) async fn team_insert(
    tx: &mut PgConnection,
    id: TeamId,
    display_name: &str,
    default: bool,
    now: Timestamp,
) -> Result<bool, DbError> {
    // Two first teams at the same time must not both find that there is no default.
    sqlx::query("LOCK TABLE routing.team IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *tx)
        .await?;
    let has_default: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM routing.team WHERE is_default)")
            .fetch_one(&mut *tx)
            .await?;
    let default = default || !has_default;
    if default {
        sqlx::query("UPDATE routing.team SET is_default = false WHERE is_default")
            .execute(&mut *tx)
            .await?;
    }
    sqlx::query(
        "INSERT INTO routing.team (id, display_name, is_default, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(id.as_uuid())
    .bind(display_name)
    .bind(default)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    if default {
        super::rule::rule_set_changed(tx).await?;
    }
    Ok(default)
}

/// All teams by name.
pub(crate) async fn teams_list(db: impl PgExecutor<'_>) -> Result<Vec<TeamRow>, DbError> {
    Ok(sqlx::query_as(
        "SELECT id, display_name, is_default FROM routing.team ORDER BY lower(display_name), id",
    )
    .fetch_all(db)
    .await?)
}

/// Those of `teams` that do not exist.
pub(crate) async fn teams_missing(
    tx: &mut PgConnection,
    teams: &[TeamId],
) -> Result<Vec<TeamId>, DbError> {
    let ids: Vec<Uuid> = teams.iter().map(|id| id.as_uuid()).collect();
    let missing: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM unnest($1::uuid[]) AS wanted (id)
         WHERE NOT EXISTS (SELECT 1 FROM routing.team WHERE team.id = wanted.id)",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    Ok(missing.into_iter().map(TeamId::from_uuid).collect())
}

/// The default team.
pub(crate) async fn default_team(tx: &mut PgConnection) -> Result<Option<TeamId>, DbError> {
    let id: Option<Uuid> = sqlx::query_scalar("SELECT id FROM routing.team WHERE is_default")
        .fetch_optional(tx)
        .await?;
    Ok(id.map(TeamId::from_uuid))
}

/// Makes an agent.
pub(crate) async fn agent_insert(
    tx: &mut PgConnection,
    id: AgentId,
    profile: &AgentProfile,
    presence: Presence,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO routing.agent (id, display_name, email, capacity, presence, presence_at, version, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, 1, $6)",
    )
    .bind(id.as_uuid())
    .bind(&profile.display_name)
    .bind(&profile.email)
    .bind(profile.capacity)
    .bind(presence.name())
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    agent_set_teams(tx, id, &profile.teams).await
}

/// Changes an agent; false when there is none of that id.
pub(crate) async fn agent_update(
    tx: &mut PgConnection,
    id: AgentId,
    profile: &AgentProfile,
) -> Result<bool, DbError> {
    let found = sqlx::query(
        "UPDATE routing.agent SET display_name = $2, email = $3, capacity = $4, version = version + 1 WHERE id = $1",
    )
    .bind(id.as_uuid())
    .bind(&profile.display_name)
    .bind(&profile.email)
    .bind(profile.capacity)
    .execute(&mut *tx)
    .await?
    .rows_affected()
        == 1;
    if found {
        sqlx::query("DELETE FROM routing.agent_team WHERE agent_id = $1")
            .bind(id.as_uuid())
            .execute(&mut *tx)
            .await?;
        agent_set_teams(tx, id, &profile.teams).await?;
    }
    Ok(found)
}

async fn agent_set_teams(
    tx: &mut PgConnection,
    id: AgentId,
    teams: &[TeamId],
) -> Result<(), DbError> {
    let teams: Vec<Uuid> = teams.iter().map(|team| team.as_uuid()).collect();
    sqlx::query(
        "INSERT INTO routing.agent_team (agent_id, team_id) SELECT DISTINCT $1::uuid, team FROM unnest($2::uuid[]) AS team",
    )
    .bind(id.as_uuid())
    .bind(teams)
    .execute(tx)
    .await?;
    Ok(())
}

/// Sets an agent's presence; false when it was that already, or there is no such agent.
pub(crate) async fn presence_set(
    tx: &mut PgConnection,
    id: AgentId,
    presence: Presence,
    now: Timestamp,
) -> Result<bool, DbError> {
    let changed = sqlx::query(
        "UPDATE routing.agent SET presence = $2, presence_at = $3, version = version + 1
         WHERE id = $1 AND presence <> $2",
    )
    .bind(id.as_uuid())
    .bind(presence.name())
    .bind(now.to_sqlx())
    .execute(tx)
    .await?
    .rows_affected();
    Ok(changed == 1)
}

/// One agent, or all, by name.
pub(crate) async fn agents_fetch(
    db: impl PgExecutor<'_>,
    only: Option<AgentId>,
) -> Result<Vec<AgentRow>, DbError> {
    Ok(sqlx::query_as(
        "SELECT id, display_name, email, capacity, presence, presence_at, load,
            ARRAY(SELECT team_id FROM routing.agent_team WHERE agent_id = agent.id ORDER BY team_id) AS team_ids
         FROM routing.agent AS agent WHERE $1::uuid IS NULL OR id = $1
         ORDER BY lower(display_name), id",
    )
    .bind(only.map(AgentId::as_uuid))
    .fetch_all(db)
    .await?)
}

/// The agent who was made first.
pub(crate) async fn agent_first(tx: &mut PgConnection) -> Result<Option<AgentId>, DbError> {
    let id: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM routing.agent ORDER BY created_at, id LIMIT 1")
            .fetch_optional(tx)
            .await?;
    Ok(id.map(AgentId::from_uuid))
}
