//! One answer on each incident of a problem.
//!
//! Each incident is a transaction of its own, with a request id that is made of the problem's and the caller's: what was
//! sent is found again, and a call that was cut off is made again without sending anything twice.

use std::sync::Arc;

use futures::{StreamExt as _, stream};
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{ApiError, access::Caller};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    command::{self, Writing},
    context::Context,
    error::TicketError,
    links::PROBLEM,
    sight,
};

/// Incidents that are answered at the same time: as many connections of the pool.
const AT_ONCE: usize = 4;

/// Answers the requester of every incident of `writing.ticket` that the caller sees. The others are counted as failed,
/// without saying which they are.
pub(crate) async fn broadcast(
    context: &Arc<Context>,
    writing: Writing,
    caller: &Caller,
) -> Result<proto::BroadcastReplyResponse, ApiError> {
    let pool = context.db.pool();
    let mut incidents = incidents(pool, writing.ticket).await?;
    let all = incidents.len();
    let ids: Vec<Uuid> = incidents.iter().map(|(id, _)| *id).collect();
    let seen = sight::among(pool, caller, &ids).await?;
    incidents.retain(|(id, _)| seen.contains(id));
    let hidden = all - incidents.len();
    let request = writing.request_id.clone().unwrap_or_default();
    let request = format!("broadcast:{}:{request}", writing.ticket);
    let answers = incidents.into_iter().map(|(ticket, number)| {
        let writing = Writing {
            ticket,
            request_id: Some(request.clone()),
            ..writing.clone()
        };
        async move { result(ticket, number, command::write(context, writing).await) }
    });
    let mut results: Vec<proto::BroadcastResult> = stream::iter(answers)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    results.sort_by_key(|it| it.ticket_number);
    results.extend((0..hidden).map(|_| proto::BroadcastResult {
        error_reason: "NOT_SEEN".to_owned(),
        error_message: "an incident that you do not see".to_owned(),
        ..proto::BroadcastResult::default()
    }));
    let count = |sent: bool| {
        let of = results
            .iter()
            .filter(|it| it.error_reason.is_empty() == sent);
        i32::try_from(of.count()).unwrap_or(i32::MAX)
    };
    Ok(proto::BroadcastReplyResponse {
        sent: count(true),
        failed: count(false),
        results,
    })
}

fn result(
    ticket: Uuid,
    number: i64,
    answered: Result<Uuid, TicketError>,
) -> proto::BroadcastResult {
    let mut result = proto::BroadcastResult {
        ticket_id: ticket.to_string(),
        ticket_number: number,
        ..proto::BroadcastResult::default()
    };
    match answered.map_err(ApiError::from) {
        Ok(message) => result.message_id = message.to_string(),
        Err(
            ApiError::FailedPrecondition { reason, message }
            | ApiError::Aborted { reason, message },
        ) => {
            reason.clone_into(&mut result.error_reason);
            result.error_message = message;
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot answer an incident"
            );
            "FAILED".clone_into(&mut result.error_reason);
            result.error_message = error.to_string();
        }
    }
    result
}

/// The incidents of a problem and of what became part of it, each as the ticket that stands for it.
async fn incidents(pool: &PgPool, problem: Uuid) -> Result<Vec<(Uuid, i64)>, TicketError> {
    let found = sqlx::query_as(
        "WITH RECURSIVE family AS (
            SELECT $1::uuid AS id
            UNION SELECT source.id FROM family JOIN tickets.ticket AS source ON source.merged_into = family.id),
         way AS (
            SELECT link.other_id AS id FROM family JOIN tickets.ticket_link AS link ON link.ticket_id = family.id
            WHERE link.kind = $2
            UNION SELECT source.merged_into FROM way JOIN tickets.ticket AS source ON source.id = way.id
            WHERE source.merged_into IS NOT NULL)
         SELECT ticket.id, ticket.number FROM way JOIN tickets.ticket ON ticket.id = way.id
         WHERE ticket.merged_into IS NULL AND ticket.id <> $1 ORDER BY ticket.number",
    )
    .bind(problem)
    .bind(PROBLEM)
    .fetch_all(pool)
    .await?;
    Ok(found)
}
