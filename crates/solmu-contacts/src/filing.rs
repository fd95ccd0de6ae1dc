//! How a message's sender becomes a contact, in the transaction that files the message: load what the senders of a
//! batch are known by, resolve each ([`Identities::resolve`]), write what is new.

use std::collections::HashSet;

use jiff::Timestamp;
use solmu_db::{DbError, ToSqlx as _};
use solmu_domain::contact::Assurance;
use solmu_proto::inbound::v1::{MessageReceived, raw_original::Place};
use sqlx::PgConnection;
use uuid::Uuid;

pub use crate::resolve::{
    Identities, IdentityKey, IdentityWrite, Known, Resolved, key_of, keys_of,
};
use crate::sighting;

/// A contact to be written.
#[derive(Debug, Clone)]
pub struct NewContact {
    /// Its id.
    pub id: Uuid,
    /// What it calls itself.
    pub name: String,
    /// The language that it writes, as a BCP 47 tag, or empty.
    pub language: String,
}

/// Keys of the files that `message` came with, its original among them.
pub fn object_keys(message: &MessageReceived) -> Vec<String> {
    let original = message.raw.as_ref().and_then(|raw| match &raw.place {
        Some(Place::ObjectKey(key)) => Some(key.clone()),
        _ => None,
    });
    let files = message.attachments.iter().map(|it| it.object_key.clone());
    files
        .chain(original)
        .filter(|key| !key.is_empty())
        .collect()
}

/// What is known of the identities `keys`.
pub async fn load(
    tx: &mut PgConnection,
    keys: impl IntoIterator<Item = IdentityKey>,
) -> Result<Identities, DbError> {
    let keys: HashSet<IdentityKey> = keys.into_iter().collect();
    let mut kinds = Vec::with_capacity(keys.len());
    let mut scopes = Vec::with_capacity(keys.len());
    let mut values = Vec::with_capacity(keys.len());
    for (kind, scope, value) in keys {
        kinds.push(kind);
        scopes.push(scope);
        values.push(value);
    }
    let rows: Vec<(i16, String, String, Uuid, i16, String, bool)> = sqlx::query_as(
        "SELECT identity.kind, identity.scope, identity.value, identity.contact_id, identity.assurance,
                contact.display_name, identity.undeliverable_at IS NOT NULL
         FROM unnest($1::smallint[], $2::text[], $3::text[]) AS wanted (kind, scope, value)
         JOIN tickets.identity USING (kind, scope, value)
         JOIN tickets.contact ON contact.id = identity.contact_id",
    )
    .bind(kinds)
    .bind(scopes)
    .bind(values)
    .fetch_all(tx)
    .await?;
    let known = rows.into_iter().map(
        |(kind, scope, value, contact_id, assurance, contact_name, undeliverable)| {
            (
                (kind, scope, value),
                Known {
                    contact_id,
                    contact_name,
                    assurance: Assurance::from_code(assurance),
                    undeliverable,
                },
            )
        },
    );
    Ok(Identities {
        known: known.collect(),
        ..Identities::default()
    })
}

/// Writes new contacts, what is new of identities, and whom `seen` saw. [`DbError::Race`] says that another replica
/// added one of the identities meanwhile: the batch was decided on old knowledge and has to be decided again.
pub async fn write(
    tx: &mut PgConnection,
    contacts: &[NewContact],
    identities: &[IdentityWrite],
    seen: &Identities,
    now: Timestamp,
) -> Result<(), DbError> {
    write_contacts(tx, contacts, now).await?;
    write_identities(tx, identities, now).await?;
    sighting::write(tx, &seen.sightings, now).await
}

async fn write_contacts(
    tx: &mut PgConnection,
    contacts: &[NewContact],
    now: Timestamp,
) -> Result<(), DbError> {
    if contacts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO tickets.contact (id, display_name, language, created_at)
         SELECT id, display_name, language, $4 FROM unnest($1::uuid[], $2::text[], $3::text[])
            AS new (id, display_name, language)",
    )
    .bind(
        contacts
            .iter()
            .map(|contact| contact.id)
            .collect::<Vec<_>>(),
    )
    .bind(
        contacts
            .iter()
            .map(|contact| contact.name.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        contacts
            .iter()
            .map(|contact| contact.language.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds new identities and better evidence. An identity that another replica added meanwhile means that this batch
/// was decided on old knowledge: it is decided again.
async fn write_identities(
    tx: &mut PgConnection,
    identities: &[IdentityWrite],
    now: Timestamp,
) -> Result<(), DbError> {
    let mut writes: Vec<_> = identities.iter().collect();
    writes.sort_by(|a, b| a.key.cmp(&b.key));
    for new in [true, false] {
        // The last write of a key in the batch holds; an insert and a later update of it are two writes.
        let mut chosen: Vec<_> = writes.iter().filter(|write| write.new == new).collect();
        chosen.reverse();
        chosen.dedup_by(|later, kept| later.key == kept.key);
        chosen.reverse();
        if chosen.is_empty() {
            continue;
        }
        let statement = if new {
            "INSERT INTO tickets.identity (kind, scope, value, raw, contact_id, assurance, attested_by, first_seen)
             SELECT kind, scope, value, raw, contact_id, assurance, attested_by, $8
             FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::smallint[], $7::text[])
                AS new (kind, scope, value, raw, contact_id, assurance, attested_by)
             ON CONFLICT (kind, scope, value) DO NOTHING"
        } else {
            "UPDATE tickets.identity AS identity SET contact_id = new.contact_id, raw = new.raw,
                assurance = new.assurance, attested_by = new.attested_by
             FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::uuid[], $6::smallint[], $7::text[])
                AS new (kind, scope, value, raw, contact_id, assurance, attested_by)
             WHERE identity.kind = new.kind AND identity.scope = new.scope AND identity.value = new.value
                AND $8::timestamptz IS NOT NULL"
        };
        let done = sqlx::query(statement)
            .bind(chosen.iter().map(|write| write.key.0).collect::<Vec<_>>())
            .bind(
                chosen
                    .iter()
                    .map(|write| write.key.1.as_str())
                    .collect::<Vec<_>>(),
            )
            .bind(
                chosen
                    .iter()
                    .map(|write| write.key.2.as_str())
                    .collect::<Vec<_>>(),
            )
            .bind(
                chosen
                    .iter()
                    .map(|write| write.raw.as_str())
                    .collect::<Vec<_>>(),
            )
            .bind(
                chosen
                    .iter()
                    .map(|write| write.contact_id)
                    .collect::<Vec<_>>(),
            )
            .bind(
                chosen
                    .iter()
                    .map(|write| write.assurance.code())
                    .collect::<Vec<_>>(),
            )
            .bind(
                chosen
                    .iter()
                    .map(|write| write.attested_by.as_str())
                    .collect::<Vec<_>>(),
            )
            .bind(now.to_sqlx())
            .execute(&mut *tx)
            .await?;
        if new && done.rows_affected() != chosen.len() as u64 {
            return Err(DbError::Race);
        }
    }
    Ok(())
}
