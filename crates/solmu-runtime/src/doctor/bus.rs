//! NATS: version, rights, durability, streams, what waits, dead letters.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use solmu_bus::{Bus, lag::Survey, reach::Unreachable, streams};

use super::{
    Finding,
    monitoring::{self, Asked, JetStream},
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

const DURABILITY: &str = "nats durability";
const NO_LEADER: &str = "nobody leads it";

/// Why no server of `url` lets us in, and what to do. `None` where one does.
pub async fn unreachable(url: &str) -> Option<Finding> {
    let why = Bus::try_reach(url, PATIENCE).await.err()?;
    let advice = match &why {
        Unreachable::Url(_) | Unreachable::Name => {
            "mend nats.url: nats://user:password@host:4222, several separated by commas"
        }
        Unreachable::Refused => {
            "nothing listens there: is nats-server running, and are host and port of nats.url right?"
        }
        Unreachable::Silent => "does a firewall or a network policy stand between?",
        Unreachable::NotAllowed => "are user and password of nats.url right?",
        Unreachable::Tls => {
            "does the server speak TLS as nats.url wants it (tls:// or nats://), and is its certificate known here?"
        }
        Unreachable::Other(_) => "look into the log of nats-server",
    };
    Some(Finding::bad(
        "nats",
        format!("no connection: {why}"),
        advice,
    ))
}

/// Looks at the bus. `monitoring` has `host:port` of the monitoring of every server, `own` says whether the server is a
/// private one.
pub async fn examine(
    bus: &Bus,
    now: Timestamp,
    replicas: usize,
    monitoring: &[String],
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
    // The monitoring answers without JetStream, and knows why that does not.
    let room = NEEDED_STREAMS * bus.config().max_stream_bytes.max(0);
    let storage = storage(monitoring, own, room, replicas).await;
    let led = !storage.iter().any(|it| it.found == NO_LEADER);
    findings.extend(storage);
    if !bus.answers().await {
        findings.push(Finding::bad("jetstream", "no answer", silent(led, bus)));
        return findings;
    }
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
        Ok(survey) => {
            findings.extend(partitions(&survey, bus.config().partitions));
            findings.extend(waiting(&survey, now));
        }
        Err(error) => findings.push(Finding::warning(
            "lag",
            error.to_string(),
            "look at it as a user that may list consumers (admin of deploy/nats/users.conf)",
        )),
    }
    findings
}

/// What to do about a JetStream that does not answer.
fn silent(led: bool, bus: &Bus) -> String {
    if !led {
        return "a cluster without a majority answers nobody: see `nats cluster` above".to_owned();
    }
    let mut advice =
        "is JetStream enabled for this account, and may this user publish to $JS.API.INFO?"
            .to_owned();
    if !bus.client().server_info().connect_urls.is_empty() {
        advice += " Do more than half of the cluster's servers run (--nats-monitoring tells)?";
    }
    advice
}

