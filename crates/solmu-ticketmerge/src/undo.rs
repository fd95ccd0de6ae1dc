//! Takes a merge back.
//!
//! What moved goes home with the sequences that it had, and both tickets stand where they stood ([`super::Stand`]); what
//! was split out meanwhile stays where it is, also when it came back with a ticket of its own, and so does what came in
//! between. Both tickets count as touched from then on, so that no mail brings them together by itself again.

use std::sync::Arc;

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::ToSqlx as _;
use solmu_domain::ticket::Status;
use solmu_proto::{ticket::v1 as proto, types::v1::actor::Kind};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    MAX_TOLD, Order,
    stand::{self, COLUMNS, Kept},
};
use crate::{
    activity,
    change::{close_time, is_known, made_before, tell},
    context::Context,
    error::TicketError,
    events::{EventSink, change},
    hierarchy,
    model::{self, Ticket, small},
};

/// Makes `ticket` stand for itself again.
pub async fn unmerge(
    context: &Arc<Context>,
    ticket: Uuid,
    order: Order,
) -> Result<(), TicketError> {
    let order = Arc::new(order);
    context
        .db
        .tx("ticket.unmerge", |tx| {
            let (context, order) = (context.clone(), order.clone());
            Box::pin(async move { unmerge_in(tx, &context, ticket, &order).await })
        })
        .await?;
    Ok(())
}

async fn unmerge_in(
    tx: &mut PgConnection,
    context: &Context,
    id: Uuid,
    order: &Order,
) -> Result<(), TicketError> {
    let now = context.clock.now();
    hierarchy::guard(tx).await?;
    if let Some((request_id, digest)) = &order.asked
        && is_known(tx, id, request_id, digest).await?
    {
        return Ok(());
    }
    let (mut source, mut target) = lock_both(tx, id).await?;
    order.check(&source)?;
    made_before(tx, id, order.asked.as_ref(), now).await?;
    if let Some(further) = target.merged_into {
        return Err(TicketError::Merged { target: further });
    }
    let kept = end(tx, id, now).await?;
    let messages = move_home(tx, &kept, &source, &target).await?;
    leave(tx, &target, &kept.participants).await?;
    target.channels = channels_of(tx, target.id).await?;
    let count = i64::try_from(messages.len()).unwrap_or(i64::MAX);
    let stand = kept.source()?;
    source.merged_into = None;
    source.moved_away -= count;
    stand.give_back(&mut source);
    // A merge of before this was noted.
    source.close_at = source
        .close_at
        .or_else(|| close_time(stand.status, now, context.config.close_after_days));
    target.moved_away += count;
    for ticket in [&mut source, &mut target] {
        ticket.touched = true;
        ticket.touch(now, true);
    }
    model::update(tx, &[&source, &target]).await?;
    let parent = source.parent_id;
    hierarchy::untangle(tx, &mut source).await?;
    if source.parent_id != parent {
        model::update(tx, &[&source]).await?;
    }
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    let mut changes = vec![change("merged_into", &target.id, &"")];
    if let (Some(parent), None) = (parent, source.parent_id) {
        changes.push(change("parent_id", &parent, &""));
    }
    if stand.status != Status::Closed {
        changes.push(change("status", &Status::Closed, &stand.status));
    }
    changes.extend(stand.changes(false));
    let reopened = proto::TicketChanged {
        ticket: Some(source.state()),
        changes,
        actor: Some(order.by.clone()),
        change_time: Some(to_proto_time(now)),
        reason: order.reason.clone(),
    };
    events.add(&reopened, TraceContext::current());
    let unmerged = proto::TicketUnmerged {
        ticket: Some(target.state()),
        source_ticket_id: source.id.to_string(),
        source_ticket_number: source.number,
        message_ids: messages
            .iter()
            .take(MAX_TOLD)
            .map(Uuid::to_string)
            .collect(),
        actor: Some(order.by.clone()),
        reason: order.reason.clone(),
        unmerge_time: Some(to_proto_time(now)),
    };
    events.add(&unmerged, TraceContext::current());
    wake_back(tx, &kept, (&source, &mut target), order, now, &mut events).await?;
    activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    Ok(())
}

/// Puts the target back where it stood, if nothing was decided since.
async fn wake_back(
    tx: &mut PgConnection,
    kept: &Kept,
    (source, target): (&Ticket, &mut Ticket),
    order: &Order,
    now: Timestamp,
    events: &mut EventSink<'_>,
) -> Result<(), TicketError> {
    let Some(stand) = kept.for_target(tx, source.id, target).await? else {
        return Ok(());
    };
    let before = target.clone();
    stand.give_back(target);
    let reason = "what became part of it stands for itself again";
    tell(&before, target, &order.by, reason, now, events);
    model::update(tx, &[target]).await?;
    stand::resolved(tx, target.id, &stand).await
}

