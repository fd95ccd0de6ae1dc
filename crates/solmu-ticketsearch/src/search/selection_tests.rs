//! Filters on a desk that is large enough for PostgreSQL to choose: the right tickets, by the right index, or an end.

use std::time::Duration;

use solmu_conditions::fold;
use solmu_db::{Db, DbConfig};
use solmu_proto::ticket::v1::ListTicketsRequest;
use solmu_testkit::Harness;
use solmu_ticketstore::config::Config;
use sqlx::{PgPool, Postgres, QueryBuilder};

use super::{Selection, Written};
use crate::{context::Context, list};

/// Contacts with a name and a ticket each; of every tenth ticket the amount is n/4, which has two digits after the point.
const FILL: [&str; 6] = [
    "INSERT INTO tickets.contact (id, display_name, created_at)
        SELECT lpad(to_hex(n), 32, '0')::uuid, 'Äiti ' || n, now() FROM generate_series(1, 8000) AS n",
    "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
            conversation_key, created_at, updated_at)
        SELECT id, row_number() OVER (ORDER BY id), '', 'new', 'normal', id, 1, '', '', id::text, created_at, created_at
        FROM tickets.contact",
    "UPDATE tickets.ticket SET fields = jsonb_build_object('amount', jsonb_build_array(trim_scale(number / 4.0)::text))
        WHERE number % 10 = 0",
    "UPDATE tickets.ticket SET restricted_to = '{}', wake_at = '2026-12-01T00:00:00Z',
            first_response_due = '2026-11-30T00:00:00Z' WHERE number = 50",
    "INSERT INTO tickets.field (key, label, kind, created_at, updated_at) VALUES ('amount', '', 'number', now(), now())",
    "ANALYZE",
];

async fn filled(harness: &Harness) -> Context {
    for statement in FILL {
        let done = sqlx::query(statement).execute(harness.db.pool()).await;
        done.unwrap();
    }
    Context::new(&harness.runtime("filters"), Config::default())
}

async fn selection(context: &Context, filter: &str) -> Selection {
    let written = Written {
        filter,
        time_zone: "",
        caller: None,
    };
    let selection = Selection::read(context, written).await;
    selection.unwrap_or_else(|error| panic!("{filter}: {error}"))
}

/// Numbers of the tickets, and how they were found.
async fn found(pool: &PgPool, selection: &Selection) -> (Vec<i64>, String) {
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new("SELECT number FROM tickets.ticket WHERE ");
    selection.push(&mut query).unwrap();
    query.push(" ORDER BY number");
    let numbers = query.build_query_scalar().fetch_all(pool).await.unwrap();
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new("EXPLAIN SELECT number FROM tickets.ticket WHERE ");
    selection.push(&mut query).unwrap();
    let query = query.build_query_scalar().persistent(false);
    let plan: Vec<String> = query.fetch_all(pool).await.unwrap();
    (numbers, plan.join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amounts_names_and_restrictions_are_found_by_their_index() {
    let harness = Harness::new().await;
    let context = filled(&harness).await;
    for (filter, numbers, index) in [
        ("fields.amount = 12.5", vec![50], "ticket_fields"),
        ("fields.amount = 12.500", vec![50], "ticket_fields"),
        ("fields.amount = 12", vec![], "ticket_fields"),
        ("fields.amount > 1997.4 number > 100", vec![7990, 8000], ""),
        ("fields.amount < 7.5", vec![10, 20], ""),
        (
            "fields.amount >= 2.5 fields.amount <= 7.50 fields.amount != 5",
            vec![10, 30],
            "",
        ),
        ("fields.amount = (2.5 OR 2000.00)", vec![10, 8000], ""),
        ("contact_name = \"äiti 77\"", vec![77], "contact_name"),
        (
            "contact_name = \"ÄITI 777*\"",
            vec![
                777, 7770, 7771, 7772, 7773, 7774, 7775, 7776, 7777, 7778, 7779,
            ],
            "contact_name",
        ),
        ("restricted = true", vec![50], "ticket_restricted"),
        ("wake_time < 9999-12-31", vec![50], "ticket_wake"),
        ("first_response_due_time = 2026-11-30", vec![50], ""),
        (
            "resolution_due_time:* OR next_response_due_time:*",
            vec![],
            "",
        ),
        (
            "contact != 00000000-0000-0000-0000-000000000001 number < 3",
            vec![2],
            "",
        ),
        ("requester_email != \"a@c.example\" number < 3", vec![], ""),
        ("number = 50 created < 9999-12-31", vec![50], ""),
    ] {
        let selection = selection(&context, filter).await;
        let (found, plan) = found(harness.db.pool(), &selection).await;
        assert_eq!(found, numbers, "{filter}");
        assert!(plan.contains(index), "{filter}:\n{plan}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_takes_too_long_is_answered_with_what_to_do() {
    let harness = Harness::new().await;
    let mut context = Context::new(&harness.runtime("slow"), Config::default());
    let config = DbConfig {
        max_connections: 4,
        read_timeout: Duration::from_millis(200),
        ..DbConfig::default()
    };
    context.db = Db::new(&harness.db_url, &config).unwrap();
    // Nothing is slower than what somebody else holds.
    let mut holding = harness.db.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE tickets.ticket IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *holding)
        .await
        .unwrap();
    let request = ListTicketsRequest::default();
    let late = list::tickets(&context, &request, None).await.unwrap_err();
    assert_eq!(late.reason(), "DEADLINE_EXCEEDED");
    holding.rollback().await.unwrap();
    list::tickets(&context, &request, None).await.unwrap();
}

/// What the index of names was folded by is what filters fold by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_folded_alike_in_the_index_and_in_filters() {
    let harness = Harness::new().await;
    let characters: Vec<char> = ['\u{1}'..='\u{3100}', '\u{fd00}'..='\u{10010}']
        .into_iter()
        .flatten()
        .collect();
    for block in characters.chunks(5_000) {
        let texts = block.iter().map(|letter| format!("a{letter}\u{308}b"));
        let texts: Vec<String> = texts.collect();
        let folded: Vec<String> = sqlx::query_scalar(
            "SELECT tickets.folded(sample) FROM unnest($1::text[]) WITH ORDINALITY AS samples (sample, place) ORDER BY place",
        )
        .bind(&texts)
        .fetch_all(harness.db.pool())
        .await
        .unwrap();
        let differing = texts
            .iter()
            .zip(&folded)
            .find(|(text, it)| fold(text) != **it);
        assert_eq!(differing, None);
    }
}
