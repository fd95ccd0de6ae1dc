//! What calls have in common: who makes them, why, and what makes one of them the same as another.
//!
//! A call under a request id is made once: its row is written first, in the transaction of the change. Of a hundred at once
//! one writes it, the others wait for that at the key and answer with what it made; if it fails, the row goes with it and
//! the next one takes its place. Looking before writing was rejected: two would find nothing.

use jiff::Timestamp;
use prost::Message;
use sha2::{Digest as _, Sha256};
use solmu_db::{DbError, ToSqlx as _};
use solmu_proto::types::v1::{Actor, actor::Kind};
use solmu_runtime::{
    ApiError,
    access::{Caller, Role},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{ContactError, MAX_REASON, actor};

/// Longest request id, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// Who does it: the agent of the token, or the token.
pub(crate) fn actor_of(caller: &Caller, roles: &[Role]) -> Result<Actor, ApiError> {
    caller.require(roles)?;
    Ok(match caller.agent_id {
        Some(agent) => actor(Kind::Agent, agent.to_string()),
        None if caller.role == Role::Service => actor(Kind::Service, caller.token_id.clone()),
        None => actor(Kind::Agent, caller.token_id.clone()),
    })
}

/// Why, as colleagues read it.
pub(crate) fn reason(text: String) -> Result<String, ApiError> {
    if text.len() > MAX_REASON || text.contains('\0') {
        return Err(ApiError::invalid(
            "reason",
            format!("longer than {MAX_REASON} bytes"),
        ));
    }
    Ok(text)
}

/// A call under a request id.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    caller: String,
    request_id: String,
    digest: Vec<u8>,
}

impl Asked {
    /// `request` as `by` made it to `method` under `request_id`; none without an id.
    pub(crate) fn of(
        by: &Actor,
        method: &str,
        request_id: &str,
        request: &impl Message,
    ) -> Result<Option<Self>, ApiError> {
        if request_id.len() > MAX_REQUEST_ID || request_id.contains(char::is_control) {
            let wanted = format!("up to {MAX_REQUEST_ID} printable characters, e.g. a UUID");
            return Err(ApiError::invalid("request_id", wanted));
        }
        if request_id.is_empty() {
            return Ok(None);
        }
        let mut digest = Sha256::new();
        digest.update(method);
        digest.update([0]);
        digest.update(request.encode_to_vec());
        Ok(Some(Self {
            caller: format!("{} {}", by.kind, by.id),
            request_id: request_id.to_owned(),
            digest: digest.finalize().to_vec(),
        }))
    }
}

/// Notes the call with what it will make or change; if it was made before, what that was. Without a request id nothing is
/// noted.
pub(crate) async fn made_before(
    tx: &mut PgConnection,
    asked: Option<&Asked>,
    answer: Uuid,
    now: Timestamp,
) -> Result<Option<Uuid>, ContactError> {
    let Some(asked) = asked else { return Ok(None) };
    let noted = sqlx::query(
        "INSERT INTO tickets.contact_call (caller, request_id, digest, answer_id, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(&asked.caller)
    .bind(&asked.request_id)
    .bind(&asked.digest)
    .bind(answer)
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    if noted.rows_affected() == 1 {
        return Ok(None);
    }
    let known: Option<(Vec<u8>, Uuid)> = sqlx::query_as(
        "SELECT digest, answer_id FROM tickets.contact_call WHERE caller = $1 AND request_id = $2",
    )
    .bind(&asked.caller)
    .bind(&asked.request_id)
    .fetch_optional(tx)
    .await?;
    match known {
        Some((digest, answer)) if digest == asked.digest => Ok(Some(answer)),
        Some(_) => Err(ContactError::RequestIdReused),
        // It was just removed for its age.
        None => Err(DbError::Race.into()),
    }
}
