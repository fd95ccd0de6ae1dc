//! `cargo xtask deploy`: everything that can be known of the chart, the manifests, the rules and the images without a
//! cluster.
//!
//! Schema tools pass a Service whose port no container has and a secret that nobody mounts, so the wiring is checked here,
//! over what a real Helm engine and kustomize render. The tools come from `scripts/tools.sh deploy`; what is missing is
//! named and not silently left out. Admission, scheduling, scaling and the enforcement of network policies need a cluster
//! and are not checked by anything here: README.md says so.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process;

mod api;
mod budget;
mod compose;
mod evidence;
mod flows;
mod objects;
mod order;
mod pods;
mod settings;
mod tools;
mod wiring;

/// What one step came to.
enum Outcome {
    /// What is wrong, an entry each; nothing if all is well.
    Ran(Vec<String>),
    /// Why it could not be done here.
    NotRun(String),
}

/// A rendering: its name and its objects.
struct Rendering {
    name: String,
    objects: Vec<Value>,
}

struct Step {
    name: &'static str,
    run: fn(&Path) -> Result<Outcome>,
}

const STEPS: [Step; 13] = [
    Step {
        name: "charts and overlays",
        run: charts,
    },
    Step {
        name: "k8s is generated",
        run: |root| charts_py(root, &["k8s", "--check"]),
    },
    Step {
        name: "values schema",
        run: |root| values_schema(root, &["--check"]),
    },
    Step {
        name: "wiring and security",
        run: lint,
    },
    Step {
        name: "settings",
        run: |root| settings::check(root, &renderings(root)?),
    },
    Step {
        name: "YAML style",
        run: tools::yamllint,
    },
    Step {
        name: "Dockerfile",
        run: tools::hadolint,
    },
    Step {
        name: "builder",
        run: tools::builder,
    },
    Step {
        name: "compose",
        run: compose::check,
    },
    Step {
        name: "alert rules",
        run: tools::promtool,
    },
    Step {
        name: "NATS configuration",
        run: tools::nats,
    },
    Step {
        name: "NATS users",
        run: tools::nats_users,
    },
    Step {
        name: "NATS cluster",
        run: tools::nats_cluster,
    },
];

/// Runs every step, or those of which the name contains one of `only`.
pub(crate) fn check(root: &Path, only: &[String]) -> ExitCode {
    let mut failed = false;
    for step in &STEPS {
        if !only.is_empty() && !only.iter().any(|part| step.name.contains(part.as_str())) {
            continue;
        }
        let start = Instant::now();
        let outcome =
            (step.run)(root).unwrap_or_else(|error| Outcome::Ran(vec![format!("{error:#}")]));
        let took = start.elapsed().as_secs_f64();
        match outcome {
            Outcome::NotRun(why) => println!("not run: {} ({why})", step.name),
            Outcome::Ran(problems) if problems.is_empty() => {
                println!("deploy {:<20} ok ({took:.1} s)", step.name);
            }
            Outcome::Ran(problems) => {
                failed = true;
                println!(
                    "deploy {:<20} {} problems ({took:.1} s)",
                    step.name,
                    problems.len()
                );
                for problem in problems {
                    println!("  {}", problem.replace('\n', "\n  "));
                }
            }
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Writes what the values may hold from the program, then `k8s/base` and `k8s/components` from the chart.
pub(crate) fn generate(root: &Path) -> Result<ExitCode> {
    if let Outcome::NotRun(why) = all_well(values_schema(root, &[])?)? {
        println!("not run: values schema ({why})");
    }
    match all_well(charts_py(root, &["k8s"])?)? {
        Outcome::Ran(_) => Ok(ExitCode::SUCCESS),
        Outcome::NotRun(why) => anyhow::bail!("{why}"),
    }
}

fn all_well(outcome: Outcome) -> Result<Outcome> {
    match outcome {
        Outcome::Ran(problems) if !problems.is_empty() => anyhow::bail!("{}", problems.join("\n")),
        other => Ok(other),
    }
}

/// `config` of the values holds what the program knows, by the newest binary that was built.
fn values_schema(root: &Path, more: &[&str]) -> Result<Outcome> {
    let Some(binary) = settings::binary(root) else {
        return Ok(Outcome::NotRun(
            "there is no binary: cargo build -p solmu".to_owned(),
        ));
    };
    let binary = binary.to_string_lossy().into_owned();
    charts_py(root, &[&["schema", &binary], more].concat())
}

/// Where `charts.py check` leaves what it rendered.
fn rendered_folder(root: &Path) -> PathBuf {
    root.join("target/deploy")
}

fn charts(root: &Path) -> Result<Outcome> {
    let folder = rendered_folder(root);
    // What an earlier run rendered is not what is there now.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context("cannot remove target/deploy")?;
    }
    let folder = folder.to_string_lossy().into_owned();
    charts_py(root, &["check", &folder])
}

fn charts_py(root: &Path, arguments: &[&str]) -> Result<Outcome> {
    let Some(mut command) = python(root, "helm_python") else {
        return Ok(Outcome::NotRun(
            "no Helm engine: scripts/tools.sh deploy".to_owned(),
        ));
    };
    command.arg("deploy/checks/charts.py").args(arguments);
    let output = command.output().context("cannot run python3")?;
    if output.status.success() {
        print!("{}", not_run_lines(&output.stdout));
        return Ok(Outcome::Ran(Vec::new()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Ok(Outcome::Ran(text.lines().map(str::to_owned).collect()))
}

/// What a script says it could not do, even when the rest was well.
fn not_run_lines(stdout: &[u8]) -> String {
    String::from_utf8_lossy(stdout)
        .lines()
        .filter(|line| line.starts_with("not run:"))
        .fold(String::new(), |text, line| text + line + "\n")
}

/// Python with the packages of `scripts/tools.sh deploy`, if `module` is among them.
fn python(root: &Path, module: &str) -> Option<Command> {
    let packages = root.join(".tools/python");
    if !packages.join(module).is_dir() {
        return None;
    }
    let mut command = Command::new("python3");
    command
        .current_dir(root)
        .env("PYTHONPATH", &packages)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

/// What the step before left.
fn renderings(root: &Path) -> Result<Vec<Rendering>> {
    let folder = rendered_folder(root);
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return Ok(found);
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&path)?;
        found.push(Rendering {
            name: name.into_owned(),
            objects: serde_json::from_str(&text)
                .with_context(|| format!("cannot read '{}'", path.display()))?,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn lint(root: &Path) -> Result<Outcome> {
    let renderings = renderings(root)?;
    if renderings.is_empty() {
        return Ok(Outcome::NotRun("nothing was rendered".to_owned()));
    }
    let roles = evidence::roles(root)?;
    let services = api::services(root)?;
    let mut problems = Vec::new();
    for rendering in &renderings {
        let mut found = pods::check(&rendering.objects);
        found.extend(wiring::check(&rendering.objects));
        found.extend(flows::check(&rendering.objects, &roles));
        found.extend(order::check(&rendering.objects));
        found.extend(budget::check(&rendering.objects));
        found.extend(api::check(&rendering.objects, &roles, &services));
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{}: {problem}", rendering.name)),
        );
    }
    Ok(Outcome::Ran(problems))
}

/// The output of a program that says what is wrong, line by line.
fn findings(command: &mut Command) -> Result<Outcome> {
    Ok(Outcome::Ran(
        process::failure_of(command)?
            .map(|text| text.lines().map(str::to_owned).collect())
            .unwrap_or_default(),
    ))
}
