//! Sessions: who may read and continue a conversation.
//!
//! The token is the only proof and opens one conversation in one inbox; the database has its hash, so that a copy of
//! the database opens none. It slides: each use starts its days anew.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use solmu_db::{Db, DbError, ToSqlx as _};
use solmu_domain::rng::Rng;
use uuid::Uuid;

use crate::frame::Visitor;

/// Bytes of a token: 256 bits, beyond guessing.
const TOKEN_BYTES: usize = 32;

/// SHA-256 of a token.
pub(crate) type TokenHash = [u8; 32];

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    pub(crate) inbox: String,
    pub(crate) visitor: Visitor,
    pub(crate) language: String,
    pub(crate) last_seq: i64,
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// No such token in this inbox, or it is too old.
    Unknown,
    /// The visitor ended the conversation.
    Ended,
}

/// A new random token.
pub(crate) fn new_token(rng: &dyn Rng) -> String {
    let mut bytes = [0; TOKEN_BYTES];
    rng.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What the database has of a token.
pub(crate) fn token_hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// When a session that is used now ends.
pub(crate) fn expiry(now: Timestamp, days: u32) -> Timestamp {
    now.saturating_add(SignedDuration::from_hours(i64::from(days) * 24))
        .unwrap_or(Timestamp::MAX)
}

/// Stores a new session.
pub(crate) async fn create(
    db: &Db,
    session: &Session,
    token: &TokenHash,
    now: Timestamp,
    days: u32,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO chat.session (id, inbox, token_sha256, visitor_name, visitor_email, language, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(session.id)
    .bind(&session.inbox)
    .bind(&token[..])
    .bind(&session.visitor.name)
    .bind(&session.visitor.email)
    .bind(&session.language)
    .bind(now.to_sqlx())
    .bind(expiry(now, days).to_sqlx())
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Opens the session of a token and starts its days anew. What the visitor says of themselves replaces what they said.
pub(crate) async fn open(
    db: &Db,
    inbox: &str,
    token: &TokenHash,
    visitor: &Visitor,
    now: Timestamp,
    days: u32,
) -> Result<Result<Session, Closed>, DbError> {
    struct Row {
        id: Uuid,
        visitor_name: String,
        visitor_email: String,
        language: String,
        last_seq: i64,
        ended: bool,
    }
    solmu_db::from_row!(Row {
        id,
        visitor_name,
        visitor_email,
        language,
        last_seq,
        ended
    });
    let row: Option<Row> = sqlx::query_as(
        "UPDATE chat.session SET \
           expires_at = CASE WHEN ended_at IS NULL THEN $4 ELSE expires_at END, \
           visitor_name = coalesce(nullif($5, ''), visitor_name), \
           visitor_email = coalesce(nullif($6, ''), visitor_email) \
         WHERE token_sha256 = $1 AND inbox = $2 AND expires_at > $3 \
         RETURNING id, visitor_name, visitor_email, language, last_seq, ended_at IS NOT NULL AS ended",
    )
    .bind(&token[..])
    .bind(inbox)
    .bind(now.to_sqlx())
    .bind(expiry(now, days).to_sqlx())
    .bind(&visitor.name)
    .bind(&visitor.email)
    .fetch_optional(db.pool())
    .await?;
    let Some(row) = row else {
        return Ok(Err(Closed::Unknown));
    };
    if row.ended {
        return Ok(Err(Closed::Ended));
    }
    let visitor = Visitor {
        name: row.visitor_name,
        email: row.visitor_email,
    };
    let inbox = inbox.to_owned();
    Ok(Ok(Session {
        id: row.id,
        inbox,
        visitor,
        language: row.language,
        last_seq: row.last_seq,
    }))
}

/// Ends a conversation for good: its token opens nothing any more, here and on other devices.
pub(crate) async fn end(db: &Db, id: Uuid, now: Timestamp) -> Result<(), DbError> {
    sqlx::query(
        "WITH done AS (UPDATE chat.session SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL RETURNING id) \
         SELECT pg_notify($3, id::text) FROM done",
    )
    .bind(id)
    .bind(now.to_sqlx())
    .bind(crate::hub::CHANNEL)
    .execute(db.pool())
    .await?;
    Ok(())
}

/// Where a session stands: the number of its last message, and whether it ended. `None` if it is gone.
pub(crate) async fn state(db: &Db, id: Uuid) -> Result<Option<(i64, bool)>, DbError> {
    let row =
        sqlx::query_as("SELECT last_seq, ended_at IS NOT NULL FROM chat.session WHERE id = $1")
            .bind(id)
            .fetch_optional(db.pool())
            .await?;
    Ok(row)
}

/// Notes how far the visitor's side has messages, and has read them. Only moves forward, never beyond what there is.
/// Returns whether anything moved.
pub(crate) async fn mark(db: &Db, id: Uuid, delivered: i64, read: i64) -> Result<bool, DbError> {
    let done = sqlx::query(
        "UPDATE chat.session SET \
           delivered_seq = greatest(delivered_seq, least(greatest($2, $3), last_seq)), \
           read_seq = greatest(read_seq, least($3, last_seq)) \
         WHERE id = $1 AND (delivered_seq < least(greatest($2, $3), last_seq) OR read_seq < least($3, last_seq))",
    )
    .bind(id)
    .bind(delivered)
    .bind(read)
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Forgets sessions that are over, with what was said in them: the ticket has it. Those with a message that the bus does
/// not have yet are kept. Returns how many went.
pub(crate) async fn sweep(db: &Db, now: Timestamp, limit: i64) -> Result<u64, DbError> {
    let done = sqlx::query(
        "DELETE FROM chat.session WHERE id IN ( \
           SELECT id FROM chat.session AS old WHERE old.expires_at < $1 AND NOT EXISTS ( \
             SELECT 1 FROM chat.message WHERE session_id = old.id AND pending IS NOT NULL) \
           ORDER BY old.expires_at LIMIT $2)",
    )
    .bind(now.to_sqlx())
    .bind(limit)
    .execute(db.pool())
    .await?;
    Ok(done.rows_affected())
}
