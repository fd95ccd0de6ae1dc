//! The connection to NATS and the names of things on it.

use std::time::Duration;

use async_nats::{ConnectOptions, ServerAddr, jetstream};
use tokio::sync::watch;

use crate::family::{Family, shard_of};

/// How to use the bus.
#[derive(Debug, Clone)]
pub struct BusConfig {
    /// First token of each subject and prefix of stream names: lower-case letters and digits.
    pub namespace: String,
    /// Partitions of each family. More let more replicas share the work; each costs a disk sync per group commit.
    pub partitions: u16,
    /// How long a publish waits for its acknowledgement before its outcome is unknown.
    pub publish_timeout: Duration,
    /// Disk that each stream may take, in bytes; the server reserves it. When a stream is full, publishing fails,
    /// visibly, and senders keep their mail.
    pub max_stream_bytes: i64,
    /// First token of the subjects on which answers and pulled messages come to this process. None: `_INBOX_<user>` for
    /// a user of the URL, else `_INBOX`. A subject that all users may listen to would let each read what the others pull.
    pub inbox_prefix: Option<String>,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            namespace: "solmu".to_owned(),
            partitions: 16,
            publish_timeout: Duration::from_secs(5),
            max_stream_bytes: 2 << 30,
            inbox_prefix: None,
        }
    }
}

/// A failed bus operation.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The server cannot be reached, or refuses us.
    #[error("cannot connect to NATS")]
    Connect(#[from] async_nats::ConnectError),
    /// The URL cannot be used.
    #[error("cannot use the NATS URL: expected nats://[user:password@]host:port")]
    BadUrl(#[source] std::io::Error),
    /// The namespace would break subjects.
    #[error("bus namespace '{0}' must be lower-case letters, digits and '_'")]
    BadNamespace(String),
    /// The prefix of inboxes would break subjects.
    #[error("inbox prefix '{0}' must be letters, digits, '_' and '-'")]
    BadInboxPrefix(String),
    /// The servers have no room for a stream: they reserve all of it when it is made.
    #[error(
        "no room for the stream '{name}': the servers reserve {bytes} bytes for each copy; raise max_file_store of nats-server (make room on its disk where it is private), or lower nats.max_stream_bytes"
    )]
    NoRoom {
        /// The stream.
        name: String,
        /// What one copy of it takes.
        bytes: i64,
        /// Their answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stream is to have more copies than there are servers that can hold one.
    #[error(
        "the stream '{name}' cannot have {replicas} replicas: that many servers of a cluster must run and have room for it; set nats.replicas to what there is (1 for a server alone)"
    )]
    TooFewServers {
        /// The stream.
        name: String,
        /// Wanted copies.
        replicas: usize,
        /// Their answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// JetStream refused an operation on a stream or consumer.
    #[error("JetStream refused an operation on '{name}'")]
    JetStream {
        /// Stream or consumer.
        name: String,
        /// Its answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BusError {
    /// Wraps an error of JetStream with the name that it is about.
    pub(crate) fn apply<E: std::error::Error + Send + Sync + 'static>(
        name: &str,
    ) -> impl FnOnce(E) -> Self {
        let name = name.to_owned();
        move |source| Self::JetStream {
            name,
            source: Box::new(source),
        }
    }
}

/// The servers of a comma-separated list of URLs.
pub(crate) fn parse_servers(urls: &str) -> Result<Vec<ServerAddr>, BusError> {
    urls.split(',')
        .map(|url| url.trim().parse::<ServerAddr>().map_err(BusError::BadUrl))
        .collect()
}

/// Where answers come to: what is set, else of the user alone. Users whose name is no token of a subject share `_INBOX`.
fn inbox_prefix_of(set: Option<&str>, servers: &[ServerAddr]) -> Result<String, BusError> {
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    if let Some(set) = set.filter(|set| !set.is_empty()) {
        return if is_token(set) {
            Ok(set.to_owned())
        } else {
            Err(BusError::BadInboxPrefix(set.to_owned()))
        };
    }
    // A name without a password is a token, which nobody is to read in a subject.
    let user = servers
        .iter()
        .filter(|server| server.password().is_some())
        .find_map(ServerAddr::username);
    Ok(match user {
        Some(user) if is_token(user) => format!("_INBOX_{user}"),
        _ => "_INBOX".to_owned(),
    })
}

/// `nats://token@host` or `nats://user:password@host`: the client itself leaves what stands in the URL unused.
pub(crate) fn credentials_of(servers: &[ServerAddr]) -> ConnectOptions {
    let options = ConnectOptions::new();
    let Some(server) = servers.iter().find(|server| server.username().is_some()) else {
        return options;
    };
    let user = server.username().unwrap_or_default().to_owned();
    match server.password() {
        Some(password) => options.user_and_password(user, password.to_owned()),
        None => options.token(user),
    }
}

