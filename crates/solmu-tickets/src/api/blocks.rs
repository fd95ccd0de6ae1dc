//! Blocked senders: what callers say is checked here, [`crate::blocks`] does the rest.

use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{ApiError, access::Caller};

use super::{page, quarantine::check_keeper};
use crate::{
    blocks::{self, MAX_REASON, Pattern},
    calls::actor_of,
    context::Context,
};

/// What page tokens of this list are for.
const LIST: &str = "blocked senders";

/// Blocks a sender.
pub(crate) async fn block(
    context: &Context,
    caller: &Caller,
    request: &proto::BlockSenderRequest,
) -> Result<proto::BlockedSender, ApiError> {
    check_keeper(context, caller)?;
    let pattern = pattern(&request.pattern)?;
    if request.reason.len() > MAX_REASON {
        return Err(ApiError::invalid(
            "reason",
            format!("longer than {MAX_REASON} bytes"),
        ));
    }
    let (now, by) = (context.clock.now(), actor_of(caller).id);
    let block = blocks::block(&context.db, &pattern, &request.reason, &by, now).await?;
    Ok(block.into())
}

/// Ends a block.
pub(crate) async fn unblock(
    context: &Context,
    caller: &Caller,
    request: &proto::UnblockSenderRequest,
) -> Result<proto::UnblockSenderResponse, ApiError> {
    check_keeper(context, caller)?;
    let pattern = pattern(&request.pattern)?;
    if blocks::unblock(&context.db, &pattern).await? {
        Ok(proto::UnblockSenderResponse {})
    } else {
        Err(ApiError::not_found("blocked sender", pattern.as_str()))
    }
}

/// A page of blocked senders by pattern.
pub(crate) async fn list(
    context: &Context,
    caller: &Caller,
    request: &proto::ListBlockedSendersRequest,
) -> Result<proto::ListBlockedSendersResponse, ApiError> {
    check_keeper(context, caller)?;
    let size = page::size(request.page_size, 50, context.config.max_page_size)?;
    let after: String = page::decode(LIST, &request.page_token)?.unwrap_or_default();
    if after.contains('\0') {
        return Err(ApiError::invalid(
            "page_token",
            "not a page token of this list; begin without one",
        ));
    }
    let mut rows = blocks::list(&context.db, &after, size + 1).await?;
    let more = page::cut(&mut rows, size);
    let next_page_token = rows
        .last()
        .filter(|_| more)
        .map(|last| page::encode(LIST, &last.pattern))
        .unwrap_or_default();
    Ok(proto::ListBlockedSendersResponse {
        senders: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

fn pattern(text: &str) -> Result<Pattern, ApiError> {
    Pattern::parse(text).map_err(|error| ApiError::invalid("pattern", error.to_string()))
}
