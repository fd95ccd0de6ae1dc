//! People merge tickets: all in one transaction, or none.

use std::{collections::BTreeSet, sync::Arc};

use solmu_domain::{
    ids::new_uuid,
    ticket::{ReplyEffect, Status},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Merge, Order, Stand, collect_events, join, write};
use crate::{
    activity,
    change::{made_before, tell},
    context::Context,
    error::TicketError,
    events::EventSink,
    hierarchy,
    model::{self, Ticket},
    restrict,
};

/// Makes `sources` part of `target`.
pub async fn merge(
    context: &Arc<Context>,
    sources: Vec<Uuid>,
    target: Uuid,
    order: Order,
) -> Result<(), TicketError> {
    let input = Arc::new((sources.into_iter().collect::<BTreeSet<Uuid>>(), order));
    context
        .db
        .tx("ticket.merge", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move { merge_in(tx, &context, &input.0, target, &input.1).await })
        })
        .await?;
    Ok(())
}

/// As [`merge`], in the transaction `tx`, before it has locked a ticket.
pub async fn merge_in(
    tx: &mut PgConnection,
    context: &Context,
    sources: &BTreeSet<Uuid>,
    target_id: Uuid,
    order: &Order,
) -> Result<(), TicketError> {
    if sources.contains(&target_id) {
        return Err(TicketError::MergeWithItself);
    }
    hierarchy::guard(tx).await?;
    // All in one statement, by id: merges in a ring wait for each other in one order, and who comes second sees it.
    let ids: Vec<Uuid> = sources.iter().copied().chain([target_id]).collect();
    let mut tickets = model::lock(tx, &ids).await?;
    let place = tickets.iter().position(|ticket| ticket.id == target_id);
    let place = place.ok_or_else(|| TicketError::UnknownTicket(target_id.to_string()))?;
    let mut target = tickets.swap_remove(place);
    let known: BTreeSet<Uuid> = tickets.iter().map(|ticket| ticket.id).collect();
    if let Some(unknown) = sources.difference(&known).next() {
        return Err(TicketError::UnknownTicket(unknown.to_string()));
    }
    if made_before(tx, target_id, order.asked.as_ref(), context.clock.now()).await? {
        return Ok(());
    }
    order.check(&target)?;
    if let Some(further) = target.merged_into {
        return Err(TicketError::Merged { target: further });
    }
    if target.status == Status::Closed {
        return Err(TicketError::Closed);
    }
    tickets.retain(|ticket| ticket.merged_into != Some(target_id));
    if let Some(elsewhere) = tickets.iter().find_map(|ticket| ticket.merged_into) {
        return Err(TicketError::Merged { target: elsewhere });
    }
    if tickets.is_empty() {
        return Ok(());
    }
    let now = context.clock.now();
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    let before = target.clone();
    restrict::join(tx, &tickets, &mut target).await?;
    tell(
        &before,
        &mut target,
        &order.by,
        &order.reason,
        now,
        &mut events,
    );
    let stood = target.clone();
    let mut merges = Vec::with_capacity(tickets.len());
    tickets.sort_by_key(|ticket| ticket.number);
    for source in &mut tickets {
        hierarchy::check_merge(tx, source, &target).await?;
        merges.push(take_in(tx, context, source, &mut target, order).await?);
    }
    target.touched = true;
    let reason = "an open ticket became part of it";
    tell(&stood, &mut target, &order.by, reason, now, &mut events);
    let all: Vec<&Ticket> = tickets.iter().chain([&target]).collect();
    model::update(tx, &all).await?;
    let moved = write(tx, &merges, now).await?;
    let of = |id: Uuid| all.iter().copied().find(|ticket| ticket.id == id);
    collect_events(&merges, &moved, of, now, &mut events);
    activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    Ok(())
}

async fn take_in(
    tx: &mut PgConnection,
    context: &Context,
    source: &mut Ticket,
    target: &mut Ticket,
    order: &Order,
) -> Result<Merge, TicketError> {
    let now = context.clock.now();
    // A customer who waits there waits here.
    // Work that goes on there goes on here: a ticket that is over has no owner.
    let waits = matches!(source.status, Status::New | Status::CustomerReplied)
        || (target.status == Status::Resolved && source.status.is_open());
    let stood = Stand::of(target);
    let mut target_stand = None;
    if waits && let ReplyEffect::Join(status) = target.status.customer_replied(true) {
        if status != target.status {
            target.close_at = None;
            target_stand = Some((stood, status));
        }
        target.status = status;
    }
    let participants: Vec<String> = sqlx::query_scalar(
        "INSERT INTO tickets.participant (ticket_id, address)
         SELECT $2, address FROM tickets.participant WHERE ticket_id = $1
         ON CONFLICT DO NOTHING RETURNING address",
    )
    .bind(source.id)
    .bind(target.id)
    .fetch_all(tx)
    .await?;
    source.touched = true;
    Ok(Merge {
        id: new_uuid(context.clock.as_ref(), context.rng.as_ref()),
        participants,
        actor: order.by.clone(),
        reason: order.reason.clone(),
        trace: TraceContext::current(),
        target_stand,
        ..join(source, target, now)
    })
}
