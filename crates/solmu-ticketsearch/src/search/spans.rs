//! Spans of time in the index of the search (migration 0052 says what they are for): where they begin.
//!
//! Only the indexer calls this, and one at a time, so nobody counts or begins the same span.

use solmu_db::{DbError, SqlTimestamp};
use sqlx::PgConnection;
use uuid::Uuid;

/// Documents after which a month gets another span. A search reads the matches of a whole span: of a word that
/// every twentieth document has, a thousand.
const FULL: i64 = 20_000;
/// Spans that a large desk has about, at most: a rare word is looked for in each of them.
const MOST: i64 = 256;

/// Begins the months that documents are from. `source` joins `given (id)` with `document`.
pub(super) async fn begin_months(
    tx: &mut PgConnection,
    source: &str,
    documents: &[Uuid],
) -> Result<(), DbError> {
    let sql = format!(
        "INSERT INTO tickets.search_span (starts)
         SELECT DISTINCT date_trunc('month', document.created_at, 'UTC') AS starts
         FROM unnest($1::uuid[]) AS given (id) {source} ORDER BY starts
         ON CONFLICT (starts) DO NOTHING"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(documents)
        .execute(tx)
        .await?;
    Ok(())
}

/// Counts documents that were added, and begins another span where a month's last one is full. It begins behind all that
/// is in the full one, so that no document has to move.
pub(super) async fn count(tx: &mut PgConnection, added: &[SqlTimestamp]) -> Result<(), DbError> {
    let full: Vec<i64> = sqlx::query_scalar(ADD)
        .bind(added)
        .bind(FULL)
        .bind(MOST)
        .fetch_all(&mut *tx)
        .await?;
    for span in full {
        // What was indexed again was counted again.
        let documents: i64 = sqlx::query_scalar(RECOUNT)
            .bind(span)
            .fetch_one(&mut *tx)
            .await?;
        if documents >= FULL {
            sqlx::query(BEGIN).bind(span).execute(&mut *tx).await?;
        }
    }
    Ok(())
}

/// Adds documents of these times to their spans; says which spans seem full and are the last of their month.
const ADD: &str = "WITH added AS (SELECT span.id, count(*) AS documents FROM unnest($1::timestamptz[]) AS document (created_at)
        CROSS JOIN LATERAL (SELECT id FROM tickets.search_span WHERE starts <= document.created_at
            ORDER BY starts DESC LIMIT 1) AS span GROUP BY span.id),
    counted AS (UPDATE tickets.search_span SET documents = search_span.documents + added.documents FROM added
        WHERE search_span.id = added.id RETURNING search_span.id, search_span.starts, search_span.documents)
    SELECT counted.id FROM counted
    WHERE counted.documents >= greatest($2, (SELECT sum(documents) FROM tickets.search_span) / $3)
        AND NOT EXISTS (SELECT 1 FROM tickets.search_span AS later WHERE later.starts > counted.starts
            AND date_trunc('month', later.starts, 'UTC') = date_trunc('month', counted.starts, 'UTC'))";

/// How many documents a span really has.
const RECOUNT: &str = "UPDATE tickets.search_span SET documents = (SELECT count(*) FROM tickets.search_document AS document
        WHERE document.created_at >= search_span.starts
            AND document.created_at < coalesce((SELECT min(starts) FROM tickets.search_span AS later
                WHERE later.starts > search_span.starts), 'infinity'))
    WHERE id = $1 RETURNING documents";

/// Begins the span behind the last document of one, if that is the same month.
const BEGIN: &str = "INSERT INTO tickets.search_span (starts)
    SELECT newest.next FROM tickets.search_span AS span CROSS JOIN LATERAL (
        SELECT max(document.created_at) + interval '1 microsecond' AS next FROM tickets.search_document AS document
        WHERE document.created_at >= span.starts
            AND document.created_at < coalesce((SELECT min(starts) FROM tickets.search_span AS later
                WHERE later.starts > span.starts), 'infinity')) AS newest
    WHERE span.id = $1 AND date_trunc('month', newest.next, 'UTC') = date_trunc('month', span.starts, 'UTC')
    ON CONFLICT (starts) DO NOTHING";
