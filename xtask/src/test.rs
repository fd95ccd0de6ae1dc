//! `cargo xtask test`: starts private engines, runs nextest with their URLs, stops them.
//!
//! Engines of a test run need not survive a power cut, so they run without disk syncs; tests that are about durability
//! start their own. A run of everything also builds the binary for the end-to-end tests, runs the examples in the docs,
//! and refuses tests that would be skipped; nextest's summary stays the last line.

use std::{
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use solmu_engines::{Durability, EngineConfig, Engines};

use crate::process;

/// What chance does in a run is the same each time, unless `SOLMU_SEED` says another number: a gate that tosses coins
/// tells nobody whose change it was. `make test SEED=$RANDOM` looks further.
const SEED: &str = "1";
/// Who takes it: property tests, and the tests that kill processes.
const SEED_VARIABLES: [&str; 2] = ["PROPTEST_RNG_SEED", "SOLMU_CRASH_SEED"];

/// Connections for tests that run side by side, a pool each.
const MAX_CONNECTIONS: u32 = 400;

/// Runs `cargo nextest run` with `arguments`; without any, over the whole workspace.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<ExitCode> {
    let everything = ["--workspace".to_owned()];
    let arguments = if arguments.is_empty() {
        if !prepare_everything(root)? {
            return Ok(ExitCode::FAILURE);
        }
        &everything[..]
    } else {
        arguments
    };
    let seed = std::env::var_os("SOLMU_SEED").unwrap_or_else(|| SEED.into());
    let given = |name: &str| std::env::var_os(name).is_some();
    let seeds = SEED_VARIABLES.into_iter().filter(|name| !given(name));
    with_engines(|postgres, nats| {
        let status = process::cargo(root)
            .args(["nextest", "run", "--no-fail-fast"])
            .args(arguments)
            .env("SOLMU_TEST_POSTGRES_URL", postgres)
            .env("SOLMU_TEST_NATS_URL", nats)
            .envs(seeds.map(|name| (name, &seed)))
            .status()
            .context("cannot run cargo nextest: is cargo-nextest installed?")?;
        Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// Builds every test, the binaries and the examples, with the features that the tests are built with.
pub(crate) fn build(root: &Path) -> Command {
    let mut command = process::cargo(root);
    let kinds = ["--bins", "--tests", "--examples"];
    command
        .args(["build", "--workspace", "--quiet"])
        .args(kinds);
    command
}

/// What comes before the tests of a whole run; false when the run has failed already.
fn prepare_everything(root: &Path) -> Result<bool> {
    eprintln!("test: building the tests and the binary ...");
    let built = build(root).status().context("cannot run cargo build")?;
    if !built.success() {
        return Ok(false);
    }
    eprintln!("test: running the examples in the docs ...");
    let mut examples = process::cargo(root);
    examples.args(["test", "--doc", "--workspace", "--quiet"]);
    if let Some(text) = process::failure_of(&mut examples)? {
        eprintln!("{text}");
        return Ok(false);
    }
    let mut list = process::cargo(root);
    list.args(["nextest", "list", "--workspace", "--message-format", "json"]);
    let skipped = skipped_tests(&serde_json::from_str(&process::output_of(&mut list)?)?);
    for name in &skipped {
        eprintln!("test: {name} would be skipped; a test runs or does not exist");
    }
    Ok(skipped.is_empty())
}

/// Tests that `#[ignore]` or a filter keeps from running, from nextest's list.
fn skipped_tests(list: &serde_json::Value) -> Vec<String> {
    let mut skipped = Vec::new();
    for (suite, content) in list["rust-suites"].as_object().into_iter().flatten() {
        for (name, test) in content["testcases"].as_object().into_iter().flatten() {
            if test["ignored"] == true || test["filter-match"]["status"] == "mismatch" {
                skipped.push(format!("{suite} {name}"));
            }
        }
    }
    skipped
}

/// Starts volatile engines in a temporary folder, hands their URLs to `body`, and stops them.
fn with_engines<T>(body: impl FnOnce(&str, &str) -> Result<T>) -> Result<T> {
    let folder = tempfile::Builder::new()
        .prefix("solmu-test-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let config = EngineConfig {
        durability: Durability::Volatile,
        max_connections: MAX_CONNECTIONS,
        ..EngineConfig::new(folder.path())
    };
    let engines = Engines::start(&config, &|line| eprintln!("{line}"))
        .context("cannot start the engines for the tests")?;
    let outcome = body(&engines.postgres_url(), &engines.nats_url());
    engines
        .stop()
        .context("cannot stop the engines of the tests")?;
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn skipped_tests_are_found() {
        let list = json!({"rust-suites": {"solmu-bus": {"testcases": {
            "a": {"ignored": false, "filter-match": {"status": "matches"}},
            "b": {"ignored": true, "filter-match": {"status": "mismatch", "reason": "ignored"}},
            "c": {"ignored": false, "filter-match": {"status": "mismatch", "reason": "default-filter"}},
        }}}});
        assert_eq!(skipped_tests(&list), ["solmu-bus b", "solmu-bus c"]);
    }
}
