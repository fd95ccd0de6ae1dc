//! Code stands as rustfmt puts it.

use anyhow::Result;

use super::Project;
use crate::process;

/// Files that rustfmt would write differently.
pub(super) fn check(project: &Project<'_>) -> Result<Vec<String>> {
    if project.fix {
        let mut fix = process::cargo(project.root);
        return Ok(process::failure_of(fix.args(["fmt", "--all"]))?
            .into_iter()
            .collect());
    }
    let mut check = process::cargo(project.root);
    check.args(["fmt", "--all", "--", "--check", "--files-with-diff"]);
    let Some(text) = process::failure_of(&mut check)? else {
        return Ok(Vec::new());
    };
    let root = format!("{}/", project.root.display());
    Ok(text
        .lines()
        .map(|line| line.trim_start_matches(&root).to_owned())
        .collect())
}
