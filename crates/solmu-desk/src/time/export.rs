//! The bill: entries of a period as CSV or as lines of JSON, in parts.
//!
//! Parts are read by position, each in a statement of its own: an export of a year holds no transaction open and costs
//! the same from its first part to its last. A token goes on after any part; it holds the time of the first one, and
//! what was added since is left out, so that two exports which were cut off differently are the same in the end.

use std::sync::Arc;

use futures::Stream;
use jiff::Timestamp;
use serde_json::json;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_proto::ticket::v1::{ExportTimeRequest, ExportTimeResponse, TimeFormat};
use solmu_runtime::{ApiError, access::Caller, page, request::optional_uuid};
use solmu_tickets::TicketError;
use sqlx::{Postgres, QueryBuilder};
use tonic::Status;
use uuid::Uuid;

use super::stored;
use crate::context::Context;

/// Entries of a part.
const PART: i64 = 500;
/// The columns of the CSV, and the names of the values in JSON.
const NAMES: [&str; 19] = [
    "entry_id",
    "ticket_number",
    "ticket_id",
    "subject",
    "contact_id",
    "contact_name",
    "organization_ids",
    "organization_names",
    "agent_id",
    "agent_name",
    "category",
    "activity",
    "billable",
    "start_time",
    "seconds",
    "hourly_rate",
    "currency",
    "amount",
    "note",
];

/// Where an export stands: the time of its first part, and the last entry of the part before, if there was one.
type Position = (i64, Option<(i64, Uuid)>);

/// What is wanted.
#[derive(Debug)]
struct Wanted {
    from: Timestamp,
    until: Timestamp,
    csv: bool,
    organization: Option<Uuid>,
    contact: Option<Uuid>,
    agent: String,
    category: String,
    only_billable: bool,
    caller: Caller,
    /// All of this, for the tokens.
    asked: String,
}

struct Line {
    id: Uuid,
    number: i64,
    ticket_id: Uuid,
    subject: String,
    contact_id: Uuid,
    contact_name: String,
    organization_ids: Vec<Uuid>,
    organization_names: Vec<String>,
    agent_id: String,
    agent_name: String,
    category: String,
    activity: String,
    billable: bool,
    started_at: SqlTimestamp,
    seconds: i64,
    rate: String,
    currency: String,
    amount: String,
    note: String,
}
solmu_db::from_row!(Line {
    id,
    number,
    ticket_id,
    subject,
    contact_id,
    contact_name,
    organization_ids,
    organization_names,
    agent_id,
    agent_name,
    category,
    activity,
    billable,
    started_at,
    seconds,
    rate,
    currency,
    amount,
    note
});

/// Begins an export, or goes on with one.
pub(super) fn export(
    context: Arc<Context>,
    caller: Caller,
    request: &ExportTimeRequest,
) -> Result<impl Stream<Item = Result<ExportTimeResponse, Status>> + Send + use<>, ApiError> {
    let wanted = wanted(caller, request)?;
    let begun: Option<Position> = page::decode(&wanted.asked, &request.page_token)?;
    let is_first = begun.is_none();
    let position = begun.unwrap_or((context.clock.now().as_microsecond(), None));
    let first = (context, Arc::new(wanted), Some(position), is_first);
    Ok(futures::stream::try_unfold(
        first,
        |(context, wanted, position, is_first)| async move {
            let Some(position) = position else {
                return Ok(None);
            };
            let (part, next) = part(&context, &wanted, position, is_first).await?;
            Ok::<_, Status>(Some((part, (context, wanted, next, false))))
        },
    ))
}

fn wanted(caller: Caller, request: &ExportTimeRequest) -> Result<Wanted, ApiError> {
    let time = |field: &str, at: &Option<prost_types::Timestamp>| {
        let at = at.as_ref().map(stored);
        at.ok_or_else(|| ApiError::invalid(field, "is missing"))
    };
    let from = time("from_time", &request.from_time)?;
    let until = time("until_time", &request.until_time)?;
    if until <= from {
        return Err(ApiError::invalid("until_time", "is not after from_time"));
    }
    let asked = ExportTimeRequest {
        page_token: String::new(),
        ..request.clone()
    };
    Ok(Wanted {
        from,
        until,
        csv: request.format() != TimeFormat::JsonLines,
        organization: optional_uuid("organization_id", &request.organization_id)?,
        contact: optional_uuid("contact_id", &request.contact_id)?,
        agent: request.agent_id.clone(),
        category: request.category.trim_matches('/').to_lowercase(),
        only_billable: request.only_billable,
        caller,
        asked: format!("export {asked:?}"),
    })
}

