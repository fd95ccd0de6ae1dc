//! `cargo xtask deny`: licences, banned and duplicate crates, sources, and known vulnerabilities where their list can be
//! had.

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result};

use crate::process;

/// Runs cargo-deny. A list of advisories that cannot be fetched is said, not failed: it is not about the project.
pub(crate) fn check(root: &Path) -> Result<ExitCode> {
    let mut verdict = ExitCode::SUCCESS;
    let mut rules = vec!["bans", "licenses", "sources"];
    match deny(root, &["fetch", "db"])? {
        None => rules.push("advisories"),
        Some(_) => println!("not run: deny advisories (the advisory database cannot be fetched)"),
    }
    for rule in rules {
        // Warnings are allowed, unused allowances for example: targets differ in what they use.
        match deny(
            root,
            &["--workspace", "check", "--hide-inclusion-graph", rule],
        )? {
            None => println!("deny {rule:<12} ok"),
            Some(text) => {
                println!(
                    "deny {rule:<12} failed: change the dependency, or deny.toml with a reason"
                );
                println!("  {}", text.replace('\n', "\n  "));
                verdict = ExitCode::FAILURE;
            }
        }
    }
    Ok(verdict)
}

/// What cargo-deny printed, when it failed.
fn deny(root: &Path, arguments: &[&str]) -> Result<Option<String>> {
    process::failure_of(process::tool(root, "cargo-deny").args(arguments))
        .context("is cargo-deny here? `scripts/tools.sh deny` brings it")
}
