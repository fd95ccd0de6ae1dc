//! The table of the rules in force.

use jiff::tz::TimeZone;
use solmu_conditions::parse;
use solmu_db::DbError;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Restricting, SCHEMA};

/// Rules in force at most: each new ticket is asked all of them.
pub const MAX_RULES: i64 = 100;

/// A rule as it is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its id.
    pub rule_id: Uuid,
    /// Grows with each change.
    pub version: i64,
    /// Its place among all rules.
    pub position: i32,
    /// What people call it.
    pub display_name: String,
    /// As it was written; [`SCHEMA`] has checked it.
    pub condition: String,
    /// Name of the zone of its hour and weekday.
    pub zone: String,
    /// Name of the priority that it sets.
    pub priority: Option<String>,
    /// Tags that it adds.
    pub tags: Vec<String>,
    /// Whose tickets they are.
    pub team_id: Uuid,
    /// Agents whom it names.
    pub agent_ids: Vec<Uuid>,
    /// Teams that it names, its own included.
    pub team_ids: Vec<Uuid>,
}
solmu_db::from_row!(Kept {
    rule_id,
    version,
    position,
    display_name,
    condition,
    zone,
    priority,
    tags,
    team_id,
    agent_ids,
    team_ids
});

/// Puts a rule into force, or what it says now; false if there are [`MAX_RULES`] others.
pub async fn put(tx: &mut PgConnection, rule: &Kept) -> Result<bool, DbError> {
    // Who counts and who adds must not be two at a time.
    sqlx::query("LOCK TABLE access.restricting_rule IN SHARE ROW EXCLUSIVE MODE")
        .execute(&mut *tx)
        .await?;
    let others: i64 =
        sqlx::query_scalar("SELECT count(*) FROM access.restricting_rule WHERE rule_id <> $1")
            .bind(rule.rule_id)
            .fetch_one(&mut *tx)
            .await?;
    if others >= MAX_RULES {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO access.restricting_rule (rule_id, version, position, display_name, condition, zone, priority, tags,
            team_id, agent_ids, team_ids)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (rule_id) DO UPDATE SET version = excluded.version, position = excluded.position,
            display_name = excluded.display_name, condition = excluded.condition, zone = excluded.zone,
            priority = excluded.priority, tags = excluded.tags, team_id = excluded.team_id,
            agent_ids = excluded.agent_ids, team_ids = excluded.team_ids",
    )
    .bind(rule.rule_id)
    .bind(rule.version)
    .bind(rule.position)
    .bind(&rule.display_name)
    .bind(&rule.condition)
    .bind(&rule.zone)
    .bind(&rule.priority)
    .bind(&rule.tags)
    .bind(rule.team_id)
    .bind(&rule.agent_ids)
    .bind(&rule.team_ids)
    .execute(tx)
    .await?;
    Ok(true)
}

/// Takes a rule out of force: tickets that it has restricted stay so.
pub async fn remove(tx: &mut PgConnection, rule: Uuid) -> Result<(), DbError> {
    sqlx::query("DELETE FROM access.restricting_rule WHERE rule_id = $1")
        .bind(rule)
        .execute(tx)
        .await?;
    Ok(())
}

/// All rules in force, in order. One that does not check any more is left out, and told in the log.
pub async fn all(tx: &mut PgConnection) -> Result<Vec<Restricting>, DbError> {
    let rows: Vec<Kept> =
        sqlx::query_as("SELECT rule_id, version, position, display_name, condition, zone, priority, tags, team_id, agent_ids, team_ids
         FROM access.restricting_rule ORDER BY position, rule_id")
            .fetch_all(tx)
            .await?;
    Ok(rows.into_iter().filter_map(restricting).collect())
}

fn restricting(row: Kept) -> Option<Restricting> {
    let condition = match parse(&row.condition, &SCHEMA) {
        Ok(condition) => condition,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(rule.id = %row.rule_id, error, "a stored rule that restricts tickets does not check and is left out");
            return None;
        }
    };
    Some(Restricting {
        id: row.rule_id,
        version: row.version,
        name: row.display_name,
        condition,
        // Checked when it was saved; a zone that this machine does not know counts as not given.
        zone: TimeZone::get(&row.zone).unwrap_or(TimeZone::UTC),
        priority: row.priority.and_then(|name| name.parse().ok()),
        tags: row.tags,
        team: row.team_id,
        agents: row.agent_ids,
        teams: row.team_ids,
    })
}

#[cfg(test)]
mod tests {
    use solmu_testkit::Harness;

    use super::*;

    fn kept(number: u128, position: i32, condition: &str) -> Kept {
        Kept {
            rule_id: Uuid::from_u128(number),
            version: 1,
            position,
            display_name: format!("rule {number}"),
            condition: condition.to_owned(),
            zone: "Europe/Helsinki".to_owned(),
            priority: Some("high".to_owned()),
            tags: vec!["threat".to_owned()],
            team_id: Uuid::from_u128(900),
            agent_ids: Vec::new(),
            team_ids: vec![Uuid::from_u128(900)],
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn rules_are_kept_in_order_and_there_is_an_end_to_them() {
        let harness = Harness::new().await;
        let mut tx = harness.db.pool().begin().await.unwrap();
        assert!(put(&mut tx, &kept(1, 20, "threat")).await.unwrap());
        assert!(put(&mut tx, &kept(2, 10, "gone.field = 1")).await.unwrap());
        assert!(put(&mut tx, &kept(3, 10, "category = hr")).await.unwrap());
        let names = |rules: Vec<Restricting>| -> Vec<(String, i64)> {
            rules.into_iter().map(|it| (it.name, it.version)).collect()
        };
        let found = names(all(&mut tx).await.unwrap());
        assert_eq!(found, [("rule 3".to_owned(), 1), ("rule 1".to_owned(), 1)]);
        let changed = Kept {
            version: 2,
            position: 5,
            ..kept(1, 0, "threat OR bomb")
        };
        assert!(put(&mut tx, &changed).await.unwrap());
        remove(&mut tx, Uuid::from_u128(3)).await.unwrap();
        let rules = all(&mut tx).await.unwrap();
        assert_eq!(rules.len(), 1);
        assert_eq!((rules[0].version, rules[0].priority.is_some()), (2, true));
        remove(&mut tx, Uuid::from_u128(2)).await.unwrap();
        for number in 2..=u128::try_from(MAX_RULES).unwrap() {
            assert!(put(&mut tx, &kept(number, 1, "")).await.unwrap());
        }
        assert!(!put(&mut tx, &kept(1_000, 1, "")).await.unwrap());
        let again = put(&mut tx, &kept(1, 1, "")).await.unwrap();
        assert!(again, "what is there may change");
    }
}
