//! The inbox: which events a consumer has done, committed with their effect.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use solmu_domain::ids::EventId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{DbError, outbox::Owner};

/// Marks `events` as done by `consumer` and returns those that were not yet. The others are repeats: no effect.
pub async fn claim(
    tx: &mut PgConnection,
    owner: Owner,
    consumer: &str,
    events: &[EventId],
    now: Timestamp,
) -> Result<HashSet<EventId>, DbError> {
    let ids: Vec<Uuid> = events.iter().map(|id| id.as_uuid()).collect();
    let new: Vec<Uuid> = sqlx::query_scalar(owner.sql().inbox_claim)
        .bind(consumer)
        .bind(ids)
        .bind(now.to_sqlx())
        .fetch_all(tx)
        .await?;
    Ok(new.into_iter().map(EventId::from_uuid).collect())
}

/// Forgets what was seen before `before`. Rows must outlive the stream that could repeat the event.
pub async fn purge(tx: &mut PgConnection, owner: Owner, before: Timestamp) -> Result<u64, DbError> {
    let done = sqlx::query(owner.sql().inbox_purge)
        .bind(before.to_sqlx())
        .execute(tx)
        .await?;
    Ok(done.rows_affected())
}
