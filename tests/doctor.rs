//! `solmu doctor` on a fresh installation: nothing is bad, and what is wrong is found out.

use serde_json::Value;

use crate::support::{Home, Ports, Settings, Solmu};

/// Commands that print much and need nothing that runs.
const UNREAD: [&[&str]; 5] = [
    &["config", "schema"],
    &["config", "docs"],
    &["config", "print"],
    &["api", "openapi"],
    &["api", "permissions"],
];

fn findings(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_installation_is_well_and_a_stopped_one_is_not() {
    let home = Home::new();
    Settings::default().write(&home);
    let (solmu, _) = Solmu::start(&home, "solmu", Ports::free(), &[]).await;
    let found = findings(&home.run(&["--json", "doctor"]));
    let bad: Vec<&Value> = found.iter().filter(|it| it["verdict"] == "bad").collect();
    assert!(bad.is_empty(), "{bad:#?}");
    for check in [
        "postgres durability",
        "schema",
        "tables",
        "nats durability",
        "streams",
        "clock",
        "objects",
    ] {
        let finding = found.iter().find(|it| it["check"] == check);
        assert!(
            finding.is_some_and(|it| it["verdict"] == "good"),
            "{check}: {found:#?}"
        );
    }
    // Who reads may go at any time (`| head -1`).
    let mut unread: Vec<&[&str]> = UNREAD.to_vec();
    unread.extend([
        &["doctor"] as &[_],
        &["--json", "doctor"],
        &["dead", "list"],
    ]);
    for arguments in unread {
        let ended = home.run_unread(arguments);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{arguments:?}: {said}");
    }
    solmu.stop().await;

    let stopped = home.try_run(&["doctor"]);
    let said = String::from_utf8_lossy(&stopped.stdout).into_owned();
    assert!(!stopped.status.success(), "{said}");
    assert!(said.contains("BAD") && said.contains("->"), "{said}");
}
