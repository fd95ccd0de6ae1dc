//! Rules, as people set them up.

use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use solmu_conditions::Condition;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::{
    ids::{AgentId, RuleId, TeamId},
    ticket::Priority,
};
use sqlx::{PgConnection, PgExecutor, types::Json};
use uuid::Uuid;

use crate::rule::{Actions, Wish};

/// A rule as it is stored.
#[expect(clippy::struct_excessive_bools, reason = "a row, as its table has it")]
#[derive(Debug, Clone, Deserialize)]
pub struct RuleRow {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// Its place in the order of rules.
    pub position: i32,
    /// When it holds, as written.
    pub condition: String,
    /// The team that it chooses.
    pub team_id: Option<Uuid>,
    /// Name of the priority that it sets.
    pub set_priority: Option<String>,
    /// Tags that it adds.
    pub add_tags: Vec<String>,
    /// It is asked.
    pub enabled: bool,
    /// Grows with each change.
    pub version: i64,
    /// Who gets the ticket, if they can.
    pub agent_id: Option<Uuid>,
    /// Skills that it asks for.
    pub skills: Json<Vec<Wish>>,
    /// It makes a ticket one of a very important person.
    pub vip: bool,
    /// Seconds from its creation in which nobody gets a ticket.
    pub hold_s: i32,
    /// Rules behind it are asked too.
    pub goes_on: bool,
    /// Versions that were kept before there were zones have none.
    #[serde(default)]
    pub zone: String,
    /// Versions that were kept before rules could restrict did not.
    #[serde(default)]
    pub restricts: bool,
    /// Agents whom a ticket names that it restricts.
    #[serde(default)]
    pub restrict_agent_ids: Vec<Uuid>,
    /// Teams whom such a ticket names, besides its team.
    #[serde(default)]
    pub restrict_team_ids: Vec<Uuid>,
}
solmu_db::from_row!(RuleRow {
    id,
    display_name,
    position,
    condition,
    team_id,
    set_priority,
    add_tags,
    enabled,
    version,
    agent_id,
    skills,
    vip,
    hold_s,
    goes_on,
    zone,
    restricts,
    restrict_agent_ids,
    restrict_team_ids
});

/// A rule that was checked.
#[derive(Debug, Clone)]
pub struct RuleSpec {
    /// What people call it.
    pub display_name: String,
    /// Its place in the order of rules.
    pub position: i32,
    /// As written.
    pub condition: String,
    /// The condition, compiled.
    pub tree: Condition,
    /// What it does.
    pub actions: Actions,
    /// It is asked.
    pub enabled: bool,
    /// Name of a zone; empty: the configured one.
    pub zone: String,
}

impl RuleSpec {
    /// Its zone, if it has one of its own.
    pub fn time_zone(&self) -> Option<TimeZone> {
        let zone = Some(&self.zone).filter(|zone| !zone.is_empty())?;
        TimeZone::get(zone).ok()
    }
}

/// Says that waiting tickets have to be routed anew.
pub async fn rule_set_changed(tx: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query("UPDATE routing.rule_set SET version = version + 1")
        .execute(tx)
        .await?;
    Ok(())
}

/// Makes a rule, or changes the one of that id; its version grows.
pub async fn rule_save(
    tx: &mut PgConnection,
    id: RuleId,
    spec: &RuleSpec,
    now: Timestamp,
) -> Result<(), DbError> {
    let actions = &spec.actions;
    let restrict = actions.restrict.clone().unwrap_or_default();
    let agents: Vec<Uuid> = restrict.agents.into_iter().map(AgentId::as_uuid).collect();
    let teams: Vec<Uuid> = restrict.teams.into_iter().map(TeamId::as_uuid).collect();
    sqlx::query(
        "INSERT INTO routing.rule AS rule (id, display_name, position, condition, tree, team_id, set_priority,
            add_tags, enabled, version, updated_at, agent_id, skills, vip, hold_s, goes_on, zone, restricts,
            restrict_agent_ids, restrict_team_ids)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
         ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, position = excluded.position,
            condition = excluded.condition, tree = excluded.tree, team_id = excluded.team_id,
            set_priority = excluded.set_priority, add_tags = excluded.add_tags, enabled = excluded.enabled,
            version = rule.version + 1, updated_at = excluded.updated_at, agent_id = excluded.agent_id,
            skills = excluded.skills, vip = excluded.vip, hold_s = excluded.hold_s, goes_on = excluded.goes_on,
            zone = excluded.zone, restricts = excluded.restricts,
            restrict_agent_ids = excluded.restrict_agent_ids, restrict_team_ids = excluded.restrict_team_ids",
    )
    .bind(id.as_uuid())
    .bind(&spec.display_name)
    .bind(spec.position)
    .bind(&spec.condition)
    .bind(Json(&spec.tree))
    .bind(actions.team.map(TeamId::as_uuid))
    .bind(actions.effects.priority.map(Priority::name))
    .bind(&actions.effects.tags)
    .bind(spec.enabled)
    .bind(now.to_sqlx())
    .bind(actions.agent.map(AgentId::as_uuid))
    .bind(Json(&actions.wishes))
    .bind(actions.vip)
    .bind(i32::try_from(actions.hold_s).unwrap_or(i32::MAX))
    .bind(actions.goes_on)
    .bind(&spec.zone)
    .bind(actions.restrict.is_some())
    .bind(agents)
    .bind(teams)
    .execute(&mut *tx)
    .await?;
    version_keep(tx, id, false, now).await?;
    rule_set_changed(tx).await
}

