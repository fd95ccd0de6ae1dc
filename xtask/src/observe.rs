//! Metrics, dashboards, alerts and runbooks, held against one catalogue: `deploy/observability/metrics.toml`.
//!
//! A metric that is renamed in the code leaves a dashboard empty and an alert silent, which is how both are found out: too
//! late. So every name in the code must stand in the catalogue, and every name (and label) that a dashboard, an alert or
//! a page of the docs uses must stand there too.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};

use crate::source::Source;

mod alerts;
mod code;
mod dashboards;
mod docs;
mod expression;
mod shown;

/// The file of the catalogue.
const CATALOGUE: &str = "deploy/observability/metrics.toml";
/// What stands above the metrics in it.
const HEADER: &str = "# Every metric of Solmu: what `/metrics` of the admin address tells. Code, dashboards, alerts and docs are checked\n# against this file (`cargo xtask check metrics`); `--fix` writes it from the code.\n";

/// Labels that Prometheus puts on everything by our ServiceMonitor and by itself.
const TARGET_LABELS: [&str; 6] = ["job", "instance", "component", "namespace", "pod", "le"];

/// One metric.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Metric {
    kind: String,
    unit: String,
    labels: Vec<String>,
    meaning: String,
    /// The crate that tells it.
    source: String,
}

type Catalogue = BTreeMap<String, Metric>;

/// Everything in which code, catalogue, dashboards, alerts, runbooks and docs differ.
pub(crate) fn check(root: &Path, sources: &[Source], fix: bool) -> Result<Vec<String>> {
    let (in_code, mut problems) = code::metrics(sources);
    let path = root.join(CATALOGUE);
    if fix {
        std::fs::write(&path, written(&in_code))?;
        docs::write(root, &in_code)?;
    }
    let catalogue = read(&path)?;
    problems.extend(differences(&in_code, &catalogue));
    problems.extend(dashboards::check(root, &catalogue)?);
    problems.extend(alerts::check(root, &catalogue)?);
    problems.extend(shown::check(root, &catalogue)?);
    problems.extend(docs::check(root, &catalogue)?);
    Ok(problems)
}

fn differences(in_code: &Catalogue, catalogue: &Catalogue) -> Vec<String> {
    let names: BTreeSet<&String> = in_code.keys().chain(catalogue.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| match (in_code.get(name), catalogue.get(name)) {
            (Some(_), None) => Some(format!("'{name}' is not in {CATALOGUE}")),
            (None, Some(_)) => Some(format!("'{name}' is in {CATALOGUE} and in no code")),
            (Some(code), Some(known)) if code != known => Some(format!(
                "'{name}' is told as {code:?} and described as {known:?}"
            )),
            _ => None,
        })
        .collect()
}

fn written(catalogue: &Catalogue) -> String {
    let mut text = HEADER.to_owned();
    for (name, metric) in catalogue {
        let labels: Vec<String> = metric
            .labels
            .iter()
            .map(|label| format!("\"{label}\""))
            .collect();
        let entry = format!(
            "\n[{name}]\nkind = \"{}\"\nunit = \"{}\"\nlabels = [{}]\nmeaning = \"{}\"\nsource = \"{}\"\n",
            metric.kind,
            metric.unit,
            labels.join(", "),
            metric.meaning.replace('"', "\\\""),
            metric.source
        );
        text.push_str(&entry);
    }
    text
}

fn read(path: &Path) -> Result<Catalogue> {
    let text = std::fs::read_to_string(path).context("there is no catalogue of metrics")?;
    let table: toml::Table = text
        .parse()
        .context("the catalogue of metrics is no TOML")?;
    table
        .into_iter()
        .map(|(name, value)| {
            let field = |key: &str| -> Result<String> {
                let value = value.get(key).and_then(toml::Value::as_str);
                Ok(value
                    .with_context(|| format!("'{name}' has no {key}"))?
                    .to_owned())
            };
            let labels = value.get("labels").and_then(toml::Value::as_array);
            let metric = Metric {
                kind: field("kind")?,
                unit: field("unit")?,
                labels: labels
                    .with_context(|| format!("'{name}' has no labels"))?
                    .iter()
                    .filter_map(|label| label.as_str().map(str::to_owned))
                    .collect(),
                meaning: field("meaning")?,
                source: field("source")?,
            };
            ensure!(!metric.meaning.is_empty(), "'{name}' means nothing");
            Ok((name, metric))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric() -> Metric {
        Metric {
            kind: "counter".to_owned(),
            unit: "1".to_owned(),
            labels: vec!["channel".to_owned()],
            meaning: "what \"it\" is".to_owned(),
            source: "solmu-bus".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let catalogue = Catalogue::from([("solmu_x_total".to_owned(), metric())]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.toml");
        std::fs::write(&path, written(&catalogue)).unwrap();
        assert_eq!(read(&path).unwrap(), catalogue);
    }

    #[test]
    fn each_difference_is_told() {
        let here = Catalogue::from([("a".to_owned(), metric()), ("b".to_owned(), metric())]);
        let mut other = metric();
        other.labels.clear();
        let there = Catalogue::from([("b".to_owned(), other), ("c".to_owned(), metric())]);
        assert_eq!(differences(&here, &there).len(), 3);
        assert!(differences(&here, &here).is_empty());
    }
}
