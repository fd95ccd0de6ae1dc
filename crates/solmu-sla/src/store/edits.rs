//! Edits of policies on their way to the open tickets.

use jiff::Timestamp;
use solmu_db::{DbError, ToSqlx as _};
use solmu_domain::ids::{PolicyId, TicketId};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::facts::TicketFacts;

/// An edit that has not reached every ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EditRow {
    pub(crate) id: i64,
    pub(crate) policy: PolicyId,
    pub(crate) recompute: bool,
    /// The last ticket that it has reached.
    pub(crate) after: Uuid,
}

/// Adds an edit.
pub(crate) async fn edit_insert(
    tx: &mut PgConnection,
    policy: PolicyId,
    recompute: bool,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query("INSERT INTO sla.edit (policy_id, recompute, created_at) VALUES ($1, $2, $3)")
        .bind(policy.as_uuid())
        .bind(recompute)
        .bind(now.to_sqlx())
        .execute(tx)
        .await?;
    Ok(())
}

/// The oldest edit, locked.
pub(crate) async fn edit_next(tx: &mut PgConnection) -> Result<Option<EditRow>, DbError> {
    let row: Option<(i64, Uuid, bool, Uuid)> = sqlx::query_as(
        "SELECT id, policy_id, recompute, after FROM sla.edit ORDER BY id LIMIT 1 FOR UPDATE",
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|(id, policy, recompute, after)| EditRow {
        id,
        policy: PolicyId::from_uuid(policy),
        recompute,
        after,
    }))
}

/// The oldest edit, without a lock.
pub(crate) async fn edit_peek(tx: &mut PgConnection) -> Result<Option<EditRow>, DbError> {
    let row: Option<(i64, Uuid, bool, Uuid)> =
        sqlx::query_as("SELECT id, policy_id, recompute, after FROM sla.edit ORDER BY id LIMIT 1")
            .fetch_optional(tx)
            .await?;
    Ok(row.map(|(id, policy, recompute, after)| EditRow {
        id,
        policy: PolicyId::from_uuid(policy),
        recompute,
        after,
    }))
}

/// What policies look at, of the next open tickets without a policy: at least those among the next `limit` that the edit
/// comes to.
pub(crate) async fn edit_facts(
    tx: &mut PgConnection,
    edit: &EditRow,
    limit: u32,
) -> Result<Vec<TicketFacts>, DbError> {
    let rows: Vec<Json<TicketFacts>> = sqlx::query_scalar(
        "SELECT unpromised -> 'facts' FROM sla.ticket_clock
         WHERE ticket_id > $1 AND open AND unpromised IS NOT NULL ORDER BY ticket_id LIMIT $2",
    )
    .bind(edit.after)
    .bind(i64::from(limit))
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|Json(facts)| facts).collect())
}

/// The next open tickets that have one of those versions of a policy, or none at all.
pub(crate) async fn edit_tickets(
    tx: &mut PgConnection,
    edit: &EditRow,
    keys: &[String],
    limit: u32,
) -> Result<Vec<TicketId>, DbError> {
    // Rows of the release before have no list of keys.
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT ticket_id FROM sla.ticket_clock
         WHERE ticket_id > $1 AND open AND (policies && $2 OR (policy_id = $3 AND policies = '{}') OR unpromised IS NOT NULL)
         ORDER BY ticket_id LIMIT $4",
    )
    .bind(edit.after)
    .bind(keys)
    .bind(edit.policy.as_uuid())
    .bind(i64::from(limit))
    .fetch_all(tx)
    .await?;
    Ok(ids.into_iter().map(TicketId::from_uuid).collect())
}

/// The edit has reached all tickets up to `after`; None: it is done.
pub(crate) async fn edit_advance(
    tx: &mut PgConnection,
    id: i64,
    after: Option<TicketId>,
) -> Result<(), DbError> {
    let query = match after {
        None => sqlx::query("DELETE FROM sla.edit WHERE id = $1").bind(id),
        Some(after) => sqlx::query("UPDATE sla.edit SET after = $2 WHERE id = $1")
            .bind(id)
            .bind(after.as_uuid()),
    };
    query.execute(tx).await?;
    Ok(())
}