/// One part, and where the next one begins.
async fn part(
    context: &Context,
    wanted: &Wanted,
    (as_of, after): Position,
    is_first: bool,
) -> Result<(ExportTimeResponse, Option<Position>), ApiError> {
    let instant = |at| Timestamp::from_microsecond(at).map_err(ApiError::internal);
    let at = match after {
        Some((at, id)) => Some((instant(at)?, id)),
        None => None,
    };
    let mut query = query(wanted, instant(as_of)?, at);
    let rows = query.build_query_as().fetch_all(context.db.pool()).await;
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
    let last = lines
        .last()
        .map(|line| (line.started_at.to_jiff().as_microsecond(), line.id))
        .or(after);
    let next: Position = (as_of, last);
    let part = ExportTimeResponse {
        text,
        entries: i32::try_from(lines.len()).unwrap_or(i32::MAX),
        page_token: page::encode(&wanted.asked, next),
    };
    Ok((part, more.then_some(next)))
}

fn query(
    wanted: &Wanted,
    as_of: Timestamp,
    after: Option<(Timestamp, Uuid)>,
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT entry.id, ticket.number, entry.ticket_id, ticket.subject, ticket.contact_id,
            contact.display_name AS contact_name, ticket.organization_ids,
            ARRAY(SELECT organization.display_name FROM unnest(ticket.organization_ids) WITH ORDINALITY AS of (id, place)
                JOIN tickets.organization ON organization.id = of.id ORDER BY of.place) AS organization_names,
            entry.agent_id, coalesce((SELECT agent.display_name FROM tickets.agent WHERE agent.id::text = entry.agent_id),
                '') AS agent_name,
            ticket.category, entry.activity, entry.billable, entry.started_at, entry.seconds,
            coalesce(trim_scale(entry.rate)::text, '') AS rate, entry.currency,
            coalesce(round(entry.rate * entry.seconds / 3600, 4)::text, '') AS amount, entry.note
         FROM tickets.time_entry AS entry JOIN tickets.ticket ON ticket.id = entry.ticket_id
         JOIN tickets.contact ON contact.id = ticket.contact_id
         WHERE entry.seconds IS NOT NULL AND entry.created_at <= ",
    );
    query.push_bind(as_of.to_sqlx());
    query
        .push(" AND entry.started_at >= ")
        .push_bind(wanted.from.to_sqlx())
        .push(" AND entry.started_at < ")
        .push_bind(wanted.until.to_sqlx());
    if let Some((at, id)) = after {
        query.push(" AND (entry.started_at, entry.id) > (");
        query
            .push_bind(at.to_sqlx())
            .push(", ")
            .push_bind(id)
            .push(")");
    }
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
    wanted.caller.visibility().push(&mut query);
    query
        .push(" ORDER BY entry.started_at, entry.id LIMIT ")
        .push_bind(PART + 1);
    query
}

impl Line {
    fn written(&self, csv: bool) -> String {
        let ids: Vec<String> = self.organization_ids.iter().map(Uuid::to_string).collect();
        let start = self.started_at.to_jiff().to_string();
        if !csv {
            let line = json!({
                "entry_id": self.id, "ticket_number": self.number, "ticket_id": self.ticket_id,
                "subject": self.subject, "contact_id": self.contact_id, "contact_name": self.contact_name,
                "organization_ids": ids, "organization_names": self.organization_names,
                "agent_id": self.agent_id, "agent_name": self.agent_name, "category": self.category,
                "activity": self.activity, "billable": self.billable, "start_time": start,
                "seconds": self.seconds, "hourly_rate": self.rate, "currency": self.currency,
                "amount": self.amount, "note": self.note,
            });
            return format!("{line}\n");
        }
        let cells: [String; 19] = [
            self.id.to_string(),
            self.number.to_string(),
            self.ticket_id.to_string(),
            cell(&self.subject),
            self.contact_id.to_string(),
            cell(&self.contact_name),
            cell(&ids.join(";")),
            cell(&self.organization_names.join(";")),
            cell(&self.agent_id),
            cell(&self.agent_name),
            cell(&self.category),
            cell(&self.activity),
            self.billable.to_string(),
            start,
            self.seconds.to_string(),
            self.rate.clone(),
            self.currency.clone(),
            self.amount.clone(),
            cell(&self.note),
        ];
        format!("{}\r\n", cells.join(","))
    }
}

/// A text as a cell of CSV that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let safe = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if safe.contains([',', '"', '\r', '\n']) {
        return format!("\"{}\"", safe.replace('"', "\"\""));
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_text_and_nothing_else() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("-2,5", "\"'-2,5\""),
            ("@me", "'@me"),
        ] {
            assert_eq!(cell(text), wanted);
        }
    }
}
