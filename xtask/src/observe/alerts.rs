//! The alert rules: known names, a unit test in which each fires and one in which it is silent, and a runbook for each.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result};

use super::{Catalogue, expression};

/// Where the pages are.
const RUNBOOKS: &str = "docs/runbooks";
/// Where `runbook_url` leads.
const URL: &str = "https://github.com/solmu/solmu/blob/main/docs/runbooks/";

pub(super) fn check(root: &Path, catalogue: &Catalogue) -> Result<Vec<String>> {
    let rules = texts(&root.join("deploy/observability/rules"))?;
    let tests = texts(&root.join("deploy/observability/tests"))?;
    let mut problems = expression::unknown(&expressions(&rules), catalogue);
    let alerts = values(&rules, "alert:");
    for alert in &alerts {
        if !rules.contains(&format!("runbook_url: {URL}{alert}.md")) {
            problems.push(format!("{alert} names no runbook of its own"));
        }
        if !root.join(RUNBOOKS).join(format!("{alert}.md")).is_file() {
            problems.push(format!("{RUNBOOKS}/{alert}.md is missing"));
        }
        let (fires, silent) = proofs(&tests, alert);
        if !fires || !silent {
            let what = if fires { "is silent" } else { "fires" };
            problems.push(format!("no unit test in which {alert} {what}"));
        }
    }
    for entry in std::fs::read_dir(root.join(RUNBOOKS)).context("there are no runbooks")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let alert = name.trim_end_matches(".md");
        if alert != "README" && !alerts.contains(alert) {
            problems.push(format!("{RUNBOOKS}/{name} belongs to no alert"));
        }
    }
    Ok(problems)
}

/// All files of a folder, one after the other.
fn texts(folder: &Path) -> Result<String> {
    let mut all = String::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("no '{}'", folder.display()))? {
        all += &std::fs::read_to_string(entry?.path())?;
        all.push('\n');
    }
    Ok(all)
}

/// What stands behind a key, over all lines.
fn values(text: &str, key: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix(key))
        .map(|value| value.trim().to_owned())
        .collect()
}

/// The lines of the blocks `expr: |`.
fn expressions(rules: &str) -> String {
    let mut found = String::new();
    let mut inside = None;
    for line in rules.lines() {
        let indent = line.len() - line.trim_start().len();
        if line.trim() == "expr: |" {
            inside = Some(indent);
        } else if inside.is_some_and(|outer| indent > outer) {
            found += line;
            found.push('\n');
        } else {
            inside = None;
        }
    }
    found
}

/// Whether the tests have a case in which the alert fires, and one in which it does not.
fn proofs(tests: &str, alert: &str) -> (bool, bool) {
    let mut proved = (false, false);
    let lines: Vec<&str> = tests.lines().map(str::trim).collect();
    for pair in lines.windows(2) {
        if pair[0] == format!("alertname: {alert}") {
            if pair[1] == "exp_alerts: []" {
                proved.1 = true;
            } else {
                proved.0 = true;
            }
        }
    }
    proved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_tests_are_read() {
        let rules = "- alert: A\n  expr: |\n    solmu_x > 1\n  for: 5m\n- alert: B\n  expr: |\n    solmu_y\n";
        assert_eq!(values(rules, "alert:").len(), 2);
        assert_eq!(expressions(rules), "    solmu_x > 1\n    solmu_y\n");
        let tests = "alertname: A\nexp_alerts: []\nalertname: A\nexp_alerts:\n  - x\nalertname: B\nexp_alerts: []\n";
        assert_eq!(proofs(tests, "A"), (true, true));
        assert_eq!(proofs(tests, "B"), (false, true));
    }
}
