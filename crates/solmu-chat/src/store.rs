//! Messages of a conversation, in PostgreSQL.
//!
//! Numbers are given out under the lock of the session's row, so they have no gaps and become visible in their order: a
//! reader that has all up to n misses nothing by asking for what is above n.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use prost::Message as _;
use solmu_db::{Db, DbError, SqlTimestamp, ToSqlx as _};
use solmu_proto::inbound::v1::MessageReceived;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{frame::Said, hub, session::expiry};

/// A visitor's message that is to be stored.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage {
    pub(crate) session: Uuid,
    pub(crate) client_msg_id: String,
    pub(crate) author: String,
    pub(crate) text: String,
    pub(crate) event: MessageReceived,
    /// The span in which it came.
    pub(crate) span: tracing::Span,
}

/// What became of it.
#[derive(Debug, Clone)]
pub(crate) enum Stored {
    /// It has this number; `event` is what the bus does not have yet.
    Row {
        seq: i64,
        message_id: Uuid,
        event: Option<Box<MessageReceived>>,
    },
    /// The session is gone, ended or too old.
    NoSession,
}

struct Existing {
    session_id: Uuid,
    client_msg_id: String,
    seq: i64,
    message_id: Uuid,
    pending: Option<Vec<u8>>,
}
solmu_db::from_row!(Existing {
    session_id,
    client_msg_id,
    seq,
    message_id,
    pending
});

type Key = (Uuid, String);

/// Stores messages in one transaction, in the given order; answers in that order. One that is there already (a resend)
/// keeps its row and number.
pub(crate) async fn append(
    db: &Db,
    new: &[NewMessage],
    now: Timestamp,
    days: u32,
) -> Result<Vec<Stored>, DbError> {
    db.tx("chat.append", |tx| {
        Box::pin(append_in(tx, new.to_vec(), now, days))
    })
    .await
}

async fn append_in(
    tx: &mut PgConnection,
    new: Vec<NewMessage>,
    now: Timestamp,
    days: u32,
) -> Result<Vec<Stored>, DbError> {
    let mut last = lock_sessions(tx, &new, now).await?;
    let mut known = existing(tx, &new).await?;
    let mut inserts = Vec::new();
    let mut answers = Vec::with_capacity(new.len());
    for message in new {
        let key = (message.session, message.client_msg_id.clone());
        let Some(seq) = last.get_mut(&message.session) else {
            answers.push(Stored::NoSession);
            continue;
        };
        let stored = if let Some(stored) = known.get(&key) {
            stored.clone()
        } else {
            *seq += 1;
            let message_id = message_id(&message.event);
            let event = Some(Box::new(message.event.clone()));
            inserts.push((*seq, message_id, message));
            Stored::Row {
                seq: *seq,
                message_id,
                event,
            }
        };
        known.insert(key, stored.clone());
        answers.push(stored);
    }
    insert(tx, &inserts, now).await?;
    let changed: BTreeSet<Uuid> = inserts
        .iter()
        .map(|(_, _, message)| message.session)
        .collect();
    let moved: Vec<(Uuid, i64)> = changed.into_iter().map(|id| (id, last[&id])).collect();
    advance(tx, &moved, Some(expiry(now, days))).await?;
    Ok(answers)
}

/// Ids that connector and ticket service agree on: made by the intake from channel, account and external id.
fn message_id(event: &MessageReceived) -> Uuid {
    Uuid::parse_str(&event.message_id).expect("the event was made here, with an id")
}

/// Locks the sessions that can take messages, always in the same order, and returns their last numbers.
async fn lock_sessions(
    tx: &mut PgConnection,
    new: &[NewMessage],
    now: Timestamp,
) -> Result<BTreeMap<Uuid, i64>, DbError> {
    let ids: BTreeSet<Uuid> = new.iter().map(|message| message.session).collect();
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT id, last_seq FROM chat.session WHERE id = ANY($1) AND ended_at IS NULL AND expires_at > $2 \
         ORDER BY id FOR UPDATE",
    )
    .bind(ids.into_iter().collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().collect())
}

async fn existing(
    tx: &mut PgConnection,
    new: &[NewMessage],
) -> Result<HashMap<Key, Stored>, DbError> {
    let sessions: Vec<Uuid> = new.iter().map(|message| message.session).collect();
    let ids: Vec<&str> = new
        .iter()
        .map(|message| message.client_msg_id.as_str())
        .collect();
    let rows: Vec<Existing> = sqlx::query_as(
        "SELECT session_id, client_msg_id, seq, message_id, pending FROM chat.message \
         JOIN unnest($1::uuid[], $2::text[]) AS wanted (session_id, client_msg_id) USING (session_id, client_msg_id)",
    )
    .bind(sessions)
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let stored = |row: Existing| {
        let event = row
            .pending
            .and_then(|bytes| MessageReceived::decode(bytes.as_slice()).ok())
            .map(Box::new);
        let stored = Stored::Row {
            seq: row.seq,
            message_id: row.message_id,
            event,
        };
        ((row.session_id, row.client_msg_id), stored)
    };
    Ok(rows.into_iter().map(stored).collect())
}

