//! Dead letters by hand: one that nobody can ever do is told, and can be dropped with its bytes kept.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

use crate::support::{Home, Ports, Settings, Solmu, wait};

/// How long nats-server may take for an answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Publishes bytes that are no event, as a stranger with access to the bus could.
fn publish(url: &str, subject: &str, bytes: &str) {
    let (token, address) = url
        .trim_start_matches("nats://")
        .split_once('@')
        .expect("a private server has a token");
    let mut server = TcpStream::connect(address).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let connect = serde_json::json!({"verbose": false, "pedantic": false, "auth_token": token});
    write!(
        server,
        "CONNECT {connect}\r\nPUB {subject} {}\r\n{bytes}\r\nPING\r\n",
        bytes.len()
    )
    .unwrap();
    let mut lines = BufReader::new(server).lines();
    let pong = lines.find(|line| {
        let line = line.as_ref().unwrap();
        assert!(!line.starts_with("-ERR"), "{line}");
        line == "PONG"
    });
    assert!(pong.is_some(), "nats-server closed the connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_nobody_can_read_is_told_and_dropped() {
    let home = Home::new();
    Settings::default().write(&home);
    let (solmu, _) = Solmu::start(&home, "solmu", Ports::free(), &[]).await;
    let (_, nats) = home.engine_urls();
    publish(&nats, "solmu.inbound.v1.0", "no event at all");
    let listed = || home.run(&["--json", "dead", "list"]);
    let text = wait("it is a dead letter", async || {
        Some(listed()).filter(|text| !text.is_empty())
    })
    .await;
    let letter: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(letter["cause_code"], "undecodable");
    let number = letter["sequence"].to_string();

    for arguments in [vec!["dead", "replay"], vec!["dead", "replay", &number]] {
        let replayed = home.try_run(&arguments);
        let said = String::from_utf8_lossy(&replayed.stderr).into_owned();
        assert!(!replayed.status.success(), "{said}");
        assert_eq!(String::from_utf8_lossy(&replayed.stdout), "replayed 0\n");
        assert!(said.contains("it holds no event"), "{said}");
    }
    let asked = home.try_run(&["dead", "drop", &number, "--reason", "a test"]);
    assert!(!asked.status.success());
    assert!(!listed().is_empty(), "nothing is dropped without --yes");

    let kept = home.beside("letter").display().to_string();
    let drop = [
        "dead", "drop", &number, "--reason", "a test", "--yes", "--keep", &kept,
    ];
    let dropped: Value =
        serde_json::from_str(&home.run(&[&["--json"], &drop[..]].concat())).unwrap();
    assert_eq!(dropped["message"], "dead letter dropped");
    assert_eq!(dropped["reason"], "a test");
    assert_eq!(dropped["consumer"], "tickets-inbound");
    assert_eq!(listed(), "");
    let bytes = std::fs::read(&kept).unwrap();
    assert!(bytes.windows(15).any(|part| part == b"no event at all"));
    solmu.stop().await;
}
