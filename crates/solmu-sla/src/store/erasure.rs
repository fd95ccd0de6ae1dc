//! What is left here of people whose data was removed: the custom fields of their tickets.
//!
//! That they were erased is remembered, because an event of the time before may come later: after a retry, or replayed
//! out of the dead letters weeks on.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::intake::Arrival;

/// Empties the fields of their tickets, and remembers it.
pub(crate) async fn erase(
    tx: &mut PgConnection,
    contacts: &[Uuid],
    at: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO sla.erased_contact (contact_id, erased_at) SELECT DISTINCT id, $2 FROM unnest($1::uuid[]) AS it (id)
         ON CONFLICT (contact_id) DO UPDATE SET erased_at = greatest(erased_contact.erased_at, excluded.erased_at)",
    )
    .bind(contacts)
    .bind(at.to_sqlx())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "UPDATE sla.ticket_clock SET facts = jsonb_set(facts, '{fields}', '{}', false),
            unpromised = jsonb_set(unpromised, '{facts,fields}', '{}', false)
         WHERE contact_id = ANY($1)",
    )
    .bind(contacts)
    .execute(tx)
    .await?;
    Ok(())
}

/// When contacts were erased.
#[derive(Debug, Default)]
pub(crate) struct Erased(HashMap<Uuid, Timestamp>);

impl Erased {
    /// Of the contacts whose tickets' custom fields events name.
    pub(crate) async fn of<'a>(
        tx: &mut PgConnection,
        arrivals: impl Iterator<Item = &'a Arrival>,
    ) -> Result<Self, DbError> {
        let facts = arrivals.filter_map(Arrival::facts);
        let contacts = facts.filter(|it| !it.fields.is_empty());
        let contacts: HashSet<Uuid> = contacts.filter_map(|it| it.contact).collect();
        if contacts.is_empty() {
            return Ok(Self::default());
        }
        let rows: Vec<(Uuid, SqlTimestamp)> = sqlx::query_as(
            "SELECT contact_id, erased_at FROM sla.erased_contact WHERE contact_id = ANY($1)",
        )
        .bind(contacts.into_iter().collect::<Vec<_>>())
        .fetch_all(tx)
        .await?;
        let rows = rows.into_iter().map(|(id, at)| (id, at.to_jiff()));
        Ok(Self(rows.collect()))
    }

    /// Whether what was told then of a contact is from before its erasure.
    pub(crate) fn covers(&self, contact: Option<Uuid>, told_at: Timestamp) -> bool {
        let at = contact.and_then(|id| self.0.get(&id));
        at.is_some_and(|at| told_at <= *at)
    }
}
