//! What the monitoring addresses of nats-servers say of their JetStream: whether a publish is on disk when it is
//! acknowledged, whether the cluster is whole, and whether the server still stores.
//!
//! Each server has settings of its own, so each is asked: one that syncs late loses messages while the others look well.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use futures::future::join_all;
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long the whole question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer at most.
const MAX_ANSWER: u64 = 1 << 20;

/// What is looked at.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct JetStream {
    /// Which server has answered.
    pub(super) server_id: String,
    pub(super) config: JetStreamConfig,
    /// The cluster, as this server sees it.
    pub(super) meta_cluster: Option<MetaCluster>,
    /// Why it calls itself unhealthy: of another question, which only this one's server is asked.
    #[serde(skip)]
    pub(super) unwell: Option<String>,
}

/// Its settings.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct JetStreamConfig {
    pub(super) sync_always: bool,
    /// Nanoseconds between two syncs.
    pub(super) sync_interval: i64,
    pub(super) max_storage: i64,
}

/// The cluster.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct MetaCluster {
    pub(super) cluster_size: u32,
    /// Who leads; empty while nobody does.
    pub(super) leader: String,
    /// The others, as this server sees them.
    pub(super) replicas: Vec<Peer>,
}

/// Another server of the cluster.
#[derive(Debug, Clone, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) offline: bool,
}

/// One server that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Its address, as one would ask it again.
    pub(super) address: String,
    /// Its answer, or why there is none; the text is safe to show.
    pub(super) answer: Result<JetStream, String>,
}

/// Asks every server behind each `host:port`: a name may have an address for each of them. A server that is reached twice
/// counts once.
pub(super) async fn ask(addresses: &[String]) -> Vec<Asked> {
    let asked = join_all(addresses.iter().map(|address| ask_name(address))).await;
    let mut seen = BTreeSet::new();
    asked
        .into_iter()
        .flatten()
        .filter(|asked| match &asked.answer {
            Ok(server) => server.server_id.is_empty() || seen.insert(server.server_id.clone()),
            Err(_) => true,
        })
        .collect()
}

async fn ask_name(address: &str) -> Vec<Asked> {
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(address)).await;
    let sockets: Vec<SocketAddr> = match found {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return failed(address, error.to_string()),
        Err(_) => return failed(address, "its name is not found in time".to_owned()),
    };
    let (four, six): (Vec<_>, Vec<_>) = sockets.into_iter().partition(SocketAddr::is_ipv4);
    let (four, six) = tokio::join!(ask_each(address, &four), ask_each(address, &six));
    // A machine has both kinds of address and often listens on one: what one kind says counts, not that the other is silent.
    let answers = |asked: &[Asked]| asked.iter().filter(|it| it.answer.is_ok()).count();
    let best = if answers(&four) >= answers(&six) && !four.is_empty() {
        four
    } else {
        six
    };
    if best.is_empty() {
        return failed(address, "its name has no address".to_owned());
    }
    best
}

async fn ask_each(name: &str, sockets: &[SocketAddr]) -> Vec<Asked> {
    let several = sockets.len() > 1;
    let asking = sockets.iter().map(|socket| async move {
        let answer = match tokio::time::timeout(PATIENCE, question(*socket, name)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        let address = if several {
            socket.to_string()
        } else {
            name.to_owned()
        };
        Asked { address, answer }
    });
    join_all(asking).await
}

fn failed(address: &str, why: String) -> Vec<Asked> {
    vec![Asked {
        address: address.to_owned(),
        answer: Err(why),
    }]
}

async fn question(socket: SocketAddr, name: &str) -> std::io::Result<Result<JetStream, String>> {
    let answer = parse(&fetch(socket, name, "/jsz?config=true").await?);
    let Ok(server) = answer else {
        return Ok(answer);
    };
    let unwell = complaint(&fetch(socket, name, "/healthz").await?);
    Ok(Ok(JetStream { unwell, ..server }))
}

/// HTTP/1.0, so that the answer ends with the connection: a client for one request would be a crate too many.
async fn fetch(socket: SocketAddr, name: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(socket).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {name}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn parse(answer: &str) -> Result<JetStream, String> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer is not of a nats-server")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(format!("it answers {status}"));
    }
    serde_json::from_str(body).map_err(|_| "the answer is not of a nats-server".to_owned())
}

/// Why the server that gave this answer of `/healthz` calls itself unhealthy. Without parameters it looks at every stream:
/// one whose disk was full takes nothing any more, while the probes for the server alone are content.
fn complaint(answer: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Health {
        error: String,
    }
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    // A server too old for the question answers 404.
    if status != "503" {
        return None;
    }
    let said = serde_json::from_str::<Health>(body).map(|health| health.error);
    Some(said.unwrap_or_else(|_| "it answers 503".to_owned()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every question with the same words.
    async fn server(body: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        #[expect(clippy::disallowed_methods, reason = "a test's server")]
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let answer = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    #[test]
    fn answers_are_read() {
        let answer = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"config\": {\"sync_always\": true, \"sync_interval\": 1}, \"streams\": 5}";
        let read = parse(answer).unwrap();
        assert!(read.config.sync_always && read.meta_cluster.is_none());
        let answer = "HTTP/1.0 200 OK\r\n\r\n{\"meta_cluster\": {\"name\": \"C\", \"leader\": \"a\", \"cluster_size\": 3, \"replicas\": [{\"name\": \"b\", \"current\": true, \"active\": 1, \"peer\": \"x\"}, {\"name\": \"c\", \"offline\": true}]}}";
        let cluster = parse(answer).unwrap().meta_cluster.unwrap();
        assert_eq!((cluster.cluster_size, cluster.leader.as_str()), (3, "a"));
        let offline: Vec<bool> = cluster.replicas.iter().map(|it| it.offline).collect();
        assert_eq!(offline, [false, true]);
        assert!(parse("HTTP/1.0 404 Not Found\r\n\r\n").is_err());
        assert!(parse("220 hello").is_err());
    }

    #[test]
    fn a_complaint_is_read() {
        let of = |status, body: &str| complaint(&format!("HTTP/1.0 {status}\r\n\r\n{body}"));
        assert_eq!(of("200 OK", r#"{"status": "ok"}"#), None);
        assert_eq!(of("404 Not Found", ""), None);
        let said = r#"{"status": "unavailable", "status_code": 503, "error": "write error"}"#;
        assert_eq!(of("503 Service Unavailable", said).unwrap(), "write error");
        assert_eq!(of("503 No", "?").unwrap(), "it answers 503");
    }

    #[tokio::test]
    async fn every_server_is_asked_and_each_counts_once() {
        let first = server(r#"{"server_id": "A", "config": {"sync_always": true}}"#).await;
        let second = server(r#"{"server_id": "B"}"#).await;
        let port = first.rsplit_once(':').unwrap().1;
        // localhost has two kinds of address, and the server listens on one.
        let by_name = format!("localhost:{port}");
        let silent = "127.0.0.1:1".to_owned();
        let asked = ask(&[first.clone(), second.clone(), by_name, silent.clone()]).await;
        let ids: Vec<(&str, Option<&str>)> = asked
            .iter()
            .map(|it| {
                let id = it.answer.as_ref().ok().map(|it| it.server_id.as_str());
                (it.address.as_str(), id)
            })
            .collect();
        let wanted = [
            (first.as_str(), Some("A")),
            (second.as_str(), Some("B")),
            (silent.as_str(), None),
        ];
        assert_eq!(ids, wanted);
    }
}
