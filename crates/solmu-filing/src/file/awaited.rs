//! Automatic mail that overtook what it answers.
//!
//! A message that answers nothing known waits in the quarantine under the ids that it names. When one of them turns
//! up, it is filed with its ticket after all: order of arrival must not matter. Two replicas may miss each other (one
//! quarantines while the other files), so a sweep looks again: at those whose turn it is and no more, soon after they
//! came and then ever more rarely, so that a full quarantine costs no more than an empty one.

use std::{collections::HashSet, sync::Arc};

use prost::Message as _;
use solmu_db::ToSqlx as _;
use solmu_proto::inbound::v1::MessageReceived;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    file_messages,
    thread::{ThreadKey, keys_of},
    work::Quarantined,
};
use crate::{activity, context::Context, error::TicketError, events::EventSink};

/// Messages that one sweep looks at, and that one batch of others takes along.
pub const BATCH: usize = 200;

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

/// Takes the messages that wait for one of `keys` out of the quarantine, oldest first, at most `limit`; the sweep takes
/// the others. What somebody else has in hand is theirs.
pub(super) async fn take(
    tx: &mut PgConnection,
    keys: &[ThreadKey],
    limit: usize,
    now: jiff::Timestamp,
) -> Result<Vec<MessageReceived>, TicketError> {
    if keys.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    let stored: Vec<Vec<u8>> = sqlx::query_scalar(
        "WITH hit AS (
            SELECT message_id FROM tickets.quarantine
            WHERE released_at IS NULL AND rejected_at IS NULL AND message_id IN (
                SELECT message_id FROM tickets.quarantine_key
                JOIN unnest($1::smallint[], $2::text[], $3::text[]) AS known (channel, account, key)
                    USING (channel, account, key))
            ORDER BY quarantined_at LIMIT $5 FOR UPDATE SKIP LOCKED
         ), forgotten AS (
            DELETE FROM tickets.quarantine_key WHERE message_id IN (SELECT message_id FROM hit)
         )
         UPDATE tickets.quarantine SET released_at = $4, sweep_at = NULL
         WHERE message_id IN (SELECT message_id FROM hit) RETURNING message",
    )
    .bind(keys.iter().map(|key| key.0).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.1.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.2.as_str()).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(tx)
    .await?;
    decode(&stored)
}

/// Files what waits although its thread is known; looks at no more than is due. Returns how many it looked at.
pub async fn sweep(context: &Arc<Context>) -> Result<usize, TicketError> {
    let (looked_at, tally) = context
        .db
        .tx("ticket.sweep_quarantine", |tx| {
            let context = context.clone();
            Box::pin(async move {
                let now = context.clock.now();
                let due = due(tx, now).await?;
                let messages = take_known(tx, &due, now).await?;
                let traces = vec![TraceContext::current(); messages.len()];
                let items: Vec<_> = messages.iter().zip(&traces).collect();
                let mut events = EventSink::new(
                    &context.bus,
                    context.clock.as_ref(),
                    context.rng.as_ref(),
                    now,
                );
                let tally = file_messages(tx, &context, &items, &mut events, now).await?;
                activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
                Ok::<_, TicketError>((due.len(), tally))
            })
        })
        .await?;
    if !tally.filed.is_empty() || !tally.quarantined.is_empty() {
        context.metrics.record(&tally);
    }
    Ok(looked_at)
}

/// Whose turn it is, locked. Those whose turn comes again have their next one: the longer they wait, the rarer.
async fn due(tx: &mut PgConnection, now: jiff::Timestamp) -> Result<Vec<Uuid>, TicketError> {
    let due: Vec<Uuid> = sqlx::query_scalar(
        "WITH due AS (
            SELECT message_id FROM tickets.quarantine
            WHERE released_at IS NULL AND rejected_at IS NULL AND sweep_at IS NOT NULL AND sweep_at <= $1
            ORDER BY sweep_at LIMIT $2 FOR UPDATE SKIP LOCKED
         )
         UPDATE tickets.quarantine AS waiting
         SET sweep_at = $1 + greatest(least(($1 - waiting.quarantined_at) / 2, interval '1 hour'), interval '30 seconds')
         FROM due WHERE waiting.message_id = due.message_id RETURNING waiting.message_id",
    )
    .bind(now.to_sqlx())
    .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
    .fetch_all(tx)
    .await?;
    Ok(due)
}

/// Of `due`, those whose thread is known, taken out.
async fn take_known(
    tx: &mut PgConnection,
    due: &[Uuid],
    now: jiff::Timestamp,
) -> Result<Vec<MessageReceived>, TicketError> {
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let stored: Vec<Vec<u8>> = sqlx::query_scalar(
        "WITH hit AS (
            SELECT DISTINCT waiting.message_id FROM tickets.quarantine_key AS waiting
            JOIN tickets.quarantine USING (message_id)
            JOIN tickets.thread_key AS known
                ON known.channel = waiting.channel AND known.account = waiting.account AND known.key = waiting.key
            WHERE waiting.message_id = ANY($2) AND (known.named_by IN ('', quarantine.sender) OR EXISTS (
                SELECT 1 FROM tickets.thread_claim AS claim WHERE claim.channel = known.channel
                    AND claim.account = known.account AND claim.key = known.key AND claim.party = quarantine.sender))
         ), forgotten AS (
            DELETE FROM tickets.quarantine_key WHERE message_id IN (SELECT message_id FROM hit)
         )
         UPDATE tickets.quarantine SET released_at = $1, sweep_at = NULL
         WHERE message_id IN (SELECT message_id FROM hit) RETURNING message",
    )
    .bind(now.to_sqlx())
    .bind(due)
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
