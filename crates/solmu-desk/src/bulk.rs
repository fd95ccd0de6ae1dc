//! One change on many tickets: each is judged by itself, so that one that cannot be changed does not hold up a thousand.
//!
//! A hundred share a transaction and its statements: a statement and a disk sync of its own for each would be most of the
//! time. What cannot be done so (a new parent, a change that is wrong with any ticket), and a group whose transaction
//! failed, is done ticket by ticket.
//!
//! Tickets that a filter selects are changed by the etag that they were selected with: one that somebody changed in
//! between is left alone and said so, because nobody knows whether it still is what the filter means.

use std::sync::Arc;

use futures::StreamExt as _;
use solmu_proto::{ticket::v1 as proto, types::v1::Actor};
use solmu_runtime::{ApiError, access::Caller};
use solmu_tickets::desk::{Many, actor_of, checked_request_id};
use tonic::Status;
use uuid::Uuid;

use crate::context::Context;

/// Tickets that share a transaction. They are locked until it is over: few enough that nobody notices.
const GROUP: usize = 100;
/// Tickets that are changed at the same time where each has a transaction; more would only wait for each other's disk syncs.
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
    let request_id = checked_request_id(request.request_id.clone())?;
    if request.dry_run {
        return dry_run(context, &request, caller).await;
    }
    let (wanted, next_page_token) = wanted(context, &request, caller).await?;
    let call = Call {
        context,
        caller,
        request: &request,
        request_id,
        by: actor_of(caller),
    };
    let mut results = Vec::with_capacity(wanted.len());
    for group in wanted.chunks(GROUP) {
        results.extend(call.group(group).await);
    }
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

/// A call that changes tickets.
struct Call<'a> {
    context: &'a Context,
    caller: &'a Caller,
    request: &'a proto::BulkUpdateRequest,
    request_id: Option<String>,
    by: Actor,
}

impl Call<'_> {
    /// Changes a group of tickets.
    async fn group(&self, group: &[Wanted]) -> Vec<proto::BulkResult> {
        match self.together(group).await {
            Ok(Some(results)) => results,
            Ok(None) => self.one_by_one(group).await,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot change a group of tickets at once; changing them one by one"
                );
                self.one_by_one(group).await
            }
        }
    }

    /// In one transaction; none if that cannot be.
    async fn together(&self, group: &[Wanted]) -> Result<Option<Vec<proto::BulkResult>>, ApiError> {
        let hands = &self.context.hands;
        let named: Vec<String> = group.iter().map(|it| it.id.clone()).collect();
        let seen = hands.seen_all(self.caller, &named).await?;
        let tickets = seen.iter().zip(group).filter_map(|(id, wanted)| {
            let id: Uuid = *id.as_ref().ok()?;
            Some((id, wanted.etag.clone()))
        });
        let (request_id, by) = (self.request_id.clone(), self.by.clone());
        let Some(many) = Many::of(tickets.collect(), self.request, request_id, by) else {
            return Ok(None);
        };
        let mut changed = hands.update_many(&Arc::new(many)).await?.into_iter();
        let outcomes = seen.into_iter().map(|seen| match seen {
            // There is an outcome for each that is seen.
            Ok(_) => changed.next().unwrap_or_else(|| Ok(String::new())),
            Err(error) => Err(error),
        });
        let results = named.into_iter().zip(outcomes);
        Ok(Some(
            results.map(|(id, outcome)| result(id, outcome)).collect(),
        ))
    }

    async fn one_by_one(&self, group: &[Wanted]) -> Vec<proto::BulkResult> {
        let changes: Vec<_> = group.iter().map(|wanted| self.named(wanted)).collect();
        futures::stream::iter(changes)
            .buffered(AT_ONCE)
            .collect()
            .await
    }

    async fn named(&self, wanted: &Wanted) -> proto::BulkResult {
        let changed = self.one(wanted).await.map(|ticket| ticket.etag);
        result(wanted.id.clone(), changed)
    }

    async fn one(&self, wanted: &Wanted) -> Result<proto::Ticket, ApiError> {
        self.context.hands.seen(self.caller, &wanted.id).await?;
        let one = proto::UpdateTicketRequest {
            ticket: Some(proto::Ticket {
                id: wanted.id.clone(),
                etag: wanted.etag.clone(),
                ..self.request.ticket.clone().unwrap_or_default()
            }),
            update_mask: self.request.update_mask.clone(),
            request_id: self.request.request_id.clone(),
        };
        self.context.hands.update(one, self.by.clone()).await
    }
}

fn result(ticket_id: String, outcome: Result<String, ApiError>) -> proto::BulkResult {
    match outcome {
        Ok(etag) => proto::BulkResult {
            ticket_id,
            etag,
            ..proto::BulkResult::default()
        },
        Err(error) => {
            let reason = error.reason().to_owned();
            // A result has no details, so the sentence says them.
            let wrong: Vec<String> = match &error {
                ApiError::InvalidArgument { violations } => violations
                    .iter()
                    .map(|it| format!("; {}: {}", it.field, it.description))
                    .collect(),
                _ => Vec::new(),
            };
            // The one way to the wire, which also logs what is our fault.
            let status = Status::from(error);
            proto::BulkResult {
                ticket_id,
                code: status.code().into(),
                reason,
                message: format!("{}{}", status.message(), wrong.concat()),
                ..proto::BulkResult::default()
            }
        }
    }
}
