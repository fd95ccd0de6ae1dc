//! What calls of the ticket service have in common: who may make them, and the parts of requests that all of them have.

use prost::Message;
use sha2::{Digest as _, Sha256};
use solmu_proto::types::v1::{Actor, actor::Kind};
use solmu_runtime::{
    ApiError,
    access::{Caller, Role},
};

use crate::events::actor;

/// Who may read and work on tickets.
pub const PEOPLE: &[Role] = &[Role::Admin, Role::Agent, Role::Service];
/// People alone: what a program should not decide.
pub const STAFF: &[Role] = &[Role::Admin, Role::Agent];
/// Longest text of an answer or a note, in bytes.
pub const MAX_TEXT: usize = 256 * 1024;
/// Longest request id, in bytes.
const MAX_REQUEST_ID: usize = 128;

/// A text that somebody wrote, fit to be stored.
pub fn checked_text(text: &str) -> Result<String, ApiError> {
    let text = text.replace('\0', "");
    if text.trim().is_empty() {
        return Err(ApiError::invalid(
            "text",
            "an empty message cannot be written",
        ));
    }
    if text.len() > MAX_TEXT {
        return Err(ApiError::invalid(
            "text",
            format!("longer than {MAX_TEXT} bytes"),
        ));
    }
    Ok(text)
}

/// The newest message that the author of an answer has seen; `None` if they do not say.
pub fn seen(sequence: i64) -> Result<Option<i64>, ApiError> {
    match sequence {
        0 => Ok(None),
        sequence if sequence > 0 => Ok(Some(sequence)),
        _ => Err(ApiError::invalid(
            "last_seen_sequence",
            "must not be negative",
        )),
    }
}

/// A request id; `None` if there is none.
pub fn checked_request_id(request_id: String) -> Result<Option<String>, ApiError> {
    if request_id.len() > MAX_REQUEST_ID || request_id.contains(char::is_control) {
        let wanted = format!("up to {MAX_REQUEST_ID} printable characters, e.g. a UUID");
        return Err(ApiError::invalid("request_id", wanted));
    }
    Ok((!request_id.is_empty()).then_some(request_id))
}

/// A request id, and a digest of what was asked under it.
pub type Asked = (String, Vec<u8>);

/// What is remembered of `request` to `method` under its request id; `None` if it has none.
pub fn asked(
    method: &str,
    request_id: &str,
    request: &impl Message,
) -> Result<Option<Asked>, ApiError> {
    let id = checked_request_id(request_id.to_owned())?;
    Ok(id.map(|id| {
        let mut digest = Sha256::new();
        digest.update(method);
        digest.update([0]);
        digest.update(request.encode_to_vec());
        (id, digest.finalize().to_vec())
    }))
}

/// Who writes: the agent of the token, or the service that it was made for. Who may has been checked.
pub fn actor_of(caller: &Caller) -> Actor {
    match caller.agent_id {
        Some(agent) => actor(Kind::Agent, agent.to_string()),
        None if caller.role == Role::Service => actor(Kind::Service, caller.token_id.clone()),
        // An admin's token is used by a person, who answers as one of the team.
        None => actor(Kind::Agent, caller.token_id.clone()),
    }
}