/// Whether those that file have as many partitions as this configuration says.
fn partitions(survey: &Survey, wanted: u16) -> Option<Finding> {
    const CHECK: &str = "partitions";
    let found = survey.filing.len();
    let missing = (0..wanted).any(|shard| !survey.filing.contains(&shard));
    if survey.unfiled > 0 && found > 0 {
        return Some(Finding::bad(
            CHECK,
            format!(
                "{} messages are in partitions that nobody files: {found} partitions have a consumer, and nats.partitions is {wanted} here",
                survey.unfiled
            ),
            "set nats.partitions of every process to the number with which they were published, at least until they are filed",
        ));
    }
    // Without any the ticket service has not been here yet.
    (missing && found > 0).then(|| {
        Finding::warning(
            CHECK,
            format!("nats.partitions is {wanted} here, and {found} have a consumer that files"),
            "it must be the same in all processes: what goes to another partition is filed by nobody (docs/operations.md)",
        )
    })
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

/// What the monitoring addresses tell: whether a publish is on disk when it is acknowledged, the one setting that loses
/// messages silently; whether the cluster is whole; and whether `room` bytes of streams with so many replicas fit into the
/// stores.
async fn storage(monitoring: &[String], own: bool, room: i64, replicas: usize) -> Vec<Finding> {
    if own {
        let found = "a private server, started with sync_interval: always";
        return vec![Finding::good(DURABILITY, found)];
    }
    if monitoring.is_empty() {
        return vec![Finding::warning(
            DURABILITY,
            "not known",
            "name the monitoring address of every server (--nats-monitoring host:8222), or look yourself: each must have `sync_interval: always`",
        )];
    }
    servers(&monitoring::ask(monitoring).await, room, replicas)
}

fn servers(asked: &[Asked], room: i64, replicas: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut answered: Vec<(&str, &JetStream)> = Vec::new();
    for asked in asked {
        match &asked.answer {
            Ok(server) => answered.push((&asked.address, server)),
            Err(why) => findings.push(Finding::warning(
                DURABILITY,
                format!("cannot ask {}: {why}", asked.address),
                "is the monitoring (http: in the server's configuration) reachable from here?",
            )),
        }
    }
    if answered.is_empty() {
        return findings;
    }
    let late: Vec<String> = answered
        .iter()
        .filter(|(_, server)| !server.config.sync_always)
        .map(|(address, server)| {
            let nanos = u64::try_from(server.config.sync_interval).unwrap_or(0);
            let interval = Duration::from_nanos(nanos);
            format!("{address} syncs every {interval:?}")
        })
        .collect();
    findings.push(if late.is_empty() {
        let found = match answered.len() {
            1 => "sync_interval: always".to_owned(),
            several => format!("sync_interval: always on {several} servers"),
        };
        Finding::good(DURABILITY, found)
    } else {
        Finding::bad(
            DURABILITY,
            late.join(", "),
            "set `sync_interval: always` on every server: a power cut loses messages that senders were told are safe",
        )
    });
    findings.extend(cluster(&answered));
    findings.extend(
        answered
            .iter()
            .filter_map(|(address, server)| unwell(address, server.unwell.as_ref()?)),
    );
    findings.extend(
        answered
            .iter()
            .find_map(|(address, server)| fits(address, server, room, replicas)),
    );
    findings
}

/// What a server says of itself.
fn unwell(address: &str, said: &str) -> Option<Finding> {
    const CHECK: &str = "nats storage";
    let found = format!("{address}: {said}");
    let said = said.to_lowercase();
    // Told by `cluster`, for all servers at once.
    if said.contains("meta leader") {
        return None;
    }
    Some(
        if said.contains("write error") || said.contains("no space") {
            Finding::bad(
                CHECK,
                found,
                "make room on its disk, then restart this server: what could not be written once is refused until then, room or not",
            )
        } else {
            Finding::warning(
                CHECK,
                found,
                "right for a moment after a start; if it stays, look into its log and restart it",
            )
        },
    )
}

/// Whether every server of the cluster was asked, and is there.
fn cluster(answered: &[(&str, &JetStream)]) -> Vec<Finding> {
    const CHECK: &str = "nats cluster";
    let clusters: Vec<_> = answered
        .iter()
        .filter_map(|(_, server)| server.meta_cluster.as_ref())
        .collect();
    let Some(size) = clusters.iter().map(|cluster| cluster.cluster_size).max() else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    // Each server tells of all others.
    let offline: BTreeSet<&str> = clusters
        .iter()
        .flat_map(|cluster| &cluster.replicas)
        .filter(|peer| peer.offline)
        .map(|peer| peer.name.as_str())
        .collect();
    if clusters.iter().all(|cluster| cluster.leader.is_empty()) {
        findings.push(Finding::bad(
            CHECK,
            NO_LEADER,
            "more than half of its servers must run and reach each other: look into their logs",
        ));
    } else if !offline.is_empty() {
        findings.push(Finding::bad(
            CHECK,
            format!("offline: {}", Vec::from_iter(offline).join(", ")),
            "start it again: with one more that is lost, nothing can be published",
        ));
    }
    let asked = u32::try_from(answered.len()).unwrap_or(u32::MAX);
    if asked < size {
        findings.push(Finding::warning(
            CHECK,
            format!("{asked} of {size} servers were asked"),
            "name the monitoring of every server (--nats-monitoring a:8222,b:8222,c:8222), or a name that has the addresses of all",
        ));
    } else if findings.is_empty() {
        findings.push(Finding::good(
            CHECK,
            format!("all {size} servers are there"),
        ));
    }
    findings
}

/// The server reserves the whole size of each stream: what does not fit is refused when it is made.
fn fits(address: &str, server: &JetStream, room: i64, replicas: usize) -> Option<Finding> {
    let servers = server
        .meta_cluster
        .as_ref()
        .map_or(1, |cluster| i64::from(cluster.cluster_size.max(1)));
    let needed = room.saturating_mul(i64::try_from(replicas).unwrap_or(1)) / servers;
    let store = server.config.max_storage;
    (store > 0 && store < needed).then(|| {
        Finding::bad(
            "nats store",
            format!("max_file_store of {address} is {store} bytes, and the streams reserve {needed}"),
            "raise max_file_store of the server, or lower nats.max_stream_bytes: `solmu streams apply` finds no room",
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
        super::{
            Verdict,
            monitoring::{JetStreamConfig, MetaCluster, Peer},
        },
        *,
    };

    fn asked(address: &str, server: JetStream) -> Asked {
        Asked {
            address: address.to_owned(),
            answer: Ok(server),
        }
    }

    fn good() -> JetStream {
        JetStream {
            config: JetStreamConfig {
                sync_always: true,
                ..JetStreamConfig::default()
            },
            ..JetStream::default()
        }
    }

    #[test]
    fn a_server_that_syncs_late_or_has_no_room_is_told() {
        let late = |nanos: i64| {
            let mut server = good();
            server.config.sync_always = false;
            server.config.sync_interval = nanos;
            let findings = servers(&[asked("a:8222", good()), asked("b:8222", server)], 0, 1);
            assert_eq!(findings[0].verdict, Verdict::Bad);
            findings[0].found.clone()
        };
        assert_eq!(late(10_000_000), "b:8222 syncs every 10ms");
        assert_eq!(late(120_000_000_000), "b:8222 syncs every 120s");

        let mut server = good();
        server.config.max_storage = 9;
        let found = fits("a", &server, 10, 1).unwrap();
        assert_eq!(found.verdict, Verdict::Bad);
        assert_eq!(fits("a", &server, 9, 1), None);
        let meta_cluster = Some(MetaCluster {
            cluster_size: 3,
            ..MetaCluster::default()
        });
        let of_three = JetStream {
            meta_cluster,
            ..server
        };
        assert_eq!(fits("a", &of_three, 10, 1), None);
        assert!(fits("a", &of_three, 10, 3).is_some());
    }

    #[test]
    fn a_server_whose_disk_was_full_is_told() {
        let of = |said: &str| {
            let server = JetStream {
                unwell: Some(said.to_owned()),
                ..good()
            };
            let found = servers(&[asked("a:8222", good()), asked("b:8222", server)], 0, 1);
            found.get(1).map(|it| (it.verdict, it.found.clone()))
        };
        let said = "JetStream stream 'S > INBOUND' could not be found: write error: no space left on device";
        let (verdict, found) = of(said).unwrap();
        assert_eq!(verdict, Verdict::Bad);
        assert_eq!(found, format!("b:8222: {said}"));
        let (verdict, _) = of("JetStream stream 'S > INBOUND' is not current").unwrap();
        assert_eq!(verdict, Verdict::Warning);
        assert_eq!(
            of("JetStream has not established contact with a meta leader"),
            None
        );
    }

    #[test]
    fn a_cluster_is_asked_as_a_whole() {
        let member = |leader: &str, offline: bool| {
            let peer = Peer {
                name: "nats-2".to_owned(),
                offline,
            };
            JetStream {
                meta_cluster: Some(MetaCluster {
                    cluster_size: 3,
                    leader: leader.to_owned(),
                    replicas: vec![peer],
                }),
                ..good()
            }
        };
        let of = |count: usize, leader: &str, offline: bool| {
            let all: Vec<Asked> = ["a", "b", "c"]
                .into_iter()
                .take(count)
                .map(|name| asked(name, member(leader, offline)))
                .collect();
            let found = servers(&all, 0, 3);
            let (verdict, said) = (found[1].verdict, found[1].found.clone());
            (found[0].found.clone(), verdict, said)
        };
        let all = of(3, "nats-0", false);
        assert_eq!(all.0, "sync_interval: always on 3 servers");
        assert_eq!(all.1, Verdict::Good);
        let one = of(1, "nats-0", false);
        assert_eq!(one.1, Verdict::Warning);
        assert_eq!(one.2, "1 of 3 servers were asked");
        let away = of(2, "nats-0", true);
        assert_eq!(away.1, Verdict::Bad);
        assert_eq!(away.2, "offline: nats-2");
        assert_eq!(of(3, "", false).2, "nobody leads it");

        let silent = Asked {
            address: "c".to_owned(),
            answer: Err("no answer in time".to_owned()),
        };
        let findings = servers(&[silent], 0, 3);
        assert_eq!(findings[0].found, "cannot ask c: no answer in time");
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn another_number_of_partitions_is_told() {
        let of = |filing: &[u16], unfiled, wanted| {
            let survey = Survey {
                filing: filing.iter().copied().collect(),
                unfiled,
                ..Survey::default()
            };
            partitions(&survey, wanted).map(|it| it.verdict)
        };
        assert_eq!(of(&[0, 1], 0, 2), None);
        assert_eq!(of(&[0, 1, 2], 0, 2), None, "there were more once");
        assert_eq!(of(&[0, 1], 0, 64), Some(Verdict::Warning));
        assert_eq!(
            of(&[0, 1], 3, 2),
            Some(Verdict::Bad),
            "it is another's fault"
        );
        assert_eq!(of(&[], 3, 2), None, "nobody has filed yet");
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
