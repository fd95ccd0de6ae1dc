//! What people and services do to a ticket: each command is one transaction, with its events.

use std::sync::Arc;

use solmu_bus::envelope::to_proto_time;
use solmu_domain::{
    ids::new_uuid,
    ticket::{Priority, Status},
};
use solmu_proto::{
    outbound::v1::{MessageQueued, Purpose},
    ticket::v1 as proto,
    types::v1::{Actor, Attachment, Channel, DeliveryState},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    attachments::attachments_to_json,
    calls::Asked,
    change::move_status,
    context::Context,
    edit::{self, Update},
    error::TicketError,
    events::EventSink,
    mentions, missed,
    model::{self, Ticket, lock_one, status_to_proto},
    recipient,
    row::NewMessage,
};

/// A message by an agent.
#[derive(Debug, Clone)]
pub struct Writing {
    /// The ticket that it is on.
    pub ticket: Uuid,
    /// Its text, checked.
    pub text: String,
    /// The same one on the same ticket gives the same message.
    pub request_id: Option<String>,
    /// Who writes.
    pub author: Actor,
    /// Where the ticket stands afterwards; `None` for an internal note.
    pub answer: Option<Status>,
    /// An answer goes out although mail to that address came back, or although there are messages after `seen`; a note
    /// is written although it mentions nobody that is known.
    pub forced: bool,
    /// The newest message that the author of an answer has seen.
    pub seen: Option<i64>,
    /// What an answer has besides its text.
    pub content: Content,
}

/// HTML and files of an answer, checked.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// Safe HTML; empty if there is none.
    pub html: String,
    /// Files in the object store.
    pub files: Vec<Attachment>,
}

/// A change of fields.
#[derive(Debug, Clone)]
pub enum Change {
    /// Where it stands.
    Status(Status),
    /// How much it presses.
    Priority(Priority),
    /// Who owns it.
    Owner {
        /// The agent; none: nobody.
        agent: Option<Uuid>,
        /// The team; none: the one that it is with.
        team: Option<Uuid>,
    },
}

/// Writes an answer or a note; returns its message id. The same request id gives the same message.
pub async fn write(context: &Arc<Context>, writing: Writing) -> Result<Uuid, TicketError> {
    let writing = Arc::new(writing);
    let id = context
        .db
        .tx("ticket.write_message", |tx| {
            let (context, writing) = (context.clone(), writing.clone());
            Box::pin(async move { write_in(tx, &context, &writing).await })
        })
        .await?;
    Ok(id)
}

async fn write_in(
    tx: &mut PgConnection,
    context: &Context,
    writing: &Writing,
) -> Result<Uuid, TicketError> {
    write_because(tx, context, writing, "").await
}

