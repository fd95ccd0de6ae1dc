//! NATS: version, rights, durability, streams, what waits, dead letters.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use solmu_bus::{Bus, lag::Survey, streams};

use super::{
    Finding,
    monitoring::{self, JetStream, JetStreamConfig},
};

/// The oldest server that works.
const VERSION: (u32, u32) = (2, 10);
/// How long to wait for the connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that a message must be allowed to have.
const MAX_PAYLOAD: usize = 1_000_000;
/// Streams that reserve their size.
#[expect(clippy::cast_possible_wrap, reason = "there are five")]
const NEEDED_STREAMS: i64 = streams::STREAMS.len() as i64;
/// Age from which something that waits is worth a word.
const OLD: SignedDuration = SignedDuration::from_mins(2);

/// Looks at the bus. `monitoring` is `host:port` of a server's monitoring, `own` whether the server is a private one.
pub async fn examine(
    bus: &Bus,
    now: Timestamp,
    replicas: usize,
    monitoring: Option<&str>,
    own: bool,
) -> Vec<Finding> {
    let connected = async {
        while !bus.is_connected() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, connected).await.is_err() {
        return vec![Finding::bad(
            "nats",
            "no connection",
            "is it running, and are host, user and password of nats.url right?",
        )];
    }
    let mut findings = vec![server(bus)];
    if !bus.answers().await {
        findings.push(Finding::bad(
            "jetstream",
            "no answer",
            "is JetStream enabled for this account, and may this user publish to $JS.API.INFO?",
        ));
        return findings;
    }
    let room = NEEDED_STREAMS * bus.config().max_stream_bytes.max(0);
    findings.extend(storage(monitoring, own, room, replicas).await);
    match streams::differences(bus, replicas).await {
        lines if lines.is_empty() => findings.push(Finding::good(
            "streams",
            "all are there, as this release defines them",
        )),
        lines => findings.push(Finding::bad(
            "streams",
            lines.join("; "),
            "run `solmu streams apply`",
        )),
    }
    match bus.survey().await {
        Ok(survey) => findings.extend(waiting(&survey, now)),
        Err(error) => findings.push(Finding::warning(
            "lag",
            error.to_string(),
            "look at it as a user that may list consumers (admin of deploy/nats/users.conf)",
        )),
    }
    findings
}

