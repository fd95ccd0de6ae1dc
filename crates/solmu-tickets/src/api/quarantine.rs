//! The quarantine: what waits, and letting it in.

use std::sync::Arc;

use prost::Message as _;
use solmu_db::{SqlTimestamp, ToSqlx as _, outbox, outbox::Owner};
use solmu_proto::{inbound::v1::MessageReceived, ticket::v1 as proto};
use solmu_runtime::ApiError;
use solmu_telemetry::TraceContext;
use sqlx::PgPool;
use uuid::Uuid;

use super::page;
use crate::{context::Context, error::TicketError, events::EventSink, file::release_message};

struct Waiting {
    message_id: Uuid,
    channel: i16,
    account: String,
    sender: String,
    subject: String,
    cause_code: String,
    automatic_class: i16,
    quarantined_at: SqlTimestamp,
}
solmu_db::from_row!(Waiting {
    message_id,
    channel,
    account,
    sender,
    subject,
    cause_code,
    automatic_class,
    quarantined_at
});

/// A page of what waits, oldest first.
pub(crate) async fn list(
    pool: &PgPool,
    request: &proto::ListQuarantineRequest,
    max_page: u32,
) -> Result<proto::ListQuarantineResponse, ApiError> {
    let size = page::size(request.page_size, 50, max_page)?;
    let (at, id): (i64, Uuid) =
        page::decode("quarantine", &request.page_token)?.unwrap_or((i64::MIN, Uuid::nil()));
    let at = jiff::Timestamp::from_microsecond(at).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let mut rows: Vec<Waiting> = sqlx::query_as(
        "SELECT message_id, channel, account, sender, subject, cause_code, automatic_class, quarantined_at
         FROM tickets.quarantine WHERE released_at IS NULL AND (quarantined_at, message_id) > ($1, $2)
         ORDER BY quarantined_at, message_id LIMIT $3",
    )
    .bind(at.to_sqlx())
    .bind(id)
    .bind(size + 1)
    .fetch_all(pool)
    .await
    .map_err(solmu_db::DbError::from)?;
    let more = page::cut(&mut rows, size);
    let next_page_token = match rows.last().filter(|_| more) {
        Some(last) => page::encode(
            "quarantine",
            (
                last.quarantined_at.to_jiff().as_microsecond(),
                last.message_id,
            ),
        ),
        None => String::new(),
    };
    let messages = rows.into_iter().map(|row| proto::QuarantinedMessage {
        message_id: row.message_id.to_string(),
        channel: row.channel.into(),
        account: row.account,
        sender: row.sender,
        subject: row.subject,
        cause_code: row.cause_code,
        quarantine_time: Some(solmu_bus::envelope::to_proto_time(
            row.quarantined_at.to_jiff(),
        )),
        automatic_class: row.automatic_class.into(),
    });
    Ok(proto::ListQuarantineResponse {
        messages: messages.collect(),
        next_page_token,
    })
}

/// Files a waiting message as a ticket after all; returns the ticket's id. Once.
pub(crate) async fn release(context: &Arc<Context>, message: Uuid) -> Result<Uuid, TicketError> {
    let (ticket, tally) = context
        .db
        .tx("ticket.release_quarantined", |tx| {
            let context = context.clone();
            Box::pin(async move {
                let now = context.clock.now();
                let stored: Option<Vec<u8>> = sqlx::query_scalar(
                    "UPDATE tickets.quarantine SET released_at = $2 WHERE message_id = $1 AND released_at IS NULL
                     RETURNING message",
                )
                .bind(message)
                .bind(now.to_sqlx())
                .fetch_optional(&mut *tx)
                .await?;
                let stored = stored.ok_or_else(|| TicketError::NotQuarantined(message.to_string()))?;
                let original =
                    MessageReceived::decode(stored.as_slice()).map_err(|_| TicketError::BadEvent("message"))?;
                let mut events = EventSink::new(&context.bus, context.clock.as_ref(), context.rng.as_ref(), now);
                let filed =
                    release_message(tx, &context, &original, TraceContext::current(), &mut events, now).await?;
                outbox::add(tx, Owner::Tickets, events.rows(), now).await?;
                Ok::<_, TicketError>(filed)
            })
        })
        .await?;
    context.outbox_written();
    context.metrics.record(&tally);
    Ok(ticket)
}
