//! Statements that run with each message or each click read what they need by an index, and nothing else.

use solmu_runtime::access::Visibility;
use solmu_testkit::Harness;
use sqlx::{AssertSqlSafe, PgPool};

use crate::{encounters, neighbours, read};

/// So many contacts, each with an address, a sighting, a message and an organisation, that reading all of them is dearer than an index.
const FILL: [&str; 10] = [
    "INSERT INTO tickets.contact (id, display_name, created_at, root_id)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'p', now() - n * interval '1 second',
            CASE WHEN n % 10 = 9 THEN lpad(to_hex(n - 1), 32, '0')::uuid END FROM generate_series(1, 20000) AS n",
    "INSERT INTO tickets.identity (kind, scope, value, raw, contact_id, assurance, attested_by, first_seen)
        SELECT 1, '', 'p' || created_at, '', id, 3, '', created_at FROM tickets.contact",
    "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
            conversation_key, created_at, updated_at)
        SELECT id, row_number() OVER (), '', 'new', 'normal', id, 1, '', '', id::text, created_at, created_at FROM tickets.contact",
    "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, author_kind, author_id, public, body_text,
            automatic_class, created_at)
        SELECT id, id, 1, 1, '', 1, id::text, true, 'words', 1, created_at FROM tickets.contact",
    "INSERT INTO tickets.sighting (id, contact_id, name, evidence, seen_at, pending)
        SELECT id, id, 'p', '[]', created_at, false FROM tickets.contact",
    "INSERT INTO tickets.sighting_value SELECT 1, 'p' || created_at, id FROM tickets.contact",
    "INSERT INTO tickets.contact_merge (id, winner_id, loser_id, rule, actor_kind, actor_id, created_at)
        SELECT id, root_id, id, 'x', 3, '', created_at FROM tickets.contact WHERE root_id IS NOT NULL",
    "INSERT INTO tickets.organization (id, display_name, created_at, updated_at)
        SELECT id, 'o', created_at, created_at FROM tickets.contact",
    "INSERT INTO tickets.organization_domain SELECT id || '.example', id FROM tickets.contact",
    "ANALYZE",
];

/// A contact in the middle, and what is asked of it.
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
    let end = "'ffffffffffffffffffffffffffffffff'";
    let list = format!(
        "{} WHERE contact.root_id IS NULL ORDER BY contact.created_at DESC, contact.id DESC LIMIT 51",
        read::select().sql().as_str()
    );
    let person = read::of_person(uuid::Uuid::nil(), &Visibility::Everything);
    let person = person.sql();
    for (what, statement, arguments) in [
        ("contact", person.as_str(), vec![ONE]),
        (
            "timeline",
            encounters::STATEMENT,
            vec![ONE, "now()", end, "51", "200", "NULL", "NULL", "NULL"],
        ),
        (
            "neighbours by value",
            neighbours::SHARING,
            vec![ids.as_str(), "100"],
        ),
        (
            "neighbours by contact",
            neighbours::OF_CONTACTS,
            vec![ids.as_str(), "100"],
        ),
        ("identities", read::IDENTITIES, vec![ids.as_str()]),
        ("contacts", list.as_str(), vec![]),
    ] {
        let plan = plan(pool, statement, &arguments).await;
        assert!(!plan.contains("Seq Scan"), "{what}:\n{plan}");
    }
}
