//! Somebody says whether two tickets are one matter.

use std::{collections::BTreeSet, sync::Arc};

use solmu_bus::envelope::to_proto_time;
use solmu_db::ToSqlx as _;
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    DISMISSED, PROPOSED,
    list::{self, Row},
};
use crate::{
    activity,
    context::Context,
    error::TicketError,
    events::{EventSink, change},
    hierarchy,
    merge::{Order, merge_in},
    model::{self, small},
    ways::ACCEPTED,
};

/// A decision, as somebody asked for it.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The pair.
    pub id: Uuid,
    /// They are one, with the reason; otherwise two.
    pub accept: Option<String>,
    /// Of the call.
    pub request_id: Option<String>,
    /// Who decides.
    pub by: Actor,
}

/// Takes the decision; the same one again changes nothing.
pub async fn decide(context: &Arc<Context>, decision: Decision) -> Result<Row, TicketError> {
    let decision = Arc::new(decision);
    context
        .db
        .tx("matter.decide", |tx| {
            let (context, decision) = (context.clone(), decision.clone());
            Box::pin(async move { decide_in(tx, &context, &decision).await })
        })
        .await
}

async fn decide_in(
    tx: &mut PgConnection,
    context: &Context,
    decision: &Decision,
) -> Result<Row, TicketError> {
    let known = list::read(tx, decision.id, true).await?;
    let state = if decision.accept.is_some() {
        ACCEPTED
    } else {
        DISMISSED
    };
    if known.state == state {
        return Ok(known);
    }
    if known.state != PROPOSED {
        let why = "somebody decided otherwise, or it joined by itself: unmerge or split it";
        return Err(TicketError::refused("MATTER_DECIDED", why));
    }
    refuse_other(tx, decision).await?;
    if let (Some(reason), Some(opened)) = (&decision.accept, known.opened_id) {
        unite(tx, context, decision, (opened, known.ticket_id), reason).await?;
    }
    if let (None, Some(opened)) = (&decision.accept, known.opened_id) {
        tell_dismissed(tx, context, decision, (opened, known.ticket_id)).await?;
    }
    sqlx::query(
        "UPDATE tickets.matter SET state = $2, decided_at = $3, decided_kind = $4, decided_by = $5, request_id = $6
         WHERE id = $1",
    )
    .bind(decision.id)
    .bind(state)
    .bind(context.clock.now().to_sqlx())
    .bind(small(decision.by.kind))
    .bind(&decision.by.id)
    .bind(&decision.request_id)
    .execute(&mut *tx)
    .await?;
    list::read(tx, decision.id, false).await
}

/// Tells that the ticket of the message is no longer thought to be about the same as the other one.
async fn tell_dismissed(
    tx: &mut PgConnection,
    context: &Context,
    decision: &Decision,
    (opened, ticket): (Uuid, Uuid),
) -> Result<(), TicketError> {
    let Some(mut opened) = model::lock(tx, &[opened]).await?.pop() else {
        return Ok(());
    };
    let now = context.clock.now();
    opened.touch(now, false);
    let body = proto::TicketChanged {
        ticket: Some(opened.state()),
        changes: vec![change("same_matter", &ticket, &"")],
        actor: Some(decision.by.clone()),
        change_time: Some(to_proto_time(now)),
        reason: "two matters".to_owned(),
    };
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(&context.bus, clock, rng, now);
    events.add(&body, TraceContext::current());
    model::update(tx, &[&opened]).await?;
    activity::commit(tx, events.rows(), rng, now).await
}

/// The request id decides one pair.
async fn refuse_other(tx: &mut PgConnection, decision: &Decision) -> Result<(), TicketError> {
    let other: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM tickets.matter WHERE request_id = $1")
            .bind(&decision.request_id)
            .fetch_optional(tx)
            .await?;
    match other {
        Some(_) => {
            let why = "the request id was used for another decision: take a new one";
            Err(TicketError::refused("REQUEST_ID_REUSED", why))
        }
        None => Ok(()),
    }
}

/// Makes the ticket of the message part of the other one. Either may be part of a third one by now, which stands for it.
async fn unite(
    tx: &mut PgConnection,
    context: &Context,
    decision: &Decision,
    (opened, ticket): (Uuid, Uuid),
    reason: &str,
) -> Result<(), TicketError> {
    let heads = hierarchy::heads(tx, &[opened, ticket]).await?;
    let head = |id: Uuid| heads.get(&id).copied().unwrap_or(id);
    if head(opened) == head(ticket) {
        return Ok(());
    }
    let order = Order {
        by: decision.by.clone(),
        reason: if reason.is_empty() {
            "one matter".to_owned()
        } else {
            format!("one matter: {reason}")
        },
        etag: String::new(),
        // The decision itself is made once.
        asked: None,
    };
    let sources = BTreeSet::from([head(opened)]);
    merge_in(tx, context, &sources, head(ticket), &order).await
}
