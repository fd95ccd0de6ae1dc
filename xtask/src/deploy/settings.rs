//! Every setting that a rendered container gets is accepted by the program itself.
//!
//! The file of the ConfigMap and the environment of the container go to `solmu config check`, with files in the places of
//! the mounted secrets; so a key that was renamed in the code fails here and not at the first start.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Outcome, Rendering,
    objects::{Workload, list, of_kind, text, workloads},
};

/// Where secrets are mounted.
const SECRETS: &str = "/run/secrets/solmu";
/// A signing key that is good in form.
const SIGNING_KEY: &str = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Checks each different pair of file and environment once.
pub(super) fn check(root: &Path, renderings: &[Rendering]) -> Result<Outcome> {
    let Some(binary) = binary(root) else {
        return Ok(Outcome::NotRun(
            "there is no binary: cargo build -p solmu".to_owned(),
        ));
    };
    if renderings.is_empty() {
        return Ok(Outcome::NotRun("nothing was rendered".to_owned()));
    }
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for rendering in renderings {
        for workload in workloads(&rendering.objects) {
            for container in workload.containers() {
                if !is_ours(container) {
                    continue;
                }
                let settings = Settings::of(&rendering.objects, &workload, container);
                if !seen.insert(settings.clone()) {
                    continue;
                }
                if let Some(said) = settings.problem(&binary)? {
                    problems.push(format!("{}: {}: {said}", rendering.name, workload.title));
                }
            }
        }
    }
    Ok(Outcome::Ran(problems))
}

/// The newest of the binaries that have been built.
pub(super) fn binary(root: &Path) -> Option<PathBuf> {
    ["debug", "quick", "release"]
        .map(|profile| root.join("target").join(profile).join("solmu"))
        .into_iter()
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
}

fn is_ours(container: &Value) -> bool {
    list(container, "/args")
        .iter()
        .any(|argument| argument == "--data")
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Settings {
    file: Option<String>,
    environment: BTreeMap<String, String>,
}

impl Settings {
    fn of(objects: &[Value], workload: &Workload<'_>, container: &Value) -> Self {
        let environment: BTreeMap<String, String> = list(container, "/env")
            .iter()
            .map(|it| (text(it, "/name").to_owned(), text(it, "/value").to_owned()))
            .collect();
        let config_map = list(workload.pod, "/volumes")
            .iter()
            .map(|volume| text(volume, "/configMap/name"))
            .find(|name| !name.is_empty());
        let file = config_map.and_then(|wanted| {
            let map = of_kind(objects, "ConfigMap")
                .into_iter()
                .find(|map| text(map, "/metadata/name") == wanted)?;
            Some(text(map, "/data/solmu.toml").to_owned())
        });
        Self { file, environment }
    }

    /// What the program says against them, if anything.
    fn problem(&self, binary: &Path) -> Result<Option<String>> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let secrets = folder.path().join("secrets");
        let here = |text: &str| text.replace(SECRETS, &secrets.to_string_lossy());
        let file = self.file.as_deref().map(here);
        let mut command = Command::new(binary);
        command.env_clear().current_dir(folder.path());
        for (name, value) in &self.environment {
            make_secrets(&secrets, &here(value))?;
            command.env(name, here(value));
        }
        if let Some(file) = &file {
            for value in file.split('"') {
                make_secrets(&secrets, value)?;
            }
            let path = folder.path().join("solmu.toml");
            std::fs::write(&path, file)?;
            command.env("SOLMU_CONFIG", path);
        }
        let output = command
            .args(["--data", "data", "config", "check"])
            .output()
            .context("cannot run the binary")?;
        Ok((!output.status.success())
            .then(|| String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

/// A file with something that passes, where `path` is one of the secrets.
fn make_secrets(secrets: &Path, path: &str) -> Result<()> {
    let path = Path::new(path);
    if !path.starts_with(secrets) {
        return Ok(());
    }
    let folder = path.parent().context("a secret has a folder")?;
    std::fs::create_dir_all(folder)?;
    let content = match folder.file_name().and_then(|name| name.to_str()) {
        Some("postgres") => "postgres://solmu:solmu@postgres/solmu",
        Some("nats") => "nats://solmu:solmu@nats:4222",
        Some("signing") => SIGNING_KEY,
        _ => "secret",
    };
    std::fs::write(path, content)?;
    Ok(())
}
