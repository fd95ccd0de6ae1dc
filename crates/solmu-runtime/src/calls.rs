//! What makes one call the same as another: what was asked under a request id, and what it made.
//!
//! A call under a request id is made once: its row is written first, in the transaction of the change. Of a hundred at once
//! one writes it, the others wait for that at the key and answer with what it made; if it fails, the row goes with it and
//! the next one takes its place. Looking before writing was rejected: two would find nothing. Each service keeps its
//! own rows, with the columns `caller, request_id, digest, answer_id, created_at` and the first two as the key.

use jiff::{SignedDuration, Timestamp};
use prost::Message;
use sha2::{Digest as _, Sha256};
use solmu_db::{DbError, ToSqlx as _};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};
use uuid::Uuid;

use crate::ApiError;

/// Longest request id, in bytes.
const MAX_REQUEST_ID: usize = 128;
/// How long calls are remembered.
pub const REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A request id; none if there is none.
pub fn request_id(text: &str) -> Result<Option<String>, ApiError> {
    if text.len() > MAX_REQUEST_ID || text.contains(char::is_control) {
        let wanted = format!("up to {MAX_REQUEST_ID} printable characters, e.g. a UUID");
        return Err(ApiError::invalid("request_id", wanted));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// Another call under a request id that was used.
#[must_use]
pub fn reused() -> ApiError {
    ApiError::FailedPrecondition {
        reason: "REQUEST_ID_REUSED",
        message: "the request id was used for another call: take a new one".to_owned(),
    }
}

/// A call under a request id.
#[derive(Debug, Clone)]
pub struct Asked {
    caller: String,
    request_id: String,
    digest: Vec<u8>,
}

impl Asked {
    /// `request` as `caller` made it to `method` under its request id; none without an id.
    pub fn of(
        caller: String,
        method: &str,
        id: &str,
        request: &impl Message,
    ) -> Result<Option<Self>, ApiError> {
        let Some(request_id) = request_id(id)? else {
            return Ok(None);
        };
        let mut digest = Sha256::new();
        digest.update(method);
        digest.update([0]);
        digest.update(request.encode_to_vec());
        Ok(Some(Self {
            caller,
            request_id,
            digest: digest.finalize().to_vec(),
        }))
    }
}

/// What is known of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// Nothing: it is to be made.
    New,
    /// It was made before, with this as its answer.
    Before(Uuid),
    /// Something else was asked under its request id.
    Other,
}

/// The table in which a service notes its calls.
#[derive(Debug, Clone, Copy)]
pub struct Ledger(&'static str);

impl Ledger {
    /// The table of this name, with its schema.
    #[must_use]
    pub const fn of(table: &'static str) -> Self {
        Self(table)
    }

    /// Notes a call with what it will make or change; says if it was made before. Without a request id nothing is noted.
    pub async fn note(
        &self,
        tx: &mut PgConnection,
        asked: Option<&Asked>,
        answer: Uuid,
        now: Timestamp,
    ) -> Result<Noted, DbError> {
        let Some(asked) = asked else {
            return Ok(Noted::New);
        };
        let insert = format!(
            "INSERT INTO {} (caller, request_id, digest, answer_id, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            self.0
        );
        let noted = sqlx::query(AssertSqlSafe(insert))
            .bind(&asked.caller)
            .bind(&asked.request_id)
            .bind(&asked.digest)
            .bind(answer)
            .bind(now.to_sqlx())
            .execute(&mut *tx)
            .await?;
        if noted.rows_affected() == 1 {
            return Ok(Noted::New);
        }
        let select = format!(
            "SELECT digest, answer_id FROM {} WHERE caller = $1 AND request_id = $2",
            self.0
        );
        let known: Option<(Vec<u8>, Uuid)> = sqlx::query_as(AssertSqlSafe(select))
            .bind(&asked.caller)
            .bind(&asked.request_id)
            .fetch_optional(tx)
            .await?;
        match known {
            Some((digest, answer)) if digest == asked.digest => Ok(Noted::Before(answer)),
            Some(_) => Ok(Noted::Other),
            // It was just removed for its age.
            None => Err(DbError::Race),
        }
    }

    /// As [`Ledger::note`]; the id with which to answer: `answer` if the call is to be made, else that of the call before.
    /// REQUEST_ID_REUSED for another call.
    pub async fn first(
        &self,
        tx: &mut PgConnection,
        asked: Option<&Asked>,
        answer: Uuid,
        now: Timestamp,
    ) -> Result<Uuid, ApiError> {
        match self.note(tx, asked, answer, now).await? {
            Noted::New => Ok(answer),
            Noted::Before(known) => Ok(known),
            Noted::Other => Err(reused()),
        }
    }

    /// Forgets calls that were made before.
    pub async fn forget(&self, db: impl PgExecutor<'_>, before: Timestamp) -> Result<u64, DbError> {
        let statement = format!("DELETE FROM {} WHERE created_at < $1", self.0);
        let gone = sqlx::query(AssertSqlSafe(statement))
            .bind(before.to_sqlx())
            .execute(db)
            .await?;
        Ok(gone.rows_affected())
    }
}
