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
mod stand;
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
    calls::Asked,
    error::TicketError,
    events::{EventSink, change},
    model::{Ticket, small},
};

pub(crate) use solmu_ticketstore::{
    activity, calls, change, context, error, events, fields, hierarchy, keys, model, recipient,
    restrict, ways,
};

pub use by_hand::{merge, merge_in};
pub use split::split;
pub use stand::Stand;
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
    /// Request id, and a digest of what was asked under it.
    pub asked: Option<Asked>,
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
    pub source_stand: Option<Stand>,
    /// Where the target stood, and the status in which the merge left it; none: it left it where it was.
    pub target_stand: Option<(Stand, Status)>,
    /// Who takes part in the target only because of it.
    pub participants: Vec<String>,
    /// Who did it.
    pub actor: Actor,
    /// Why, as it is told.
    pub reason: String,
    /// What it was done for.
    pub trace: TraceContext,
}

impl Merge {
    /// Where the source stood.
    fn source_status(&self) -> Status {
        let stand = self.source_stand.as_ref();
        stand.map_or(Status::New, |it| it.status)
    }
}

/// Makes `source` part of `target`, both locked. What is not of the two tickets the caller adds.
pub fn join(source: &mut Ticket, target: &mut Ticket, now: Timestamp) -> Merge {
    let merge = Merge {
        source: source.id,
        target: target.id,
        base: target.message_count,
        count: source.messages(),
        source_stand: Some(Stand::of(source)),
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
        note(tx, merge, now).await?;
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

/// Notes a merge, with all that taking it back gives back.
async fn note(tx: &mut PgConnection, merge: &Merge, now: Timestamp) -> Result<(), TicketError> {
    let time = |at: Option<Timestamp>| at.map(solmu_db::ToSqlx::to_sqlx);
    let wakes = |stand: Option<&Stand>| time(stand.and_then(|it| it.snooze).and_then(|it| it.0));
    let sleeps = |stand: Option<&Stand>| stand.is_some_and(|it| it.snooze.is_some());
    let source = merge.source_stand.as_ref();
    let target = merge.target_stand.as_ref().map(|(stand, _)| stand);
    sqlx::query(
        "INSERT INTO tickets.ticket_merge (id, source_id, target_id, source_status, participants, actor_kind,
            actor_id, reason, merged_at, source_substatus, source_snoozed, source_wake_at, source_close_at,
            target_status, target_left, target_substatus, target_snoozed, target_wake_at, target_close_at,
            target_resolved_at, base)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
    )
    .bind(merge.id)
    .bind(merge.source)
    .bind(merge.target)
    .bind(merge.source_status().name())
    .bind(&merge.participants)
    .bind(small(merge.actor.kind))
    .bind(&merge.actor.id)
    .bind(&merge.reason)
    .bind(now.to_sqlx())
    .bind(source.map_or("", |it| it.substatus.as_str()))
    .bind(sleeps(source))
    .bind(wakes(source))
    .bind(time(source.and_then(|it| it.close_at)))
    .bind(target.map(|it| it.status.name()))
    .bind(merge.target_stand.as_ref().map(|(_, left)| left.name()))
    .bind(target.map_or("", |it| it.substatus.as_str()))
    .bind(sleeps(target))
    .bind(wakes(target))
    .bind(time(target.and_then(|it| it.close_at)))
    .bind(time(target.and_then(|it| it.resolved_at)))
    .bind(merge.base)
    .execute(tx)
    .await?;
    Ok(())
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
        let before = merge.source_status();
        let mut changes = vec![change("merged_into", &"", &target.id)];
        if before != Status::Closed {
            changes.push(change("status", &before, &Status::Closed));
        }
        if let Some(stand) = &merge.source_stand {
            changes.extend(stand.changes(true));
        }
        let closed = proto::TicketChanged {
            ticket: Some(source.state()),
            changes,
            actor: Some(merge.actor.clone()),
            change_time: Some(to_proto_time(now)),
            // Which ticket that is stands in `merged_into`: it may be restricted later.
            reason: merge.reason.clone(),
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
