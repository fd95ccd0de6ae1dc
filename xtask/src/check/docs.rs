//! `docs/configuration.md` says what the configuration's code says: the binary itself compares.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::Project;
use crate::{process, test};

/// The reference of all settings.
const FILE: &str = "docs/configuration.md";

/// Where the reference differs from the code, in the binary's words.
pub(super) fn check(project: &Project<'_>) -> Result<Vec<String>> {
    // The build of the tests, not `-p solmu` alone: another set of features would build the dependencies twice.
    if let Some(text) = process::failure_of(&mut test::build(project.root))? {
        return Ok(vec![text]);
    }
    if project.fix {
        let text = process::output_of(solmu(project)?.args(["config", "docs"]))?;
        fs::write(project.root.join(FILE), text).with_context(|| format!("cannot write {FILE}"))?;
    }
    let mut compare = solmu(project)?;
    compare.args(["config", "docs", "--check", FILE]);
    Ok(process::failure_of(&mut compare)?.into_iter().collect())
}

/// The binary of the dev profile.
fn solmu(project: &Project<'_>) -> Result<Command> {
    let mut metadata = process::cargo(project.root);
    metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&process::output_of(&mut metadata)?)?;
    let folder = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target folder")?;
    let mut command = Command::new(PathBuf::from(folder).join("debug/solmu"));
    command.current_dir(project.root);
    Ok(command)
}
