//! Spans of time in the index of the search (migration 0052 says what they are for): where they begin.
//!
//! Only the indexer calls this, and one at a time, so nobody counts or begins the same span.

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp};
use sqlx::PgConnection;

/// When a span is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    /// Documents after which a month gets another span. A search reads the matches of a whole span: of a word that
    /// every twentieth document has, a thousand.
    pub(super) full: i64,
    /// Spans that a large desk has about, at most: a rare word is looked for in each of them.
    pub(super) most: i64,
}

impl Sizes {
    /// What was measured to be good on desks of a hundred thousand and of a million tickets.
    pub(super) const MEASURED: Self = Self {
        full: 20_000,
        most: 256,
    };
}

/// Spans of time, the oldest first: beginning and number.
#[derive(Debug)]
pub(super) struct Spans(Vec<(Timestamp, i64)>);

impl Spans {
    /// Those that documents of these times are in. Begins their months.
    pub(super) async fn around(
        tx: &mut PgConnection,
        times: &[SqlTimestamp],
    ) -> Result<Self, DbError> {
        let found: Vec<(SqlTimestamp, i64)> =
            sqlx::query_as(AROUND).bind(times).fetch_all(tx).await?;
        let spans = found.into_iter();
        Ok(Self(spans.map(|(at, id)| (at.to_jiff(), id)).collect()))
    }

    /// The number of the span that a document of this time is in; of a time before all of them, the first.
    pub(super) fn of(&self, at: Timestamp) -> i64 {
        let later = self.0.partition_point(|(starts, _)| *starts <= at);
        let found = self.0.get(later.saturating_sub(1));
        found.map_or(0, |(_, id)| *id)
    }
}

/// Counts documents that were added to spans, each named as often as it got one, and begins another span where a month's
/// last one is full. It begins behind all that is in the full one, so that no document has to move.
pub(super) async fn count(
    tx: &mut PgConnection,
    added: &[i64],
    sizes: Sizes,
) -> Result<(), DbError> {
    let full: Vec<(i64, i64)> = sqlx::query_as(ADD)
        .bind(added)
        .bind(sizes.full)
        .bind(sizes.most)
        .fetch_all(&mut *tx)
        .await?;
    for (span, target) in full {
        // What was indexed again was counted again.
        let documents: i64 = sqlx::query_scalar(RECOUNT)
            .bind(span)
            .fetch_one(&mut *tx)
            .await?;
        if documents >= target {
            sqlx::query(BEGIN).bind(span).execute(&mut *tx).await?;
        }
    }
    Ok(())
}

/// Not by `ON CONFLICT` alone: that takes a number each time, and the numbers stand before each word of the index.
const AROUND: &str = "WITH month AS (SELECT DISTINCT date_trunc('month', at, 'UTC') AS starts FROM unnest($1::timestamptz[]) AS at),
    begun AS (INSERT INTO tickets.search_span (starts) SELECT starts FROM month
        WHERE NOT EXISTS (SELECT 1 FROM tickets.search_span AS span WHERE span.starts = month.starts) ORDER BY starts
        ON CONFLICT (starts) DO NOTHING RETURNING starts, id)
    SELECT starts, id FROM begun
    UNION ALL SELECT starts, id FROM tickets.search_span WHERE starts >= (SELECT min(starts) FROM month) ORDER BY starts";

/// Adds to the counts of spans; says which seem full and are the last of their month, and at how many documents they are.
const ADD: &str = "WITH added AS (SELECT id, count(*) AS documents FROM unnest($1::bigint[]) AS id GROUP BY id),
    counted AS (UPDATE tickets.search_span SET documents = search_span.documents + added.documents FROM added
        WHERE search_span.id = added.id RETURNING search_span.id, search_span.starts, search_span.documents),
    target AS (SELECT greatest($2, sum(documents)::bigint / $3) AS documents FROM tickets.search_span)
    SELECT counted.id, target.documents FROM counted, target
    WHERE counted.documents >= target.documents
        AND NOT EXISTS (SELECT 1 FROM tickets.search_span AS later WHERE later.starts > counted.starts
            AND date_trunc('month', later.starts, 'UTC') = date_trunc('month', counted.starts, 'UTC'))";

/// The documents of `span`.
macro_rules! of_span {
    () => {
        "tickets.search_document AS document WHERE document.created_at >= span.starts
            AND document.created_at < coalesce((SELECT min(starts) FROM tickets.search_span AS later
                WHERE later.starts > span.starts), 'infinity')"
    };
}

/// How many documents a span really has.
const RECOUNT: &str = concat!(
    "UPDATE tickets.search_span AS span SET documents = (SELECT count(*) FROM ",
    of_span!(),
    ") WHERE id = $1 RETURNING documents"
);

