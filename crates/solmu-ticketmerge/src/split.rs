//! Gives a customer's message a ticket of its own.
//!
//! The id of the message leads to the new ticket from then on, so answers to it follow. Both tickets count as touched:
//! a mail that names messages of both links them, and does not bring them together again. A message of a conversation that
//! joined from another channel takes the whole of it along ([`super::conversation`]).

use std::sync::Arc;

use solmu_bus::envelope::to_proto_time;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::new_uuid;
use solmu_proto::{
    ticket::v1 as proto,
    types::v1::{AutomaticClass, Channel, actor::Kind},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Order, conversation::Moving, undo::channels_of};
use crate::{
    activity,
    change::{is_known, made_before},
    context::Context,
    error::TicketError,
    events::{EventSink, MessageFacts, actor},
    fields::of_contacts,
    model::{self, Ticket, lock_one},
    restrict,
};

/// What the new ticket takes from the message.
pub(super) struct Part {
    ticket_id: Uuid,
    pub(super) channel: i16,
    pub(super) account: String,
    author_kind: i16,
    pub(super) author_id: String,
    pub(super) address: String,
    public: bool,
    subject: String,
    automatic_class: i16,
    created_at: SqlTimestamp,
}
solmu_db::from_row!(Part {
    ticket_id,
    channel,
    account,
    author_kind,
    author_id,
    address,
    public,
    subject,
    automatic_class,
    created_at
});

/// Moves the message to a new ticket; returns that.
pub async fn split(
    context: &Arc<Context>,
    message: Uuid,
    order: Order,
) -> Result<Uuid, TicketError> {
    let order = Arc::new(order);
    let ticket = context
        .db
        .tx("ticket.split", |tx| {
            let (context, order) = (context.clone(), order.clone());
            Box::pin(async move { split_in(tx, &context, message, &order).await })
        })
        .await?;
    Ok(ticket)
}

async fn split_in(
    tx: &mut PgConnection,
    context: &Context,
    message: Uuid,
    order: &Order,
) -> Result<Uuid, TicketError> {
    let now = context.clock.now();
    let found = read(tx, message).await?;
    let mut old = lock_one(tx, found.ticket_id).await?;
    // It may have moved before we had the ticket.
    let part = read(tx, message).await?;
    if part.ticket_id != old.id {
        return Err(TicketError::race());
    }
    if let Some((request_id, digest)) = &order.asked
        && is_known(tx, old.id, request_id, digest).await?
    {
        // It has its own ticket already: this one.
        return Ok(old.id);
    }
    order.check(&old)?;
    check(&part, &old)?;
    let moving = Moving::of(tx, &old, &part, message).await?;
    if moving.count() >= old.messages() {
        return Err(TicketError::NotSplittable(
            "its conversation is all that there is on its ticket",
        ));
    }
    let mut new = insert(tx, context, &old, &part, &moving).await?;
    if old.restricted_to.is_some() {
        restrict::inherit(tx, &mut new, Some(&old)).await?;
        model::update(tx, &[&new]).await?;
    }
    old.moved_away += moving.count();
    old.touched = true;
    old.touch(now, false);
    moving.write(tx, &new, &old).await?;
    if moving.count() > 1 {
        old.channels = channels_of(tx, old.id).await?;
    }
    model::update(tx, &[&old]).await?;
    link(tx, &part, &new, &old, now).await?;
    // The message is on the new one from now on: there the same call looks for it.
    for ticket in [old.id, new.id] {
        made_before(tx, ticket, order.asked.as_ref(), now).await?;
    }
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    let facts = MessageFacts {
        message_id: moving.first(),
        author: actor(Kind::Customer, part.author_id),
        public: true,
        class: AutomaticClass::try_from(i32::from(part.automatic_class)).unwrap_or_default(),
        at: part.created_at.to_jiff(),
        sequence: 1,
        channel: new.channel,
    };
    let opened = proto::TicketOpened {
        ticket: Some(new.state()),
        message: Some(facts.to_proto()),
        previous_ticket_id: String::new(),
        ..proto::TicketOpened::default()
    };
    events.add(&opened, TraceContext::current());
    let left = proto::MessageSplit {
        ticket: Some(old.state()),
        message_id: message.to_string(),
        new_ticket_id: new.id.to_string(),
        new_ticket_number: new.number,
        actor: Some(order.by.clone()),
        reason: order.reason.clone(),
        split_time: Some(to_proto_time(now)),
        message_ids: moving.told(),
    };
    events.add(&left, TraceContext::current());
    activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    Ok(new.id)
}

