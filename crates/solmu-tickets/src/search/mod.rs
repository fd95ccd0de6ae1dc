//! Finding tickets: by filter ([`Selection`]) and by what was written ([`find`]).

pub(crate) mod index;
#[cfg(test)]
mod plan_tests;
mod selection;
pub(crate) mod service;
mod snippet;
mod terms;
mod windows;

use std::collections::{HashMap, HashSet};

use jiff::{Timestamp, tz::TimeZone};
use solmu_bus::envelope::to_proto_time;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{ApiError, access::Caller, page};
use sqlx::PgPool;
use uuid::Uuid;

pub(crate) use selection::{Selection, Written};

use crate::{api::list, context::Context};

/// Hits of a page.
const PAGE: u32 = 50;
/// Matches that one call looks at. A search without a filter needs a few hundred; one whose filter refuses nearly all of
/// them ends here and says so.
const MATCHES: usize = 4_000;
/// Matches that are read at once.
const CHUNK: i64 = 400;

/// A match: when, which document, on which ticket, and whether it is a message.
type Match = (SqlTimestamp, Uuid, Uuid, bool);

/// Where the last page ended: microseconds and document.
type Position = (i64, Uuid);

/// Searches, newest first.
pub(crate) async fn find(
    context: &Context,
    request: &proto::SearchTicketsRequest,
    caller: &Caller,
) -> Result<proto::SearchTicketsResponse, ApiError> {
    let size = usize::try_from(page::size(request.page_size, i64::from(PAGE), PAGE)?)
        .unwrap_or(usize::MAX);
    let asked = format!(
        "{}\n{}\n{}",
        request.query, request.filter, request.time_zone
    );
    let after: Option<Position> = page::decode(&asked, &request.page_token)?;
    let terms = terms::read(&request.query)?;
    let written = Written {
        filter: &request.filter,
        time_zone: &request.time_zone,
        caller: Some(caller),
    };
    let selection = Selection::read(context, written).await?;
    let pool = context.db.pool();
    let index_time = indexed_until(pool, context.clock.now()).await?;
    let words = terms::tsquery(pool, &terms).await?;
    if words.is_empty() {
        return Err(ApiError::invalid("query", "there is no word in it"));
    }
    let mut search = Search {
        pool,
        selection,
        size,
        seen: 0,
        hits: Vec::new(),
        tickets: HashMap::new(),
        last: None,
    };
    let end = search.run(&words, after).await?;
    let back_to = matches!(end, End::Bound).then_some(search.last).flatten();
    let next = matches!(end, End::Bound | End::Page)
        .then_some(search.last)
        .flatten();
    let time = |(micros, _): Position| Timestamp::from_microsecond(micros).map(to_proto_time);
    Ok(proto::SearchTicketsResponse {
        next_page_token: next.map_or_else(String::new, |at| page::encode(&asked, at)),
        searched_back_to: back_to.and_then(|at| time(at).ok()),
        index_time: Some(to_proto_time(index_time)),
        hits: search.shown(&terms).await?,
    })
}

/// Changes before this are in the index. An entry of the queue is as old as the transaction that made it.
async fn indexed_until(pool: &PgPool, now: Timestamp) -> Result<Timestamp, ApiError> {
    let oldest: Option<SqlTimestamp> =
        sqlx::query_scalar("SELECT queued_at FROM tickets.search_queue ORDER BY id LIMIT 1")
            .fetch_optional(pool)
            .await
            .map_err(DbError::from)?;
    Ok(oldest.map_or(now, |at| at.to_jiff().min(now)))
}

/// Why a search stopped.
enum End {
    /// There is nothing more.
    Done,
    /// The page is full.
    Page,
    /// [`MATCHES`] were looked at.
    Bound,
}

struct Hit {
    ticket: Uuid,
    message: Option<Uuid>,
    at: SqlTimestamp,
}

struct Search<'a> {
    pool: &'a PgPool,
    selection: Selection,
    size: usize,
    /// Matches that were looked at.
    seen: usize,
    hits: Vec<Hit>,
    /// Tickets of the page.
    tickets: HashMap<Uuid, crate::model::Ticket>,
    /// The last match that was looked at.
    last: Option<Position>,
}

