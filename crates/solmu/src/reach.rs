//! The engines of a command: whether they can be reached, asked before they are used.
//!
//! The pool and the client of NATS try again for as long as they may, and can then only say that nothing came of it. The log of a Job is
//! the first thing that an operator reads, so these commands say what `solmu doctor` says.

use std::path::Path;

use anyhow::bail;
use solmu_bus::Bus;
use solmu_db::Db;
use solmu_runtime::doctor::{Finding, bus_unreachable, postgres_unreachable};

use crate::{config::Config, engines};

/// PostgreSQL of a command.
pub(crate) async fn postgres(config: &Config, data: &Path) -> anyhow::Result<Db> {
    let db = Db::new(
        &engines::postgres(config, data)?,
        &config.postgres.to_config(),
    )?;
    refuse(postgres_unreachable(&db).await)?;
    Ok(db)
}

/// NATS of a command.
pub(crate) async fn nats(config: &Config, data: &Path) -> anyhow::Result<Bus> {
    let url = engines::nats(config, data)?;
    refuse(bus_unreachable(&url).await)?;
    Ok(Bus::connect(&url, config.nats.to_config()).await?)
}

fn refuse(finding: Option<Finding>) -> anyhow::Result<()> {
    match finding {
        Some(finding) => bail!("{}: {} -> {}", finding.check, finding.found, finding.advice),
        None => Ok(()),
    }
}

/// The error of a task on the bus, with what the server had against it: that does not come with the answer, which never comes.
pub(crate) fn explain<T>(bus: &Bus, done: anyhow::Result<T>) -> anyhow::Result<T> {
    done.map_err(|error| match bus.refusal() {
        Some(refusal) => error.context(format!(
            "the user of nats.url may not do this ({refusal}) -> use one that may: admin of deploy/nats/users.conf, which on Kubernetes the toolbox has (docs/kubernetes.md)"
        )),
        None => error,
    })
}

/// An error with its causes, each once: many repeat the words of the one below.
pub(crate) fn shown(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once() {
        let error = anyhow::anyhow!("deadline has elapsed")
            .context("timed out: deadline has elapsed")
            .context("request failed")
            .context("cannot list");
        let expected = "cannot list: request failed: timed out: deadline has elapsed";
        assert_eq!(shown(&error), expected);
    }
}
