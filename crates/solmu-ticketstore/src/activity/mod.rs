//! The log of what happened to tickets: who, when, from, to and why; only ever added to, and proof against tampering.
//!
//! Every change of a ticket is told by an event, and events commit with their change. So the log is made where they
//! enter the outbox, in [`commit`]: no change can forget it, and a batch costs one statement. Entries of a ticket are
//! chained by SHA-256 in the order that its row lock gives them. They hold ids, states and names of fields, never
//! anybody's words or data; the reason, which people write, stands beside its entry and can be erased, since the entry
//! holds only a salted digest of it. The place and hash of the last entry stand beside the log, too, where they only go on:
//! a tail that was cut off is missed, whatever is written after it. Made from the stream of events later, it would miss what was changed by hand in
//! between; made by a trigger, it would know neither who nor why.

mod chain;
mod note;
mod read;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use solmu_db::{
    outbox,
    outbox::{OutboxEvent, Owner},
};
use solmu_domain::rng::Rng;
use solmu_proto::ticket::v1::activity::Kind;
use sqlx::PgConnection;
use uuid::Uuid;

pub use read::{changed_since_merge, list, verify};

use crate::error::TicketError;
use chain::{Hash, Link};

/// Adds the events of a transaction to the outbox, and what they say of tickets to the log. Their tickets are locked.
pub async fn commit(
    tx: &mut PgConnection,
    events: Vec<OutboxEvent>,
    rng: &dyn Rng,
    now: Timestamp,
) -> Result<(), TicketError> {
    let notes: Vec<_> = events.iter().filter_map(|row| note::of(row, now)).collect();
    let opened: BTreeSet<Uuid> = notes
        .iter()
        .filter(|note| note.entry.kind() == Kind::Opened)
        .map(|note| note.ticket)
        .collect();
    let known: Vec<Uuid> = notes
        .iter()
        .map(|note| note.ticket)
        .collect::<BTreeSet<_>>()
        .difference(&opened)
        .copied()
        .collect();
    let mut heads = heads(tx, &known).await?;
    let links: Vec<Link> = notes
        .into_iter()
        .map(|note| {
            let head = heads.entry(note.ticket).or_insert((0, chain::START));
            let link = Link::after(*head, note, rng);
            *head = (link.sequence, link.hash);
            link
        })
        .collect();
    write(tx, &links).await?;
    outbox::add(tx, Owner::Tickets, events, now).await?;
    Ok(())
}

/// The last entry of each of the tickets that have one: as it was noted, where that is further than the log goes.
async fn heads(
    tx: &mut PgConnection,
    tickets: &[Uuid],
) -> Result<BTreeMap<Uuid, (i64, Hash)>, TicketError> {
    if tickets.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows: Vec<(Uuid, i64, Vec<u8>)> = sqlx::query_as(
        "SELECT wanted.id, head.sequence, head.hash FROM unnest($1::uuid[]) AS wanted (id)
         CROSS JOIN LATERAL (
            SELECT sequence, hash FROM (
                (SELECT sequence, hash FROM tickets.activity WHERE ticket_id = wanted.id
                    ORDER BY sequence DESC LIMIT 1)
                UNION ALL SELECT sequence, hash FROM tickets.activity_head WHERE ticket_id = wanted.id
            ) AS known ORDER BY sequence DESC LIMIT 1
         ) AS head",
    )
    .bind(tickets)
    .fetch_all(tx)
    .await?;
    let heads = rows.into_iter().map(|(ticket, sequence, hash)| {
        let hash = Hash::try_from(hash).unwrap_or(chain::START);
        (ticket, (sequence, hash))
    });
    Ok(heads.collect())
}

/// Adds the entries. One that is there already means that somebody else changed the ticket without its lock: the
/// transaction is run again.
async fn write(tx: &mut PgConnection, links: &[Link]) -> Result<(), TicketError> {
    if links.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        (|$it:ident| $value:expr) => {
            links.iter().map(|$it| $value).collect::<Vec<_>>()
        };
    }
    let done = sqlx::query(
        "WITH new AS (
            SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::text[], $5::bytea[], $6::bytea[])
                AS new (ticket_id, sequence, entry, reason, salt, hash)
         ), head AS (
            INSERT INTO tickets.activity_head AS head (ticket_id, sequence, hash)
            SELECT DISTINCT ON (ticket_id) ticket_id, sequence, hash FROM new ORDER BY ticket_id, sequence DESC
            ON CONFLICT (ticket_id) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash
            WHERE head.sequence < excluded.sequence
         )
         INSERT INTO tickets.activity (ticket_id, sequence, entry, reason, salt, hash) SELECT * FROM new
         ON CONFLICT (ticket_id, sequence) DO NOTHING",
    )
    .bind(column!(|it| it.ticket))
    .bind(column!(|it| it.sequence))
    .bind(column!(|it| it.entry.as_slice()))
    .bind(column!(|it| it.reason.as_str()))
    .bind(column!(|it| it.salt.as_slice()))
    .bind(column!(|it| it.hash.as_slice()))
    .execute(tx)
    .await?;
    if done.rows_affected() == links.len() as u64 {
        Ok(())
    } else {
        Err(TicketError::race())
    }
}
