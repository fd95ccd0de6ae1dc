//! Removing agents and teams: their rows stay, because decisions name them.

use jiff::Timestamp;
use solmu_db::{DbError, ToSqlx as _};
use solmu_domain::ids::{AgentId, TeamId};
use sqlx::PgConnection;

/// Removes an agent; false when they were before, or there is none of that id. Rules that name them name nobody.
pub async fn agent_archive(
    tx: &mut PgConnection,
    id: AgentId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let found = sqlx::query(
        "UPDATE routing.agent SET archived_at = $2, presence = 'offline', presence_at = $2, alive_until = NULL,
            missed_offers = 0, version = version + 1
         WHERE id = $1 AND archived_at IS NULL",
    )
    .bind(id.as_uuid())
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?
    .rows_affected()
        == 1;
    if found {
        sqlx::query("DELETE FROM routing.agent_team WHERE agent_id = $1")
            .bind(id.as_uuid())
            .execute(tx)
            .await?;
    }
    Ok(found)
}

/// Why a team cannot be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeamNeeded {
    /// Tickets that no rule matches go there.
    Default,
    /// A rule of this name chooses it.
    Rule(String),
}

/// What keeps a team; absent for one that may go, or that is not there.
pub async fn team_needed(tx: &mut PgConnection, id: TeamId) -> Result<Option<TeamNeeded>, DbError> {
    let default: Option<bool> =
        sqlx::query_scalar("SELECT is_default FROM routing.team WHERE id = $1 FOR UPDATE")
            .bind(id.as_uuid())
            .fetch_optional(&mut *tx)
            .await?;
    if default == Some(true) {
        return Ok(Some(TeamNeeded::Default));
    }
    let rule: Option<String> = sqlx::query_scalar(
        "SELECT display_name FROM routing.rule WHERE team_id = $1 OR $1 = ANY(restrict_team_ids)
         ORDER BY position, id LIMIT 1",
    )
    .bind(id.as_uuid())
    .fetch_optional(tx)
    .await?;
    Ok(rule.map(TeamNeeded::Rule))
}

/// Removes a team; false when it was before, or there is none of that id.
pub async fn team_archive(
    tx: &mut PgConnection,
    id: TeamId,
    now: Timestamp,
) -> Result<bool, DbError> {
    let found = sqlx::query(
        "UPDATE routing.team SET archived_at = $2 WHERE id = $1 AND archived_at IS NULL",
    )
    .bind(id.as_uuid())
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?
    .rows_affected()
        == 1;
    if !found {
        return Ok(false);
    }
    for statement in [
        // The leader reads these agents again.
        "UPDATE routing.agent SET version = version + 1
         WHERE id IN (SELECT agent_id FROM routing.agent_team WHERE team_id = $1)",
        "DELETE FROM routing.agent_team WHERE team_id = $1",
        "UPDATE routing.team SET overflow_to = array_remove(overflow_to, $1) WHERE $1 = ANY(overflow_to)",
    ] {
        sqlx::query(statement)
            .bind(id.as_uuid())
            .execute(&mut *tx)
            .await?;
    }
    super::rule::rule_set_changed(tx).await?;
    Ok(true)
}
