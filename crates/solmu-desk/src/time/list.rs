//! Reading time: pages of entries, and totals of a ticket.

use solmu_db::ToSqlx as _;
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{ApiError, access::Caller, page};
use solmu_tickets::TicketError;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Row, SELECT};
use crate::context::Context;

/// Agents that totals name.
const MAX_AGENTS: usize = 100;

/// A page of the entries of a ticket, of an agent or of both, the newest first.
pub(super) async fn list(
    context: &Context,
    caller: &Caller,
    ticket: Option<Uuid>,
    request: &proto::ListTimeEntriesRequest,
) -> Result<proto::ListTimeEntriesResponse, ApiError> {
    let (asked_size, token, max) = context.page(request.page_size, &request.page_token);
    let size = page::size(asked_size, 50, max)?;
    let asked = format!("time {ticket:?} {}", request.agent_id);
    let after: Option<(i64, Uuid)> = page::decode(&asked, token)?;
    let mut query: QueryBuilder<Postgres> = QueryBuilder::new(SELECT);
    query.push(" WHERE true");
    if let Some(ticket) = ticket {
        query
            .push(" AND entry.ticket_id = ANY(ARRAY(WITH RECURSIVE family AS (SELECT ")
            .push_bind(ticket)
            .push(
                "::uuid AS id UNION ALL SELECT source.id FROM family
                 JOIN tickets.ticket AS source ON source.merged_into = family.id) SELECT id FROM family))",
            );
    }
    if !request.agent_id.is_empty() {
        query
            .push(" AND entry.agent_id = ")
            .push_bind(&request.agent_id);
    }
    caller.visibility().push(&mut query);
    if let Some((at, id)) = after {
        let at = jiff::Timestamp::from_microsecond(at).map_err(ApiError::internal)?;
        query
            .push(" AND (entry.started_at, entry.id) < (")
            .push_bind(at.to_sqlx())
            .push(", ")
            .push_bind(id)
            .push(")");
    }
    query
        .push(" ORDER BY entry.started_at DESC, entry.id DESC LIMIT ")
        .push_bind(size + 1);
    let rows = query.build_query_as().fetch_all(context.db.reads()).await;
    let mut rows: Vec<Row> = rows.map_err(TicketError::from)?;
    let more = page::cut(&mut rows, size);
    let next_page_token = match rows.last().filter(|_| more) {
        Some(last) => {
            let at = last.started_at.to_jiff().as_microsecond();
            page::encode(&asked, (at, last.id))
        }
        None => String::new(),
    };
    Ok(proto::ListTimeEntriesResponse {
        entries: rows.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

/// What a ticket took, with what became part of it, and with its sub-tickets if `below`.
pub(super) async fn totals(
    context: &Context,
    caller: &Caller,
    ticket: Uuid,
    below: bool,
) -> Result<proto::TimeTotals, ApiError> {
    let mut query: QueryBuilder<Postgres> = QueryBuilder::new("WITH RECURSIVE family AS (SELECT ");
    query
        .push_bind(ticket)
        .push("::uuid AS id UNION SELECT part.id FROM family JOIN tickets.ticket AS part ON part.merged_into = family.id");
    if below {
        query.push(" OR part.parent_id = family.id");
    }
    query.push(
        ") SELECT entry.agent_id, coalesce(sum(entry.seconds), 0)::bigint,
            coalesce(sum(entry.seconds) FILTER (WHERE entry.billable), 0)::bigint,
            count(entry.seconds), count(*) FILTER (WHERE entry.seconds IS NULL)
         FROM tickets.time_entry AS entry JOIN tickets.ticket ON ticket.id = entry.ticket_id
         WHERE entry.ticket_id = ANY(ARRAY(SELECT id FROM family))",
    );
    caller.visibility().push(&mut query);
    query.push(" GROUP BY entry.agent_id ORDER BY 2 DESC, 1");
    let rows = query.build_query_as().fetch_all(context.db.reads()).await;
    let rows: Vec<(String, i64, i64, i64, i64)> = rows.map_err(TicketError::from)?;
    let mut totals = proto::TimeTotals::default();
    for (agent_id, seconds, billable_seconds, entries, running) in rows {
        totals.seconds += seconds;
        totals.billable_seconds += billable_seconds;
        totals.entries += entries;
        totals.running += i32::try_from(running).unwrap_or(0);
        if entries > 0 && totals.agents.len() < MAX_AGENTS {
            totals.agents.push(proto::AgentTime {
                agent_id,
                seconds,
                billable_seconds,
            });
        }
    }
    Ok(totals)
}
