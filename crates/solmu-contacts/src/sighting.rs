//! What messages said of their senders: the evidence that the resolver works with.
//!
//! Each combination of contact, name and identifiers is kept once. It is written with the message that brought it; the
//! resolver looks at it afterwards ([`crate::linker`]), so that filing never waits for a merge.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use solmu_db::{DbError, ToSqlx as _};
use solmu_domain::contact::Assurance;
use solmu_identity::{Evidence, Kind, Region, normalise};
use solmu_proto::{inbound::v1::Sender, types::v1::Identity};
use sqlx::PgConnection;
use uuid::Uuid;

/// Identifiers of one sender that are looked at: nobody honest has more in one message.
const MAX_EVIDENCE: usize = 20;

/// One identifier, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Stored {
    kind: i16,
    scope: String,
    raw: String,
    assurance: i16,
}

/// A sender, to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewSighting {
    pub(crate) id: Uuid,
    contact_id: Uuid,
    name: String,
    evidence: BTreeSet<Stored>,
}

impl NewSighting {
    /// What `sender` of `contact` said of themselves; `None` if that is nothing to go by.
    pub(crate) fn of(sender: &Sender, contact: Uuid) -> Option<Self> {
        let evidence: BTreeSet<Stored> = sender
            .identities
            .iter()
            .take(MAX_EVIDENCE)
            .filter_map(stored)
            .collect();
        if evidence.is_empty() {
            return None;
        }
        let name = sender.display_name.trim().to_owned();
        let described = serde_json::to_vec(&(contact, &name, &evidence)).ok()?;
        Some(Self {
            id: Uuid::new_v5(&contact, &described),
            contact_id: contact,
            name,
            evidence,
        })
    }
}

impl NewSighting {
    /// What was said.
    pub(crate) fn into_evidence(self) -> Vec<Stored> {
        self.evidence.into_iter().collect()
    }
}

fn stored(identity: &Identity) -> Option<Stored> {
    let kind = Kind::from_code(i16::try_from(identity.kind).ok()?)?;
    let assurance = Assurance::from_code(i16::try_from(identity.assurance).unwrap_or(0));
    Some(Stored {
        kind: kind.code(),
        scope: identity.scope.clone(),
        raw: identity.value.clone(),
        assurance: assurance.code(),
    })
}

/// Stored identifiers as the resolver takes them.
pub(crate) fn evidence(stored: Vec<Stored>) -> Vec<Evidence> {
    let read = stored.into_iter().filter_map(|it| {
        Some(Evidence {
            kind: Kind::from_code(it.kind)?,
            scope: it.scope,
            raw: it.raw,
            assurance: Assurance::from_code(it.assurance),
        })
    });
    read.collect()
}

/// Writes the new ones among `sightings`.
pub(crate) async fn write(
    tx: &mut PgConnection,
    sightings: &BTreeMap<Uuid, NewSighting>,
    now: Timestamp,
) -> Result<(), DbError> {
    if sightings.is_empty() {
        return Ok(());
    }
    let all: Vec<&NewSighting> = sightings.values().collect();
    let evidence: Vec<String> = all
        .iter()
        .map(|it| serde_json::to_string(&it.evidence).unwrap_or_default())
        .collect();
    let added: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO tickets.sighting (id, contact_id, name, evidence, seen_at)
         SELECT id, contact_id, name, evidence::jsonb, $5
         FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[]) AS new (id, contact_id, name, evidence)
         ON CONFLICT (id) DO NOTHING RETURNING id",
    )
    .bind(all.iter().map(|it| it.id).collect::<Vec<_>>())
    .bind(all.iter().map(|it| it.contact_id).collect::<Vec<_>>())
    .bind(all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>())
    .bind(evidence)
    .bind(now.to_sqlx())
    .fetch_all(&mut *tx)
    .await?;
    let mut values: Vec<(i16, String, Uuid)> = Vec::new();
    for it in added.iter().filter_map(|id| sightings.get(id)) {
        values.extend(values_of(it));
    }
    if values.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO tickets.sighting_value (kind, value, sighting_id)
         SELECT * FROM unnest($1::smallint[], $2::text[], $3::uuid[]) ON CONFLICT DO NOTHING",
    )
    .bind(values.iter().map(|it| it.0).collect::<Vec<_>>())
    .bind(values.iter().map(|it| it.1.as_str()).collect::<Vec<_>>())
    .bind(values.iter().map(|it| it.2).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// The values of a sighting as they are compared. Numbers came with their country code: the region does not matter.
fn values_of(sighting: &NewSighting) -> impl Iterator<Item = (i16, String, Uuid)> + '_ {
    sighting.evidence.iter().filter_map(|it| {
        let value = normalise(Kind::from_code(it.kind)?, &it.raw, Region::default()).ok()?;
        Some((value.kind.code(), value.matching, sighting.id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_sender_is_kept_once() {
        let mut sender = Sender {
            display_name: "Aino ".to_owned(),
            identities: vec![
                Identity {
                    kind: 1,
                    value: "a@c.example".to_owned(),
                    assurance: 3,
                    ..Identity::default()
                },
                Identity {
                    kind: 2,
                    value: "+358401112223".to_owned(),
                    assurance: 2,
                    ..Identity::default()
                },
            ],
        };
        let contact = Uuid::from_u128(1);
        let first = NewSighting::of(&sender, contact).unwrap();
        sender.identities.reverse();
        assert_eq!(NewSighting::of(&sender, contact), Some(first.clone()));
        assert_ne!(
            NewSighting::of(&sender, Uuid::from_u128(2)).unwrap().id,
            first.id
        );
        sender.identities[1].assurance = 2;
        assert_ne!(NewSighting::of(&sender, contact).unwrap().id, first.id);
        sender.identities.clear();
        assert_eq!(NewSighting::of(&sender, contact), None);
        assert_eq!(values_of(&first).count(), 2);
    }
}
