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

use crate::core::{rules::Actions, ticket::Wish};

/// A rule as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct RuleRow {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    pub(crate) position: i32,
    pub(crate) condition: String,
    pub(crate) team_id: Option<Uuid>,
    pub(crate) set_priority: Option<String>,
    pub(crate) add_tags: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) version: i64,
    pub(crate) agent_id: Option<Uuid>,
    pub(crate) skills: Json<Vec<Wish>>,
    pub(crate) vip: bool,
    pub(crate) hold_s: i32,
    pub(crate) goes_on: bool,
    /// Versions that were kept before there were zones have none.
    #[serde(default)]
    pub(crate) zone: String,
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
    zone
});

/// A rule that was checked.
#[derive(Debug, Clone)]
pub(crate) struct RuleSpec {
    pub(crate) display_name: String,
    pub(crate) position: i32,
    /// As written.
    pub(crate) condition: String,
    pub(crate) tree: Condition,
    pub(crate) actions: Actions,
    pub(crate) enabled: bool,
    /// Name of a zone; empty: the configured one.
    pub(crate) zone: String,
}

impl RuleSpec {
    /// Its zone, if it has one of its own.
    pub(crate) fn time_zone(&self) -> Option<TimeZone> {
        let zone = Some(&self.zone).filter(|zone| !zone.is_empty())?;
        TimeZone::get(zone).ok()
    }
}

/// Says that waiting tickets have to be routed anew.
pub(crate) async fn rule_set_changed(tx: &mut PgConnection) -> Result<(), DbError> {
    sqlx::query("UPDATE routing.rule_set SET version = version + 1")
        .execute(tx)
        .await?;
    Ok(())
}

/// Makes a rule, or changes the one of that id; its version grows.
pub(crate) async fn rule_save(
    tx: &mut PgConnection,
    id: RuleId,
    spec: &RuleSpec,
    now: Timestamp,
) -> Result<(), DbError> {
    let actions = &spec.actions;
    sqlx::query(
        "INSERT INTO routing.rule AS rule (id, display_name, position, condition, tree, team_id, set_priority,
            add_tags, enabled, version, updated_at, agent_id, skills, vip, hold_s, goes_on, zone)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $12, $13, $14, $15, $16)
         ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, position = excluded.position,
            condition = excluded.condition, tree = excluded.tree, team_id = excluded.team_id,
            set_priority = excluded.set_priority, add_tags = excluded.add_tags, enabled = excluded.enabled,
            version = rule.version + 1, updated_at = excluded.updated_at, agent_id = excluded.agent_id,
            skills = excluded.skills, vip = excluded.vip, hold_s = excluded.hold_s, goes_on = excluded.goes_on,
            zone = excluded.zone",
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
pub(crate) type KeptVersion = (RuleRow, bool, Timestamp);

/// What a rule said in its last versions, newest first, `limit` at most.
pub(crate) async fn rule_versions(
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

/// The version of a rule, locked against other changes.
pub(crate) async fn rule_lock(tx: &mut PgConnection, id: RuleId) -> Result<Option<i64>, DbError> {
    Ok(
        sqlx::query_scalar("SELECT version FROM routing.rule WHERE id = $1 FOR UPDATE")
            .bind(id.as_uuid())
            .fetch_optional(tx)
            .await?,
    )
}

/// Removes a rule; false when there is none of that id.
pub(crate) async fn rule_delete(
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
    rule_set_changed(tx).await?;
    Ok(true)
}

/// One rule, or all, in order.
pub(crate) async fn rules_fetch(
    db: impl PgExecutor<'_>,
    only: Option<RuleId>,
) -> Result<Vec<RuleRow>, DbError> {
    Ok(sqlx::query_as(
        "SELECT id, display_name, position, condition, team_id, set_priority, add_tags, enabled, version,
            agent_id, skills, vip, hold_s, goes_on, zone
         FROM routing.rule WHERE $1::uuid IS NULL OR id = $1 ORDER BY position, id",
    )
    .bind(only.map(RuleId::as_uuid))
    .fetch_all(db)
    .await?)
}
