//! Calls that make something under a request id: made once.

use prost::Message;
use solmu_runtime::{
    ApiError,
    access::Caller,
    calls::{Asked, Ledger},
};

/// Where the router notes them.
pub(crate) const CALLS: Ledger = Ledger::of("routing.call");

/// `request` as the caller made it to `method`; none without a request id.
pub(super) fn asked(
    caller: &Caller,
    method: &str,
    request_id: &str,
    request: &impl Message,
) -> Result<Option<Asked>, ApiError> {
    let who = match caller.agent_id {
        Some(agent) => agent.to_string(),
        None => caller.token_id.clone(),
    };
    let caller = format!("{} {who}", caller.role.as_str());
    Asked::of(caller, method, request_id, request)
}
