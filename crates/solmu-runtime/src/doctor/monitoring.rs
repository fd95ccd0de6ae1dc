//! What the monitoring address of a nats-server says of its JetStream: whether a publish is on disk when it is
//! acknowledged.

use std::time::Duration;

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
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct JetStream {
    pub(super) config: JetStreamConfig,
    /// Servers of the cluster, with the leader's view.
    pub(super) meta_cluster: Option<MetaCluster>,
}

/// Its settings.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct JetStreamConfig {
    pub(super) sync_always: bool,
    /// Nanoseconds between two syncs.
    pub(super) sync_interval: i64,
    pub(super) max_storage: i64,
}

/// The cluster.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub(super) struct MetaCluster {
    pub(super) cluster_size: u32,
}

/// Asks `host:port`. The text of an error is safe to show.
pub(super) async fn ask(address: &str) -> Result<JetStream, String> {
    match tokio::time::timeout(PATIENCE, fetch(address)).await {
        Ok(Ok(answer)) => parse(&answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// HTTP/1.0, so that the answer ends with the connection: a client for one request would be a crate too many.
async fn fetch(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /jsz?config=true HTTP/1.0\r\nHost: {address}\r\n\r\n");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"config\": {\"sync_always\": true, \"sync_interval\": 1}, \"streams\": 5}";
        let read = parse(answer).unwrap();
        assert!(read.config.sync_always && read.meta_cluster.is_none());
        assert!(parse("HTTP/1.0 404 Not Found\r\n\r\n").is_err());
        assert!(parse("220 hello").is_err());
    }
}
