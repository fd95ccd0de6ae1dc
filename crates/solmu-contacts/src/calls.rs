//! What calls have in common: who makes them, why, and what makes one of them the same as another.

use jiff::Timestamp;
use prost::Message;
use solmu_proto::types::v1::{Actor, actor::Kind};
pub(crate) use solmu_runtime::calls::Asked;
use solmu_runtime::{
    ApiError,
    access::{Caller, Role},
    calls::{Ledger, Noted},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{ContactError, MAX_REASON, actor};

/// Calls under a request id.
const CALLS: Ledger = Ledger::of("tickets.contact_call");

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

/// `request` as `by` made it to `method` under `request_id`; none without an id.
pub(crate) fn asked(
    by: &Actor,
    method: &str,
    request_id: &str,
    request: &impl Message,
) -> Result<Option<Asked>, ApiError> {
    Asked::of(
        format!("{} {}", by.kind, by.id),
        method,
        request_id,
        request,
    )
}

/// Notes the call with what it will make or change; if it was made before, what that was. Without a request id nothing is
/// noted.
pub(crate) async fn made_before(
    tx: &mut PgConnection,
    asked: Option<&Asked>,
    answer: Uuid,
    now: Timestamp,
) -> Result<Option<Uuid>, ContactError> {
    match CALLS.note(tx, asked, answer, now).await? {
        Noted::New => Ok(None),
        Noted::Before(known) => Ok(Some(known)),
        Noted::Other => Err(ContactError::RequestIdReused),
    }
}
