//! Rules, as people set them up.

use jiff::Timestamp;
use solmu_conditions::Condition;
use solmu_db::{DbError, ToSqlx as _};
use solmu_domain::{
    ids::{RuleId, TeamId},
    ticket::Priority,
};
use sqlx::{PgConnection, PgExecutor, types::Json};
use uuid::Uuid;

/// A rule as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct RuleRow {
    pub(crate) id: Uuid,
    pub(crate) display_name: String,
    pub(crate) position: i32,
    pub(crate) condition: String,
    pub(crate) team_id: Uuid,
    pub(crate) set_priority: Option<String>,
    pub(crate) add_tags: Vec<String>,
    pub(crate) enabled: bool,
    pub(crate) version: i64,
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
    version
});

/// A rule that was checked.
#[derive(Debug, Clone)]
pub(crate) struct RuleSpec {
    pub(crate) display_name: String,
    pub(crate) position: i32,
    /// As written.
    pub(crate) condition: String,
    pub(crate) tree: Condition,
    pub(crate) team: TeamId,
    pub(crate) set_priority: Option<Priority>,
    pub(crate) add_tags: Vec<String>,
    pub(crate) enabled: bool,
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
    sqlx::query(
        "INSERT INTO routing.rule AS rule (id, display_name, position, condition, tree, team_id, set_priority,
            add_tags, enabled, version, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10)
         ON CONFLICT (id) DO UPDATE SET display_name = excluded.display_name, position = excluded.position,
            condition = excluded.condition, tree = excluded.tree, team_id = excluded.team_id,
            set_priority = excluded.set_priority, add_tags = excluded.add_tags, enabled = excluded.enabled,
            version = rule.version + 1, updated_at = excluded.updated_at",
    )
    .bind(id.as_uuid())
    .bind(&spec.display_name)
    .bind(spec.position)
    .bind(&spec.condition)
    .bind(Json(&spec.tree))
    .bind(spec.team.as_uuid())
    .bind(spec.set_priority.map(Priority::name))
    .bind(&spec.add_tags)
    .bind(spec.enabled)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    rule_set_changed(tx).await
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
pub(crate) async fn rule_delete(tx: &mut PgConnection, id: RuleId) -> Result<bool, DbError> {
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
        "SELECT id, display_name, position, condition, team_id, set_priority, add_tags, enabled, version
         FROM routing.rule WHERE $1::uuid IS NULL OR id = $1 ORDER BY position, id",
    )
    .bind(only.map(RuleId::as_uuid))
    .fetch_all(db)
    .await?)
}