/// Keeps what a rule says now.
async fn version_keep(
    tx: &mut PgConnection,
    id: RuleId,
    deleted: bool,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO routing.rule_version (rule_id, version, rule, deleted, changed_at)
         SELECT id, version, to_jsonb(rule) - 'tree', $2, $3 FROM routing.rule AS rule WHERE id = $1",
    )
    .bind(id.as_uuid())
    .bind(deleted)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// A kept version of a rule, and whether it was removed then.
pub type KeptVersion = (RuleRow, bool, Timestamp);

/// What a rule said in its last versions, newest first, `limit` at most.
pub async fn rule_versions(
    db: impl PgExecutor<'_>,
    id: RuleId,
    limit: i64,
) -> Result<Vec<KeptVersion>, DbError> {
    let rows: Vec<(Json<RuleRow>, bool, SqlTimestamp)> = sqlx::query_as(
        "SELECT rule, deleted, changed_at FROM routing.rule_version WHERE rule_id = $1
         ORDER BY version DESC, deleted DESC LIMIT $2",
    )
    .bind(id.as_uuid())
    .bind(limit)
    .fetch_all(db)
    .await?;
    let typed =
        |(rule, deleted, at): (Json<RuleRow>, bool, SqlTimestamp)| (rule.0, deleted, at.to_jiff());
    Ok(rows.into_iter().map(typed).collect())
}

/// Those of `agents` that are not there.
pub async fn agents_missing(
    tx: &mut PgConnection,
    agents: &[AgentId],
) -> Result<Vec<AgentId>, DbError> {
    let ids: Vec<Uuid> = agents.iter().map(|id| id.as_uuid()).collect();
    let missing: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM unnest($1::uuid[]) AS wanted (id)
         WHERE NOT EXISTS (SELECT 1 FROM routing.agent WHERE agent.id = wanted.id AND archived_at IS NULL)",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    Ok(missing.into_iter().map(AgentId::from_uuid).collect())
}

/// The version of a rule, locked against other changes.
pub async fn rule_lock(tx: &mut PgConnection, id: RuleId) -> Result<Option<i64>, DbError> {
    Ok(
        sqlx::query_scalar("SELECT version FROM routing.rule WHERE id = $1 FOR UPDATE")
            .bind(id.as_uuid())
            .fetch_optional(tx)
            .await?,
    )
}

/// Removes a rule; false when there is none of that id.
pub async fn rule_delete(
    tx: &mut PgConnection,
    id: RuleId,
    now: Timestamp,
) -> Result<bool, DbError> {
    version_keep(tx, id, true, now).await?;
    let gone = sqlx::query("DELETE FROM routing.rule WHERE id = $1")
        .bind(id.as_uuid())
        .execute(&mut *tx)
        .await?
        .rows_affected();
    if gone == 0 {
        return Ok(false);
    }
    solmu_restrict::remove(tx, id.as_uuid()).await?;
    rule_set_changed(tx).await?;
    Ok(true)
}

/// One rule, or all, in order.
pub async fn rules_fetch(
    db: impl PgExecutor<'_>,
    only: Option<RuleId>,
) -> Result<Vec<RuleRow>, DbError> {
    Ok(sqlx::query_as(
        "SELECT id, display_name, position, condition, team_id, set_priority, add_tags, enabled, version,
            agent_id, skills, vip, hold_s, goes_on, zone, restricts, restrict_agent_ids, restrict_team_ids
         FROM routing.rule WHERE $1::uuid IS NULL OR id = $1 ORDER BY position, id",
    )
    .bind(only.map(RuleId::as_uuid))
    .fetch_all(db)
    .await?)
}
