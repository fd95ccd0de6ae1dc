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
    // The engines of a test run do not sync, and that is found out.
    let durability = find(&findings, "postgres durability");
    assert_eq!(durability.verdict, Verdict::Bad);
    assert!(durability.found.contains("fsync = off"), "{durability:?}");
}

#[tokio::test]
async fn a_bus_is_examined() {
    let harness = Harness::new().await;
    let now = solmu_domain::clock::Clock::now(&solmu_domain::clock::SystemClock);
    let findings = examine_bus(&harness.bus, now, 1, None, true).await;
    assert!(
        findings.iter().all(|it| it.verdict == Verdict::Good),
        "{findings:#?}"
    );
    // Another number of replicas is wanted than there are.
    let findings = examine_bus(&harness.bus, now, 3, None, false).await;
    assert!(
        find(&findings, "streams").found.contains("INBOUND"),
        "{findings:#?}"
    );
    assert_eq!(find(&findings, "nats durability").verdict, Verdict::Warning);

    let mut config = harness.bus.config().clone();
    config.namespace += "x";
    let empty = Bus::connect(&harness.nats_url, config).await.unwrap();
    let findings = examine_bus(&empty, now, 1, None, true).await;
    let streams = find(&findings, "streams");
    assert_eq!(streams.verdict, Verdict::Bad);
    assert!(streams.found.contains("is missing"), "{streams:?}");
}
