//! What is left here of people whose data was removed: the custom fields of their tickets.
//!
//! That they were erased is remembered, because an event of the time before may come later: after a retry, or replayed
//! out of the dead letters weeks on. Its values are dropped before anybody sees them.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::ContactId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    core::{
        event::{Erasure, TicketEvent},
        state::State,
    },
    error::RoundError,
};

/// Empties the fields of their tickets, here and in memory, and remembers it.
pub(crate) async fn erased_note(
    tx: &mut PgConnection,
    state: &mut State,
    erased: &[Erasure],
) -> Result<(), RoundError> {
    for erasure in erased {
        let contacts: HashSet<ContactId> = erasure.contacts.iter().copied().collect();
        let ids: Vec<Uuid> = contacts.iter().map(|id| id.as_uuid()).collect();
        sqlx::query(
            "INSERT INTO routing.erased_contact (contact_id, erased_at) SELECT id, $2 FROM unnest($1::uuid[]) AS it (id)
             ON CONFLICT (contact_id) DO UPDATE SET erased_at = greatest(erased_contact.erased_at, excluded.erased_at)",
        )
        .bind(&ids)
        .bind(erasure.at.to_sqlx())
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "UPDATE routing.ticket SET fields = '{}' WHERE contact_id = ANY($1) AND fields <> '{}'",
        )
        .bind(&ids)
        .execute(&mut *tx)
        .await?;
        state.erase(&contacts);
    }
    Ok(())
}

/// Takes the fields out of events that are older than the erasure of their contact.
pub(crate) async fn forget_erased(
    tx: &mut PgConnection,
    mut events: Vec<TicketEvent>,
) -> Result<Vec<TicketEvent>, RoundError> {
    let contacts = events.iter().filter_map(|event| {
        let facts = event.facts.as_ref()?;
        facts.contact.filter(|_| !facts.fields.is_empty())
    });
    let contacts: HashSet<Uuid> = contacts.map(ContactId::as_uuid).collect();
    if contacts.is_empty() {
        return Ok(events);
    }
    let rows: Vec<(Uuid, SqlTimestamp)> = sqlx::query_as(
        "SELECT contact_id, erased_at FROM routing.erased_contact WHERE contact_id = ANY($1)",
    )
    .bind(contacts.into_iter().collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let erased: HashMap<ContactId, Timestamp> = rows
        .into_iter()
        .map(|(id, at)| (ContactId::from_uuid(id), at.to_jiff()))
        .collect();
    for event in &mut events {
        let time = event.time;
        let Some(facts) = &mut event.facts else {
            continue;
        };
        let at = facts.contact.and_then(|id| erased.get(&id));
        if at.is_some_and(|at| time <= *at) {
            facts.fields.clear();
        }
    }
    Ok(events)
}
