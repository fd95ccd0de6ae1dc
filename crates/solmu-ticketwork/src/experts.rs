//! Sends messages of a ticket to experts.

use std::{fmt::Write as _, sync::Arc};

use solmu_bus::envelope::to_proto_time;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_domain::{contact::EmailAddress, ids::new_uuid, ticket::Status};
use solmu_proto::{
    outbound::v1::{MessageQueued, Purpose},
    ticket::v1 as proto,
    types::v1::{
        Actor, Assurance, Attachment, Channel, DeliveryState, Identity, IdentityKind, Mailbox,
        actor::Kind,
    },
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    activity,
    attachments::{attachments_from_json, attachments_to_json},
    change::move_status,
    context::Context,
    error::TicketError,
    events::EventSink,
    model::{self, Ticket, lock_one, small, status_to_proto},
    row::NewMessage,
};

/// Most bytes of the whole text: what is longer is cut at the end of a message.
const MAX_TEXT: usize = 512 * 1024;
/// Between the request id of the call and the number of the expert.
const PART: char = '\u{1e}';

/// A question to experts.
#[derive(Debug, Clone)]
pub struct Question {
    /// The ticket that it is about.
    pub ticket: Uuid,
    /// Addresses and names of those who are asked.
    pub to: Vec<(EmailAddress, String)>,
    /// What they are asked.
    pub text: String,
    /// Empty: the last public one of the requester.
    pub messages: Vec<Uuid>,
    /// The same one on the same ticket is the same question.
    pub request_id: Option<String>,
    /// Who asks.
    pub author: Actor,
    /// Where the ticket goes.
    pub status: Option<Status>,
}

/// A message that goes along.
struct Shown {
    id: Uuid,
    public: bool,
    author_kind: i16,
    author_name: String,
    address: String,
    subject: String,
    body_text: String,
    attachments: serde_json::Value,
    created_at: SqlTimestamp,
}
solmu_db::from_row!(Shown {
    id,
    public,
    author_kind,
    author_name,
    address,
    subject,
    body_text,
    attachments,
    created_at
});

/// Asks; returns the side conversations in the order of the question. The same request id gives the same ones.
pub async fn ask(
    context: &Arc<Context>,
    question: Question,
) -> Result<Vec<proto::SideConversation>, TicketError> {
    let question = Arc::new(question);
    let begun = context
        .db
        .tx("ticket.forward_to_expert", |tx| {
            let (context, question) = (context.clone(), question.clone());
            Box::pin(async move { ask_in(tx, &context, &question).await })
        })
        .await?;
    Ok(begun)
}

