//! Whoever adds a table decides whether an export has it.

use std::collections::BTreeSet;

use solmu_testkit::Harness;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_is_exported_or_named_with_a_reason() {
    let harness = Harness::new().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_schema || '.' || table_name FROM information_schema.tables
         WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(harness.db.pool())
    .await
    .unwrap();
    let tables: BTreeSet<&str> = tables.iter().map(String::as_str).collect();
    let named: Vec<&str> = EXPORTED
        .iter()
        .map(|it| it.table)
        .chain(IN_PARTS)
        .chain(NOT_EXPORTED.iter().flat_map(|(_, tables)| *tables).copied())
        .collect();
    let once: BTreeSet<&str> = named.iter().copied().collect();
    assert_eq!(once.len(), named.len(), "a table is named twice");
    let missing: Vec<_> = tables.difference(&once).collect();
    assert!(
        missing.is_empty(),
        "new tables: say in inventory.rs whether something of a person is in them: {missing:?}"
    );
    let gone: Vec<_> = once.difference(&tables).collect();
    assert!(gone.is_empty(), "there are no such tables: {gone:?}");
    for it in EXPORTED {
        assert!(it.statement.contains(it.table), "{}", it.kind);
        assert!(
            it.statement.contains("$1") && it.statement.contains("$2"),
            "{}",
            it.kind
        );
    }
}
