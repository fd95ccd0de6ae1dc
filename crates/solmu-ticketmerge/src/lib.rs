//! Tickets that become part of others, and taking that back; messages that get a ticket of their own.
//!
//! A merge moves the messages and leaves everything else where it is: the ids and addresses by which mail finds the
//! source still name the source, and whoever looks there is led on by `merged_into`. So later mail follows the merge,
//! and taking it back needs nothing but the messages moved home. Copying the ways in was rejected: what came in between
//! could not be told apart any more.
//!
//! A part of the ticket service: people ask for it, and mail that shows that two tickets are one thread.

mod by_hand;
mod conversation;
mod split;
mod undo;

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::ToSqlx as _;
use solmu_domain::ticket::Status;
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::TicketError,
    events::{EventSink, change},
    model::{Ticket, small},
};

pub(crate) use solmu_ticketstore::{
    activity, change, context, error, events, fields, hierarchy, keys, model, recipient, restrict,
    ways,
};

pub use by_hand::{merge, merge_in};
pub use split::split;
pub use undo::unmerge;

/// Who wants it, and why.
#[derive(Debug, Clone)]
pub struct Order {
    /// Who wants it.
    pub by: Actor,
    /// Why, as it is told.
    pub reason: String,
    /// Of the ticket that stays; empty: whatever its version.
    pub etag: String,
}

impl Order {
    fn check(&self, ticket: &Ticket) -> Result<(), TicketError> {
        if self.etag.is_empty() || self.etag == ticket.etag() {
            return Ok(());
        }
        Err(TicketError::Stale {
            current: ticket.version,
        })
    }
}

/// Who merges when a mail shows that two tickets are one thread.
pub const ACTOR: &str = "tickets";
/// Moved messages that one event names; the rest can be listed.
const MAX_TOLD: usize = 1000;

/// A ticket that became part of another one.
#[derive(Debug, Clone, Default)]
pub struct Merge {
    /// Its id.
    pub id: Uuid,
    /// The ticket that became part.
    pub source: Uuid,
    /// The ticket that it became part of.
    pub target: Uuid,
    /// The last sequence that the target had.
    pub base: i64,
    /// How many messages move.
    pub count: i64,
    /// Where the source stood.
    pub source_status: Option<Status>,
    /// Who takes part in the target only because of it.
    pub participants: Vec<String>,
    /// Who did it.
    pub actor: Actor,
    /// Why, as it is told.
    pub reason: String,
    /// What it was done for.
    pub trace: TraceContext,
}

/// Makes `source` part of `target`, both locked. What is not of the two tickets the caller adds.
pub fn join(source: &mut Ticket, target: &mut Ticket, now: Timestamp) -> Merge {
    let merge = Merge {
        source: source.id,
        target: target.id,
        base: target.message_count,
        count: source.messages(),
        source_status: Some(source.status),
        ..Merge::default()
    };
    target.message_count += merge.count;
    target.channels |= source.channels;
    target.touch(now, false);
    source.moved_away = source.message_count;
    source.merged_into = Some(target.id);
    source.status = Status::Closed;
    source.close_at = None;
    source.touch(now, true);
    merge
}

/// Moves the messages of each merge; returns which.
pub async fn write(
    tx: &mut PgConnection,
    merges: &[Merge],
    now: Timestamp,
) -> Result<Vec<Vec<Uuid>>, TicketError> {
    let mut moved = Vec::with_capacity(merges.len());
    for merge in merges {
        sqlx::query(
            "INSERT INTO tickets.ticket_merge (id, source_id, target_id, source_status, participants, actor_kind,
                actor_id, reason, merged_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(merge.id)
        .bind(merge.source)
        .bind(merge.target)
        .bind(merge.source_status.unwrap_or(Status::New).name())
        .bind(&merge.participants)
        .bind(small(merge.actor.kind))
        .bind(&merge.actor.id)
        .bind(&merge.reason)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
        restrict::follow(tx, merge.source, merge.target).await?;
        let messages = move_messages(tx, merge).await?;
        // The ticket was locked, so nothing can have come or gone.
        if i64::try_from(messages.len()) != Ok(merge.count) {
            return Err(TicketError::race());
        }
        moved.push(messages);
    }
    Ok(moved)
}

async fn move_messages(tx: &mut PgConnection, merge: &Merge) -> Result<Vec<Uuid>, TicketError> {
    let mut rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "WITH moving AS (
            SELECT id, sequence, row_number() OVER (ORDER BY sequence) AS place,
                (SELECT other.request_id FROM tickets.message AS other
                 WHERE other.ticket_id = $2 AND other.request_id = message.request_id) AS taken
            FROM tickets.message WHERE ticket_id = $3
         ), noted AS (
            INSERT INTO tickets.merged_message (merge_id, message_id, sequence, request_id)
            SELECT $1, id, sequence, taken FROM moving
         )
         UPDATE tickets.message AS message SET ticket_id = $2, sequence = $4 + moving.place,
            request_id = CASE WHEN moving.taken IS NULL THEN message.request_id END
         FROM moving WHERE message.id = moving.id RETURNING message.id, message.sequence",
    )
    .bind(merge.id)
    .bind(merge.target)
    .bind(merge.source)
    .bind(merge.base)
    .fetch_all(tx)
    .await?;
    rows.sort_by_key(|(_, sequence)| *sequence);
    Ok(rows.into_iter().map(|(id, _)| id).collect())
}

/// Tells of merges: that each source is closed, which frees who had it and ends its clocks, and what moved where.
pub fn collect_events<'t>(
    merges: &[Merge],
    moved: &[Vec<Uuid>],
    ticket: impl Fn(Uuid) -> Option<&'t Ticket>,
    now: Timestamp,
    events: &mut EventSink<'_>,
) {
    for (merge, messages) in merges.iter().zip(moved) {
        let (Some(source), Some(target)) = (ticket(merge.source), ticket(merge.target)) else {
            continue;
        };
        let before = merge.source_status.unwrap_or(Status::New);
        let mut changes = vec![change("merged_into", &"", &target.id)];
        if before != Status::Closed {
            changes.push(change("status", &before, &Status::Closed));
        }
        let closed = proto::TicketChanged {
            ticket: Some(source.state()),
            changes,
            actor: Some(merge.actor.clone()),
            change_time: Some(to_proto_time(now)),
            reason: format!("merged into #{}: {}", target.number, merge.reason),
        };
        events.add(&closed, merge.trace.clone());
        let told = messages.iter().take(MAX_TOLD).map(Uuid::to_string);
        let body = proto::TicketMerged {
            ticket: Some(target.state()),
            source_ticket_id: source.id.to_string(),
            source_ticket_number: source.number,
            message_ids: told.collect(),
            actor: Some(merge.actor.clone()),
            reason: merge.reason.clone(),
            merge_time: Some(to_proto_time(now)),
        };
        events.add(&body, merge.trace.clone());
    }
}
