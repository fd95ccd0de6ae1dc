//! Finding tickets: by filter ([`Selection`]) and by what was written ([`find`]).

mod digits;
pub mod index;
#[cfg(test)]
mod plan_tests;
mod selection;
pub mod service;
mod snippet;
mod spans;
mod terms;
mod windows;

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_proto::ticket::v1 as proto;
use solmu_runtime::{ApiError, access::Caller, page};
use sqlx::{PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

pub use selection::{Selection, Written};
use windows::Span;

use crate::{context::Context, list};

/// Hits of a page.
const PAGE: u32 = 50;
/// Matches that one call looks at. A search without a filter needs a hundred; one whose filter refuses nearly all of
/// them ends here and says so.
const MATCHES: usize = 4_000;
/// Matches that are read at once at first, beside twice a page: most searches need no more.
const FIRST: usize = 20;
/// How many more are read the next time.
const GROWTH: usize = 4;

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
    let opening = Opening::read(pool, &terms).await?;
    if opening.words.is_empty() {
        return Err(ApiError::invalid("query", "there is no word in it"));
    }
    let mut search = Search {
        pool,
        selection,
        size,
        seen: 0,
        hits: Vec::new(),
        on_page: HashSet::new(),
        last: None,
    };
    let (back_to, next) = match search.run(&opening, after).await? {
        End::Done => (None, None),
        End::Page => (None, search.last_hit()),
        End::Bound => {
            let at = search.bound(after);
            (at, at)
        }
    };
    let time = |(micros, _): Position| Timestamp::from_microsecond(micros).map(to_proto_time);
    Ok(proto::SearchTicketsResponse {
        next_page_token: next.map_or_else(String::new, |at| page::encode(&asked, at)),
        searched_back_to: back_to.and_then(|at| time(at).ok()),
        index_time: Some(to_proto_time(opening.indexed_until(context.clock.now()))),
        hits: search.shown(&terms).await?,
    })
}

/// What a search begins with, in one look.
struct Opening {
    /// The query as PostgreSQL's `tsquery`; empty if nothing is left to look for.
    words: String,
    queued: Option<SqlTimestamp>,
    /// The index's spans of time, the newest first: number, beginning and documents of each.
    spans: Vec<i64>,
    starts: Vec<SqlTimestamp>,
    documents: Vec<i64>,
}
solmu_db::from_row!(Opening {
    words,
    queued,
    spans,
    starts,
    documents
});

impl Opening {
    async fn read(pool: &PgPool, terms: &[terms::Term]) -> Result<Self, ApiError> {
        let mut query: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
        terms::push_tsquery(&mut query, terms);
        query.push(
            "::text AS words,
            (SELECT queued_at FROM tickets.search_queue ORDER BY id LIMIT 1) AS queued,
            spans.* FROM (SELECT coalesce(array_agg(id ORDER BY starts DESC), '{}') AS spans,
                coalesce(array_agg(starts ORDER BY starts DESC), '{}') AS starts,
                coalesce(array_agg(documents ORDER BY starts DESC), '{}') AS documents
                FROM tickets.search_span) AS spans",
        );
        query
            .build_query_as()
            .fetch_one(pool)
            .await
            .map_err(|error| DbError::from(error).into())
    }

    /// Changes before this are in the index. An entry of the queue is as old as the transaction that made it.
    fn indexed_until(&self, now: Timestamp) -> Timestamp {
        self.queued.map_or(now, |at| at.to_jiff().min(now))
    }

    /// The spans that have documents before a time, the newest first.
    fn spans_before(&self, before: Timestamp) -> Vec<Span> {
        let spans = self.spans.iter().zip(&self.starts).zip(&self.documents);
        let spans = spans.map(|((id, starts), documents)| Span {
            id: *id,
            starts: starts.to_jiff(),
            documents: *documents,
        });
        spans.filter(|span| span.starts <= before).collect()
    }
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
    on_page: HashSet<Uuid>,
    /// The last match that was looked at.
    last: Option<Position>,
}