/// Writes it in the transaction `tx`, with the reason that is told.
pub async fn write_because(
    tx: &mut PgConnection,
    context: &Context,
    writing: &Writing,
    reason: &str,
) -> Result<Uuid, TicketError> {
    let now = context.clock.now();
    let mut ticket = lock_one(tx, writing.ticket).await?;
    if let Some(known) = written(tx, writing).await? {
        return Ok(known);
    }
    if let (Some(_), Some(seen), false) = (writing.answer, writing.seen, writing.forced) {
        missed::check(tx, &ticket, seen, &writing.author).await?;
    }
    let mentioned = match writing.answer {
        Some(_) => Vec::new(),
        None => mentions::read(tx, &writing.text, writing.forced).await?,
    };
    let id = new_uuid(context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(
        &context.bus,
        context.clock.as_ref(),
        context.rng.as_ref(),
        now,
    );
    let trace = TraceContext::current();
    let status_before = ticket.status;
    move_status(tx, &mut ticket, writing.answer, now, &context.config).await?;
    ticket.message_count += 1;
    ticket.touched = true;
    ticket.touch(now, ticket.status != status_before);
    let mut queued = None;
    if writing.answer.is_some() {
        let envelope =
            recipient::address(tx, &ticket, writing.forced, &context.config.quoting).await?;
        ticket.add_channel(envelope.channel());
        if envelope.channel() != Channel::Email && !writing.content.files.is_empty() {
            let why = "answers on the channel of this ticket carry no files: nothing was sent";
            return Err(TicketError::refused("FILES_NOT_CARRIED", why));
        }
        queued = Some(MessageQueued {
            message_id: id.to_string(),
            text: writing.text.clone(),
            html: writing.content.html.clone(),
            attachments: writing.content.files.clone(),
            create_time: Some(to_proto_time(now)),
            purpose: Purpose::Reply.into(),
            ..envelope
        });
    }
    let message = message_of(writing, &ticket, id, queued.as_ref());
    message.insert(tx, &ticket, now).await?;
    if let Some(queued) = &queued {
        events.add(queued, trace.clone());
    }
    let followers = mentions::follow(tx, &ticket, id, &mentioned, (&writing.author, now)).await?;
    let body = proto::TicketMessageAdded {
        ticket: Some(ticket.state()),
        message: Some(proto::MessageFact {
            mentioned_agent_ids: mentioned.iter().map(Uuid::to_string).collect(),
            reason: reason.to_owned(),
            ..message.facts(&ticket, now).to_proto()
        }),
        previous_status: status_to_proto(status_before).into(),
        ..proto::TicketMessageAdded::default()
    };
    events.add(&body, trace.clone());
    if !followers.is_empty() {
        let body = proto::TicketChanged {
            ticket: Some(ticket.state()),
            changes: followers,
            actor: Some(writing.author.clone()),
            change_time: Some(to_proto_time(now)),
            reason: "mentioned".to_owned(),
        };
        events.add(&body, trace);
    }
    model::update(tx, &[&ticket]).await?;
    activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    Ok(id)
}

/// What was written under the request id before.
async fn written(tx: &mut PgConnection, writing: &Writing) -> Result<Option<Uuid>, TicketError> {
    let Some(request_id) = &writing.request_id else {
        return Ok(None);
    };
    let known: Option<(Uuid, bool)> = sqlx::query_as(
        "SELECT id, body_text = $3 AND public = $4 AND body_html = $5 AND attachments = $6::jsonb
         FROM tickets.message WHERE ticket_id = $1 AND request_id = $2",
    )
    .bind(writing.ticket)
    .bind(request_id)
    .bind(&writing.text)
    .bind(writing.answer.is_some())
    .bind(&writing.content.html)
    .bind(attachments_to_json(&writing.content.files))
    .fetch_optional(tx)
    .await?;
    match known {
        Some((known, true)) => Ok(Some(known)),
        Some((_, false)) => Err(TicketError::RequestIdReused),
        None => Ok(None),
    }
}

/// The message as it is stored: an answer with where it goes, a note with nothing of the kind.
fn message_of<'a>(
    writing: &'a Writing,
    ticket: &'a Ticket,
    id: Uuid,
    queued: Option<&'a MessageQueued>,
) -> NewMessage<'a> {
    let note = NewMessage {
        request_id: writing.request_id.as_deref(),
        ..NewMessage::note(id, ticket, writing.author.clone(), &writing.text)
    };
    let Some(queued) = queued else { return note };
    let recipient = queued.recipient.as_ref();
    NewMessage {
        channel: queued.channel(),
        account: &queued.account,
        address: recipient.map_or("", |recipient| recipient.raw.as_str()),
        public: true,
        subject: &queued.subject,
        html: &writing.content.html,
        attachments: attachments_to_json(&writing.content.files),
        state: DeliveryState::Queued,
        ..note
    }
}

/// Changes a ticket by hand. With an etag of another version than the present one: [`TicketError::Stale`].
pub async fn alter(
    context: &Arc<Context>,
    ticket: Uuid,
    change: Change,
    (etag, request): (String, Option<Asked>),
    by: Actor,
) -> Result<(), TicketError> {
    let mut edit = edit::Edit::from(change);
    edit.look_up(&context.roster, ("agent_id", "team_id")).await;
    let update = Update {
        ticket,
        edit,
        parent: None,
        etag,
        request,
        by,
    };
    edit::update(context, update).await
}
