//! Merging by hand, taking merges back, and saying that two contacts are two people.

use std::sync::Arc;

use solmu_db::{ToSqlx as _, outbox, outbox::Owner};
use solmu_proto::types::v1::Actor;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    ContactError,
    context::Context,
    graph::{self, Joining},
    linker,
};

/// Makes one contact of two.
pub(crate) async fn merge(context: &Arc<Context>, joining: Joining) -> Result<(), ContactError> {
    let joining = Arc::new(joining);
    context
        .db
        .tx("contact.merge", |tx| {
            let (context, joining) = (context.clone(), joining.clone());
            Box::pin(async move { merge_in(tx, &context, &joining).await })
        })
        .await?;
    Ok(())
}

async fn merge_in(
    tx: &mut PgConnection,
    context: &Context,
    joining: &Joining,
) -> Result<(), ContactError> {
    graph::lock(tx).await?;
    let now = context.clock.now();
    let same: Option<(Uuid, Uuid)> = sqlx::query_as(
        "SELECT winner_id, loser_id FROM tickets.contact_merge WHERE request_id = $1",
    )
    .bind(&joining.request_id)
    .fetch_optional(&mut *tx)
    .await?;
    match same {
        Some(pair) if pair == (joining.winner, joining.loser) => return Ok(()),
        Some(_) => return Err(ContactError::RequestIdReused),
        None => {}
    }
    let roots = graph::roots(tx, &[joining.winner, joining.loser]).await?;
    let side = |id: Uuid| roots.get(&id).copied().unwrap_or(id);
    let ours = graph::members(tx, &[side(joining.winner)]).await?;
    let theirs = graph::members(tx, &[side(joining.loser)]).await?;
    let mut events = context.events(now);
    if graph::merge(tx, joining, &mut events, now).await? {
        graph::forget_apart(tx, &ours, &theirs).await?;
        outbox::add(tx, Owner::Tickets, events.rows(), now).await?;
    }
    Ok(())
}

/// Takes a merge back; returns who stands for each side then.
pub(crate) async fn unmerge(
    context: &Arc<Context>,
    merge: Uuid,
    reason: String,
    by: Actor,
) -> Result<(Uuid, Uuid), ContactError> {
    let input = Arc::new((reason, by));
    let sides = context
        .db
        .tx("contact.unmerge", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move { unmerge_in(tx, &context, merge, &input.0, &input.1).await })
        })
        .await?;
    Ok(sides)
}

async fn unmerge_in(
    tx: &mut PgConnection,
    context: &Context,
    merge: Uuid,
    reason: &str,
    by: &Actor,
) -> Result<(Uuid, Uuid), ContactError> {
    graph::lock(tx).await?;
    let now = context.clock.now();
    let mut events = context.events(now);
    let pair: Option<(Uuid, Uuid)> =
        sqlx::query_as("SELECT winner_id, loser_id FROM tickets.contact_merge WHERE id = $1")
            .bind(merge)
            .fetch_optional(&mut *tx)
            .await?;
    let sides = graph::unmerge(tx, merge, by, reason, &mut events, now).await?;
    if let Some((winner, loser)) = pair {
        graph::keep_apart(tx, winner, loser, &by.id, now).await?;
        // What the resolver had found through the one side may hold for the other.
        linker::look_again(tx, &[winner, loser], now).await?;
    }
    outbox::add(tx, Owner::Tickets, events.rows(), now).await?;
    Ok(sides)
}

/// Says that two contacts are two people.
pub(crate) async fn dismiss(
    context: &Arc<Context>,
    first: Uuid,
    second: Uuid,
    by: &str,
) -> Result<(), ContactError> {
    let (now, by) = (context.clock.now(), by.to_owned());
    context
        .db
        .tx("contact.dismiss_suggestion", |tx| {
            let by = by.clone();
            Box::pin(async move {
                graph::lock(tx).await?;
                let roots = graph::roots(tx, &[first, second]).await?;
                let root = |id: Uuid| {
                    roots
                        .get(&id)
                        .copied()
                        .ok_or_else(|| ContactError::unknown("contact", &id))
                };
                let (a, b) = (root(first)?, root(second)?);
                if a == b {
                    let why = "both are one contact: take the merge back";
                    return Err(ContactError::invalid("second_contact_id", why));
                }
                let ours = graph::members(tx, &[a]).await?;
                let theirs = graph::members(tx, &[b]).await?;
                graph::keep_apart(tx, first, second, &by, now).await?;
                // The pairs under which it was found, too.
                sqlx::query(
                    "INSERT INTO tickets.contact_apart (first_id, second_id, created_by, created_at)
                     SELECT first_id, second_id, $3, $4 FROM tickets.merge_suggestion
                     WHERE (first_id = ANY($1) AND second_id = ANY($2)) OR (first_id = ANY($2) AND second_id = ANY($1))
                     ON CONFLICT DO NOTHING",
                )
                .bind(ours)
                .bind(theirs)
                .bind(&by)
                .bind(now.to_sqlx())
                .execute(tx)
                .await?;
                Ok(())
            })
        })
        .await
}
