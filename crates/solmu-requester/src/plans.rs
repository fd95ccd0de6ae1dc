//! What a portal asks with each click reads what it needs by an index, and nothing else.

use solmu_testkit::Harness;
use sqlx::{AssertSqlSafe, PgPool};

use crate::find;

/// So many contacts, each with a ticket and a message, every tenth merged, that reading all is dearer than an index.
const FILL: [&str; 6] = [
    "INSERT INTO tickets.contact (id, display_name, created_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'p', now() - n * interval '1 second' FROM generate_series(1, 20000) AS n",
    "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
            conversation_key, created_at, updated_at, merged_into)
        SELECT id, number, '', 'new', 'normal', id, 1, '', '', id::text, created_at, created_at,
            CASE WHEN number % 10 = 0 THEN lag(id) OVER (ORDER BY number) END
        FROM (SELECT *, row_number() OVER (ORDER BY id) AS number FROM tickets.contact) AS contact",
    "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, author_kind, author_id, public, body_text,
            automatic_class, created_at, sighting_id)
        SELECT id, coalesce(merged_into, id), CASE WHEN merged_into IS NULL THEN 1 ELSE 2 END, 1, '', 1, id::text, true,
            'words', 1, created_at, id FROM tickets.ticket",
    "INSERT INTO tickets.ticket_merge (id, source_id, target_id, source_status, participants, actor_kind, actor_id, reason,
            merged_at)
        SELECT id, id, merged_into, 'new', '{}', 2, '', '', now() FROM tickets.ticket WHERE merged_into IS NOT NULL",
    "INSERT INTO tickets.merged_message (merge_id, message_id, sequence) SELECT id, id, 1 FROM tickets.ticket_merge",
    "ANALYZE",
];

/// A contact in the middle, their sighting and their ticket.
const ONE: &str = "'00000000000000000000000000002718'";

async fn plan(pool: &PgPool, statement: &str, arguments: &[&str]) -> String {
    let mut statement = statement.to_owned();
    for (number, argument) in arguments.iter().enumerate().rev() {
        statement = statement.replace(&format!("${}", number + 1), argument);
    }
    let lines: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {statement}")))
        .fetch_all(pool)
        .await
        .unwrap();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_from_end_to_end() {
    let harness = Harness::new().await;
    let pool = harness.db.pool();
    for statement in FILL {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
    let ids = format!("ARRAY[{ONE}]::uuid[]");
    let (ids, end) = (ids.as_str(), "'ffffffffffffffffffffffffffffffff'");
    for (what, statement, arguments) in [
        (
            "tickets",
            find::LIST,
            vec![ids, ids, ids, "true", "now()", end, "21"],
        ),
        ("ticket", find::ONE, vec![ids, ids, ONE]),
        ("messages", find::MESSAGES, vec![ids, ids, ONE, "0", "51"]),
    ] {
        let plan = plan(pool, statement, &arguments).await;
        assert!(!plan.contains("Seq Scan"), "{what}:\n{plan}");
    }
}