async fn insert(
    tx: &mut PgConnection,
    rows: &[(i64, Uuid, NewMessage)],
    now: Timestamp,
) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO chat.message (session_id, seq, direction, client_msg_id, message_id, author, text, created_at, pending) \
         SELECT session_id, seq, 'in', client_msg_id, message_id, author, text, $7, pending \
         FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[], $5::text[], $6::text[], $8::bytea[]) \
           AS new (session_id, seq, client_msg_id, message_id, author, text, pending)",
    )
    .bind(rows.iter().map(|(_, _, new)| new.session).collect::<Vec<_>>())
    .bind(rows.iter().map(|(seq, _, _)| *seq).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, new)| new.client_msg_id.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, id, _)| *id).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, new)| new.author.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, _, new)| new.text.as_str()).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .bind(rows.iter().map(|(_, _, new)| new.event.encode_to_vec()).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes the last numbers back and tells all replicas, when the transaction commits.
async fn advance(
    tx: &mut PgConnection,
    moved: &[(Uuid, i64)],
    expires: Option<Timestamp>,
) -> Result<(), DbError> {
    if moved.is_empty() {
        return Ok(());
    }
    let (ids, last): (Vec<Uuid>, Vec<i64>) = moved.iter().copied().unzip();
    sqlx::query(
        "WITH done AS ( \
           UPDATE chat.session AS row SET last_seq = new.last_seq, expires_at = coalesce($3, row.expires_at) \
           FROM unnest($1::uuid[], $2::bigint[]) AS new (id, last_seq) WHERE row.id = new.id RETURNING row.id) \
         SELECT pg_notify($4, id::text) FROM done",
    )
    .bind(ids)
    .bind(last)
    .bind(expires.map(solmu_db::ToSqlx::to_sqlx))
    .bind(hub::CHANNEL)
    .execute(tx)
    .await?;
    Ok(())
}

/// What became of an agent's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It stands in the conversation under this number.
    Row { seq: i64 },
    /// There is no such session (any more).
    NoSession,
    /// The visitor has ended it.
    Ended,
}

/// Stores an agent's message. One that is there already keeps its number.
pub(crate) async fn answer(
    db: &Db,
    session: Uuid,
    message_id: Uuid,
    author: &str,
    text: &str,
    now: Timestamp,
) -> Result<Answered, DbError> {
    db.tx("chat.answer", |tx| {
        let (author, text) = (author.to_owned(), text.to_owned());
        Box::pin(async move {
            let row: Option<(i64, bool, bool)> = sqlx::query_as(
                "SELECT last_seq, ended_at IS NOT NULL, expires_at <= $2 FROM chat.session WHERE id = $1 FOR UPDATE",
            )
            .bind(session)
            .bind(now.to_sqlx())
            .fetch_optional(&mut *tx)
            .await?;
            let known: Option<(i64,)> =
                sqlx::query_as("SELECT seq FROM chat.message WHERE session_id = $1 AND message_id = $2")
                    .bind(session)
                    .bind(message_id)
                    .fetch_optional(&mut *tx)
                    .await?;
            let last = match (row, known) {
                (Some(_), Some((seq,))) => return Ok(Answered::Row { seq }),
                (Some((_, true, _)), None) => return Ok(Answered::Ended),
                (Some((last, false, false)), None) => last,
                (Some((_, false, true)) | None, _) => return Ok(Answered::NoSession),
            };
            sqlx::query(
                "INSERT INTO chat.message (session_id, seq, direction, message_id, author, text, created_at) \
                 VALUES ($1, $2, 'out', $3, $4, $5, $6)",
            )
            .bind(session)
            .bind(last + 1)
            .bind(message_id)
            .bind(author)
            .bind(text)
            .bind(now.to_sqlx())
            .execute(&mut *tx)
            .await?;
            advance(tx, &[(session, last + 1)], None).await?;
            Ok(Answered::Row { seq: last + 1 })
        })
    })
    .await
}

/// Messages above `after`, in order, at most `limit`.
pub(crate) async fn after(
    db: &Db,
    session: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<Said>, DbError> {
    struct Row {
        seq: i64,
        inbound: bool,
        client_msg_id: Option<String>,
        author: String,
        text: String,
        created_at: SqlTimestamp,
    }
    solmu_db::from_row!(Row {
        seq,
        inbound,
        client_msg_id,
        author,
        text,
        created_at
    });
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT seq, direction = 'in' AS inbound, client_msg_id, author, text, created_at FROM chat.message \
         WHERE session_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
    )
    .bind(session)
    .bind(after)
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    let said = |row: Row| Said {
        seq: row.seq,
        inbound: row.inbound,
        client_msg_id: row.client_msg_id,
        author: row.author,
        text: row.text,
        at: row.created_at.to_jiff(),
    };
    Ok(rows.into_iter().map(said).collect())
}

/// Notes that the bus has these messages. Not synced: a lost note only makes a repeat, which has no effect.
pub(crate) async fn published(db: &Db, messages: &[Uuid]) -> Result<(), DbError> {
    let messages = messages.to_vec();
    db.tx("chat.published", |tx| {
        let messages = messages.clone();
        Box::pin(async move {
            sqlx::query("SET LOCAL synchronous_commit = off")
                .execute(&mut *tx)
                .await?;
            sqlx::query("UPDATE chat.message SET pending = NULL WHERE message_id = ANY($1)")
                .bind(messages)
                .execute(&mut *tx)
                .await?;
            Ok(())
        })
    })
    .await
}

/// Messages stored before `before` that the bus does not have, oldest first.
pub(crate) async fn unpublished(
    db: &Db,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<(Uuid, MessageReceived)>, DbError> {
    let rows: Vec<(Uuid, Vec<u8>)> = sqlx::query_as(
        "SELECT message_id, pending FROM chat.message WHERE pending IS NOT NULL AND created_at < $1 \
         ORDER BY created_at, session_id, seq LIMIT $2",
    )
    .bind(before.to_sqlx())
    .bind(limit)
    .fetch_all(db.pool())
    .await?;
    let decoded = |(id, bytes): (Uuid, Vec<u8>)| {
        MessageReceived::decode(bytes.as_slice())
            .ok()
            .map(|event| (id, event))
    };
    Ok(rows.into_iter().filter_map(decoded).collect())
}
