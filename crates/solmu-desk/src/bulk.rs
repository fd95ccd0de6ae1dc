//! One change on many tickets: each by itself, so that one that cannot be changed does not hold up a thousand.
//!
//! Tickets that a filter selects are changed by the etag that they were selected with: one that somebody changed in
//! between is left alone and said so, because nobody knows whether it still is what the filter means.

use futures::StreamExt as _;
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::{ApiError, access::Caller};
use solmu_tickets::desk::actor_of;
use tonic::Status;

use crate::context::Context;

/// Tickets that are changed at the same time; more would only wait for each other's disk syncs.
const AT_ONCE: usize = 4;
/// Counted so far by a dry run.
const MOST: i64 = 100_000;

/// A ticket to be changed.
struct Wanted {
    /// As the caller named it, or its id.
    id: String,
    /// Empty: whatever it is.
    etag: String,
}

/// Changes the tickets; says of each what became of it, in the order of the request.
pub(crate) async fn update(
    context: &Context,
    request: proto::BulkUpdateRequest,
    caller: &Caller,
) -> Result<proto::BulkUpdateResponse, ApiError> {
    let ticket = request
        .ticket
        .clone()
        .ok_or_else(|| ApiError::invalid("ticket", "say what to change"))?;
    if !ticket.id.is_empty() || !ticket.etag.is_empty() {
        return Err(ApiError::invalid("ticket", "it has no id and no etag"));
    }
    if let Some(mask) = &request.update_mask {
        context.hands.check_change(&ticket, &mask.paths)?;
    }
    check(context, &request)?;
    if request.dry_run {
        return dry_run(context, &request, caller).await;
    }
    let (wanted, next_page_token) = wanted(context, &request, caller).await?;
    let by = actor_of(caller);
    let changes = wanted.into_iter().map(|wanted| {
        let one = proto::UpdateTicketRequest {
            ticket: Some(proto::Ticket {
                id: wanted.id.clone(),
                etag: wanted.etag,
                ..ticket.clone()
            }),
            update_mask: request.update_mask.clone(),
            request_id: request.request_id.clone(),
        };
        changed(context, caller, wanted.id, one, by.clone())
    });
    let results: Vec<_> = futures::stream::iter(changes)
        .buffered(AT_ONCE)
        .collect()
        .await;
    let succeeded = results.iter().filter(|it| it.code == 0).count();
    Ok(proto::BulkUpdateResponse {
        results,
        succeeded: i32::try_from(succeeded).unwrap_or(i32::MAX),
        next_page_token,
        matched: 0,
    })
}

/// Ids or a filter, and neither without bounds.
fn check(context: &Context, request: &proto::BulkUpdateRequest) -> Result<(), ApiError> {
    let max = context.desk().max_bulk;
    let filtered = !request.filter.trim().is_empty();
    if filtered && !request.ticket_ids.is_empty() {
        let why = "give ids or a filter, not both";
        return Err(ApiError::invalid("filter", why));
    }
    let goes_with_filter = !request.page_token.is_empty() || !request.time_zone.is_empty();
    if goes_with_filter && !filtered {
        let why = "a time zone and a page go with a filter, which is not empty";
        return Err(ApiError::invalid("filter", why));
    }
    if !filtered && (request.ticket_ids.is_empty() || request.ticket_ids.len() > max) {
        let why = format!("1 to {max} tickets, or a filter");
        return Err(ApiError::invalid("ticket_ids", why));
    }
    Ok(())
}

/// How many there are.
async fn dry_run(
    context: &Context,
    request: &proto::BulkUpdateRequest,
    caller: &Caller,
) -> Result<proto::BulkUpdateResponse, ApiError> {
    let hands = &context.hands;
    let mut matched = 0;
    if request.ticket_ids.is_empty() {
        let filter = (request.filter.as_str(), request.time_zone.as_str());
        matched = hands.count(caller, filter, MOST).await?;
    }
    for id in &request.ticket_ids {
        match hands.seen(caller, id).await {
            Ok(id) if hands.exists(id).await? => matched += 1,
            Ok(_) | Err(ApiError::NotFound { .. } | ApiError::InvalidArgument { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(proto::BulkUpdateResponse {
        matched: i32::try_from(matched).unwrap_or(i32::MAX),
        ..proto::BulkUpdateResponse::default()
    })
}

/// The tickets of one call, and where the next one begins.
async fn wanted(
    context: &Context,
    request: &proto::BulkUpdateRequest,
    caller: &Caller,
) -> Result<(Vec<Wanted>, String), ApiError> {
    if !request.ticket_ids.is_empty() {
        let named = request.ticket_ids.iter().map(|id| Wanted {
            id: id.clone(),
            etag: String::new(),
        });
        return Ok((named.collect(), String::new()));
    }
    let filter = (request.filter.as_str(), request.time_zone.as_str());
    let limit = i64::try_from(context.desk().max_bulk).unwrap_or(i64::MAX - 1);
    let picked = context
        .hands
        .select(caller, filter, &request.page_token, limit)
        .await?;
    let tickets = picked.tickets.into_iter().map(|it| Wanted {
        id: it.id,
        etag: it.etag,
    });
    Ok((tickets.collect(), picked.next_page_token))
}

async fn changed(
    context: &Context,
    caller: &Caller,
    id: String,
    one: proto::UpdateTicketRequest,
    by: Actor,
) -> proto::BulkResult {
    let changed = match context.hands.seen(caller, &id).await {
        Ok(_) => context.hands.update(one, by).await,
        Err(error) => Err(error),
    };
    result(id, changed)
}

fn result(ticket_id: String, outcome: Result<proto::Ticket, ApiError>) -> proto::BulkResult {
    match outcome {
        Ok(ticket) => proto::BulkResult {
            ticket_id,
            etag: ticket.etag,
            ..proto::BulkResult::default()
        },
        Err(error) => {
            let reason = error.reason().to_owned();
            // The one way to the wire, which also logs what is our fault.
            let status = Status::from(error);
            proto::BulkResult {
                ticket_id,
                code: status.code().into(),
                reason,
                message: status.message().to_owned(),
                ..proto::BulkResult::default()
            }
        }
    }
}
