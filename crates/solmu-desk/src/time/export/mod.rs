//! The bill: entries as CSV or as lines of JSON, in parts: of a period, or everything that was booked since the last bill.
//!
//! An export is of what was booked when it began. That is not judged by a time of day: a booking with an earlier time may
//! be committed later, and would be in no export or in two. Bookings have places (`tickets.time_is_booked`); whoever holds
//! their lock alone for a moment sees all of them up to the highest, and all later ones get a higher place. So two exports
//! that were cut off differently are the same in the end, and one that goes on from another misses and doubles nothing.
//!
//! Parts are read by position, each in a statement of its own: an export of a year holds no transaction open and costs
//! the same from its first part to its last.

mod line;

use std::sync::Arc;

use futures::Stream;
use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_proto::ticket::v1::{ExportTimeRequest, ExportTimeResponse, TimeFormat};
use solmu_runtime::{ApiError, access::Caller, page, request::optional_uuid};
use solmu_tickets::TicketError;
use sqlx::{Postgres, QueryBuilder};
use tonic::Status;
use uuid::Uuid;

use self::line::{Line, NAMES};
use super::stored;
use crate::context::Context;

/// Entries of a part.
const PART: i64 = 500;

/// Where an export stands: the last place in the order of booking when it began, and the last entry of the part before,
/// if there was one, by its time in microseconds or its place.
type Position = (i64, Option<(i64, Uuid)>);

/// Which entries, and in what order.
#[derive(Debug, Clone, Copy)]
enum Span {
    /// Those that began between two times, by time.
    Period(Timestamp, Timestamp),
    /// Those that were booked after a place and began then or later, by place.
    Booked { since: i64, from: Option<Timestamp> },
}

/// What is wanted.
#[derive(Debug)]
struct Wanted {
    span: Span,
    csv: bool,
    organization: Option<Uuid>,
    contact: Option<Uuid>,
    agent: String,
    category: String,
    only_billable: bool,
    caller: Caller,
    /// All of this, for the tokens of parts.
    asked: String,
    /// What has to be the same in the next export.
    kept: String,
}

/// Begins an export, or goes on with one.
pub(super) fn export(
    context: Arc<Context>,
    caller: Caller,
    request: &ExportTimeRequest,
) -> Result<impl Stream<Item = Result<ExportTimeResponse, Status>> + Send + use<>, ApiError> {
    let wanted = wanted(caller, request)?;
    let begun: Option<Position> = page::decode(&wanted.asked, &request.page_token)?;
    let is_first = begun.is_none();
    let first = (context, Arc::new(wanted), Some(begun), is_first);
    Ok(futures::stream::try_unfold(
        first,
        |(context, wanted, position, is_first)| async move {
            let Some(position) = position else {
                return Ok(None);
            };
            let position = match position {
                Some(position) => position,
                None => (booked(&context).await?, None),
            };
            let (part, next) = part(&context, &wanted, position, is_first).await?;
            let next = next.map(Some);
            Ok::<_, Status>(Some((part, (context, wanted, next, false))))
        },
    ))
}

fn wanted(caller: Caller, request: &ExportTimeRequest) -> Result<Wanted, ApiError> {
    let from = request.from_time.as_ref().map(stored);
    let kept = kept(request, from);
    let span = match request.until_time.as_ref().map(stored) {
        Some(until) => {
            let from = from.ok_or_else(|| ApiError::invalid("from_time", "is missing"))?;
            if until <= from {
                return Err(ApiError::invalid("until_time", "is not after from_time"));
            }
            if !request.since_token.is_empty() {
                return Err(ApiError::invalid("since_token", "goes without until_time"));
            }
            Span::Period(from, until)
        }
        None => Span::Booked {
            since: since(&kept, &request.since_token)?,
            from,
        },
    };
    let asked = ExportTimeRequest {
        page_token: String::new(),
        ..request.clone()
    };
    Ok(Wanted {
        span,
        csv: request.format() != TimeFormat::JsonLines,
        organization: optional_uuid("organization_id", &request.organization_id)?,
        contact: optional_uuid("contact_id", &request.contact_id)?,
        agent: request.agent_id.clone(),
        category: request.category.trim_matches('/').to_lowercase(),
        only_billable: request.only_billable,
        caller,
        asked: format!("export {asked:?}"),
        kept,
    })
}

/// What the token of the next export is bound to. It is kept for months: written out here, so that a release with one more
/// field still knows it.
fn kept(request: &ExportTimeRequest, from: Option<Timestamp>) -> String {
    let from = from.map(|at| at.to_string()).unwrap_or_default();
    serde_json::json!([
        "booked",
        from,
        request.organization_id,
        request.contact_id,
        request.agent_id,
        request.category,
        request.only_billable,
    ])
    .to_string()
}

/// The place that the export before ended at; 0 for the first one.
fn since(kept: &str, token: &str) -> Result<i64, ApiError> {
    let place = page::decode(kept, token).map_err(|_| {
        let why = "not a next_token of an export with the same other fields";
        ApiError::invalid("since_token", why)
    })?;
    Ok(place.unwrap_or(0))
}

/// The highest place that was given. Bookings under way are waited for, and later ones wait for this look.
async fn booked(context: &Context) -> Result<i64, ApiError> {
    let highest = context.db.tx("time.export", |tx| {
        Box::pin(async move {
            sqlx::query(
                "SELECT pg_advisory_xact_lock(hashtextextended('tickets.time_booking', 0))",
            )
            .execute(&mut *tx)
            .await?;
            // A statement of its own, which sees what was committed while the lock was waited for.
            let highest: Option<i64> = sqlx::query_scalar(
                "SELECT max(booking) FROM tickets.time_entry WHERE booking IS NOT NULL",
            )
            .fetch_one(tx)
            .await?;
            Ok::<_, TicketError>(highest.unwrap_or(0))
        })
    });
    Ok(highest.await?)
}

