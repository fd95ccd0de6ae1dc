//! Developer tasks. `cargo xtask --help` lists them.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

mod apidoc;
mod buf;
mod check;
mod deny;
mod deploy;
mod generate;
mod observe;
mod process;
mod source;
mod test;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Developer tasks of Solmu")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Generates the Rust code of proto/ and the pages about the API.
    Gen,
    /// Runs the tests on private engines; arguments go to cargo nextest run (default: the whole workspace).
    Test {
        /// Arguments for nextest, e.g. `-p solmu-tickets`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Checks what the compiler does not: format, logs, crate direction, migrations, generated files, lengths.
    Check {
        /// Repairs what a program can: format, generated code, configuration docs.
        #[arg(long)]
        fix: bool,
        /// Only checks whose name contains one of these.
        only: Vec<String>,
    },
    /// Lints proto/ and compares it with the last release.
    Buf {
        /// Formats proto/ first.
        #[arg(long)]
        fix: bool,
        #[command(subcommand)]
        task: Option<ReleaseTask>,
    },
    /// Checks chart, manifests, alert rules and images as far as that goes without a cluster.
    Deploy {
        #[command(subcommand)]
        task: DeployTask,
    },
    /// Checks licences, banned crates, sources and, where reachable, advisories of the dependencies.
    Deny,
    /// Keeps the list of released migrations.
    Migrations {
        #[command(subcommand)]
        task: ReleaseTask,
    },
}

#[derive(Debug, Subcommand)]
enum DeployTask {
    /// Runs the checks.
    Check {
        /// Only steps whose name contains one of these.
        only: Vec<String>,
    },
    /// Writes k8s/base and k8s/components from the chart.
    K8s,
}

#[derive(Debug, Subcommand)]
enum ReleaseTask {
    /// Records what is there now as released.
    Release,
}

fn main() -> Result<ExitCode> {
    solmu_engines::run_child_if_asked();
    let root = workspace_root()?;
    match Arguments::parse().task {
        Task::Gen => {
            generate::generate(&root, &root.join(generate::OUT))?;
            generate::pages(&root).map(|()| ExitCode::SUCCESS)
        }
        Task::Test { arguments } => test::run(&root, &arguments),
        Task::Check { fix, only } => check::run(&root, fix, &only),
        Task::Buf { fix, task: None } => buf::check(&root, fix),
        Task::Buf {
            task: Some(ReleaseTask::Release),
            ..
        } => buf::release(&root),
        Task::Deploy {
            task: DeployTask::Check { only },
        } => Ok(deploy::check(&root, &only)),
        Task::Deploy {
            task: DeployTask::K8s,
        } => deploy::generate(&root),
        Task::Deny => deny::check(&root),
        Task::Migrations {
            task: ReleaseTask::Release,
        } => {
            for name in check::migrations::release(&root)? {
                println!("{name} is released from now on");
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The folder that holds the workspace's Cargo.toml.
fn workspace_root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_owned)
        .context("xtask has no parent folder")
}
