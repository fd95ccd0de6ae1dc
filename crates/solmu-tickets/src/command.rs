//! What people and services do to a ticket: each command is one transaction, with its events.

use std::sync::Arc;

use solmu_bus::envelope::to_proto_time;
use solmu_db::{ToSqlx as _, outbox, outbox::Owner};
use solmu_domain::{
    ids::new_uuid,
    ticket::{Priority, Status},
};
use solmu_proto::{
    outbound::v1::{MessageQueued, Purpose},
    ticket::v1 as proto,
    types::v1::{Actor, AutomaticClass, DeliveryState, actor::Kind},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    context::Context,
    decide::close_time,
    error::TicketError,
    events::{EventSink, MessageFacts, change},
    model::{self, Ticket, small, status_to_proto},
    recipient,
};

/// A message by an agent.
#[derive(Debug, Clone)]
pub(crate) struct Writing {
    pub(crate) ticket: Uuid,
    pub(crate) text: String,
    pub(crate) request_id: Option<String>,
    pub(crate) author: Actor,
    /// Where the ticket stands afterwards; `None` for an internal note.
    pub(crate) answer: Option<Status>,
    /// An answer goes out although mail to that address came back.
    pub(crate) forced: bool,
}

/// A change of fields.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Status(Status),
    Priority(Priority),
    Owner {
        agent: Option<Uuid>,
        team: Option<Uuid>,
    },
}

/// Writes an answer or a note; returns its message id. The same request id gives the same message.
pub(crate) async fn write(context: &Arc<Context>, writing: Writing) -> Result<Uuid, TicketError> {
    let writing = Arc::new(writing);
    let id = context
        .db
        .tx("ticket.write_message", |tx| {
            let (context, writing) = (context.clone(), writing.clone());
            Box::pin(async move { write_in(tx, &context, &writing).await })
        })
        .await?;
    context.outbox_written();
    Ok(id)
}

async fn write_in(
    tx: &mut PgConnection,
    context: &Context,
    writing: &Writing,
) -> Result<Uuid, TicketError> {
    let now = context.clock.now();
    let mut ticket = lock_one(tx, writing.ticket).await?;
    if let Some(request_id) = &writing.request_id {
        let known: Option<(Uuid, bool)> = sqlx::query_as(
            "SELECT id, body_text = $3 AND public = $4 FROM tickets.message WHERE ticket_id = $1 AND request_id = $2",
        )
        .bind(ticket.id)
        .bind(request_id)
        .bind(&writing.text)
        .bind(writing.answer.is_some())
        .fetch_optional(&mut *tx)
        .await?;
        if let Some((known, same)) = known {
            return if same {
                Ok(known)
            } else {
                Err(TicketError::RequestIdReused)
            };
        }
    }
    let id = new_uuid(context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    let trace = TraceContext::current();
    let status_before = ticket.status;
    if let Some(status) = writing.answer {
        ticket.status = status_before.move_to(status)?;
        ticket.close_at = close_time(status, now, context.config.close_after_days);
    }
    ticket.message_count += 1;
    ticket.touch(now, ticket.status != status_before);
    let mut queued = None;
    if writing.answer.is_some() {
        let envelope = recipient::address(tx, &ticket, writing.forced).await?;
        ticket.add_channel(envelope.channel());
        queued = Some(MessageQueued {
            message_id: id.to_string(),
            text: writing.text.clone(),
            create_time: Some(to_proto_time(now)),
            purpose: Purpose::Reply.into(),
            ..envelope
        });
    }
    insert(tx, writing, &ticket, id, queued.as_ref(), now).await?;
    if let Some(queued) = &queued {
        events.add(queued, trace.clone());
    }
    let facts = MessageFacts {
        message_id: id,
        author: writing.author.clone(),
        public: queued.is_some(),
        class: AutomaticClass::Human,
        at: now,
        sequence: ticket.message_count,
        channel: queued
            .as_ref()
            .map_or(ticket.channel, MessageQueued::channel),
    };
    let body = proto::TicketMessageAdded {
        ticket: Some(ticket.state()),
        message: Some(facts.to_proto()),
        previous_status: status_to_proto(status_before).into(),
    };
    events.add(&body, trace);
    model::update(tx, &[&ticket]).await?;
    outbox::add(tx, Owner::Tickets, events.rows(), now).await?;
    Ok(id)
}

/// Stores the message: an answer with where it goes, a note with nothing of the kind.
async fn insert(
    tx: &mut PgConnection,
    writing: &Writing,
    ticket: &Ticket,
    id: Uuid,
    queued: Option<&MessageQueued>,
    now: jiff::Timestamp,
) -> Result<(), TicketError> {
    let address = queued
        .and_then(|queued| queued.recipient.as_ref())
        .map_or("", |recipient| recipient.raw.as_str());
    let (channel, account) = queued.map_or((ticket.channel, &ticket.account), |queued| {
        (queued.channel(), &queued.account)
    });
    let subject = queued.map_or("", |queued| queued.subject.as_str());
    let state = queued.map_or(DeliveryState::Unspecified, |_| DeliveryState::Queued);
    sqlx::query(
        "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, author_kind, author_id, address,
            public, subject, body_text, automatic_class, sender_verified, created_at, delivery_state, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, true, $13, $14, $15)",
    )
    .bind(id)
    .bind(ticket.id)
    .bind(ticket.message_count)
    .bind(small(channel.into()))
    .bind(account)
    .bind(small(writing.author.kind))
    .bind(&writing.author.id)
    .bind(address)
    .bind(queued.is_some())
    .bind(subject)
    .bind(&writing.text)
    .bind(small(AutomaticClass::Human.into()))
    .bind(now.to_sqlx())
    .bind(small(state.into()))
    .bind(&writing.request_id)
    .execute(tx)
    .await?;
    Ok(())
}

