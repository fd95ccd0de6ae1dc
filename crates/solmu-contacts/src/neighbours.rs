//! The sightings that have to do with some of them: all that share a value or a contact, and so on, as far as it goes.

use std::collections::{BTreeMap, BTreeSet};

use solmu_db::{DbError, SqlTimestamp};
use solmu_identity::Sighting;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::sighting;

/// Sightings that are looked at together, at most. Where there are more, nothing is taken back.
const MAX_SIGHTINGS: usize = 1_000;
/// Sightings that one value may have: a value of more people says nothing about anybody.
const MAX_PER_VALUE: i64 = 100;

/// Sightings that share a value with one of `$1`, where at most `$2` do.
pub(crate) const SHARING: &str = "WITH shared AS (SELECT DISTINCT kind, value FROM tickets.sighting_value WHERE sighting_id = ANY($1))
         SELECT DISTINCT unnest(users.ids) FROM shared CROSS JOIN LATERAL (
            SELECT array_agg(sighting_id) AS ids FROM (
                SELECT sighting_id FROM tickets.sighting_value AS other
                WHERE other.kind = shared.kind AND other.value = shared.value LIMIT $2 + 1) AS few
         ) AS users WHERE cardinality(users.ids) <= $2";

/// Sightings of everybody whom the persons behind `$1` are made of, at most `$2` of each.
pub(crate) const OF_CONTACTS: &str = "WITH roots AS (SELECT DISTINCT coalesce(root_id, id) AS id FROM tickets.contact WHERE id = ANY($1)),
            people AS (SELECT id FROM roots UNION
                SELECT contact.id FROM roots JOIN tickets.contact ON contact.root_id = roots.id)
         SELECT sighting.id FROM people CROSS JOIN LATERAL (
            SELECT id FROM tickets.sighting WHERE sighting.contact_id = people.id ORDER BY seen_at, id LIMIT $2) AS sighting";

/// Sightings that have to do with each other.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    /// What the resolver looks at.
    pub(crate) sightings: Vec<Sighting>,
    /// The contact of each.
    pub(crate) contacts: Vec<Uuid>,
    /// Nothing was left out.
    pub(crate) complete: bool,
}

/// A sighting as the table has it.
struct Row {
    id: Uuid,
    contact_id: Uuid,
    name: String,
    evidence: serde_json::Value,
    seen_at: SqlTimestamp,
}
solmu_db::from_row!(Row {
    id,
    contact_id,
    name,
    evidence,
    seen_at
});

/// Everything around `seeds`.
pub(crate) async fn around(tx: &mut PgConnection, seeds: &[Uuid]) -> Result<Neighbours, DbError> {
    let mut known: BTreeMap<Uuid, Row> = BTreeMap::new();
    let mut asked: BTreeSet<Uuid> = BTreeSet::new();
    let mut wanted: BTreeSet<Uuid> = seeds.iter().copied().collect();
    let mut complete = true;
    while !wanted.is_empty() {
        if known.len() + wanted.len() > MAX_SIGHTINGS {
            complete = false;
            break;
        }
        let rows = load(tx, &wanted).await?;
        let contacts: BTreeSet<Uuid> = rows
            .iter()
            .map(|row| row.contact_id)
            .filter(|id| asked.insert(*id))
            .collect();
        let mut next: BTreeSet<Uuid> = BTreeSet::new();
        next.extend(sharing(tx, &wanted).await?);
        next.extend(of_contacts(tx, &contacts).await?);
        known.extend(rows.into_iter().map(|row| (row.id, row)));
        next.retain(|id| !known.contains_key(id) && !wanted.contains(id));
        wanted = next;
    }
    let mut of: BTreeMap<Uuid, i64> = BTreeMap::new();
    for row in known.values() {
        *of.entry(row.contact_id).or_default() += 1;
    }
    complete &= of.values().all(|count| *count < MAX_PER_VALUE);
    let mut neighbours = Neighbours {
        complete,
        ..Neighbours::default()
    };
    for row in known.into_values() {
        let stored = serde_json::from_value(row.evidence).unwrap_or_default();
        neighbours.contacts.push(row.contact_id);
        neighbours.sightings.push(Sighting {
            id: row.id.to_string(),
            at: row.seen_at.to_jiff().as_second(),
            name: row.name,
            evidence: sighting::evidence(stored),
        });
    }
    Ok(neighbours)
}

async fn load(tx: &mut PgConnection, ids: &BTreeSet<Uuid>) -> Result<Vec<Row>, DbError> {
    let rows = sqlx::query_as(
        "SELECT id, contact_id, name, evidence, seen_at FROM tickets.sighting WHERE id = ANY($1)",
    )
    .bind(ids.iter().copied().collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    Ok(rows)
}

/// Those that share a value with one of `ids`, where not too many do.
async fn sharing(tx: &mut PgConnection, ids: &BTreeSet<Uuid>) -> Result<Vec<Uuid>, DbError> {
    let found = sqlx::query_scalar(SHARING)
        .bind(ids.iter().copied().collect::<Vec<_>>())
        .bind(MAX_PER_VALUE)
        .fetch_all(tx)
        .await?;
    Ok(found)
}

/// Those of everybody whom the persons behind `contacts` are made of.
async fn of_contacts(
    tx: &mut PgConnection,
    contacts: &BTreeSet<Uuid>,
) -> Result<Vec<Uuid>, DbError> {
    if contacts.is_empty() {
        return Ok(Vec::new());
    }
    let found = sqlx::query_scalar(OF_CONTACTS)
        .bind(contacts.iter().copied().collect::<Vec<_>>())
        .bind(MAX_PER_VALUE)
        .fetch_all(tx)
        .await?;
    Ok(found)
}
