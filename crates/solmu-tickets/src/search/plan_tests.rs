//! What is asked all day is answered by an index: with sequential scans forbidden, a plan that still has one has no index
//! to use. Costs are not looked at, so that the answer does not depend on how full a table is.

use solmu_domain::ids::AgentId;
use solmu_runtime::access::{Caller, Role};
use solmu_testkit::Harness;
use sqlx::{PgConnection, Postgres, QueryBuilder, pool::PoolConnection};

use super::{MATCHING, Selection, Written};
use crate::{
    Config,
    api::list::{Order, page_query},
    context::Context,
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
        let query = page_query("EXPLAIN ", &selection, order, after, 51).unwrap();
        let plan = plan(&mut connection, query).await;
        assert!(
            !plan.contains("Seq Scan") && plan.contains(wanted),
            "{filter} {order:?}:\n{plan}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn searches_have_their_indexes() {
    let harness = Harness::new().await;
    let mut connection = without_scans(&harness).await;
    for statement in [
        MATCHING,
        "SELECT max(created_at) FROM tickets.search_document WHERE created_at IS NOT NULL AND $1::text IS NOT NULL
            AND $2::timestamptz IS NOT NULL AND $3::uuid IS NOT NULL AND $4::bigint IS NOT NULL",
    ] {
        let mut query = QueryBuilder::<Postgres>::new("EXPLAIN ");
        let mut rest = statement;
        // The statement with its binds, in their order.
        for (number, value) in ["'lasku'", "now()", "'00000000-0000-0000-0000-000000000000'::uuid", "50"]
            .into_iter()
            .enumerate()
        {
            let (before, after) = rest.split_once(&format!("${}", number + 1)).unwrap();
            query.push(before).push(value);
            rest = after;
        }
        query.push(rest);
        let plan = plan(&mut connection, query).await;
        assert!(!plan.contains("Seq Scan"), "{plan}");
        assert!(plan.contains("search_document_"), "{plan}");
    }
}
