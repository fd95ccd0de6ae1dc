//! The sections of the configuration that are about the process and not about a role.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use solmu_bus::BusConfig;
use solmu_db::DbConfig;

use crate::config::Secret;

/// How PostgreSQL is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PostgresSettings {
    /// `postgres://user:password@host/database`. Empty: a private PostgreSQL is started in the data directory.
    pub url: Secret,
    /// Connections of this process at most.
    #[schemars(range(min = 2))]
    pub max_connections: u32,
    /// How many of them lists and searches have for themselves, so that slow ones never take those that messages are filed
    /// and answered with. 0: a quarter.
    pub max_read_connections: u32,
    /// How long one statement of a list, a search or a count may take in PostgreSQL, in milliseconds; the call is answered
    /// with DEADLINE_EXCEEDED then. Also how long the statement of a caller goes on who has given up. 0: without end.
    pub read_timeout_ms: u64,
    /// How long a caller waits for a free connection, in milliseconds.
    pub acquire_timeout_ms: u64,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        let config = DbConfig::default();
        Self {
            url: Secret::default(),
            max_connections: config.max_connections,
            max_read_connections: config.max_read_connections,
            read_timeout_ms: millis(config.read_timeout),
            acquire_timeout_ms: millis(config.acquire_timeout),
        }
    }
}

impl PostgresSettings {
    /// As the database crate wants it.
    #[must_use]
    pub fn to_config(&self) -> DbConfig {
        DbConfig {
            max_connections: self.max_connections,
            max_read_connections: self.max_read_connections,
            read_timeout: Duration::from_millis(self.read_timeout_ms),
            acquire_timeout: Duration::from_millis(self.acquire_timeout_ms),
        }
    }
}

/// How NATS is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NatsSettings {
    /// `nats://user:password@host:4222`. Empty: a private nats-server is started in the data directory.
    pub url: Secret,
    /// The first token of subjects and the prefix of streams: lower-case letters, digits and `_`.
    pub namespace: String,
    /// Partitions of each family of subjects. The same in all processes; changed by `solmu streams apply`.
    #[schemars(range(min = 1))]
    pub partitions: u16,
    /// How long a publish waits for its acknowledgement, in milliseconds.
    pub publish_timeout_ms: u64,
    /// The size of each stream at most, in bytes.
    pub max_stream_bytes: i64,
    /// Replicas of each stream, which `solmu streams apply` makes: 1, 3 or 5.
    pub replicas: u8,
    /// The first token of the subjects that this process gets answers and messages on, which its user must be allowed to
    /// subscribe to. Empty: `_INBOX_<user>` for the user of the URL, `_INBOX` without one.
    pub inbox_prefix: String,
}

impl Default for NatsSettings {
    fn default() -> Self {
        let config = BusConfig::default();
        Self {
            url: Secret::default(),
            namespace: config.namespace,
            partitions: config.partitions,
            publish_timeout_ms: millis(config.publish_timeout),
            max_stream_bytes: config.max_stream_bytes,
            replicas: 1,
            inbox_prefix: String::new(),
        }
    }
}

impl NatsSettings {
    /// As the bus crate wants it.
    #[must_use]
    pub fn to_config(&self) -> BusConfig {
        BusConfig {
            namespace: self.namespace.clone(),
            partitions: self.partitions,
            publish_timeout: Duration::from_millis(self.publish_timeout_ms),
            max_stream_bytes: self.max_stream_bytes,
            inbox_prefix: (!self.inbox_prefix.is_empty()).then(|| self.inbox_prefix.clone()),
        }
    }
}

/// Where the process listens, and what it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where webhooks, widgets and forms are served.
    pub http_address: SocketAddr,
    /// Where the gRPC API is served.
    pub grpc_address: SocketAddr,
    /// Where the same API is served as JSON over HTTP, for the roles of this process. Empty text: nowhere.
    #[serde(deserialize_with = "address_or_nothing")]
    #[schemars(with = "String")]
    pub api_address: Option<SocketAddr>,
    /// The largest request of the JSON API, in bytes. The gRPC API takes 4 MiB.
    #[schemars(range(min = 1024))]
    pub api_max_bytes: usize,
    /// Where probes and metrics are served. Not for the outside.
    pub admin_address: SocketAddr,
    /// How long a call may take, in milliseconds. A gRPC caller may ask for less.
    pub request_timeout_ms: u64,
    /// Calls that are worked on at the same time, on each of the two addresses. What comes beyond is told to try later.
    #[schemars(range(min = 1))]
    pub concurrency: usize,
    /// Streams (`WatchTickets`, `KeepPresence`, exports and the like) that one caller, an agent or another token, may have
    /// open at the same time in this process. So nobody takes them all from the others.
    #[schemars(range(min = 1))]
    pub streams_per_caller: usize,
    /// After how many seconds an HTTP reader who takes nothing of what is sent is cut off. For the webhooks, widgets and
    /// forms as for the JSON API, whose streams are open for hours.
    #[schemars(range(min = 1))]
    pub stalled_reader_seconds: u64,
    /// After how many seconds a gRPC connection is asked to reconnect, so that calls spread over new replicas.
    pub connection_age_seconds: Option<u64>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            http_address: local(7311),
            grpc_address: local(7310),
            api_address: Some(local(7313)),
            api_max_bytes: 4 * 1024 * 1024,
            admin_address: local(7312),
            request_timeout_ms: 30_000,
            concurrency: 512,
            streams_per_caller: 50,
            stalled_reader_seconds: 30,
            connection_age_seconds: None,
        }
    }
}

fn address_or_nothing<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_crates() {
        assert_eq!(
            PostgresSettings::default().to_config().max_connections,
            DbConfig::default().max_connections
        );
        assert_eq!(
            NatsSettings::default().to_config().namespace,
            BusConfig::default().namespace
        );
    }

    #[test]
    fn no_section_takes_unknown_keys() {
        assert!(crate::config::open_objects::<ServerConfig>().is_empty());
        assert!(crate::config::open_objects::<NatsSettings>().is_empty());
        assert!(crate::config::open_objects::<PostgresSettings>().is_empty());
    }
}