/// One part, and where the next one begins.
async fn part(
    context: &Context,
    wanted: &Wanted,
    (until, after): Position,
    is_first: bool,
) -> Result<(ExportTimeResponse, Option<Position>), ApiError> {
    let mut query = query(wanted, until, after)?;
    let rows = query.build_query_as().fetch_all(context.db.reads()).await;
    let mut lines: Vec<Line> = rows.map_err(TicketError::from)?;
    let more = page::cut(&mut lines, PART);
    let mut text = String::new();
    if wanted.csv && is_first {
        text.push_str(&NAMES.join(","));
        text.push_str("\r\n");
    }
    for line in &lines {
        text.push_str(&line.written(wanted.csv));
    }
    let last = lines.last().map(|line| match wanted.span {
        Span::Period(..) => (line.started_at.to_jiff().as_microsecond(), line.id),
        Span::Booked { .. } => (line.booking, line.id),
    });
    let next: Position = (until, last.or(after));
    let next_token = match wanted.span {
        // Nothing may have been booked, or what was the last may be gone: it never goes back.
        Span::Booked { since, .. } if !more => page::encode(&wanted.kept, until.max(since)),
        _ => String::new(),
    };
    let part = ExportTimeResponse {
        text,
        entries: i32::try_from(lines.len()).unwrap_or(i32::MAX),
        page_token: page::encode(&wanted.asked, next),
        next_token,
    };
    Ok((part, more.then_some(next)))
}

fn query(
    wanted: &Wanted,
    until: i64,
    after: Option<(i64, Uuid)>,
) -> Result<QueryBuilder<Postgres>, ApiError> {
    let mut query = QueryBuilder::new(
        "SELECT entry.id, ticket.number, entry.ticket_id, ticket.subject, ticket.contact_id,
            contact.display_name AS contact_name, ticket.organization_ids,
            ARRAY(SELECT organization.display_name FROM unnest(ticket.organization_ids) WITH ORDINALITY AS of (id, place)
                JOIN tickets.organization ON organization.id = of.id ORDER BY of.place) AS organization_names,
            entry.agent_id, coalesce((SELECT agent.display_name FROM tickets.agent WHERE agent.id::text = entry.agent_id),
                '') AS agent_name,
            ticket.category, entry.activity, entry.billable, entry.started_at, entry.seconds,
            coalesce(trim_scale(entry.rate)::text, '') AS rate, entry.currency,
            coalesce(round(entry.rate * entry.seconds / 3600, 4)::text, '') AS amount, entry.note,
            entry.booking, entry.booked_at
         FROM tickets.time_entry AS entry JOIN tickets.ticket ON ticket.id = entry.ticket_id
         JOIN tickets.contact ON contact.id = ticket.contact_id
         WHERE entry.seconds IS NOT NULL AND entry.booking IS NOT NULL AND entry.booking <= ",
    );
    query.push_bind(until);
    match wanted.span {
        Span::Period(from, until) => {
            query
                .push(" AND entry.started_at >= ")
                .push_bind(from.to_sqlx());
            query
                .push(" AND entry.started_at < ")
                .push_bind(until.to_sqlx());
            if let Some((at, id)) = after {
                let at = Timestamp::from_microsecond(at).map_err(ApiError::internal)?;
                query.push(" AND (entry.started_at, entry.id) > (");
                query
                    .push_bind(at.to_sqlx())
                    .push(", ")
                    .push_bind(id)
                    .push(")");
            }
        }
        Span::Booked { since, from } => {
            let since = after.map_or(since, |(place, _)| place);
            query.push(" AND entry.booking > ").push_bind(since);
            if let Some(from) = from {
                query
                    .push(" AND entry.started_at >= ")
                    .push_bind(from.to_sqlx());
            }
        }
    }
    narrow(wanted, &mut query);
    query
        .push(match wanted.span {
            Span::Period(..) => " ORDER BY entry.started_at, entry.id LIMIT ",
            Span::Booked { .. } => " ORDER BY entry.booking LIMIT ",
        })
        .push_bind(PART + 1);
    Ok(query)
}

/// Leaves out what is not asked for, and what the caller does not see.
fn narrow(wanted: &Wanted, query: &mut QueryBuilder<Postgres>) {
    if let Some(organization) = wanted.organization {
        query
            .push(" AND ticket.organization_ids @> ARRAY[")
            .push_bind(organization)
            .push("]");
    }
    if let Some(contact) = wanted.contact {
        query.push(
            " AND ticket.contact_id IN (SELECT person.id FROM tickets.contact AS named JOIN tickets.contact AS person
                ON person.id = coalesce(named.root_id, named.id) OR person.root_id = coalesce(named.root_id, named.id)
                WHERE named.id = ",
        );
        query.push_bind(contact).push(")");
    }
    if !wanted.agent.is_empty() {
        query
            .push(" AND entry.agent_id = ")
            .push_bind(wanted.agent.clone());
    }
    if !wanted.category.is_empty() {
        query
            .push(" AND (ticket.category = ")
            .push_bind(wanted.category.clone());
        query.push(" OR starts_with(ticket.category, ");
        query.push_bind(format!("{}/", wanted.category)).push("))");
    }
    if wanted.only_billable {
        query.push(" AND entry.billable");
    }
    wanted.caller.visibility().push(query);
}
