//! The whole configuration: a section per role and per part of the process.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use solmu_runtime::{
    Keyring,
    access::AccessConfig,
    config::{Sources, load, process_env},
    keyring::SecretsConfig,
    lifecycle::LifecycleConfig,
    settings::{NatsSettings, PostgresSettings, ServerConfig},
};
use solmu_telemetry::TelemetryConfig;

use crate::arguments::Target;

/// The file in the data directory that is read when no other is named.
pub(crate) const FILE: &str = "solmu.toml";

/// Configuration of Solmu.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// How PostgreSQL is reached.
    pub(crate) postgres: PostgresSettings,
    /// How NATS is reached.
    pub(crate) nats: NatsSettings,
    /// Private engines in the data directory, for when no URL is given.
    pub(crate) engines: EnginesConfig,
    /// Where the process listens, and what it takes.
    pub(crate) server: ServerConfig,
    /// Who may see and do what, and how people sign in.
    pub(crate) access: AccessConfig,
    /// How a process ends.
    pub(crate) lifecycle: LifecycleConfig,
    /// Keys that sign what comes back to us.
    pub(crate) secrets: SecretsConfig,
    /// Logs and traces.
    pub(crate) telemetry: TelemetryConfig,
    /// Where attachments and large originals are kept.
    pub(crate) objects: ObjectsConfig,
    /// The e-mail connector.
    pub(crate) email: solmu_email::Config,
    /// Live chat.
    pub(crate) chat: solmu_chat::Config,
    /// The social connectors.
    pub(crate) social: solmu_social::Config,
    /// Web forms.
    pub(crate) forms: solmu_forms::Config,
    /// The ticket service.
    pub(crate) tickets: solmu_tickets::Config,
    /// Links by which requesters read their tickets without signing in.
    pub(crate) public_links: solmu_publiclink::Config,
    /// What requesters do by a portal that has signed them in.
    pub(crate) requesters: solmu_requester::Config,
    /// The router.
    pub(crate) router: solmu_router::Config,
    /// The SLA service.
    pub(crate) sla: solmu_sla::Config,
}

/// Private engines.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct EnginesConfig {
    /// Folder with PostgreSQL's programs; looked for if empty.
    pub(crate) postgres_bin: String,
    /// The nats-server program; looked for if empty.
    pub(crate) nats_bin: String,
    /// Connections that PostgreSQL takes.
    pub(crate) max_connections: u32,
    /// PostgreSQL's page cache in MiB.
    pub(crate) shared_buffers_mb: u32,
}

impl Default for EnginesConfig {
    fn default() -> Self {
        Self {
            postgres_bin: String::new(),
            nats_bin: String::new(),
            max_connections: 50,
            shared_buffers_mb: 128,
        }
    }
}

/// The object store.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ObjectsConfig {
    /// A local folder; `objects` in the data directory if empty. All processes that receive must see the same one.
    pub(crate) folder: String,
    /// The largest object, in bytes.
    pub(crate) max_object_bytes: usize,
}

impl Default for ObjectsConfig {
    fn default() -> Self {
        Self {
            folder: String::new(),
            max_object_bytes: 100 * 1024 * 1024,
        }
    }
}

/// Reads the configuration: defaults, then the file, then the environment, then flags.
pub(crate) fn read(
    data: &Path,
    file: Option<&Path>,
    target: &Target,
    set: &[String],
) -> anyhow::Result<Config> {
    let default_file = data.join(FILE);
    let file: Option<PathBuf> = match file {
        Some(file) => Some(file.to_owned()),
        None => default_file.exists().then_some(default_file),
    };
    let mut overrides = Vec::new();
    for pair in set {
        let (key, value) = pair.split_once('=').with_context(|| {
            format!("'{pair}' is not KEY=VALUE, e.g. server.http_address=0.0.0.0:7311")
        })?;
        overrides.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    for (key, value) in [
        ("postgres.url", &target.postgres),
        ("nats.url", &target.nats),
    ] {
        if let Some(value) = value {
            overrides.push((key.to_owned(), value.clone()));
        }
    }
    let sources = Sources {
        file: file.as_deref(),
        env: process_env(),
        overrides,
    };
    load(&sources).map_err(|errors| anyhow::anyhow!("{errors}"))
}

/// Asks every service what cannot work, so that it is said before anything is started, all at once.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    let answers: [(&str, anyhow::Result<()>); 11] = [
        (
            "secrets",
            Keyring::check(&config.secrets).map_err(Into::into),
        ),
        ("access", config.access.check().map_err(Into::into)),
        (
            "email",
            solmu_email::check(&config.email).map_err(Into::into),
        ),
        ("chat", solmu_chat::check(&config.chat).map_err(Into::into)),
        (
            "social",
            solmu_social::check(&config.social).map_err(Into::into),
        ),
        (
            "forms",
            solmu_forms::check(&config.forms).map_err(Into::into),
        ),
        ("tickets", config.tickets.check().map_err(Into::into)),
        (
            "public_links",
            config.public_links.check().map_err(Into::into),
        ),
        ("requesters", config.requesters.check().map_err(Into::into)),
        ("router", config.router.check().map_err(Into::into)),
        ("sla", config.sla.check().map_err(Into::into)),
    ];
    let problems: Vec<String> = answers
        .into_iter()
        .filter_map(|(section, answer)| Some(format!("{section}: {:#}", answer.err()?)))
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "the configuration cannot be used:\n  {}",
        problems.join("\n  ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_service_can_use_is_said_all_at_once() {
        let mut config = Config::default();
        check(&config).unwrap();
        config.email.accounts.clear();
        config.chat.limits.frame_bytes = 1;
        let said = check(&config).unwrap_err().to_string();
        assert!(
            said.contains("email: ") && said.contains("chat: "),
            "{said}"
        );
    }

    #[test]
    fn every_key_is_known_and_unknown_ones_are_errors() {
        assert!(solmu_runtime::config::open_objects::<Config>().is_empty());
    }
}