/// Begins the span behind the last document of one, if that is the same month.
const BEGIN: &str = concat!(
    "INSERT INTO tickets.search_span (starts)
    SELECT newest.next FROM tickets.search_span AS span CROSS JOIN LATERAL (
        SELECT max(document.created_at) + interval '1 microsecond' AS next FROM ",
    of_span!(),
    ") AS newest
    WHERE span.id = $1 AND date_trunc('month', newest.next, 'UTC') = date_trunc('month', span.starts, 'UTC')
    ON CONFLICT (starts) DO NOTHING"
);

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;
    use solmu_db::ToSqlx as _;
    use solmu_testkit::Harness;
    use sqlx::Connection as _;

    use super::*;

    const SIZES: Sizes = Sizes { full: 10, most: 4 };

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// Documents a second apart, written and counted as the indexer does it.
    async fn write(tx: &mut PgConnection, from: Timestamp, documents: i64, sizes: Sizes) {
        let times: Vec<SqlTimestamp> = (0..documents)
            .map(|second| (from + second.seconds()).to_sqlx())
            .collect();
        sqlx::query(
            "INSERT INTO tickets.search_document (id, ticket_id, is_message, created_at, words)
             SELECT gen_random_uuid(), gen_random_uuid(), true, at, '' FROM unnest($1::timestamptz[]) AS at",
        )
        .bind(&times)
        .execute(&mut *tx)
        .await
        .unwrap();
        count_again(tx, &times, sizes).await;
    }

    async fn count_again(tx: &mut PgConnection, times: &[SqlTimestamp], sizes: Sizes) {
        let spans = Spans::around(tx, times).await.unwrap();
        let added: Vec<i64> = times.iter().map(|at| spans.of(at.to_jiff())).collect();
        count(tx, &added, sizes).await.unwrap();
    }

    async fn spans(tx: &mut PgConnection) -> Vec<(i64, Timestamp, i64)> {
        let all: Vec<(i64, SqlTimestamp, i64)> =
            sqlx::query_as("SELECT id, starts, documents FROM tickets.search_span ORDER BY starts")
                .fetch_all(tx)
                .await
                .unwrap();
        let all = all.into_iter();
        all.map(|(id, starts, documents)| (id, starts.to_jiff(), documents))
            .collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_span_is_followed_by_another_and_numbers_are_not_wasted() {
        let harness = Harness::new().await;
        let mut connection = harness.db.pool().acquire().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        let (may, june) = (at("2026-05-01T00:00:00Z"), at("2026-06-01T00:00:00Z"));
        let noon = at("2026-05-03T12:00:00Z");
        write(&mut tx, noon, 9, SIZES).await;
        assert_eq!(spans(&mut tx).await, [(1, may, 9)]);
        let tenth = noon + 9.seconds();
        write(&mut tx, tenth, 1, SIZES).await;
        let second = tenth + 1.microsecond();
        assert_eq!(spans(&mut tx).await, [(1, may, 10), (2, second, 0)]);
        // A late document of the full span goes there, and begins nothing.
        write(&mut tx, noon - 1.hour(), 1, SIZES).await;
        // Indexed again: counted twice, until it is looked at.
        write(&mut tx, noon + 1.hour(), 5, SIZES).await;
        let again: Vec<SqlTimestamp> = (0..5_i64)
            .map(|n| (noon + 1.hour() + n.seconds()).to_sqlx())
            .collect();
        count_again(&mut tx, &again, SIZES).await;
        assert_eq!(spans(&mut tx).await, [(1, may, 11), (2, second, 5)]);
        // The next month has a span of its own, whose number is the next one.
        write(&mut tx, june, 1, SIZES).await;
        assert_eq!(
            spans(&mut tx).await,
            [(1, may, 11), (2, second, 5), (3, june, 1)]
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_large_desk_has_longer_spans_and_a_month_ends_the_last_one() {
        let harness = Harness::new().await;
        let mut connection = harness.db.pool().acquire().await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        let sizes = Sizes { full: 10, most: 2 };
        let (april, noon) = (at("2026-04-03T12:00:00Z"), at("2026-05-03T12:00:00Z"));
        let large = Sizes {
            full: 1_000,
            most: 2,
        };
        write(&mut tx, april, 40, large).await;
        // Of 40 to 64 documents, half are 20 to 32.
        for (count, counts) in [
            (14, vec![40, 14]),
            (10, vec![40, 24]),
            (10, vec![40, 34, 0]),
        ] {
            let from = noon + i64::from(count).minutes() + 1.hour();
            write(&mut tx, from, i64::from(count), sizes).await;
            let all: Vec<i64> = spans(&mut tx).await.iter().map(|it| it.2).collect();
            assert_eq!(all, counts);
        }
        // Full in the last microsecond of a month: the next one begins by itself.
        let last = at("2026-07-31T23:59:59.999999Z");
        write(&mut tx, last, 1, Sizes { full: 1, most: 100 }).await;
        let starts: Vec<Timestamp> = spans(&mut tx).await.iter().map(|it| it.1).collect();
        assert_eq!(starts[3..], [at("2026-07-01T00:00:00Z")]);
    }
}
