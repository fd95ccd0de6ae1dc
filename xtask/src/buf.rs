//! `cargo xtask buf`: lints and formats `proto/` and compares it with what was released.
//!
//! `proto/released.binpb` is the image of the last release, committed: the comparison needs neither tags nor history.
//! Before the first release it is a baseline that may be made anew; from then on only a release makes it.

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};

use crate::process;

const IMAGE: &str = "proto/released.binpb";

/// Runs every check on `proto/`; `fix` formats it first.
pub(crate) fn check(root: &Path, fix: bool) -> Result<ExitCode> {
    if fix {
        buf(root, &["format", "proto", "-w"])?;
    }
    anyhow::ensure!(
        root.join(IMAGE).is_file(),
        "{IMAGE} is missing: restore it; it is what proto/ is compared with"
    );
    let checks: [(&str, &[&str], &str); 3] = [
        (
            "lint",
            &["lint", "proto"],
            "follow the rule that each line names",
        ),
        (
            "format",
            &["format", "proto", "--diff", "--exit-code"],
            "run `cargo xtask buf --fix`",
        ),
        (
            "breaking",
            &["breaking", "proto", "--against", IMAGE],
            "add a field or a message instead, and keep the old one until nobody reads it",
        ),
    ];
    let mut verdict = ExitCode::SUCCESS;
    for (name, arguments, advice) in checks {
        match buf(root, arguments)? {
            None => println!("buf {name:<10} ok"),
            Some(text) => {
                println!("buf {name:<10} failed: {advice}");
                println!("  {}", text.replace('\n', "\n  "));
                verdict = ExitCode::FAILURE;
            }
        }
    }
    Ok(verdict)
}

/// Makes what is there now the released form.
pub(crate) fn release(root: &Path) -> Result<ExitCode> {
    if let Some(text) = buf(
        root,
        &["build", "proto", "--exclude-source-info", "-o", IMAGE],
    )? {
        anyhow::bail!("buf build failed: {text}");
    }
    println!("{IMAGE} is the baseline now; commit it");
    Ok(ExitCode::SUCCESS)
}

/// What buf printed, when it failed.
fn buf(root: &Path, arguments: &[&str]) -> Result<Option<String>> {
    process::failure_of(process::tool(root, "buf").args(arguments))
        .context("is buf here? `scripts/tools.sh buf` brings it")
}
