//! The engines of a process: its own private ones, or those that it was told to use.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use solmu_engines::{EngineConfig, Engines};

use crate::{config::Config, out};

/// The file that tells other commands on this machine where the private engines are. It holds a secret: 0600.
const FILE: &str = "engines.json";

/// Where the engines are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) postgres: String,
    pub(crate) nats: String,
}

/// Starts private engines for what has no URL. `progress` is told each slow step.
pub(crate) async fn start(
    config: &Config,
    data: &Path,
) -> anyhow::Result<(Addresses, Option<Engines>)> {
    let given = Addresses {
        postgres: config.postgres.url.expose().to_owned(),
        nats: config.nats.url.expose().to_owned(),
    };
    if !given.postgres.is_empty() && !given.nats.is_empty() {
        return Ok((given, None));
    }
    let mut engine_config = EngineConfig::new(data);
    let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
    engine_config.postgres_bin = path(&config.engines.postgres_bin);
    engine_config.nats_bin = path(&config.engines.nats_bin);
    engine_config.max_connections = config.engines.max_connections;
    engine_config.shared_buffers_mb = config.engines.shared_buffers_mb;
    let started = tokio::task::spawn_blocking(move || {
        Engines::start(&engine_config, &|line| out::tell(format_args!("  {line}")))
    });
    let engines = started
        .await
        .context("the engines' start was cut short")?
        .context("cannot start the private engines")?;
    let addresses = Addresses {
        postgres: if given.postgres.is_empty() {
            engines.postgres_url()
        } else {
            given.postgres
        },
        nats: if given.nats.is_empty() {
            engines.nats_url()
        } else {
            given.nats
        },
    };
    write_private(&data.join(FILE), &serde_json::to_string_pretty(&addresses)?)?;
    Ok((addresses, Some(engines)))
}

/// The folder with the programs of the private PostgreSQL, as its last start has noted.
pub(crate) fn noted_postgres_bin(data: &Path) -> anyhow::Result<PathBuf> {
    solmu_engines::noted_postgres_bin(data).with_context(|| {
        format!(
            "no private PostgreSQL was ever started in '{}'",
            data.display()
        )
    })
}

/// Where PostgreSQL is for a command: as configured, else the private one of a running `solmu serve`.
pub(crate) fn postgres(config: &Config, data: &Path) -> anyhow::Result<String> {
    match config.postgres.url.expose() {
        "" => Ok(private(data, "--postgres")?.postgres),
        url => Ok(url.to_owned()),
    }
}

/// Where NATS is for a command: as configured, else the private one of a running `solmu serve`.
pub(crate) fn nats(config: &Config, data: &Path) -> anyhow::Result<String> {
    match config.nats.url.expose() {
        "" => Ok(private(data, "--nats")?.nats),
        url => Ok(url.to_owned()),
    }
}

/// Both engines of a command.
pub(crate) fn addresses(config: &Config, data: &Path) -> anyhow::Result<Addresses> {
    Ok(Addresses {
        postgres: postgres(config, data)?,
        nats: nats(config, data)?,
    })
}

fn private(data: &Path, flag: &str) -> anyhow::Result<Addresses> {
    let file = data.join(FILE);
    let text = fs::read_to_string(&file).with_context(|| {
        format!(
            "no engines: '{}' is not there. Start `solmu serve` on this data directory, or name your own with {flag}",
            file.display()
        )
    })?;
    serde_json::from_str(&text).context("the engines file is damaged: restart `solmu serve`")
}

/// Writes a file that only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    written.with_context(|| format!("cannot write '{}'", path.display()))
}
