//! Tools of others, over the files that are theirs to judge.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

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

/// The builder's image has the compiler that everything else here is built with.
pub(super) fn builder(root: &Path) -> Result<Outcome> {
    let toolchain = std::fs::read_to_string(root.join("rust-toolchain.toml"))?;
    let toolchain: toml::Table = toolchain
        .parse()
        .context("rust-toolchain.toml is no TOML")?;
    let dockerfile = std::fs::read_to_string(root.join("deploy/Dockerfile"))?;
    let channel = toolchain["toolchain"]["channel"].as_str();
    Ok(Outcome::Ran(
        differs(&dockerfile, channel.unwrap_or_default())
            .into_iter()
            .collect(),
    ))
}

fn differs(dockerfile: &str, channel: &str) -> Option<String> {
    let builder = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("ARG BUILDER="))
        .unwrap_or_default();
    let version = builder
        .rsplit_once(':')
        .and_then(|(_, tag)| tag.split('-').next())
        .unwrap_or_default();
    (version != channel || channel.is_empty()).then(|| {
        format!(
            "deploy/Dockerfile builds with '{builder}', and rust-toolchain.toml says '{channel}'"
        )
    })
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

/// What each user may read, on a real server: `deploy/checks/bus_users.py`.
pub(super) fn nats_users(root: &Path) -> Result<Outcome> {
    if process::tool(root, "nats-server")
        .arg("--version")
        .output()
        .is_err()
    {
        return Ok(missing("nats-server"));
    }
    let mut command = Command::new("python3");
    command
        .current_dir(root)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg("deploy/checks/bus_users.py");
    findings(&mut command)
}

/// The servers of the chart, as three real ones: `deploy/checks/nats_cluster.py` over what was rendered before.
pub(super) fn nats_cluster(root: &Path) -> Result<Outcome> {
    let rendered = super::rendered_folder(root).join("values-ha.json");
    if !rendered.is_file() {
        return Ok(Outcome::NotRun("nothing was rendered".to_owned()));
    }
    if process::tool(root, "nats-server")
        .arg("--version")
        .output()
        .is_err()
    {
        return Ok(missing("nats-server"));
    }
    let mut command = Command::new("python3");
    command
        .current_dir(root)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg("deploy/checks/nats_cluster.py")
        .arg(rendered);
    findings(&mut command)
}

fn missing(tool: &str) -> Outcome {
    Outcome::NotRun(format!("no {tool}: scripts/tools.sh deploy"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_compiler_is_found() {
        let of =
            |tag: &str| format!("ARG BUILDER=docker.io/library/rust:{tag}\nFROM ${{BUILDER}}\n");
        assert_eq!(differs(&of("1.95.0-bookworm"), "1.95.0"), None);
        for other in ["1.95-bookworm", "1.94.1-bookworm", "latest"] {
            assert!(differs(&of(other), "1.95.0").is_some(), "{other}");
        }
        assert!(differs("FROM scratch\n", "").is_some());
    }
}
