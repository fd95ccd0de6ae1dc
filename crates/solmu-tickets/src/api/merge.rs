//! Merging, unmerging and splitting: what callers say is checked here, [`crate::merge`] does the rest.

use std::sync::Arc;

use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::ApiError;

use super::uuid;
use crate::{
    calls::{Asked, asked},
    context::Context,
    list,
    merge::{Order, merge, split, unmerge},
    sight::ticket_id,
};

/// Tickets that one call merges, at most: all of them are locked at once.
const MAX_SOURCES: usize = 50;
/// Longest reason, in bytes.
const MAX_REASON: usize = 1000;

pub(crate) async fn merge_tickets(
    context: &Arc<Context>,
    request: &proto::MergeTicketsRequest,
    by: Actor,
) -> Result<proto::Ticket, ApiError> {
    let count = request.source_ids.len();
    if count == 0 || count > MAX_SOURCES {
        let wanted = format!("name 1 to {MAX_SOURCES} tickets");
        return Err(ApiError::invalid("source_ids", wanted));
    }
    let mut sources = Vec::with_capacity(count);
    for source in &request.source_ids {
        sources.push(ticket_id(context, source).await?);
    }
    let target = ticket_id(context, &request.target_id).await?;
    let asked = asked("merge", &request.request_id, request)?;
    let order = order(&request.reason, &request.etag, asked, by)?;
    merge(context, sources, target, order).await?;
    list::ticket(context.db.pool(), &target.to_string()).await
}

pub(crate) async fn unmerge_ticket(
    context: &Arc<Context>,
    request: &proto::UnmergeTicketRequest,
    by: Actor,
) -> Result<proto::Ticket, ApiError> {
    let ticket = ticket_id(context, &request.ticket_id).await?;
    let asked = asked("unmerge", &request.request_id, request)?;
    let order = order(&request.reason, &request.etag, asked, by)?;
    unmerge(context, ticket, order).await?;
    list::ticket(context.db.pool(), &ticket.to_string()).await
}

pub(crate) async fn split_message(
    context: &Arc<Context>,
    request: &proto::SplitMessageRequest,
    by: Actor,
) -> Result<proto::Ticket, ApiError> {
    let message = uuid("message_id", &request.message_id)?;
    let asked = asked("split", &request.request_id, request)?;
    let order = order(&request.reason, &request.etag, asked, by)?;
    let ticket = split(context, message, order).await?;
    list::ticket(context.db.pool(), &ticket.to_string()).await
}

fn order(reason: &str, etag: &str, asked: Option<Asked>, by: Actor) -> Result<Order, ApiError> {
    let reason = reason.replace(char::is_control, " ");
    if reason.len() > MAX_REASON {
        return Err(ApiError::invalid(
            "reason",
            format!("longer than {MAX_REASON} bytes"),
        ));
    }
    Ok(Order {
        reason,
        etag: etag.to_owned(),
        asked,
        by,
    })
}