fn server(bus: &Bus) -> Finding {
    let info = bus.client().server_info();
    let found = format!("nats-server {}", info.version);
    let mut parts = info
        .version
        .split('.')
        .map(|part| part.parse().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version < VERSION {
        let advice = format!("use {}.{} or newer", VERSION.0, VERSION.1);
        return Finding::bad("nats", found, advice);
    }
    if info.max_payload < MAX_PAYLOAD {
        let found = format!("max_payload is {}", info.max_payload);
        return Finding::bad(
            "nats",
            found,
            "set max_payload to 1MB: our batches have up to 960 KiB",
        );
    }
    Finding::good("nats", found)
}

/// What the monitoring address tells: whether a publish is on disk when it is acknowledged, the one setting that loses
/// messages silently; and whether `room` bytes of streams with so many replicas fit into the store.
async fn storage(monitoring: Option<&str>, own: bool, room: i64, replicas: usize) -> Vec<Finding> {
    const CHECK: &str = "nats durability";
    if own {
        let found = "a private server, started with sync_interval: always";
        return vec![Finding::good(CHECK, found)];
    }
    let Some(address) = monitoring else {
        return vec![Finding::warning(
            CHECK,
            "not known",
            "name the server's monitoring address (--nats-monitoring host:8222), or look yourself: it must have `sync_interval: always`",
        )];
    };
    match monitoring::ask(address).await {
        Ok(server) => {
            let mut findings = vec![synced(&server.config)];
            findings.extend(fits(&server, room, replicas));
            findings
        }
        Err(why) => vec![Finding::warning(
            CHECK,
            format!("cannot ask {address}: {why}"),
            "is the monitoring (http: in the server's configuration) reachable from here?",
        )],
    }
}

fn synced(config: &JetStreamConfig) -> Finding {
    const CHECK: &str = "nats durability";
    if config.sync_always {
        return Finding::good(CHECK, "sync_interval: always");
    }
    let interval = Duration::from_nanos(u64::try_from(config.sync_interval).unwrap_or(0));
    Finding::bad(
        CHECK,
        format!("syncs every {interval:?}"),
        "set `sync_interval: always` on every server: a power cut loses messages that senders were told are safe",
    )
}

/// The server reserves the whole size of each stream: what does not fit is refused when it is made.
fn fits(server: &JetStream, room: i64, replicas: usize) -> Option<Finding> {
    let servers = server
        .meta_cluster
        .as_ref()
        .map_or(1, |cluster| i64::from(cluster.cluster_size.max(1)));
    let needed = room.saturating_mul(i64::try_from(replicas).unwrap_or(1)) / servers;
    let store = server.config.max_storage;
    (store > 0 && store < needed).then(|| {
        Finding::bad(
            "nats store",
            format!("max_file_store is {store} bytes, and the streams reserve {needed}"),
            "raise max_file_store of the server, or lower nats.max_stream_bytes: `solmu streams apply` is told \"insufficient storage resources\"",
        )
    })
}

fn waiting(survey: &Survey, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let full: Vec<String> = survey
        .streams
        .iter()
        .filter(|(_, stream)| stream.limit > 0 && stream.bytes > stream.limit / 10 * 8)
        .map(|(name, stream)| format!("{name} {} %", stream.bytes * 100 / stream.limit))
        .collect();
    if !full.is_empty() {
        findings.push(Finding::bad(
            "room",
            format!("nearly full: {}", full.join(", ")),
            "see docs/runbooks/SolmuStreamNearlyFull.md; at 100 % senders are told to come again",
        ));
    }
    let old: Vec<String> = survey
        .consumers
        .iter()
        .filter_map(|(name, lag)| {
            let age = now.duration_since(lag.oldest?);
            (age > OLD).then(|| format!("{name}: {} for {} s", lag.pending, age.as_secs()))
        })
        .collect();
    findings.push(if old.is_empty() {
        Finding::good("lag", "nothing has waited for long")
    } else {
        Finding::warning(
            "lag",
            old.join(", "),
            "see docs/runbooks/SolmuOldestUnprocessed.md",
        )
    });
    let dead = survey
        .streams
        .get("DEAD")
        .map_or(0, |stream| stream.messages);
    if dead > 0 {
        findings.push(Finding::warning(
            "dead letters",
            dead.to_string(),
            "look at them with `solmu dead list`",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use solmu_bus::lag::{ConsumerLag, StreamLag};

    use super::{
        super::{Verdict, monitoring::MetaCluster},
        *,
    };

    #[test]
    fn a_server_that_syncs_late_or_has_no_room_is_told() {
        let config = JetStreamConfig {
            sync_always: false,
            sync_interval: 10_000_000,
            max_storage: 9,
        };
        assert_eq!(synced(&config).found, "syncs every 10ms");
        let server = JetStream {
            config,
            meta_cluster: None,
        };
        let found = fits(&server, 10, 1).unwrap();
        assert_eq!(found.verdict, Verdict::Bad);
        assert_eq!(fits(&server, 9, 1), None);
        let meta_cluster = Some(MetaCluster { cluster_size: 3 });
        let of_three = JetStream {
            meta_cluster,
            ..server
        };
        assert_eq!(fits(&of_three, 10, 1), None);
        assert!(fits(&of_three, 10, 3).is_some());
    }

    #[test]
    fn what_is_full_or_waits_is_told() {
        let now = Timestamp::from_second(10_000).unwrap();
        let mut survey = Survey::default();
        assert_eq!(waiting(&survey, now)[0].verdict, Verdict::Good);
        let stream = StreamLag {
            messages: 3,
            bytes: 90,
            limit: 100,
        };
        survey.streams.insert("DEAD", stream);
        let lag = ConsumerLag {
            pending: 7,
            unacknowledged: 0,
            oldest: Timestamp::from_second(9_000).ok(),
        };
        survey.consumers.insert("router_tickets".to_owned(), lag);
        let findings = waiting(&survey, now);
        let said: Vec<&str> = findings.iter().map(|it| it.found.as_str()).collect();
        assert_eq!(
            said,
            [
                "nearly full: DEAD 90 %",
                "router_tickets: 7 for 1000 s",
                "3"
            ]
        );
    }
}
