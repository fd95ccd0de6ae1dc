//! The outbox: events that commit with the change that they tell of.
//!
//! A relay (in `solmu-runtime`) publishes the rows in order of id. That order is the order of commits for any one
//! ticket, because both its changes and its events are written under the ticket's row lock. Rows stay for some
//! minutes after the bus has acknowledged them, so that a bus that lost its tail can be filled again.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::DbError;

/// Whose outbox and inbox: each service has its own in its own schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The ticket service.
    Tickets,
    /// The router.
    Routing,
    /// The SLA service.
    Sla,
}

/// An event that is ready to go: the encoded envelope and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Id of the event.
    pub event_id: Uuid,
    /// Family of subjects, e.g. "tickets".
    pub family: String,
    /// Partition within the family.
    pub shard: i32,
    /// Encoded `solmu.bus.v1.Event`.
    pub event: Vec<u8>,
}

/// An event that waits for the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// Position in the outbox.
    pub id: i64,
    /// Id of the event.
    pub event_id: Uuid,
    /// Family of subjects.
    pub family: String,
    /// Partition within the family.
    pub shard: i32,
    /// Encoded `solmu.bus.v1.Event`.
    pub event: Vec<u8>,
}
crate::from_row!(Unsent {
    id,
    event_id,
    family,
    shard,
    event
});

/// How full an outbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Rows that wait.
    pub pending: i64,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
}

pub(crate) struct Sql {
    pub(crate) inbox_claim: &'static str,
    pub(crate) inbox_purge: &'static str,
    add: &'static str,
    take: &'static str,
    sent: &'static str,
    purge: &'static str,
    backlog: &'static str,
}

macro_rules! sql_of {
    ($schema:literal) => {
        Sql {
            inbox_claim: concat!(
                "INSERT INTO ",
                $schema,
                ".inbox (consumer, event_id, seen_at) ",
                "SELECT $1, event_id, $3 FROM unnest($2::uuid[]) AS event_id ",
                "ON CONFLICT DO NOTHING RETURNING event_id"
            ),
            inbox_purge: concat!("DELETE FROM ", $schema, ".inbox WHERE seen_at < $1"),
            add: concat!(
                "WITH added AS (INSERT INTO ",
                $schema,
                ".outbox (event_id, family, shard, event, created_at) ",
                "SELECT event_id, family, shard, event, $5 ",
                "FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::bytea[]) ",
                "WITH ORDINALITY AS row (event_id, family, shard, event, place) ORDER BY place) ",
                "SELECT pg_notify('",
                $schema,
                "_outbox', '')"
            ),
            take: concat!(
                "SELECT id, event_id, family, shard, event FROM ",
                $schema,
                ".outbox AS waiting WHERE sent_at IS NULL ",
                "AND NOT EXISTS (SELECT FROM unnest($2::bigint[]) AS known (id) WHERE known.id = waiting.id) ",
                "ORDER BY id LIMIT $1"
            ),
            sent: concat!(
                "UPDATE ",
                $schema,
                ".outbox SET sent_at = $2 WHERE id = ANY($1)"
            ),
            purge: concat!("DELETE FROM ", $schema, ".outbox WHERE sent_at < $1"),
            backlog: concat!(
                "SELECT count(*), min(created_at) FROM ",
                $schema,
                ".outbox WHERE sent_at IS NULL"
            ),
        }
    };
}

impl Owner {
    /// Every owner.
    pub const ALL: [Self; 3] = [Self::Tickets, Self::Routing, Self::Sla];

    /// The schema, which is also the name in metrics and leases.
    #[must_use]
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Tickets => "tickets",
            Self::Routing => "routing",
            Self::Sla => "sla",
        }
    }

    /// The PostgreSQL channel that is notified when rows were added.
    #[must_use]
    pub const fn channel(self) -> &'static str {
        match self {
            Self::Tickets => "tickets_outbox",
            Self::Routing => "routing_outbox",
            Self::Sla => "sla_outbox",
        }
    }

    pub(crate) fn sql(self) -> &'static Sql {
        const TICKETS: Sql = sql_of!("tickets");
        const ROUTING: Sql = sql_of!("routing");
        const SLA: Sql = sql_of!("sla");
        match self {
            Self::Tickets => &TICKETS,
            Self::Routing => &ROUTING,
            Self::Sla => &SLA,
        }
    }
}

/// Adds events in order, and wakes the relay at commit.
pub async fn add(
    tx: &mut PgConnection,
    owner: Owner,
    events: Vec<OutboxEvent>,
    now: Timestamp,
) -> Result<(), DbError> {
    if events.is_empty() {
        return Ok(());
    }
    let count = events.len();
    let (mut ids, mut families, mut shards, mut bodies) = (
        Vec::with_capacity(count),
        Vec::with_capacity(count),
        Vec::with_capacity(count),
        Vec::with_capacity(count),
    );
    for event in events {
        ids.push(event.event_id);
        families.push(event.family);
        shards.push(event.shard);
        bodies.push(event.event);
    }
    sqlx::query(owner.sql().add)
        .bind(ids)
        .bind(families)
        .bind(shards)
        .bind(bodies)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// The oldest `limit` rows that wait, in order, but for those that are `known` to be acknowledged and not marked yet.
pub async fn take(
    connection: &mut PgConnection,
    owner: Owner,
    known: &[i64],
    limit: i64,
) -> Result<Vec<Unsent>, DbError> {
    Ok(sqlx::query_as(owner.sql().take)
        .bind(limit)
        .bind(known)
        .fetch_all(connection)
        .await?)
}

/// Marks rows as acknowledged by the bus.
pub async fn mark_sent(
    connection: &mut PgConnection,
    owner: Owner,
    ids: &[i64],
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(owner.sql().sent)
        .bind(ids)
        .bind(now.to_sqlx())
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes rows that the bus acknowledged before `before`.
pub async fn purge(pool: &PgPool, owner: Owner, before: Timestamp) -> Result<u64, DbError> {
    Ok(sqlx::query(owner.sql().purge)
        .bind(before.to_sqlx())
        .execute(pool)
        .await?
        .rows_affected())
}

/// How many rows wait, and since when.
pub async fn backlog(pool: &PgPool, owner: Owner) -> Result<Backlog, DbError> {
    let (pending, oldest): (i64, Option<jiff_sqlx::Timestamp>) =
        sqlx::query_as(owner.sql().backlog).fetch_one(pool).await?;
    Ok(Backlog {
        pending,
        oldest: oldest.map(jiff_sqlx::Timestamp::to_jiff),
    })
}