/// Keeps what the server refuses, and says it when it is another thing than the last time.
fn note(refused: &watch::Sender<Option<String>>, error: &async_nats::ServerError) {
    let text = error.to_string();
    if !text.to_lowercase().contains("violation") {
        return;
    }
    let is_new = refused.send_if_modified(|last| {
        let is_new = last.as_deref() != Some(text.as_str());
        *last = Some(text.clone());
        is_new
    });
    if is_new {
        tracing::warn!(refusal = text, "nats does not let this user do something");
    }
}

/// A handle to the bus.
#[derive(Debug, Clone)]
pub struct Bus {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    config: BusConfig,
    connections: watch::Receiver<u64>,
    refusals: watch::Receiver<Option<String>>,
}

impl Bus {
    /// Connects; keeps trying in the background for ever, also when the server is not there yet.
    pub async fn connect(url: &str, config: BusConfig) -> Result<Self, BusError> {
        let legal = !config.namespace.is_empty()
            && config
                .namespace
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !legal {
            return Err(BusError::BadNamespace(config.namespace));
        }
        let servers = parse_servers(url)?;
        let inbox = inbox_prefix_of(config.inbox_prefix.as_deref(), &servers)?;
        let (counter, connections) = watch::channel(0);
        let (refused, refusals) = watch::channel(None);
        let client = credentials_of(&servers)
            .name("solmu")
            .custom_inbox_prefix(inbox)
            .event_callback(move |event| {
                match event {
                    async_nats::Event::Connected => counter.send_modify(|made| *made += 1),
                    async_nats::Event::ServerError(error) => note(&refused, &error),
                    _ => {}
                }
                std::future::ready(())
            })
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(5))
            .reconnect_delay_callback(|attempt| {
                Duration::from_millis((50 * attempt as u64).min(2_000))
            })
            .connect(url)
            .await?;
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(config.publish_timeout)
            .ack_timeout(config.publish_timeout)
            .build(client.clone());
        Ok(Self {
            client,
            jetstream,
            config,
            connections,
            refusals,
        })
    }

    /// Counts the connections made so far, the first included.
    pub(crate) fn connections(&self) -> watch::Receiver<u64> {
        self.connections.clone()
    }

    /// What the server had last against something that this user wanted to do. It says so beside the answer, which then
    /// never comes: all that a caller sees is that nothing came in time.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        self.refusals.borrow().clone()
    }

    /// Whether the connection stands now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Whether JetStream answers. A server that hangs keeps its connections, so [`Bus::is_connected`] is not enough.
    pub async fn answers(&self) -> bool {
        self.is_connected() && self.jetstream.query_account().await.is_ok()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &BusConfig {
        &self.config
    }

    /// The raw client, for what is not an event (request and reply, tests).
    #[must_use]
    pub fn client(&self) -> &async_nats::Client {
        &self.client
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// Name of a stream on the server.
    #[must_use]
    pub fn stream_name(&self, name: &str) -> String {
        format!("{}_{name}", self.config.namespace.to_uppercase())
    }

    /// The shard of a partition key.
    #[must_use]
    pub fn shard(&self, partition_key: &str) -> u16 {
        shard_of(partition_key, self.config.partitions)
    }

    /// The subject of one shard.
    #[must_use]
    pub fn subject(&self, family: Family, shard: i32) -> String {
        format!("{}.{}.v1.{shard}", self.config.namespace, family.token())
    }

    /// The subjects of all shards.
    #[must_use]
    pub fn subject_filter(&self, family: Family) -> String {
        format!("{}.{}.v1.*", self.config.namespace, family.token())
    }

    /// Sends what is buffered and closes.
    pub async fn drain(&self) {
        if let Err(error) = self.client.drain().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot drain the bus connection"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_an_inbox_of_its_own() {
        let of = |set: Option<&str>, url: &str| {
            inbox_prefix_of(set, &parse_servers(url).unwrap()).map_err(|error| error.to_string())
        };
        let plain = Ok("_INBOX".to_owned());
        assert_eq!(of(None, "nats://host:4222"), plain);
        assert_eq!(
            of(None, "nats://token@host:4222"),
            plain,
            "a token is a secret"
        );
        assert_eq!(
            of(None, "nats://forms:p@a:4222,nats://forms:p@b:4222"),
            Ok("_INBOX_forms".to_owned())
        );
        assert_eq!(of(None, "nats://a.b:p@host:4222"), plain);
        assert_eq!(of(Some(""), "nats://host:4222"), plain);
        assert_eq!(
            of(Some("_IN"), "nats://forms:p@host:4222"),
            Ok("_IN".to_owned())
        );
        assert!(of(Some("_IN.>"), "nats://host:4222").is_err());
    }
}
