//! The compose file, which nothing here can run: form, names and settings by `deploy/checks/compose.py`.

use std::path::Path;

use anyhow::Result;

use super::{Outcome, findings, python, settings};

pub(super) fn check(root: &Path) -> Result<Outcome> {
    let Some(mut command) = python(root, "check_jsonschema") else {
        return Ok(Outcome::NotRun(
            "no schema of the Compose specification: scripts/tools.sh deploy".to_owned(),
        ));
    };
    command.args(["deploy/checks/compose.py", "check"]);
    // Without a binary, its settings are not looked at; the step before has said so.
    command.args(settings::binary(root));
    findings(&mut command)
}