/// What an agent wrote, and all that there is on a ticket, stays where it is.
fn check(part: &Part, old: &Ticket) -> Result<(), TicketError> {
    if i32::from(part.author_kind) != i32::from(Kind::Customer) || !part.public {
        return Err(TicketError::NotSplittable(
            "only what a customer wrote can be",
        ));
    }
    if old.messages() < 2 {
        return Err(TicketError::NotSplittable(
            "it is the only one of its ticket",
        ));
    }
    Ok(())
}

async fn read(tx: &mut PgConnection, message: Uuid) -> Result<Part, TicketError> {
    let part: Option<Part> = sqlx::query_as(
        "SELECT ticket_id, channel, account, author_kind, author_id, address, public, subject, automatic_class,
            created_at
         FROM tickets.message WHERE id = $1",
    )
    .bind(message)
    .fetch_optional(tx)
    .await?;
    part.ok_or(TicketError::UnknownMessage(message))
}

/// Adds the ticket of the message: new, with nobody's work on it.
async fn insert(
    tx: &mut PgConnection,
    context: &Context,
    old: &Ticket,
    part: &Part,
    moving: &Moving,
) -> Result<Ticket, TicketError> {
    let number: i64 = sqlx::query_scalar("SELECT nextval('tickets.ticket_number')")
        .fetch_one(&mut *tx)
        .await?;
    let now = context.clock.now();
    let channel = Channel::try_from(i32::from(part.channel)).unwrap_or(old.channel);
    let subject = if part.subject.trim().is_empty() {
        &old.subject
    } else {
        &part.subject
    };
    let id = new_uuid(context.clock.as_ref(), context.rng.as_ref());
    let contact_id = Uuid::parse_str(&part.author_id).unwrap_or(old.contact_id);
    let mut organizations = of_contacts(tx, &[contact_id]).await?;
    let ticket = Ticket {
        number,
        subject: subject.clone(),
        contact_id,
        account: part.account.clone(),
        recipient: moving.recipient(old),
        conversation_key: moving.conversation_key(old),
        language: old.language.clone(),
        message_count: moving.count(),
        channels: 1 << i32::from(part.channel),
        touched: true,
        organization_ids: organizations.remove(&contact_id).unwrap_or_default(),
        ..Ticket::blank(id, channel, now)
    };
    sqlx::query(
        "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
            conversation_key, language, created_at, updated_at, message_count, channels, touched,
            organization_ids, first_trace)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $15, $13, true, $14, $16)",
    )
    .bind(ticket.id)
    .bind(ticket.number)
    .bind(&ticket.subject)
    .bind(ticket.status.name())
    .bind(ticket.priority.name())
    .bind(ticket.contact_id)
    .bind(part.channel)
    .bind(&ticket.account)
    .bind(&ticket.recipient)
    .bind(&ticket.conversation_key)
    .bind(&ticket.language)
    .bind(now.to_sqlx())
    .bind(ticket.channels)
    .bind(&ticket.organization_ids)
    .bind(ticket.message_count)
    .bind(TraceContext::current().to_store())
    .execute(tx)
    .await?;
    Ok(ticket)
}

/// Notes who takes part in the new ticket, and where it came from.
async fn link(
    tx: &mut PgConnection,
    part: &Part,
    new: &Ticket,
    old: &Ticket,
    now: jiff::Timestamp,
) -> Result<(), TicketError> {
    sqlx::query("INSERT INTO tickets.participant (ticket_id, address) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(new.id)
        .bind(&part.address)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "INSERT INTO tickets.ticket_link (ticket_id, other_id, kind, created_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(new.id)
    .bind(old.id)
    .bind("split")
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}
