//! Reads what ties the messages of a batch to tickets, and locks those tickets.

use std::collections::{HashMap, HashSet};

use solmu_domain::ticket::Status;
use solmu_proto::inbound::v1::MessageReceived;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    load::columns,
    thread::{
        ClaimKey, ThreadKey, Threads, Way, colleagues, keys_of, once_key, signed_tickets,
        subject_numbers, wanted_claims,
    },
};
use crate::{config::Config, error::TicketError, model};

/// Reads keys, locks the tickets that they lead to and those that messages have `joined` by what they say, and reads claims under those locks: who adds a claim has locked
/// the ticket that the key leads to first, so that two replicas see each other's claims.
pub(crate) async fn load_threads<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived> + Clone,
    joined: Vec<Uuid>,
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
        .map(|way| way.ticket)
        .chain(threads.numbers.values().copied())
        .chain(messages.clone().flat_map(signed_tickets))
        .chain(joined)
        .collect();
    lock_chains(tx, &mut threads, found).await?;
    check_named(tx, &threads).await?;
    // A claim is only added beside a key that leads somewhere.
    let mails = messages.clone();
    let ends = mails.filter_map(|message| colleagues(message, config));
    let ends = ends
        .filter(|(key, _)| threads.keys.contains_key(key))
        .collect();
    let wanted = messages
        .flat_map(|message| wanted_claims(message, config))
        .filter(|(key, _)| threads.keys.contains_key(key))
        .collect();
    let mut claims = load_claims(tx, wanted).await?;
    claims.extend(load_colleagues(tx, ends).await?);
    for (claim, ticket) in claims {
        threads.add_claim(claim, ticket);
    }
    let claimed = threads.claims.values().copied().collect();
    lock_chains(tx, &mut threads, claimed).await?;
    threads.participants = load_participants(tx, &threads).await?;
    threads.follow_ups = load_follow_ups(tx, &threads).await?;
    Ok(threads)
}

async fn load_keys<'a>(
    tx: &mut PgConnection,
    messages: impl Iterator<Item = &'a MessageReceived>,
) -> Result<HashMap<ThreadKey, Way>, TicketError> {
    let wanted = messages.flat_map(|message| keys_of(message).into_iter().chain(once_key(message)));
    read_keys(tx, wanted.collect()).await
}

async fn read_keys(
    tx: &mut PgConnection,
    wanted: HashSet<ThreadKey>,
) -> Result<HashMap<ThreadKey, Way>, TicketError> {
    let (channels, accounts, names) = columns(wanted);
    let rows: Vec<(i16, String, String, Uuid, String)> = sqlx::query_as(
        "SELECT thread.channel, thread.account, thread.key, thread.ticket_id, thread.named_by
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
        .map(|(channel, account, key, ticket, named_by)| {
            ((channel, account, key), Way { ticket, named_by })
        });
    Ok(keys.collect())
}

/// A key that was only named leads elsewhere once its message is filed. Who files that has locked the ticket that the
/// key leads to, as we have now: a key that changed meanwhile means that this batch is decided again.
async fn check_named(tx: &mut PgConnection, threads: &Threads) -> Result<(), TicketError> {
    let named = threads.keys.iter().filter(|(_, way)| !way.is_written());
    let named: HashSet<ThreadKey> = named.map(|(key, _)| key.clone()).collect();
    if named.is_empty() {
        return Ok(());
    }
    let now = read_keys(tx, named).await?;
    let same = now
        .iter()
        .all(|(key, way)| threads.keys.get(key) == Some(way));
    if same {
        Ok(())
    } else {
        Err(TicketError::race())
    }
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

/// A claim as its table has it.
type ClaimRow = (i16, String, String, String, Uuid);

fn as_claims(rows: Vec<ClaimRow>) -> HashMap<ClaimKey, Uuid> {
    let claims = rows
        .into_iter()
        .map(|(channel, account, key, party, ticket)| (((channel, account, key), party), ticket));
    claims.collect()
}

async fn load_claims(
    tx: &mut PgConnection,
    wanted: HashSet<ClaimKey>,
) -> Result<HashMap<ClaimKey, Uuid>, TicketError> {
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted: Vec<ClaimKey> = wanted.into_iter().collect();
    let rows: Vec<ClaimRow> = sqlx::query_as(
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
    Ok(as_claims(rows))
}

/// Colleagues who named a mail before it came, at most: more than so many tickets are not one thread.
const MAX_COLLEAGUES: i64 = 50;

async fn load_colleagues(
    tx: &mut PgConnection,
    ends: Vec<ClaimKey>,
) -> Result<HashMap<ClaimKey, Uuid>, TicketError> {
    if ends.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<ClaimRow> = sqlx::query_as(
        "SELECT wanted.channel, wanted.account, wanted.key, claim.party, claim.ticket_id
         FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[]) AS wanted (channel, account, key, domain)
         CROSS JOIN LATERAL (
            SELECT party, ticket_id FROM tickets.thread_claim AS claim
            WHERE claim.channel = wanted.channel AND claim.account = wanted.account AND claim.key = wanted.key
                AND right(claim.party, length(wanted.domain)) = wanted.domain AND left(claim.party, 1) <> ' '
            ORDER BY party LIMIT $5
         ) AS claim",
    )
    .bind(ends.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
    .bind(ends.iter().map(|(key, _)| key.1.as_str()).collect::<Vec<_>>())
    .bind(ends.iter().map(|(key, _)| key.2.as_str()).collect::<Vec<_>>())
    .bind(ends.iter().map(|(_, end)| end.as_str()).collect::<Vec<_>>())
    .bind(MAX_COLLEAGUES)
    .fetch_all(tx)
    .await?;
    Ok(as_claims(rows))
}

/// Locks `tickets` and what followed them. A closed ticket may have a successor or have become part of another one, and
/// that one too; each round locks the next of every chain.
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
            missing.extend(ticket.merged_into);
            threads.tickets.insert(ticket.id, ticket);
        }
        missing.retain(|id| !threads.tickets.contains_key(id));
    }
    Ok(())
}

/// Which of the tickets that could still be moved follow a closed one that nothing here leads to. Not locked: what a
/// closed ticket leads to is written once, with the ticket that follows it.
async fn load_follow_ups(
    tx: &mut PgConnection,
    threads: &Threads,
) -> Result<HashSet<Uuid>, TicketError> {
    let fresh = threads.tickets.values();
    let fresh = fresh.filter(|it| !it.touched && it.status == Status::New);
    let before = fresh.filter_map(|it| it.previous_ticket_id);
    let missing: Vec<Uuid> = before
        .filter(|id| !threads.tickets.contains_key(id))
        .collect();
    if missing.is_empty() {
        return Ok(HashSet::new());
    }
    let next: Vec<Uuid> = sqlx::query_scalar(
        "SELECT next_ticket_id FROM tickets.ticket WHERE id = ANY($1) AND next_ticket_id IS NOT NULL",
    )
    .bind(missing)
    .fetch_all(tx)
    .await?;
    Ok(next.into_iter().collect())
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
