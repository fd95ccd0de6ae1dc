//! Tools of others, over the files that are theirs to judge.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use walkdir::WalkDir;

use super::{Outcome, findings, python};
use crate::process;

/// `yamllint` over what people write: templates are no YAML, and what is generated is judged by what it was made of.
pub(super) fn yamllint(root: &Path) -> Result<Outcome> {
    let Some(mut command) = python(root, "yamllint") else {
        return Ok(missing("yamllint"));
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in ["deploy", "k8s/overlays"] {
        files.extend(yaml_files(&root.join(folder))?);
    }
    command
        .args([
            "-m",
            "yamllint",
            "--strict",
            "--config-file",
            "deploy/checks/yamllint.yaml",
        ])
        .args(files);
    findings(&mut command)
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder) {
        let path = entry
            .context("cannot list the deployment files")?
            .into_path();
        let is_template = path.iter().any(|part| part == "templates");
        let is_yaml = path
            .extension()
            .is_some_and(|it| it == "yaml" || it == "yml");
        if is_yaml && !is_template {
            found.push(path);
        }
    }
    Ok(found)
}

/// `hadolint` over the Dockerfile.
pub(super) fn hadolint(root: &Path) -> Result<Outcome> {
    let program = root.join(".tools/python/bin/hadolint");
    if !program.is_file() {
        return Ok(missing("hadolint"));
    }
    let mut command = std::process::Command::new(program);
    command
        .current_dir(root)
        .args(["--failure-threshold", "style", "deploy/Dockerfile"]);
    findings(&mut command)
}

/// The alert rules: well formed, and each alert fires and stays silent where its unit test says.
pub(super) fn promtool(root: &Path) -> Result<Outcome> {
    let there = process::tool(root, "promtool").arg("--version").output();
    if there.is_err() {
        return Ok(missing("promtool"));
    }
    let rules = yaml_files(&root.join("deploy/observability/rules"))?;
    let mut check = process::tool(root, "promtool");
    check.args(["check", "rules", "--lint-fatal"]).args(rules);
    if let Some(text) = process::failure_of(&mut check)? {
        return Ok(Outcome::Ran(vec![text]));
    }
    let tests = yaml_files(&root.join("deploy/observability/tests"))?;
    let mut test = process::tool(root, "promtool");
    // Paths of rules are relative to the test file.
    test.args(["test", "rules"]).args(tests);
    findings(&mut test)
}

/// The configurations of nats-server parse, with the users' permissions.
pub(super) fn nats(root: &Path) -> Result<Outcome> {
    if process::tool(root, "nats-server")
        .arg("--version")
        .output()
        .is_err()
    {
        return Ok(missing("nats-server"));
    }
    let mut command = process::tool(root, "nats-server");
    for role in [
        "ADMIN", "EMAIL", "CHAT", "SOCIAL", "FORMS", "TICKETS", "ROUTER", "SLA",
    ] {
        command.env(format!("SOLMU_NATS_{role}"), "secret");
    }
    command.args(["--config", "deploy/nats/nats-server.conf", "-t"]);
    findings(&mut command)
}

fn missing(tool: &str) -> Outcome {
    Outcome::NotRun(format!("no {tool}: scripts/tools.sh deploy"))
}
