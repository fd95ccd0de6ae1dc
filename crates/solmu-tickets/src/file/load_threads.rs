//! Reads what ties the messages of a batch to tickets, and locks those tickets.

use std::collections::{HashMap, HashSet};

use solmu_proto::inbound::v1::MessageReceived;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    load::columns,
    thread::{
        ClaimKey, ThreadKey, Threads, keys_of, signed_tickets, subject_numbers, wanted_claims,
    },
};
use crate::{config::Config, error::TicketError, model};

/// Reads keys, locks the tickets that they lead to, and reads claims under those locks: who adds a claim has locked
/// the ticket that the key leads to first, so that two replicas see each other's claims.
pub(crate) async fn load_threads<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived> + Clone,
    config: &Config,
) -> Result<Threads, TicketError> {
    let mut threads = Threads {
        keys: load_keys(tx, messages.clone()).await?,
        numbers: load_numbers(tx, messages.clone()).await?,
        ..Threads::default()
    };
    let found: Vec<Uuid> = threads
        .keys
        .values()
        .chain(threads.numbers.values())
        .copied()
        .chain(messages.clone().flat_map(signed_tickets))
        .collect();
    lock_chains(tx, &mut threads, found).await?;
    // A claim is only added beside a key that leads somewhere.
    let wanted = messages
        .flat_map(|message| wanted_claims(message, config))
        .filter(|(key, _)| threads.keys.contains_key(key))
        .collect();
    threads.claims = load_claims(tx, wanted).await?;
    let claimed = threads.claims.values().copied().collect();
    lock_chains(tx, &mut threads, claimed).await?;
    threads.participants = load_participants(tx, &threads).await?;
    Ok(threads)
}

async fn load_keys<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived>,
) -> Result<HashMap<ThreadKey, Uuid>, TicketError> {
    let wanted: HashSet<ThreadKey> = messages.flat_map(keys_of).collect();
    let (channels, accounts, names) = columns(wanted);
    let rows: Vec<(i16, String, String, Uuid)> = sqlx::query_as(
        "SELECT thread.channel, thread.account, thread.key, thread.ticket_id
         FROM unnest($1::smallint[], $2::text[], $3::text[]) AS wanted (channel, account, key)
         JOIN tickets.thread_key AS thread USING (channel, account, key)",
    )
    .bind(channels)
    .bind(accounts)
    .bind(names)
    .fetch_all(tx)
    .await?;
    let keys = rows
        .into_iter()
        .map(|(channel, account, key, ticket)| ((channel, account, key), ticket));
    Ok(keys.collect())
}

async fn load_numbers<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived>,
) -> Result<HashMap<i64, Uuid>, TicketError> {
    let wanted: Vec<i64> = messages.flat_map(subject_numbers).collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, Uuid)> =
        sqlx::query_as("SELECT number, id FROM tickets.ticket WHERE number = ANY($1)")
            .bind(wanted)
            .fetch_all(tx)
            .await?;
    Ok(rows.into_iter().collect())
}

async fn load_claims(
    tx: &mut PgConnection,
    wanted: HashSet<ClaimKey>,
) -> Result<HashMap<ClaimKey, Uuid>, TicketError> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted: Vec<ClaimKey> = wanted.into_iter().collect();
    let rows: Vec<(i16, String, String, String, Uuid)> = sqlx::query_as(
        "SELECT claim.channel, claim.account, claim.key, claim.party, claim.ticket_id
         FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[]) AS wanted (channel, account, key, party)
         JOIN tickets.thread_claim AS claim USING (channel, account, key, party)",
    )
    .bind(wanted.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(key, _)| key.1.as_str()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(key, _)| key.2.as_str()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, party)| party.as_str()).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let claims = rows
        .into_iter()
        .map(|(channel, account, key, party, ticket)| (((channel, account, key), party), ticket));
    Ok(claims.collect())
}

/// Locks `tickets` and what followed them. A closed ticket may have a successor, and that one too; each round locks
/// the next of every chain.
async fn lock_chains(
    tx: &mut PgConnection,
    threads: &mut Threads,
    tickets: Vec<Uuid>,
) -> Result<(), TicketError> {
    let mut missing: HashSet<Uuid> = tickets.into_iter().collect();
    missing.retain(|id| !threads.tickets.contains_key(id));
    while !missing.is_empty() {
        let ids: Vec<Uuid> = missing.drain().collect();
        for ticket in model::lock(tx, &ids).await? {
            missing.extend(ticket.next_ticket_id);
            threads.tickets.insert(ticket.id, ticket);
        }
        missing.retain(|id| !threads.tickets.contains_key(id));
    }
    Ok(())
}

async fn load_participants(
    tx: &mut PgConnection,
    threads: &Threads,
) -> Result<HashMap<Uuid, HashSet<String>>, TicketError> {
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
    Ok(participants)
}