/// Takes a merge out of those that stand, and returns what it kept.
async fn end(tx: &mut PgConnection, source: Uuid, now: Timestamp) -> Result<Kept, TicketError> {
    sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "UPDATE tickets.ticket_merge SET unmerged_at = $2 WHERE source_id = $1 AND unmerged_at IS NULL
         RETURNING {COLUMNS}"
    )))
    .bind(source)
    .bind(now.to_sqlx())
    .fetch_optional(tx)
    .await?
    .ok_or(TicketError::NotMerged)
}

/// Locks the ticket and the one that it is part of.
async fn lock_both(tx: &mut PgConnection, id: Uuid) -> Result<(Ticket, Ticket), TicketError> {
    let target: Option<Option<Uuid>> =
        sqlx::query_scalar("SELECT merged_into FROM tickets.ticket WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
    let target = target.ok_or_else(|| TicketError::UnknownTicket(id.to_string()))?;
    let target = target.ok_or(TicketError::NotMerged)?;
    let mut tickets = model::lock(tx, &[id, target]).await?;
    tickets.sort_by_key(|ticket| ticket.id != id);
    match <[Ticket; 2]>::try_from(tickets) {
        Ok([source, other]) if source.merged_into == Some(target) => Ok((source, other)),
        // It was taken back, or merged elsewhere, before we had it.
        _ => Err(TicketError::race()),
    }
}

/// Moves what the merge moved back, where it is still there; returns it in order. What was split out and came again with
/// another merge that stands is part of that one.
async fn move_home(
    tx: &mut PgConnection,
    kept: &Kept,
    source: &Ticket,
    target: &Ticket,
) -> Result<Vec<Uuid>, TicketError> {
    let mut rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "UPDATE tickets.message AS message SET ticket_id = $2, sequence = noted.sequence,
            request_id = coalesce(noted.request_id, message.request_id)
         FROM tickets.merged_message AS noted
         WHERE noted.merge_id = $1 AND message.id = noted.message_id AND message.ticket_id = $3
            AND NOT EXISTS (
                SELECT 1 FROM tickets.ticket_merge AS later
                JOIN tickets.merged_message AS again ON again.merge_id = later.id
                WHERE later.target_id = $3 AND later.unmerged_at IS NULL AND later.base > $4
                    AND again.message_id = noted.message_id)
         RETURNING message.id, message.sequence",
    )
    .bind(kept.id)
    .bind(source.id)
    .bind(target.id)
    .bind(kept.base)
    .fetch_all(tx)
    .await?;
    rows.sort_by_key(|(_, sequence)| *sequence);
    Ok(rows.into_iter().map(|(id, _)| id).collect())
}

/// Those who took part only because of the source take part no more, unless they wrote on the target meanwhile. Whoever
/// takes part in another ticket that is part of the target takes part because of that one from now on.
async fn leave(
    tx: &mut PgConnection,
    target: &Ticket,
    participants: &[String],
) -> Result<(), TicketError> {
    if participants.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "WITH parts AS (
            SELECT id, source_id, base FROM tickets.ticket_merge WHERE target_id = $1 AND unmerged_at IS NULL
         ), own AS (
            SELECT address FROM unnest($2::text[]) AS gone (address) WHERE EXISTS (
                SELECT 1 FROM tickets.message WHERE message.ticket_id = $1 AND message.author_kind = $3
                    AND message.address = gone.address AND NOT EXISTS (
                    SELECT 1 FROM parts JOIN tickets.merged_message AS moved ON moved.merge_id = parts.id
                    WHERE moved.message_id = message.id))
         ), handed AS (
            SELECT DISTINCT ON (address) gone.address, parts.id FROM unnest($2::text[]) AS gone (address)
            JOIN tickets.participant USING (address) JOIN parts ON parts.source_id = participant.ticket_id
            WHERE gone.address NOT IN (SELECT address FROM own)
            ORDER BY address, parts.base, parts.id
         ), noted AS (
            UPDATE tickets.ticket_merge AS merge SET participants = participants || more.addresses
            FROM (SELECT id, array_agg(address) AS addresses FROM handed GROUP BY id) AS more WHERE merge.id = more.id
         )
         DELETE FROM tickets.participant WHERE ticket_id = $1 AND address = ANY($2)
            AND address NOT IN (SELECT address FROM own UNION ALL SELECT address FROM handed)",
    )
    .bind(target.id)
    .bind(participants)
    .bind(small(Kind::Customer.into()))
    .execute(tx)
    .await?;
    Ok(())
}

/// The bits of the channels of its messages.
pub(super) async fn channels_of(tx: &mut PgConnection, ticket: Uuid) -> Result<i32, TicketError> {
    let bits: Option<i32> = sqlx::query_scalar(
        "SELECT bit_or(1 << channel::integer) FROM tickets.message WHERE ticket_id = $1",
    )
    .bind(ticket)
    .fetch_one(tx)
    .await?;
    Ok(bits.unwrap_or(0))
}