impl Search<'_> {
    async fn run(&mut self, opening: &Opening, after: Option<Position>) -> Result<End, ApiError> {
        let mut before = after.unwrap_or((i64::MAX, Uuid::max()));
        let mut wanted = self.size * 2 + FIRST;
        loop {
            let at = Timestamp::from_microsecond(before.0).unwrap_or(FAR);
            let at = at.min(FAR);
            let (windows, since) = windows::windows(&opening.words, &opening.spans_before(at));
            let Some(since) = since else {
                return Ok(End::Done);
            };
            let found: Vec<Match> = sqlx::query_as(MATCHING)
                .bind(&windows)
                .bind(since.to_sqlx())
                .bind(at.to_sqlx())
                .bind(before.1)
                .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
                .fetch_all(self.pool)
                .await
                .map_err(DbError::from)?;
            let whole = found.len() < wanted;
            if let Some(end) = self.take(found).await? {
                return Ok(end);
            }
            if whole {
                return Ok(End::Done);
            }
            before = self.last.unwrap_or(before);
            wanted = (wanted * GROWTH).min(MATCHES);
        }
    }

    /// Takes matches over into the page, as far as their tickets are selected.
    async fn take(&mut self, found: Vec<Match>) -> Result<Option<End>, ApiError> {
        let ids: HashSet<Uuid> = found.iter().map(|(_, _, ticket, _)| *ticket).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let selected = list::selected_of(self.pool, &self.selection, &ids).await?;
        for (at, document, ticket, is_message) in found {
            if self.seen >= MATCHES {
                return Ok(Some(End::Bound));
            }
            if selected.contains(&ticket) && !self.on_page.contains(&ticket) {
                if self.hits.len() >= self.size {
                    return Ok(Some(End::Page));
                }
                self.on_page.insert(ticket);
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

    /// Where the page ends. Not where the search ended: that may be a document that the caller does not see.
    fn last_hit(&self) -> Option<Position> {
        let hit = self.hits.last()?;
        let document = hit.message.unwrap_or(hit.ticket);
        Some((hit.at.to_jiff().as_microsecond(), document))
    }

    /// How far back was looked. Its time alone, for the same reason, unless all that was looked at has that time.
    fn bound(&self, after: Option<Position>) -> Option<Position> {
        let (at, document) = self.last?;
        let is_stuck = after.is_some_and(|(before, _)| before == at);
        Some((at, if is_stuck { document } else { Uuid::max() }))
    }

    /// The page, with the text around the words. A ticket that became part of another one meanwhile is left out.
    async fn shown(self, terms: &[terms::Term]) -> Result<Vec<proto::SearchHit>, ApiError> {
        let messages: Vec<Uuid> = self.hits.iter().filter_map(|hit| hit.message).collect();
        let texts: Vec<(Uuid, String)> = sqlx::query_as(TEXTS)
            .bind(&messages)
            .fetch_all(self.pool)
            .await
            .map_err(DbError::from)?;
        let texts: HashMap<Uuid, String> = texts.into_iter().collect();
        let tickets: Vec<Uuid> = self.on_page.into_iter().collect();
        let mut tickets = list::by_id(self.pool, &tickets).await?;
        let shown = self.hits.into_iter().filter_map(|hit| {
            let ticket = tickets.remove(&hit.ticket)?;
            let text = hit.message.and_then(|id| texts.get(&id));
            Some(proto::SearchHit {
                snippet: snippet::around(text.unwrap_or(&ticket.subject), terms),
                ticket: Some(ticket),
                message_id: hit.message.map(|id| id.to_string()).unwrap_or_default(),
                hit_time: Some(to_proto_time(hit.at.to_jiff())),
            })
        });
        Ok(shown.collect())
    }
}

/// Later than any document, and still a time of PostgreSQL's.
const FAR: Timestamp = Timestamp::constant(253_000_000_000, 0);

/// The newest matches before a position, newest first; see the function for how it stays on its index.
pub(crate) const MATCHING: &str = "SELECT created_at, id, ticket_id, is_message
    FROM tickets.search_matches($1, $2, $3, $4, $5) ORDER BY created_at DESC, id DESC";

/// What the hits of a page say.
pub(crate) const TEXTS: &str = "SELECT id, concat_ws(' ', subject, left(body_text, 20000))
    FROM tickets.message WHERE id = ANY($1)";