/// Changes a ticket by hand. With an etag of another version than the present one: [`TicketError::Stale`].
pub(crate) async fn alter(
    context: &Arc<Context>,
    ticket: Uuid,
    change: Change,
    etag: String,
    by: Actor,
) -> Result<(), TicketError> {
    let input = Arc::new((change, etag, by));
    context
        .db
        .tx("ticket.alter", |tx| {
            let (context, input) = (context.clone(), input.clone());
            Box::pin(async move {
                let (change, etag, by) = input.as_ref();
                alter_in(tx, &context, ticket, change, etag, by).await
            })
        })
        .await?;
    context.outbox_written();
    Ok(())
}

async fn alter_in(
    tx: &mut PgConnection,
    context: &Context,
    id: Uuid,
    what: &Change,
    etag: &str,
    by: &Actor,
) -> Result<(), TicketError> {
    let now = context.clock.now();
    let mut ticket = lock_one(tx, id).await?;
    if !etag.is_empty() && etag != ticket.etag() {
        return Err(TicketError::Stale {
            current: ticket.version,
        });
    }
    let before = ticket.clone();
    let mut changes = Vec::new();
    match what {
        Change::Status(status) => {
            ticket.status = before.status.move_to(*status)?;
            ticket.close_at = close_time(*status, now, context.config.close_after_days);
            if before.status != *status {
                changes.push(change("status", &before.status, status));
            }
        }
        Change::Priority(priority) => {
            ticket.priority = *priority;
            if before.priority != *priority {
                changes.push(change("priority", &before.priority, priority));
            }
        }
        Change::Owner { agent, team } => {
            ticket.assignee_id = *agent;
            ticket.team_id = team.or(ticket.team_id);
        }
    }
    let owner_changed =
        ticket.assignee_id != before.assignee_id || ticket.team_id != before.team_id;
    if changes.is_empty() && !owner_changed {
        return Ok(());
    }
    ticket.touch(now, true);
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    let trace = TraceContext::current();
    if owner_changed {
        ticket.assign_reason = format!(
            "by hand ({})",
            if by.kind() == Kind::Agent {
                "agent"
            } else {
                "service"
            }
        );
        let body = proto::TicketAssigned {
            ticket: Some(ticket.state()),
            previous_assignee_id: before
                .assignee_id
                .map(|id| id.to_string())
                .unwrap_or_default(),
            previous_team_id: before.team_id.map(|id| id.to_string()).unwrap_or_default(),
            actor: Some(by.clone()),
            reason: ticket.assign_reason.clone(),
            decision_id: String::new(),
            assign_time: Some(to_proto_time(now)),
        };
        events.add(&body, trace.clone());
    }
    if !changes.is_empty() {
        let body = proto::TicketChanged {
            ticket: Some(ticket.state()),
            changes,
            actor: Some(by.clone()),
            change_time: Some(to_proto_time(now)),
            reason: "by hand".to_owned(),
        };
        events.add(&body, trace);
    }
    model::update(tx, &[&ticket]).await?;
    outbox::add(tx, Owner::Tickets, events.rows(), now).await?;
    Ok(())
}

async fn lock_one(tx: &mut PgConnection, id: Uuid) -> Result<Ticket, TicketError> {
    model::lock(tx, &[id])
        .await?
        .pop()
        .ok_or_else(|| TicketError::UnknownTicket(id.to_string()))
}