async fn ask_in(
    tx: &mut PgConnection,
    context: &Context,
    question: &Question,
) -> Result<Vec<proto::SideConversation>, TicketError> {
    let now = context.clock.now();
    let mut ticket = lock_one(tx, question.ticket).await?;
    let known = asked_before(tx, &ticket, question).await?;
    if !known.is_empty() {
        return Ok(known);
    }
    let shown = shown(tx, &ticket, &question.messages).await?;
    let text = text_of(&question.text, &shown);
    let attachments: Vec<Attachment> = shown
        .iter()
        .flat_map(|it| attachments_from_json(&it.attachments))
        .collect();
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut events = EventSink::new(&context.bus, clock, rng, now);
    let trace = TraceContext::current();
    let status_before = ticket.status;
    move_status(tx, &mut ticket, question.status, now, &context.config).await?;
    let mut begun = Vec::new();
    for (index, (address, name)) in question.to.iter().enumerate() {
        let (id, side) = (new_uuid(clock, rng), new_uuid(clock, rng));
        let queued = MessageQueued {
            message_id: id.to_string(),
            text: text.clone(),
            attachments: attachments.clone(),
            create_time: Some(to_proto_time(now)),
            side_conversation_id: side.to_string(),
            conversation_key: side.to_string(),
            ..envelope(&ticket, address, name)
        };
        let previous_status = if index == 0 {
            status_before
        } else {
            ticket.status
        };
        ticket.message_count += 1;
        ticket.touched = true;
        ticket.touch(now, index == 0 && ticket.status != status_before);
        let request_id = question.request_id.as_ref().map(|id| part(id, index));
        let message = NewMessage {
            channel: Channel::Email,
            account: &queued.account,
            address: address.as_str(),
            subject: &queued.subject,
            attachments: attachments_to_json(&attachments),
            state: DeliveryState::Queued,
            request_id: request_id.as_deref(),
            side_conversation: Some(side),
            ..NewMessage::note(id, &ticket, question.author.clone(), &text)
        };
        message.insert(tx, &ticket, now).await?;
        events.add(&queued, trace.clone());
        let body = proto::TicketMessageAdded {
            ticket: Some(ticket.state()),
            message: Some(message.facts(&ticket, now).to_proto()),
            previous_status: status_to_proto(previous_status).into(),
            ..proto::TicketMessageAdded::default()
        };
        events.add(&body, trace.clone());
        begun.push((id, side));
    }
    write_conversations(tx, question, &begun, now).await?;
    model::update(tx, &[&ticket]).await?;
    activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
    asked(tx, &begun.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await
}

/// To an expert nothing but the subject and what was chosen is told: no number, no ids of the customer's mail.
fn envelope(ticket: &Ticket, address: &EmailAddress, name: &str) -> MessageQueued {
    let by_mail = ticket.channel == Channel::Email;
    let own = |text: &String| if by_mail { text.clone() } else { String::new() };
    MessageQueued {
        ticket_id: ticket.id.to_string(),
        ticket_number: ticket.number,
        channel: Channel::Email.into(),
        // Of other channels the connector takes its default account.
        account: own(&ticket.account),
        recipient: Some(Identity {
            kind: IdentityKind::Email.into(),
            value: address.as_str().to_owned(),
            raw: address.as_str().to_owned(),
            assurance: Assurance::Claimed.into(),
            ..Identity::default()
        }),
        recipient_name: name.to_owned(),
        subject: format!("Fwd: {}", ticket.subject),
        from_address: own(&ticket.recipient),
        language: ticket.language.clone(),
        purpose: Purpose::Forward.into(),
        ..MessageQueued::default()
    }
}

/// The messages that go along, in the order of the ticket: without a choice the requester's own newest, and never that
/// of somebody else who wrote on it. An internal note never does.
async fn shown(
    tx: &mut PgConnection,
    ticket: &Ticket,
    wanted: &[Uuid],
) -> Result<Vec<Shown>, TicketError> {
    // What an agent sent by mail quotes what nobody outside may see: only what went out goes on.
    const COLUMNS: &str = "id, public, author_kind, author_name, address, subject, attachments, created_at,
        CASE WHEN author_kind = 2 THEN left(body_text, coalesce(least(quote_offset, signature_offset), length(body_text)))
            ELSE body_text END AS body_text";
    let rows: Vec<Shown> = if wanted.is_empty() {
        let sql = format!(
            "SELECT {COLUMNS} FROM tickets.message WHERE ticket_id = $1 AND public AND author_kind = $2
                AND author_id = $3 ORDER BY sequence DESC LIMIT 1"
        );
        sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(ticket.id)
            .bind(small(Kind::Customer.into()))
            .bind(ticket.contact_id.to_string())
            .fetch_all(tx)
            .await?
    } else {
        let sql = format!(
            "SELECT {COLUMNS} FROM tickets.message WHERE ticket_id = $1 AND id = ANY($2) ORDER BY sequence"
        );
        sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(ticket.id)
            .bind(wanted)
            .fetch_all(tx)
            .await?
    };
    let missing = wanted
        .iter()
        .find(|id| !rows.iter().any(|row| row.id == **id));
    if let Some(id) = missing.or(rows.iter().find(|row| !row.public).map(|row| &row.id)) {
        return Err(TicketError::NotShown(*id));
    }
    Ok(rows)
}

fn text_of(question: &str, shown: &[Shown]) -> String {
    let mut text = question.trim_end().to_owned();
    for message in shown {
        let mut block = String::from("\n\n---------- Forwarded message ----------\n");
        let customer = message.author_kind == small(Kind::Customer.into());
        let name = match (message.author_name.trim(), message.address.as_str()) {
            // Our own answers: the address is the customer's.
            (_, _) if !customer => "us".to_owned(),
            ("", address) => address.to_owned(),
            (name, address) => format!("{name} <{address}>"),
        };
        let at = message.created_at.to_jiff().strftime("%Y-%m-%d %H:%M UTC");
        // Writing to a string cannot fail.
        let _ = writeln!(block, "From: {name}\nDate: {at}");
        if !message.subject.is_empty() {
            let _ = writeln!(block, "Subject: {}", message.subject);
        }
        block.push('\n');
        block.push_str(message.body_text.trim_end());
        if text.len() + block.len() > MAX_TEXT {
            let room = MAX_TEXT.saturating_sub(text.len());
            block.truncate(block.floor_char_boundary(room));
            text.push_str(&block);
            text.push_str("\n[...]");
            break;
        }
        text.push_str(&block);
    }
    text.push('\n');
    text
}

fn part(request_id: &str, index: usize) -> String {
    format!("{request_id}{PART}{index}")
}

async fn write_conversations(
    tx: &mut PgConnection,
    question: &Question,
    begun: &[(Uuid, Uuid)],
    now: jiff::Timestamp,
) -> Result<(), TicketError> {
    sqlx::query(
        "INSERT INTO tickets.side_conversation (id, ticket_id, address, display_name, message_id, created_by, created_at)
         SELECT id, $5, address, display_name, message_id, $6, $7
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[]) AS new (id, address, display_name, message_id)",
    )
    .bind(begun.iter().map(|(_, side)| *side).collect::<Vec<_>>())
    .bind(question.to.iter().map(|(address, _)| address.as_str()).collect::<Vec<_>>())
    .bind(question.to.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>())
    .bind(begun.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(question.ticket)
    .bind(&question.author.id)
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// What the same request began before; empty if nothing.
async fn asked_before(
    tx: &mut PgConnection,
    ticket: &Ticket,
    question: &Question,
) -> Result<Vec<proto::SideConversation>, TicketError> {
    let Some(request_id) = &question.request_id else {
        return Ok(Vec::new());
    };
    let parts: Vec<String> = (0..question.to.len())
        .map(|index| part(request_id, index))
        .collect();
    let known: Vec<(Uuid, String, String)> = sqlx::query_as(
        "SELECT id, address, body_text FROM tickets.message WHERE ticket_id = $1 AND request_id = ANY($2) ORDER BY sequence",
    )
    .bind(ticket.id)
    .bind(&parts)
    .fetch_all(&mut *tx)
    .await?;
    if known.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = question.to.iter().map(|(address, _)| address.as_str());
    let same = known
        .iter()
        .map(|(_, address, _)| address.as_str())
        .eq(wanted)
        && known
            .iter()
            .all(|(_, _, text)| text.starts_with(question.text.trim_end()));
    if !same {
        return Err(TicketError::RequestIdReused);
    }
    asked(tx, &known.iter().map(|(id, _, _)| *id).collect::<Vec<_>>()).await
}

/// The conversations that these messages began, in their order.
async fn asked(
    tx: &mut PgConnection,
    messages: &[Uuid],
) -> Result<Vec<proto::SideConversation>, TicketError> {
    let rows: Vec<(Uuid, Uuid, String, String, Uuid, String, SqlTimestamp)> = sqlx::query_as(
        "SELECT side.id, side.ticket_id, side.address, side.display_name, side.message_id, side.created_by, side.created_at
         FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (message_id, position)
         JOIN tickets.side_conversation AS side USING (message_id) ORDER BY wanted.position",
    )
    .bind(messages)
    .fetch_all(tx)
    .await?;
    let conversations = rows.into_iter().map(
        |(id, ticket_id, address, name, message_id, created_by, created_at)| {
            proto::SideConversation {
                id: id.to_string(),
                ticket_id: ticket_id.to_string(),
                expert: Some(Mailbox { name, address }),
                message_id: message_id.to_string(),
                created_by,
                create_time: Some(to_proto_time(created_at.to_jiff())),
            }
        },
    );
    Ok(conversations.collect())
}
