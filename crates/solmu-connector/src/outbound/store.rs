//! Rows of `connector.outbound`: the memory of what was sent.
//!
//! Every function takes the resource first and the time as an argument. Which state follows which is said in
//! [`super::state`]; each statement names the states that it may leave. Reports to the bus are a flag of the row, so
//! that a crash between the vendor's answer and the report loses neither.

use std::time::Duration;

use jiff::Timestamp;
use prost::Message as _;
use solmu_db::{Db, DbError, SqlTimestamp, ToSqlx as _};
use solmu_proto::outbound::v1::MessageQueued;
use solmu_telemetry::TraceContext;
use uuid::Uuid;

use super::state::Event;

/// A message that is to be sent.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage {
    pub(crate) id: Uuid,
    pub(crate) lane: String,
    pub(crate) message: MessageQueued,
    pub(crate) trace: TraceContext,
}

/// Where a row goes after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Sent {
        external_id: String,
    },
    Retry {
        at: Timestamp,
        code: String,
        text: String,
    },
    Failed {
        code: String,
        text: String,
    },
    Unknown {
        code: String,
        text: String,
    },
}

impl Step {
    fn event(&self) -> Event {
        match self {
            Self::Sent { .. } => Event::Taken,
            Self::Retry { .. } => Event::PutOff,
            Self::Failed { .. } => Event::Refused,
            Self::Unknown { .. } => Event::Lost,
        }
    }

    fn error(&self) -> (&str, &str) {
        match self {
            Self::Sent { .. } => ("", ""),
            Self::Retry { code, text, .. }
            | Self::Failed { code, text }
            | Self::Unknown { code, text } => (code, text),
        }
    }
}

/// A final state that the bus does not know yet.
#[derive(Debug, Clone)]
pub(crate) struct Unreported {
    pub(crate) message_id: Uuid,
    pub(crate) account: String,
    pub(crate) state: String,
    pub(crate) external_id: String,
    pub(crate) error_code: String,
    pub(crate) error_text: String,
    pub(crate) finished_at: SqlTimestamp,
    pub(crate) traceparent: String,
    pub(crate) tracestate: String,
}
solmu_db::from_row!(Unreported {
    message_id,
    account,
    state,
    external_id,
    error_code,
    error_text,
    finished_at,
    traceparent,
    tracestate
});

