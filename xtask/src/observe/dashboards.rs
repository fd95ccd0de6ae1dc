//! The dashboards: whole, distinct, with a choosable data source, and asking only for what is told.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{Catalogue, expression};

/// Where they are.
const FOLDER: &str = "deploy/observability/dashboards";

pub(super) fn check(root: &Path, catalogue: &Catalogue) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let (mut uids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(root.join(FOLDER)).context("there are no dashboards")? {
        let path = entry?.path();
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(&path)?;
        let board: Value =
            serde_json::from_str(&text).with_context(|| format!("{file} is no JSON"))?;
        let mut say = |what: String| problems.push(format!("{file}: {what}"));
        for (key, seen) in [("uid", &mut uids), ("title", &mut titles)] {
            let value = board[key].as_str().unwrap_or_default();
            if value.is_empty() || !seen.insert(value.to_owned()) {
                say(format!("its {key} '{value}' is missing or taken"));
            }
        }
        if !board["templating"]["list"]
            .as_array()
            .is_some_and(|list| list.iter().any(|it| it["type"] == "datasource"))
        {
            say("nobody can choose its data source".to_owned());
        }
        let mut ids = BTreeSet::new();
        for panel in board["panels"].as_array().into_iter().flatten() {
            let title = panel["title"].as_str().unwrap_or_default();
            if title.is_empty() || !ids.insert(panel["id"].as_u64()) {
                say(format!("panel '{title}' has no title or no id of its own"));
            }
            if panel["type"] == "row" {
                continue;
            }
            if panel["description"].as_str().unwrap_or_default().is_empty() {
                say(format!("panel '{title}' does not say what it shows"));
            }
            let targets = panel["targets"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            if targets.is_empty() {
                say(format!("panel '{title}' asks nothing"));
            }
            for target in targets {
                let query = target["expr"].as_str().unwrap_or_default();
                for problem in expression::unknown(query, catalogue) {
                    say(format!("panel '{title}': {problem}"));
                }
            }
        }
    }
    Ok(problems)
}
