//! `cargo xtask check`: the rules of the project that the compiler and clippy do not know.
//!
//! Every check runs, also after one has failed, so that one run shows everything there is to do.

use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::source::{self, Source};

mod crates;
mod docs;
mod format;
mod generated;
mod hygiene;
mod lengths;
mod logs;
mod metrics;
pub(crate) mod migrations;

pub(crate) use crates::of_service;

/// What the checks look at.
#[derive(Debug)]
struct Project<'a> {
    root: &'a Path,
    /// Every Rust file that people write.
    sources: Vec<Source>,
    /// Whether to repair what a program can repair.
    fix: bool,
}

/// A rule.
struct Check {
    name: &'static str,
    /// What to do when it fails.
    advice: &'static str,
    /// What is wrong, an entry each.
    run: fn(&Project<'_>) -> Result<Vec<String>>,
}

const CHECKS: [Check; 9] = [
    Check {
        name: "format",
        advice: "run `cargo fmt --all`",
        run: format::check,
    },
    Check {
        name: "log style",
        advice: "write a constant lowercase sentence without a full stop, and put the values into fields",
        run: logs::check,
    },
    Check {
        name: "crate direction",
        advice: "send an event or ask over gRPC instead; shared code goes to a crate further down",
        run: crates::check,
    },
    Check {
        name: "migrations",
        advice: "leave released migrations alone and add a new one (CONTRIBUTING.md, migrations)",
        run: migrations::check,
    },
    Check {
        name: "generated code",
        advice: "run `cargo xtask gen`",
        run: generated::check,
    },
    Check {
        name: "lengths",
        advice: "split by topic: a file stays below 500 lines before its tests, a function below 80",
        run: lengths::check,
    },
    Check {
        name: "hygiene",
        advice: "see each line",
        run: hygiene::check,
    },
    Check {
        name: "metrics",
        advice: "run `cargo xtask check --fix metrics`; what it cannot repair names a metric or label that nothing tells",
        run: metrics::check,
    },
    Check {
        name: "configuration docs",
        advice: "run `cargo xtask check --fix`, or make the configuration's code build",
        run: docs::check,
    },
];

/// Runs every check, or those of which the name contains one of `only`.
pub(crate) fn run(root: &Path, fix: bool, only: &[String]) -> Result<ExitCode> {
    let project = Project {
        root,
        sources: source::rust_sources(root)?,
        fix,
    };
    let mut failures = Vec::new();
    let mut ran = 0;
    for check in CHECKS.iter().filter(|check| is_wanted(check.name, only)) {
        ran += 1;
        let start = Instant::now();
        let problems = match (check.run)(&project) {
            Ok(problems) => problems,
            Err(error) => vec![format!("{error:#}")],
        };
        report(check.name, problems.len(), start.elapsed());
        if !problems.is_empty() {
            failures.push((check, problems));
        }
    }
    anyhow::ensure!(ran > 0, "no check has such a name");
    for (check, problems) in &failures {
        println!("\n{} failed: {}", check.name, check.advice);
        for problem in problems {
            println!("  {}", problem.replace('\n', "\n  "));
        }
    }
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn is_wanted(name: &str, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|part| name.contains(part.as_str()))
}

fn report(name: &str, problems: usize, took: Duration) {
    let verdict = match problems {
        0 => "ok".to_owned(),
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    println!("check {name:<20} {verdict} ({:.1} s)", took.as_secs_f64());
}
