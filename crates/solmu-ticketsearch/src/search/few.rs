//! A search among few tickets: those of a customer, of a problem, or one.
//!
//! The newest matches of a common word are nearly all about other tickets, so that looking for those of one customer among
//! them comes to no end. Here the tickets come first: what is written on them is little, and the index of words is not
//! asked; each document is.

use std::collections::HashSet;

use solmu_db::{DbError, SqlTimestamp};
use solmu_runtime::ApiError;
use sqlx::{PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Match, Opening, Selection, windows};

/// More tickets are not few.
const TICKETS: i64 = 100;
/// Documents that are read at once. Their words are read for each: about ten microseconds.
pub(super) const DOCUMENTS: usize = 1_000;

/// The tickets, if the selection says that it is about few of them and it is.
pub(super) async fn tickets(
    pool: &PgPool,
    selection: &Selection,
) -> Result<Option<Vec<Uuid>>, ApiError> {
    if !selection.is_about_somebody() {
        return Ok(None);
    }
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new("SELECT ticket.id FROM tickets.ticket WHERE ");
    selection.push(&mut query)?;
    query.push(" LIMIT ").push_bind(TICKETS + 1);
    let found: Vec<Uuid> = query
        .build_query_scalar()
        .persistent(false)
        .fetch_all(pool)
        .await
        .map_err(DbError::from)?;
    let few = i64::try_from(found.len()).is_ok_and(|count| count <= TICKETS);
    Ok(few.then_some(found))
}

/// The documents of tickets before a position, newest first, [`DOCUMENTS`] at most, whether they match or not.
pub(super) async fn documents(
    pool: &PgPool,
    tickets: &[Uuid],
    (at, id): (SqlTimestamp, Uuid),
) -> Result<Vec<Match>, ApiError> {
    let found = sqlx::query_as(DOCUMENTS_OF)
        .bind(tickets)
        .bind(at)
        .bind(id)
        .bind(i64::try_from(DOCUMENTS).unwrap_or(i64::MAX))
        .fetch_all(pool)
        .await
        .map_err(DbError::from)?;
    Ok(found)
}

/// Those of `documents` that `asked` fits, in the same order.
pub(super) async fn matching(
    pool: &PgPool,
    opening: &Opening,
    asked: &str,
    documents: &[Match],
) -> Result<Vec<Match>, ApiError> {
    let (mut ids, mut questions) = (Vec::new(), Vec::new());
    for (at, document, ..) in documents {
        if let Some(span) = opening.span_of(at.to_jiff()) {
            ids.push(*document);
            questions.push(windows::labelled(asked, span));
        }
    }
    let found: Vec<Uuid> = sqlx::query_scalar(MATCHING_OF)
        .bind(&ids)
        .bind(&questions)
        .fetch_all(pool)
        .await
        .map_err(DbError::from)?;
    let found: HashSet<Uuid> = found.into_iter().collect();
    let documents = documents.iter().filter(|it| found.contains(&it.1));
    Ok(documents.copied().collect())
}

pub(super) const DOCUMENTS_OF: &str = "SELECT created_at, id, ticket_id, is_message FROM (
        SELECT created_at, id, ticket_id, true AS is_message FROM tickets.message WHERE ticket_id = ANY($1)
        UNION ALL SELECT created_at, id, id, false FROM tickets.ticket WHERE id = ANY($1)
    ) AS document WHERE (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4";

pub(super) const MATCHING_OF: &str = "SELECT document.id
    FROM unnest($1::uuid[], $2::text[]) AS given (id, asked) JOIN tickets.search_document AS document USING (id)
    WHERE document.words @@ given.asked::tsquery";
