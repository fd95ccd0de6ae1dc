//! `make fuzz`: hostile bytes for everything that reads mail.
//!
//! ```text
//! make fuzz SECONDS=3600 SEED=7                       # all targets in turns, one thread
//! cargo run -p solmu-fuzz -- --seconds 60 --target tnef
//! cargo run -p solmu-fuzz -- --target mail --replay target/fuzz/findings/mail-0123456789ab.bin
//! ```

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use clap::Parser;
use solmu_fuzz::{
    supervisor,
    worker::{self, Work},
};

/// Feeds hostile bytes to everything that reads mail.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The same seed tries the same inputs
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only this target; repeatable
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// Folder for what is found
    #[arg(long, default_value = "target/fuzz", value_name = "DIR")]
    folder: PathBuf,
    /// Mails of others to begin with, used if they are there
    #[arg(long, default_value = "../shared/fixtures", value_name = "DIR")]
    samples: PathBuf,
    /// Read this file once with the target
    #[arg(long, value_name = "FILE", requires = "targets")]
    replay: Option<PathBuf>,
    /// Be a worker
    #[arg(long, hide = true)]
    worker: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(file) = &arguments.replay {
        for target in &arguments.targets {
            worker::replay(target, file)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let work = Work {
        folder: arguments.folder.clone(),
        seed: arguments.seed,
        time: Duration::from_secs(arguments.seconds),
        only: arguments.targets.clone(),
        samples: Some(arguments.samples.clone()).filter(|folder| folder.is_dir()),
    };
    if arguments.worker {
        worker::run(work)?;
        return Ok(ExitCode::SUCCESS);
    }
    let program = std::env::current_exe()?;
    let start = |seed: u64, seconds: u64| {
        let mut command = Command::new(&program);
        command
            .arg("--worker")
            .args(["--seed", &seed.to_string()])
            .args(["--seconds", &seconds.to_string()])
            .arg("--folder")
            .arg(&arguments.folder)
            .arg("--samples")
            .arg(&arguments.samples);
        for target in &arguments.targets {
            command.args(["--target", target]);
        }
        command
    };
    let summary = supervisor::run(&work, &start)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<12} {:>12} {:>8}", "target", "inputs", "ways")?;
    for (name, count) in &summary.counts {
        writeln!(out, "{name:<12} {:>12} {:>8}", count.read, count.ways)?;
    }
    let read: u64 = summary.counts.values().map(|count| count.read).sum();
    writeln!(
        out,
        "{read} inputs in {} s, seed {}: {} findings, {} dead workers",
        arguments.seconds,
        arguments.seed,
        summary.findings.len(),
        summary.deaths
    )?;
    for file in &summary.findings {
        writeln!(out, "  {}", file.display())?;
    }
    Ok(if summary.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