impl Search<'_> {
    async fn run(&mut self, words: &str, after: Option<Position>) -> Result<End, ApiError> {
        let Some((newest, oldest)) = self.span().await? else {
            return Ok(End::Done);
        };
        let newest = match after {
            Some((at, _)) => newest.min(Timestamp::from_microsecond(at).unwrap_or(newest)),
            None => newest,
        };
        let mut before = after.unwrap_or((i64::MAX, Uuid::max()));
        let date = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        for window in windows::windows(date(newest), date(oldest)) {
            let query = format!("({words}) & ({})", either(&window));
            loop {
                let found = self.matches(&query, before).await?;
                let whole = found.len() < usize::try_from(CHUNK).unwrap_or(usize::MAX);
                if let Some(end) = self.take(found).await? {
                    return Ok(end);
                }
                if let Some(last) = self.last {
                    before = last;
                }
                if whole {
                    break;
                }
            }
        }
        Ok(End::Done)
    }

    /// The times between which there are documents.
    async fn span(&self) -> Result<Option<(Timestamp, Timestamp)>, ApiError> {
        let (newest, oldest): (Option<SqlTimestamp>, Option<SqlTimestamp>) = sqlx::query_as(
            "SELECT (SELECT max(created_at) FROM tickets.search_document),
                (SELECT min(created_at) FROM tickets.search_document)",
        )
        .fetch_one(self.pool)
        .await
        .map_err(DbError::from)?;
        Ok(newest
            .zip(oldest)
            .map(|(newest, oldest)| (newest.to_jiff(), oldest.to_jiff())))
    }

    /// A chunk of matches of a window, newest first. The words are looked up before anything is sorted, so that the
    /// planner cannot read documents by time instead.
    async fn matches(&self, query: &str, before: Position) -> Result<Vec<Match>, ApiError> {
        let at = Timestamp::from_microsecond(before.0).unwrap_or(Timestamp::MAX);
        let at = at.min(FAR);
        sqlx::query_as(MATCHING)
            .bind(query)
            .bind(at.to_sqlx())
            .bind(before.1)
            .bind(CHUNK)
            .fetch_all(self.pool)
            .await
            .map_err(|error| DbError::from(error).into())
    }

    /// Takes matches over into the page, as far as their tickets are selected.
    async fn take(&mut self, found: Vec<Match>) -> Result<Option<End>, ApiError> {
        let ids: HashSet<Uuid> = found.iter().map(|(_, _, ticket, _)| *ticket).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let selected: HashMap<Uuid, crate::model::Ticket> = if ids.is_empty() {
            HashMap::new()
        } else {
            let tickets = list::among(self.pool, &self.selection, &ids).await?;
            tickets.into_iter().map(|it| (it.id, it)).collect()
        };
        for (at, document, ticket, is_message) in found {
            if self.seen >= MATCHES {
                return Ok(Some(End::Bound));
            }
            if let Some(row) = selected
                .get(&ticket)
                .filter(|_| !self.tickets.contains_key(&ticket))
            {
                if self.hits.len() >= self.size {
                    return Ok(Some(End::Page));
                }
                self.tickets.insert(ticket, row.clone());
                self.hits.push(Hit {
                    ticket,
                    message: is_message.then_some(document),
                    at,
                });
            }
            self.seen += 1;
            self.last = Some((at.to_jiff().as_microsecond(), document));
        }
        Ok(None)
    }

    /// The page, with the text around the words.
    async fn shown(mut self, terms: &[terms::Term]) -> Result<Vec<proto::SearchHit>, ApiError> {
        let messages: Vec<Uuid> = self.hits.iter().filter_map(|hit| hit.message).collect();
        let texts: Vec<(Uuid, String)> = sqlx::query_as(
            "SELECT id, concat_ws(' ', subject, left(body_text, 20000)) FROM tickets.message WHERE id = ANY($1)",
        )
        .bind(&messages)
        .fetch_all(self.pool)
        .await
        .map_err(DbError::from)?;
        let texts: HashMap<Uuid, String> = texts.into_iter().collect();
        let tickets: Vec<_> = self
            .hits
            .iter()
            .filter_map(|hit| self.tickets.remove(&hit.ticket))
            .collect();
        let shown = list::shown(self.pool, tickets).await?;
        Ok(self
            .hits
            .iter()
            .zip(shown)
            .map(|(hit, ticket)| {
                let text = hit.message.and_then(|id| texts.get(&id));
                proto::SearchHit {
                    snippet: snippet::around(text.unwrap_or(&ticket.subject), terms),
                    ticket: Some(ticket),
                    message_id: hit.message.map(|id| id.to_string()).unwrap_or_default(),
                    hit_time: Some(to_proto_time(hit.at.to_jiff())),
                }
            })
            .collect())
    }
}

/// Later than any document, and still a time of PostgreSQL's.
const FAR: Timestamp = Timestamp::constant(253_000_000_000, 0);

/// See [`Search::matches`].
pub(crate) const MATCHING: &str = "WITH found AS MATERIALIZED (
        SELECT document.created_at, document.id, document.ticket_id, document.is_message
        FROM tickets.search_document AS document WHERE document.words @@ $1::tsquery)
    SELECT created_at, id, ticket_id, is_message FROM found WHERE (created_at, id) < ($2, $3)
    ORDER BY created_at DESC, id DESC LIMIT $4";

/// Any of some lexemes.
fn either(lexemes: &[String]) -> String {
    let quoted: Vec<String> = lexemes.iter().map(|it| format!("'{it}'")).collect();
    quoted.join(" | ")
}
