//! Teams, as people set them up.

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::TeamId;
use solmu_matching::Strategy;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::care::Care;

/// A team as it is stored.
#[derive(Debug, Clone)]
pub struct TeamRow {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub display_name: String,
    /// Tickets that no rule matches go there.
    pub is_default: bool,
    /// How the next agent is chosen; absent: as configured.
    pub strategy: Option<String>,
    /// Seconds after which other teams help; absent: never.
    pub overflow_after_s: Option<i32>,
    /// Teams that help.
    pub overflow_to: Vec<Uuid>,
    /// How tickets come to agents.
    pub mode: String,
    /// Seconds that an offer stands.
    pub offer_s: i32,
    /// Seconds in which a ticket is not offered again to who did not take it.
    pub decline_s: i32,
    /// What agents lose who are away for too long.
    pub take_back: String,
    /// Seconds that somebody may be away before.
    pub take_back_after_s: i32,
    /// Seconds before its due time at which a ticket moves to somebody better; absent: never.
    pub rebalance_s: Option<i32>,
    /// Helping teams may help at once while nobody of it is inside their hours.
    pub follow_sun: bool,
    /// When it was removed.
    pub archived_at: Option<SqlTimestamp>,
}
solmu_db::from_row!(TeamRow {
    id,
    display_name,
    is_default,
    strategy,
    overflow_after_s,
    overflow_to,
    mode,
    offer_s,
    decline_s,
    take_back,
    take_back_after_s,
    rebalance_s,
    follow_sun,
    archived_at
});

/// What people say of a team.
#[derive(Debug, Clone, Default)]
pub struct TeamProfile {
    /// What people call it.
    pub display_name: String,
    /// Absent: the configured one.
    pub strategy: Option<Strategy>,
    /// Seconds; absent: never.
    pub overflow_after_s: Option<i32>,
    /// Teams that help.
    pub overflow_to: Vec<TeamId>,
    /// They may help at once while nobody of it is inside their hours.
    pub follow_sun: bool,
    /// How it looks after its tickets.
    pub care: Care,
}

/// Makes a team. One that is to be the default takes that over from the present one, and so does the first of all.
/// Returns whether it is the default.
pub async fn team_insert(
    tx: &mut PgConnection,
    id: TeamId,
    profile: &TeamProfile,
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
        "INSERT INTO routing.team (id, display_name, is_default, strategy, overflow_after_s, overflow_to, mode, offer_s,
            decline_s, take_back, take_back_after_s, rebalance_s, created_at, follow_sun)
         VALUES ($1, $2, $13, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $14)",
    )
    .bind(id.as_uuid())
    .bind(&profile.display_name)
    .bind(profile.strategy.map(Strategy::name))
    .bind(profile.overflow_after_s)
    .bind(uuids(&profile.overflow_to))
    .bind(profile.care.mode.name())
    .bind(signed(profile.care.offer_s))
    .bind(signed(profile.care.decline_s))
    .bind(profile.care.take_back.name())
    .bind(signed(profile.care.take_back_after_s))
    .bind(profile.care.rebalance_s.map(signed))
    .bind(now.to_sqlx())
    .bind(default)
    .bind(profile.follow_sun)
    .execute(&mut *tx)
    .await?;
    if default {
        super::rule::rule_set_changed(tx).await?;
    }
    Ok(default)
}

/// Changes a team; false when there is none of that id. The leader reads teams again, as after a change of the rules.
pub async fn team_update(
    tx: &mut PgConnection,
    id: TeamId,
    profile: &TeamProfile,
) -> Result<bool, DbError> {
    let found = sqlx::query(
        "UPDATE routing.team SET display_name = $2, strategy = $3, overflow_after_s = $4, overflow_to = $5, mode = $6,
            offer_s = $7, decline_s = $8, take_back = $9, take_back_after_s = $10, rebalance_s = $11,
            follow_sun = $12
         WHERE id = $1 AND archived_at IS NULL",
    )
    .bind(id.as_uuid())
    .bind(&profile.display_name)
    .bind(profile.strategy.map(Strategy::name))
    .bind(profile.overflow_after_s)
    .bind(uuids(&profile.overflow_to))
    .bind(profile.care.mode.name())
    .bind(signed(profile.care.offer_s))
    .bind(signed(profile.care.decline_s))
    .bind(profile.care.take_back.name())
    .bind(signed(profile.care.take_back_after_s))
    .bind(profile.care.rebalance_s.map(signed))
    .bind(profile.follow_sun)
    .execute(&mut *tx)
    .await?
    .rows_affected()
        == 1;
    if found {
        super::rule::rule_set_changed(tx).await?;
    }
    Ok(found)
}

/// Seconds as the database keeps them.
fn signed(seconds: u32) -> i32 {
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

/// Ids as the database keeps them.
pub(super) fn uuids(teams: &[TeamId]) -> Vec<Uuid> {
    teams.iter().map(|team| team.as_uuid()).collect()
}

/// All teams by name, removed ones too if asked for.
pub async fn teams_list(db: impl PgExecutor<'_>, archived: bool) -> Result<Vec<TeamRow>, DbError> {
    Ok(sqlx::query_as(
        "SELECT id, display_name, is_default, strategy, overflow_after_s, overflow_to, mode, offer_s, decline_s,
            take_back, take_back_after_s, rebalance_s, follow_sun, archived_at
         FROM routing.team WHERE $1 OR archived_at IS NULL ORDER BY lower(display_name), id",
    )
    .bind(archived)
    .fetch_all(db)
    .await?)
}

/// Those of `teams` that do not exist.
pub async fn teams_missing(
    tx: &mut PgConnection,
    teams: &[TeamId],
) -> Result<Vec<TeamId>, DbError> {
    let ids: Vec<Uuid> = teams.iter().map(|id| id.as_uuid()).collect();
    let missing: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM unnest($1::uuid[]) AS wanted (id)
         WHERE NOT EXISTS (SELECT 1 FROM routing.team WHERE team.id = wanted.id AND archived_at IS NULL)",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    Ok(missing.into_iter().map(TeamId::from_uuid).collect())
}

/// The default team.
pub async fn default_team(tx: &mut PgConnection) -> Result<Option<TeamId>, DbError> {
    let id: Option<Uuid> = sqlx::query_scalar("SELECT id FROM routing.team WHERE is_default")
        .fetch_optional(tx)
        .await?;
    Ok(id.map(TeamId::from_uuid))
}
