//! Automatic mail that overtook what it answers.
//!
//! A message that answers nothing known waits in the quarantine under the ids that it names. When one of them turns
//! up, it is filed with its ticket after all: order of arrival must not matter. Two replicas may miss each other (one
//! quarantines while the other files), so a sweep looks again.

use std::collections::HashSet;

use prost::Message as _;
use solmu_db::{ToSqlx as _, outbox, outbox::Owner};
use solmu_proto::inbound::v1::MessageReceived;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    file_messages,
    thread::{ThreadKey, keys_of},
    work::Quarantined,
};
use crate::{context::Context, error::TicketError, events::EventSink};

/// Messages that one sweep takes.
const BATCH: i64 = 200;

/// Notes the ids that quarantined messages name.
pub(super) async fn write_keys(
    tx: &mut PgConnection,
    waiting: &[Quarantined<'_>],
) -> Result<(), TicketError> {
    let keys: HashSet<(ThreadKey, Uuid)> = waiting
        .iter()
        .filter(|it| it.awaits)
        .flat_map(|it| keys_of(it.message).into_iter().map(|key| (key, it.id)))
        .collect();
    sqlx::query(
        "INSERT INTO tickets.quarantine_key (channel, account, key, message_id)
         SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::uuid[])",
    )
    .bind(keys.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
    .bind(
        keys.iter()
            .map(|(key, _)| key.1.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        keys.iter()
            .map(|(key, _)| key.2.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(keys.iter().map(|(_, message)| *message).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes the messages that wait for one of `keys` out of the quarantine.
pub(super) async fn take(
    tx: &mut PgConnection,
    keys: &[ThreadKey],
    now: jiff::Timestamp,
) -> Result<Vec<MessageReceived>, TicketError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let stored: Vec<Vec<u8>> = sqlx::query_scalar(
        "WITH hit AS (
            SELECT DISTINCT message_id FROM tickets.quarantine_key
            JOIN unnest($1::smallint[], $2::text[], $3::text[]) AS known (channel, account, key)
                USING (channel, account, key)
         ), forgotten AS (
            DELETE FROM tickets.quarantine_key WHERE message_id IN (SELECT message_id FROM hit)
         )
         UPDATE tickets.quarantine SET released_at = $4
         WHERE released_at IS NULL AND message_id IN (SELECT message_id FROM hit) RETURNING message",
    )
    .bind(keys.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.1.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.2.as_str()).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .fetch_all(tx)
    .await?;
    decode(&stored)
}

/// Files what waits although its thread is known. Returns how many.
pub(crate) async fn sweep(context: &std::sync::Arc<Context>) -> Result<usize, TicketError> {
    let tally = context
        .db
        .tx("ticket.sweep_quarantine", |tx| {
            let context = context.clone();
            Box::pin(async move {
                let now = context.clock.now();
                let messages = take_known(tx, now).await?;
                let traces = vec![TraceContext::current(); messages.len()];
                let items: Vec<_> = messages.iter().zip(&traces).collect();
                let mut events = EventSink::new(
                    &context.bus,
                    context.clock.as_ref(),
                    context.rng.as_ref(),
                    now,
                );
                let tally = file_messages(tx, &context, &items, &mut events, now).await?;
                outbox::add(tx, Owner::Tickets, events.rows(), now).await?;
                Ok::<_, TicketError>(tally)
            })
        })
        .await?;
    let filed = tally.filed.len();
    if filed > 0 {
        context.outbox_written();
        context.metrics.record(&tally);
    }
    Ok(filed)
}

async fn take_known(
    tx: &mut PgConnection,
    now: jiff::Timestamp,
) -> Result<Vec<MessageReceived>, TicketError> {
    let stored: Vec<Vec<u8>> = sqlx::query_scalar(
        "WITH hit AS (
            SELECT quarantine.message_id FROM tickets.quarantine
            WHERE released_at IS NULL AND EXISTS (
                SELECT 1 FROM tickets.quarantine_key AS waiting
                JOIN tickets.thread_key AS known USING (channel, account, key)
                WHERE waiting.message_id = quarantine.message_id)
            ORDER BY quarantined_at LIMIT $2 FOR UPDATE SKIP LOCKED
         ), forgotten AS (
            DELETE FROM tickets.quarantine_key WHERE message_id IN (SELECT message_id FROM hit)
         )
         UPDATE tickets.quarantine SET released_at = $1
         WHERE message_id IN (SELECT message_id FROM hit) RETURNING message",
    )
    .bind(now.to_sqlx())
    .bind(BATCH)
    .fetch_all(tx)
    .await?;
    decode(&stored)
}

fn decode(stored: &[Vec<u8>]) -> Result<Vec<MessageReceived>, TicketError> {
    stored
        .iter()
        .map(|bytes| {
            MessageReceived::decode(bytes.as_slice()).map_err(|_| TicketError::BadEvent("message"))
        })
        .collect()
}