/// Stores messages that came from the bus. One that is there already keeps its row; if it is finished, it is reported
/// again, because a repeat may mean that the report was lost. No id may be twice in `messages`.
pub(crate) async fn enqueue(
    db: &Db,
    channel: &str,
    messages: &[NewMessage],
    now: Timestamp,
) -> Result<(), DbError> {
    let ids: Vec<Uuid> = messages.iter().map(|new| new.id).collect();
    let accounts: Vec<&str> = messages
        .iter()
        .map(|new| new.message.account.as_str())
        .collect();
    let conversations: Vec<&str> = messages
        .iter()
        .map(|new| new.message.conversation_key.as_str())
        .collect();
    let lanes: Vec<&str> = messages.iter().map(|new| new.lane.as_str()).collect();
    let bodies: Vec<Vec<u8>> = messages
        .iter()
        .map(|new| new.message.encode_to_vec())
        .collect();
    let parents: Vec<&str> = messages
        .iter()
        .map(|new| new.trace.traceparent.as_str())
        .collect();
    let states: Vec<&str> = messages
        .iter()
        .map(|new| new.trace.tracestate.as_str())
        .collect();
    sqlx::query(
        "INSERT INTO connector.outbound (message_id, channel, account, conversation_key, state, message, traceparent, \
         tracestate, lane, next_attempt_at, queued_at) \
         SELECT id, $1, account, conversation_key, 'queued', message, traceparent, tracestate, lane, $9, $9 \
         FROM unnest($2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::text[], $8::text[]) \
         WITH ORDINALITY AS new (id, account, conversation_key, message, traceparent, tracestate, lane, place) \
         ORDER BY place \
         ON CONFLICT (message_id) DO UPDATE SET reported = false WHERE connector.outbound.finished_at IS NOT NULL",
    )
    .bind(channel)
    .bind(ids)
    .bind(accounts)
    .bind(conversations)
    .bind(bodies)
    .bind(parents)
    .bind(states)
    .bind(lanes)
    .bind(now.to_sqlx())
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Stores the outcomes of attempts. What was taken for unknown meanwhile is corrected by a certain outcome.
pub(crate) async fn finish(db: &Db, steps: &[(Uuid, Step)], now: Timestamp) -> Result<(), DbError> {
    let ids: Vec<Uuid> = steps.iter().map(|(id, _)| *id).collect();
    let states: Vec<&str> = steps
        .iter()
        .map(|(_, step)| step.event().leads_to().name())
        .collect();
    let legal: Vec<String> = steps
        .iter()
        .map(|(_, step)| step.event().left_names())
        .collect();
    let externals: Vec<&str> = steps
        .iter()
        .map(|(_, step)| {
            if let Step::Sent { external_id } = step {
                external_id.as_str()
            } else {
                ""
            }
        })
        .collect();
    let codes: Vec<&str> = steps.iter().map(|(_, step)| step.error().0).collect();
    let texts: Vec<&str> = steps.iter().map(|(_, step)| step.error().1).collect();
    let next: Vec<Option<SqlTimestamp>> = steps
        .iter()
        .map(|(_, step)| {
            if let Step::Retry { at, .. } = step {
                Some(at.to_sqlx())
            } else {
                None
            }
        })
        .collect();
    sqlx::query(
        "UPDATE connector.outbound AS row SET state = done.state, external_id = done.external_id, \
           error_code = done.error_code, error_text = done.error_text, claimed_until = NULL, reported = false, \
           next_attempt_at = coalesce(done.next_at, row.next_attempt_at), \
           finished_at = CASE WHEN done.state = 'queued' THEN NULL ELSE $7 END, \
           message = CASE WHEN done.state = 'queued' THEN row.message END \
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $8::text[]) \
           AS done (message_id, state, external_id, error_code, error_text, next_at, legal) \
         WHERE row.message_id = done.message_id AND row.state = ANY (string_to_array(done.legal, ' '))",
    )
    .bind(ids)
    .bind(states)
    .bind(externals)
    .bind(codes)
    .bind(texts)
    .bind(next)
    .bind(now.to_sqlx())
    .bind(legal)
    .execute(db.pool())
    .await?;
    Ok(())
}

/// What a report of the other side does to a message. Whether the bus knows the state stays as it is: the report itself
/// goes there by the way on which it came in. Returns whether something changed.
pub(crate) async fn reported(
    db: &Db,
    channel: &str,
    message_id: Uuid,
    event: Event,
    (code, text): (&str, &str),
    now: Timestamp,
) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE connector.outbound SET state = $3, error_code = $4, error_text = $5, claimed_until = NULL, \
           finished_at = coalesce(finished_at, $6), message = NULL \
         WHERE channel = $1 AND message_id = $2 AND state = ANY (string_to_array($7, ' '))",
    )
    .bind(channel)
    .bind(message_id)
    .bind(event.leads_to().name())
    .bind(code)
    .bind(text)
    .bind(now.to_sqlx())
    .bind(event.left_names())
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Marks as unknown what a process began to send and never came back with. Returns how many there were.
pub(crate) async fn give_up_orphans(
    db: &Db,
    channel: &str,
    now: Timestamp,
) -> Result<u64, DbError> {
    let done = sqlx::query(
        "UPDATE connector.outbound SET state = $3, claimed_until = NULL, finished_at = $2, message = NULL, \
           reported = false, error_code = 'interrupted', \
           error_text = 'the connector stopped while it was sending: the message may have arrived' \
         WHERE channel = $1 AND state = 'sending' AND claimed_until < $2",
    )
    .bind(channel)
    .bind(now.to_sqlx())
    .bind(Event::Orphaned.leads_to().name())
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected())
}

/// Final states that the bus does not know yet, oldest first.
pub(crate) async fn unreported(
    db: &Db,
    channel: &str,
    limit: i64,
) -> Result<Vec<Unreported>, DbError> {
    let rows = sqlx::query_as(
        "SELECT message_id, account, state, external_id, error_code, error_text, finished_at, traceparent, tracestate \
         FROM connector.outbound WHERE channel = $1 AND NOT reported AND finished_at IS NOT NULL \
         ORDER BY finished_at LIMIT $2",
    )
    .bind(channel)
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    Ok(rows)
}

/// Marks reports as published, unless the state changed meanwhile.
pub(crate) async fn mark_reported(db: &Db, rows: &[Unreported]) -> Result<(), DbError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.message_id).collect();
    let states: Vec<&str> = rows.iter().map(|row| row.state.as_str()).collect();
    sqlx::query(
        "UPDATE connector.outbound AS row SET reported = true \
         FROM unnest($1::uuid[], $2::text[]) AS done (message_id, state) \
         WHERE row.message_id = done.message_id AND row.state = done.state",
    )
    .bind(ids)
    .bind(states)
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Forgets finished messages after `keep`. They must outlive the stream that could repeat them.
pub(crate) async fn purge(
    db: &Db,
    channel: &str,
    now: Timestamp,
    keep: Duration,
) -> Result<u64, DbError> {
    let before = now.saturating_sub(keep).unwrap_or(Timestamp::MIN);
    let done = sqlx::query(
        "DELETE FROM connector.outbound WHERE channel = $1 AND reported AND finished_at < $2",
    )
    .bind(channel)
    .bind(before.to_sqlx())
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected())
}
