//! Reads and locks everything that a batch may touch, in a few statements.

use std::collections::{HashMap, HashSet};

use solmu_domain::contact::Assurance;
use solmu_proto::inbound::v1::MessageReceived;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    contact::{Identities, IdentityKey, Known, key_of},
    thread::{ThreadKey, Threads, keys_of, signed_tickets},
};
use crate::{error::TicketError, model};

/// What the database has of a batch.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) identities: Identities,
    pub(crate) threads: Threads,
    /// Messages that are filed or quarantined already.
    pub(crate) filed: HashSet<Uuid>,
}

pub(crate) async fn load<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived> + Clone,
) -> Result<Loaded, TicketError> {
    let ids: Vec<Uuid> = messages
        .clone()
        .filter_map(|message| Uuid::parse_str(&message.message_id).ok())
        .collect();
    let filed: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM tickets.message WHERE id = ANY($1)
         UNION ALL SELECT message_id FROM tickets.quarantine WHERE message_id = ANY($1) AND released_at IS NULL",
    )
    .bind(&ids)
    .fetch_all(&mut *tx)
    .await?;
    let identities = load_identities(tx, messages.clone()).await?;
    let threads = load_threads(tx, messages).await?;
    Ok(Loaded {
        identities,
        threads,
        filed: filed.into_iter().collect(),
    })
}

async fn load_identities<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived>,
) -> Result<Identities, TicketError> {
    let keys: HashSet<IdentityKey> = messages
        .filter_map(|message| message.sender.as_ref())
        .flat_map(|sender| &sender.identities)
        .filter_map(key_of)
        .collect();
    let (kinds, scopes, values) = columns(keys);
    let rows: Vec<(i16, String, String, Uuid, i16, String)> = sqlx::query_as(
        "SELECT identity.kind, identity.scope, identity.value, identity.contact_id, identity.assurance,
                contact.display_name
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
        |(kind, scope, value, contact_id, assurance, contact_name)| {
            (
                (kind, scope, value),
                Known {
                    contact_id,
                    contact_name,
                    assurance: Assurance::from_code(assurance),
                },
            )
        },
    );
    Ok(Identities {
        known: known.collect(),
    })
}

async fn load_threads<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived> + Clone,
) -> Result<Threads, TicketError> {
    let wanted: HashSet<ThreadKey> = messages.clone().flat_map(keys_of).collect();
    let (channels, accounts, names) = columns(wanted);
    let rows: Vec<(i16, String, String, Uuid)> = sqlx::query_as(
        "SELECT thread.channel, thread.account, thread.key, thread.ticket_id
         FROM unnest($1::smallint[], $2::text[], $3::text[]) AS wanted (channel, account, key)
         JOIN tickets.thread_key AS thread USING (channel, account, key)",
    )
    .bind(channels)
    .bind(accounts)
    .bind(names)
    .fetch_all(&mut *tx)
    .await?;
    let mut threads = Threads {
        keys: rows
            .into_iter()
            .map(|(channel, account, key, ticket)| ((channel, account, key), ticket))
            .collect(),
        ..Threads::default()
    };
    let mut missing: HashSet<Uuid> = threads
        .keys
        .values()
        .copied()
        .chain(messages.flat_map(signed_tickets))
        .collect();
    // A closed ticket may have a successor, and that one too; each round locks the next of every chain.
    while !missing.is_empty() {
        let ids: Vec<Uuid> = missing.drain().collect();
        for ticket in model::lock(tx, &ids).await? {
            missing.extend(ticket.next_ticket_id);
            threads.tickets.insert(ticket.id, ticket);
        }
        missing.retain(|id| !threads.tickets.contains_key(id));
    }
    let ids: Vec<Uuid> = threads.tickets.keys().copied().collect();
    let rows: Vec<(Uuid, String)> = sqlx::query_as(
        "SELECT ticket_id, address FROM tickets.participant WHERE ticket_id = ANY($1)",
    )
    .bind(&ids)
    .fetch_all(tx)
    .await?;
    let mut participants: HashMap<Uuid, HashSet<String>> = HashMap::new();
    for (ticket, address) in rows {
        participants.entry(ticket).or_default().insert(address);
    }
    threads.participants = participants;
    Ok(threads)
}

/// Keys as three arrays for `unnest`.
fn columns(keys: HashSet<(i16, String, String)>) -> (Vec<i16>, Vec<String>, Vec<String>) {
    let mut columns = (
        Vec::with_capacity(keys.len()),
        Vec::with_capacity(keys.len()),
        Vec::with_capacity(keys.len()),
    );
    for (first, second, third) in keys {
        columns.0.push(first);
        columns.1.push(second);
        columns.2.push(third);
    }
    columns
}
