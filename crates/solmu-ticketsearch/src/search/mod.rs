//! Finding tickets: by filter ([`Selection`]) and by what was written ([`find`]).

mod few;
pub mod index;
#[cfg(test)]
mod plan_tests;
mod selection;
#[cfg(test)]
mod selection_tests;
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
use sqlx::PgPool;
use uuid::Uuid;

pub use selection::{Selection, Written};
use windows::Span;

use crate::{context::Context, list};

/// Hits of a page.
const PAGE: u32 = 50;
/// Matches that one call looks at. A search without a filter needs a hundred; one whose filter refuses nearly all of
/// them ends here and says so.
const MATCHES: usize = 4_000;
/// Documents that one call looks into whether words stand side by side in them: about ten microseconds each.
const CANDIDATES: i64 = 1_000;
/// Matches that are read at once at first, beside twice a page: most searches need no more.
const FIRST: usize = 20;
/// How many more are read the next time.
const GROWTH: usize = 4;

/// A match: when, which document, on which ticket, and whether it is a message.
type Match = (SqlTimestamp, Uuid, Uuid, bool);

/// The same, or without a ticket: the last document that was looked at in vain, when no more are.
type Looked = (SqlTimestamp, Uuid, Option<Uuid>, Option<bool>);

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
    let pool = context.db.reads();
    let opening = Opening::read(pool).await?;
    let mut search = Search {
        pool,
        words: terms::tsquery(&terms),
        loose: terms::loose(&terms),
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
    queued: Option<SqlTimestamp>,
    /// The index's spans of time, the newest first: number, beginning and documents of each.
    spans: Vec<i64>,
    starts: Vec<SqlTimestamp>,
    documents: Vec<i64>,
}
solmu_db::from_row!(Opening {
    queued,
    spans,
    starts,
    documents
});

impl Opening {
    async fn read(pool: &PgPool) -> Result<Self, ApiError> {
        sqlx::query_as(OPENING)
            .fetch_one(pool)
            .await
            .map_err(|error| DbError::from(error).into())
    }

    /// Changes before this are in the index. An entry of the queue is as old as the transaction that made it.
    fn indexed_until(&self, now: Timestamp) -> Timestamp {
        self.queued.map_or(now, |at| at.to_jiff().min(now))
    }

    /// The span that a document of this time is in.
    fn span_of(&self, at: Timestamp) -> Option<i64> {
        let place = self.starts.partition_point(|starts| starts.to_jiff() > at);
        self.spans.get(place).copied()
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
    /// [`MATCHES`] or [`CANDIDATES`] were looked at.
    Bound,
}

struct Hit {
    ticket: Uuid,
    message: Option<Uuid>,
    at: SqlTimestamp,
}

struct Search<'a> {
    pool: &'a PgPool,
    /// The query as PostgreSQL's `tsquery`.
    words: String,
    /// What the index is asked for in place of it, if it cannot answer that.
    loose: Option<String>,
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
        let before = after.unwrap_or((i64::MAX, Uuid::max()));
        match few::tickets(self.pool, &self.selection).await? {
            Some(tickets) => self.among(opening, &tickets, before).await,
            None => self.newest(opening, before).await,
        }
    }

    /// Looks for the words on these tickets.
    async fn among(
        &mut self,
        opening: &Opening,
        tickets: &[Uuid],
        mut before: Position,
    ) -> Result<End, ApiError> {
        let selected = tickets.iter().copied().collect();
        loop {
            let position = (time_of(before).to_sqlx(), before.1);
            let documents = few::documents(self.pool, tickets, position).await?;
            let found = few::matching(self.pool, opening, &self.words, &documents).await?;
            if let Some(end) = self.take(found, &selected) {
                return Ok(end);
            }
            match documents.last() {
                Some((at, document, ..)) if documents.len() >= few::DOCUMENTS => {
                    before = (at.to_jiff().as_microsecond(), *document);
                }
                _ => return Ok(End::Done),
            }
        }
    }

    /// Looks for tickets of the selection among the newest matches.
    async fn newest(&mut self, opening: &Opening, mut before: Position) -> Result<End, ApiError> {
        let mut wanted = self.size * 2 + FIRST;
        loop {
            let at = time_of(before);
            let spans = opening.spans_before(at);
            let windows = windows::windows(&self.words, &spans);
            let of = |asked: &str| -> Vec<String> {
                let windows = windows.iter();
                windows.map(|it| windows::of_spans(asked, it)).collect()
            };
            let mut found: Vec<Looked> = sqlx::query_as(MATCHING)
                .bind(of(&self.words))
                .bind(self.loose.as_deref().map(of))
                .bind(at.to_sqlx())
                .bind(before.1)
                .bind(i64::try_from(wanted).unwrap_or(i64::MAX))
                .bind(CANDIDATES)
                .fetch_all(self.pool)
                .await
                .map_err(DbError::from)?;
            let bound = found.pop_if(|(_, _, ticket, _)| ticket.is_none());
            let found: Vec<Match> = found
                .into_iter()
                .filter_map(|(at, id, ticket, is_message)| Some((at, id, ticket?, is_message?)))
                .collect();
            let whole = found.len() < wanted;
            let ids: HashSet<Uuid> = found.iter().map(|(_, _, ticket, _)| *ticket).collect();
            let ids: Vec<Uuid> = ids.into_iter().collect();
            let selected = list::selected_of(self.pool, &self.selection, &ids).await?;
            if let Some(end) = self.take(found, &selected) {
                return Ok(end);
            }
            if let Some((at, document, ..)) = bound {
                self.last = Some((at.to_jiff().as_microsecond(), document));
                return Ok(End::Bound);
            }
            if whole {
                return Ok(End::Done);
            }
            before = self.last.unwrap_or(before);
            wanted = (wanted * GROWTH).min(MATCHES);
        }
    }

    /// Takes matches over into the page, as far as their tickets are selected.
    fn take(&mut self, found: Vec<Match>, selected: &HashSet<Uuid>) -> Option<End> {
        for (at, document, ticket, is_message) in found {
            if self.seen >= MATCHES {
                return Some(End::Bound);
            }
            if selected.contains(&ticket) && !self.on_page.contains(&ticket) {
                if self.hits.len() >= self.size {
                    return Some(End::Page);
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
        None
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

fn time_of((at, _): Position) -> Timestamp {
    Timestamp::from_microsecond(at).unwrap_or(FAR).min(FAR)
}

/// Later than any document, and still a time of PostgreSQL's.
const FAR: Timestamp = Timestamp::constant(253_000_000_000, 0);

/// How far the index is filled, and its spans of time.
const OPENING: &str =
    "SELECT (SELECT queued_at FROM tickets.search_queue ORDER BY id LIMIT 1) AS queued, spans.*
    FROM (SELECT coalesce(array_agg(id ORDER BY starts DESC), '{}') AS spans,
        coalesce(array_agg(starts ORDER BY starts DESC), '{}') AS starts,
        coalesce(array_agg(documents ORDER BY starts DESC), '{}') AS documents
        FROM tickets.search_span) AS spans";

/// The newest matches before a position, newest first; see the function for how it stays on its index.
pub(crate) const MATCHING: &str = "SELECT created_at, id, ticket_id, is_message
    FROM tickets.search_matches($1, $2, $3, $4, $5, $6) ORDER BY created_at DESC, id DESC";

/// What the hits of a page say.
pub(crate) const TEXTS: &str = "SELECT id, concat_ws(' ', subject, left(body_text, 20000))
    FROM tickets.message WHERE id = ANY($1)";
