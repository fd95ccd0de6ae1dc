//! One change on many tickets: each by itself, so that one that cannot be changed does not hold up a thousand.

use std::sync::Arc;

use futures::StreamExt as _;
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{ApiError, access::Caller};
use tonic::Status;

use crate::{
    api::{sight::seen_ticket, tickets::actor_of, update},
    context::Context,
};

/// Tickets that are changed at the same time; more would only wait for each other's disk syncs.
const AT_ONCE: usize = 4;

/// Changes the tickets; says of each what became of it, in the order of the request.
pub(crate) async fn update(
    context: &Arc<Context>,
    request: proto::BulkUpdateRequest,
    caller: &Caller,
) -> Result<proto::BulkUpdateResponse, ApiError> {
    let max = context.config.desk.max_bulk;
    if request.ticket_ids.is_empty() || request.ticket_ids.len() > max {
        return Err(ApiError::invalid(
            "ticket_ids",
            format!("1 to {max} tickets"),
        ));
    }
    let ticket = request
        .ticket
        .ok_or_else(|| ApiError::invalid("ticket", "say what to change"))?;
    if !ticket.id.is_empty() || !ticket.etag.is_empty() {
        return Err(ApiError::invalid("ticket", "it has no id and no etag"));
    }
    let by = actor_of(caller);
    let (mask, request_id) = (request.update_mask, request.request_id);
    let changes = request.ticket_ids.into_iter().map(|id| {
        let one = proto::UpdateTicketRequest {
            ticket: Some(proto::Ticket {
                id: id.clone(),
                ..ticket.clone()
            }),
            update_mask: mask.clone(),
            request_id: request_id.clone(),
        };
        let by = by.clone();
        async move {
            let changed = match seen_ticket(context, caller, &id).await {
                Ok(_) => update::ticket(context, one, by).await,
                Err(error) => Err(error),
            };
            result(id, changed)
        }
    });
    let results: Vec<_> = futures::stream::iter(changes)
        .buffered(AT_ONCE)
        .collect()
        .await;
    let succeeded = results.iter().filter(|it| it.code == 0).count();
    Ok(proto::BulkUpdateResponse {
        results,
        succeeded: i32::try_from(succeeded).unwrap_or(i32::MAX),
    })
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
