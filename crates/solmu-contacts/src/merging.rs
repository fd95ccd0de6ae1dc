//! Merging by hand, taking merges back, and saying that two contacts are two people.

use std::sync::Arc;

use solmu_db::{ToSqlx as _, outbox, outbox::Owner};
use solmu_proto::types::v1::Actor;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    ContactError,
    calls::{Asked, made_before},
    context::Context,
    graph::{self, Joining},
    linker,
};

/// Makes one contact of two.
pub(crate) async fn merge(
    context: &Arc<Context>,
    joining: Joining,
    asked: Option<Asked>,
) -> Result<(), ContactError> {
    let (input, now) = (Arc::new((joining, asked)), context.clock.now());
    context
        .db
        .tx("contact.merge", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (joining, asked) = input.as_ref();
                let known = made_before(tx, asked.as_ref(), joining.winner, now).await?;
                match known {
                    Some(_) => Ok(()),
                    None => merge_in(tx, &context, joining).await,
                }
            })
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
    asked: Option<Asked>,
) -> Result<(Uuid, Uuid), ContactError> {
    let (input, now) = (Arc::new((reason, by, asked)), context.clock.now());
    let sides = context
        .db
        .tx("contact.unmerge", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (reason, by, asked) = input.as_ref();
                match made_before(tx, asked.as_ref(), merge, now).await? {
                    Some(_) => sides(tx, merge).await,
                    None => unmerge_in(tx, &context, merge, reason, by).await,
                }
            })
        })
        .await?;
    Ok(sides)
}

/// Who stands for each side of a merge now.
async fn sides(tx: &mut PgConnection, merge: Uuid) -> Result<(Uuid, Uuid), ContactError> {
    let (winner, loser): (Uuid, Uuid) =
        sqlx::query_as("SELECT winner_id, loser_id FROM tickets.contact_merge WHERE id = $1")
            .bind(merge)
            .fetch_one(&mut *tx)
            .await?;
    let roots = graph::roots(tx, &[winner, loser]).await?;
    let side = |id: Uuid| roots.get(&id).copied().unwrap_or(id);
    Ok((side(winner), side(loser)))
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
    asked: Option<Asked>,
) -> Result<(), ContactError> {
    let (now, input) = (context.clock.now(), Arc::new((by.to_owned(), asked)));
    context
        .db
        .tx("contact.dismiss_suggestion", |tx| {
            let input = input.clone();
            Box::pin(async move {
                let (by, asked) = input.as_ref();
                if made_before(tx, asked.as_ref(), first, now).await?.is_some() {
                    return Ok(());
                }
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
                graph::keep_apart(tx, first, second, by, now).await?;
                // The pairs under which it was found, too.
                sqlx::query(
                    "INSERT INTO tickets.contact_apart (first_id, second_id, created_by, created_at)
                     SELECT first_id, second_id, $3, $4 FROM tickets.merge_suggestion
                     WHERE (first_id = ANY($1) AND second_id = ANY($2)) OR (first_id = ANY($2) AND second_id = ANY($1))
                     ON CONFLICT DO NOTHING",
                )
                .bind(ours)
                .bind(theirs)
                .bind(by)
                .bind(now.to_sqlx())
                .execute(tx)
                .await?;
                Ok(())
            })
        })
        .await
}
