//! The doctor on the real engines.

use solmu_bus::Bus;
use solmu_testkit::Harness;

use super::*;

fn find<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings
        .iter()
        .find(|finding| finding.check == check)
        .unwrap_or_else(|| panic!("no finding '{check}' in {findings:#?}"))
}

#[tokio::test]
async fn a_database_is_examined() {
    let harness = Harness::new().await;
    let now = solmu_domain::clock::Clock::now(&solmu_domain::clock::SystemClock);
    let findings = examine_postgres(&harness.db, now, 1, false).await;
    for check in ["postgres", "schema", "rights", "postgres connections"] {
        assert_eq!(
            find(&findings, check).verdict,
            Verdict::Good,
            "{findings:#?}"
        );
    }
    assert_eq!(find(&findings, "tables").verdict, Verdict::Good);
    // The engines of a test run do not sync, and that is found out.
    let durability = find(&findings, "postgres durability");
    assert_eq!(durability.verdict, Verdict::Bad);
    assert!(durability.found.contains("fsync = off"), "{durability:?}");
}

#[tokio::test]
async fn what_somebody_dropped_is_found() {
    let harness = Harness::new().await;
    let now = solmu_domain::clock::Clock::now(&solmu_domain::clock::SystemClock);
    for statement in [
        "DROP TABLE tickets.follower CASCADE",
        "DROP INDEX tickets.message_inbound",
        "INSERT INTO public._sqlx_migrations SELECT 9999, description, now(), success, checksum, execution_time
         FROM public._sqlx_migrations LIMIT 1",
    ] {
        sqlx::query(statement)
            .execute(harness.db.pool())
            .await
            .unwrap();
    }
    let findings = examine_postgres(&harness.db, now, 1, false).await;
    let tables = find(&findings, "tables");
    assert_eq!(tables.verdict, Verdict::Bad);
    assert!(
        tables.found.starts_with("gone: tickets.follower (of 0"),
        "{tables:?}"
    );
    let indexes = find(&findings, "indexes");
    assert!(
        indexes.found.contains("tickets.message_inbound"),
        "{indexes:?}"
    );
    let schema = find(&findings, "schema");
    assert_eq!(schema.verdict, Verdict::Warning);
    assert!(schema.found.starts_with("version 9999,"), "{schema:?}");
    assert!(schema.advice.contains("a newer release"), "{schema:?}");
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_no_matter_of_firewalls() {
    let now = solmu_domain::clock::Clock::now(&solmu_domain::clock::SystemClock);
    let config = solmu_db::DbConfig::default();
    let db = solmu_db::Db::new("postgres://nobody@127.0.0.1:1/nothing", &config).unwrap();
    let findings = examine_postgres(&db, now, 1, false).await;
    let postgres = find(&findings, "postgres");
    assert_eq!(postgres.verdict, Verdict::Bad);
    assert!(
        postgres.advice.starts_with("nothing listens there"),
        "{postgres:?}"
    );
    let nats = bus_unreachable("nats://127.0.0.1:1").await.unwrap();
    assert!(nats.advice.starts_with("nothing listens there"), "{nats:?}");

    let harness = Harness::new().await;
    assert_eq!(bus_unreachable(&harness.nats_url).await, None);
}

#[tokio::test]
async fn a_bus_is_examined() {
    let harness = Harness::new().await;
    let now = solmu_domain::clock::Clock::now(&solmu_domain::clock::SystemClock);
    let findings = examine_bus(&harness.bus, now, 1, &[], true).await;
    assert!(
        findings.iter().all(|it| it.verdict == Verdict::Good),
        "{findings:#?}"
    );
    // Another number of replicas is wanted than there are.
    let findings = examine_bus(&harness.bus, now, 3, &[], false).await;
    assert!(
        find(&findings, "streams").found.contains("INBOUND"),
        "{findings:#?}"
    );
    assert_eq!(find(&findings, "nats durability").verdict, Verdict::Warning);

    let mut config = harness.bus.config().clone();
    config.namespace += "x";
    let empty = Bus::connect(&harness.nats_url, config).await.unwrap();
    let findings = examine_bus(&empty, now, 1, &[], true).await;
    let streams = find(&findings, "streams");
    assert_eq!(streams.verdict, Verdict::Bad);
    assert!(streams.found.contains("is missing"), "{streams:?}");
}
