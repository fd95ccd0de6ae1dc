//! What is asked all day is answered by an index: with sequential scans forbidden, a plan that still has one has no index
//! to use. Costs are not looked at, so that the answer does not depend on how full a table is.

use jiff::ToSpan as _;
use solmu_db::ToSqlx as _;
use solmu_domain::ids::AgentId;
use solmu_runtime::access::{Caller, Role};
use solmu_testkit::Harness;
use solmu_ticketstore::config::Config;
use sqlx::{Connection as _, PgConnection, Postgres, QueryBuilder, pool::PoolConnection};

use super::{MATCHING, Selection, TEXTS, Written};
use crate::{
    context::Context,
    list::{Order, page_query},
};

async fn plan(connection: &mut PgConnection, mut query: QueryBuilder<Postgres>) -> String {
    let lines: Vec<String> = query
        .build_query_scalar()
        .persistent(false)
        .fetch_all(connection)
        .await
        .unwrap();
    lines.join("\n")
}

/// A connection that uses an index wherever there is one.
async fn without_scans(harness: &Harness) -> PoolConnection<Postgres> {
    let mut connection = harness.db.pool().acquire().await.unwrap();
    sqlx::query("SELECT set_config('enable_seqscan', 'off', false), set_config('enable_sort', 'off', false)")
        .execute(&mut *connection)
        .await
        .unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_lists_have_their_indexes() {
    let harness = Harness::new().await;
    let context = Context::new(&harness.runtime("plans"), Config::default());
    let mut connection = without_scans(&harness).await;
    let agent = AgentId::from_uuid(uuid::Uuid::from_u128(7));
    let caller = Caller::new("t", Role::Agent, Some(agent));
    let id = "0198c5d2-7a10-7bb2-8e4f-0242ac120002";
    let urgent = Some((Some(1_700_000_000_000_000), uuid::Uuid::nil()));
    let last = Some((None, uuid::Uuid::nil()));
    let cases = [
        ("", Order::Urgency, None, "ticket_queue"),
        ("", Order::Urgency, urgent, "ticket_queue"),
        ("", Order::Urgency, last, "ticket_queue"),
        ("", Order::Newest, None, "ticket_created"),
        ("", Order::Oldest, urgent, "ticket_created"),
        ("open = true", Order::Urgency, None, "ticket_queue"),
        (
            "create_time = 2026-04",
            Order::Newest,
            None,
            "ticket_created",
        ),
        ("contact = ID", Order::Urgency, None, "ticket_"),
        ("number = 1042", Order::Urgency, None, "ticket_"),
        (
            "open = true team = ID",
            Order::Urgency,
            None,
            "ticket_queue_team",
        ),
        (
            "status = open team = ID",
            Order::Urgency,
            urgent,
            "ticket_queue_team",
        ),
        (
            "open = true assignee = me",
            Order::Urgency,
            None,
            "ticket_queue_assignee",
        ),
    ];
    for (number, (filter, order, after, wanted)) in cases.into_iter().enumerate() {
        if number == 9 {
            // Empty tables make every index cost the same: without these, the others show whether they fit.
            sqlx::query("DROP INDEX tickets.ticket_queue, tickets.ticket_queue_open, tickets.ticket_created")
                .execute(&mut *connection)
                .await
                .unwrap();
        }
        let filter = filter.replace("ID", id);
        let written = Written {
            filter: &filter,
            time_zone: "",
            caller: Some(&caller),
        };
        let selection = Selection::read(&context, written).await.unwrap();
        let query = page_query(["EXPLAIN ", ""], &selection, order, after, 51).unwrap();
        let plan = plan(&mut connection, query).await;
        assert!(
            !plan.contains("Seq Scan") && plan.contains(wanted),
            "{filter} {order:?}:\n{plan}"
        );
    }
}

/// How often a search, of a desk that is large enough for the planner to care, reads its table whole: never, however
/// common the word is. By PostgreSQL's own count, which also sees what a function does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_never_reads_all_documents() {
    let harness = Harness::new().await;
    let mut connection = harness.db.pool().acquire().await.unwrap();
    sqlx::query("INSERT INTO tickets.search_span (starts, documents) SELECT '2026-11-20'::timestamptz - n * interval '10 days', 720
        FROM generate_series(5, 1, -1) AS n")
        .execute(&mut *connection)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO tickets.search_document (id, ticket_id, is_message, created_at, words)
         SELECT gen_random_uuid(), gen_random_uuid(), true, at,
            format('''%1$s:kaikki'' ''%1$s:w%2$s'' ''%1$s:r%3$s''', span.id, n % 7, n)::tsvector
         FROM generate_series(1, 3000) AS n, LATERAL (SELECT '2026-11-20T00:00:00Z'::timestamptz - n * interval '20 minutes'
            AS at) AS made, LATERAL (SELECT id FROM tickets.search_span WHERE starts <= at ORDER BY starts DESC LIMIT 1) AS span",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
    sqlx::query("ANALYZE tickets.search_document")
        .execute(&mut *connection)
        .await
        .unwrap();
    // The newest one by itself, then two, then the rest.
    let windows = |asked: &str| {
        let of = |spans: &[i64]| {
            let asked = spans
                .iter()
                .map(|span| asked.replace('#', &span.to_string()));
            asked.collect::<Vec<String>>().join(" | ")
        };
        vec![of(&[5]), of(&[4, 3]), of(&[2, 1])]
    };
    let mut tx = connection.begin().await.unwrap();
    let before = scans(&mut tx).await;
    for (asked, wanted, expected) in [
        ("'#:kaikki'", 400_i64, 400),
        ("'#:kaikki'", 2_900, 2_900),
        ("'#:kaikki'", 100, 100),
        ("('#:w3' & !'#:r10')", 30, 30),
        ("'#:r77'", 50, 1),
        ("'#:r2077'", 50, 1),
        ("'#:nothing'", 50, 0),
    ] {
        let found: Vec<super::Match> = sqlx::query_as(MATCHING)
            .bind(windows(asked))
            .bind(None::<Vec<String>>)
            .bind(super::FAR.to_sqlx())
            .bind(uuid::Uuid::max())
            .bind(wanted)
            .bind(1_000_i64)
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        assert_eq!(found.len(), expected, "{asked}");
        let times: Vec<_> = found.iter().map(|it| it.0.to_jiff()).collect();
        assert!(times.is_sorted_by(|newer, older| newer >= older), "{asked}");
    }
    // Words that stand together everywhere and side by side nowhere: no more are looked at than the call may.
    for (candidates, looked_at) in [(1_000_i64, 1_000_usize), (5_000, 0)] {
        let found: Vec<super::Looked> = sqlx::query_as(MATCHING)
            .bind(windows("'#:kaikki' <-> '#:kaikki'"))
            .bind(Some(windows("'#:kaikki'")))
            .bind(super::FAR.to_sqlx())
            .bind(uuid::Uuid::max())
            .bind(50_i64)
            .bind(candidates)
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        let at: Vec<_> = found.iter().map(|it| (it.0.to_jiff(), it.2)).collect();
        let newest: jiff::Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let minutes = i64::try_from(looked_at).unwrap() * 20;
        let last = (looked_at > 0).then(|| (newest - minutes.minutes(), None));
        assert_eq!(at, Vec::from_iter(last));
    }
    let after = scans(&mut tx).await;
    assert_eq!(after.0, before.0, "sequential scans");
    assert!(after.1 > before.1, "index scans");
}

/// Sequential scans and index scans of the documents, by this connection.
async fn scans(connection: &mut PgConnection) -> (i64, i64) {
    sqlx::query_as(
        "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables
         WHERE schemaname = 'tickets' AND relname = 'search_document'",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_begins_and_ends_at_its_indexes() {
    let harness = Harness::new().await;
    let mut connection = without_scans(&harness).await;
    for (statement, index) in [
        (
            "SELECT queued_at FROM tickets.search_queue ORDER BY id LIMIT 1",
            "search_queue_pkey",
        ),
        (TEXTS, "message_pkey"),
    ] {
        let statement = statement.replace("$1", "'{00000000-0000-0000-0000-000000000000}'::uuid[]");
        let query = QueryBuilder::<Postgres>::new(format!("EXPLAIN {statement}"));
        let plan = plan(&mut connection, query).await;
        assert!(!plan.contains("Seq Scan") && plan.contains(index), "{plan}");
    }
}
