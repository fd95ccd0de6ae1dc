//! `solmu bench`: measures a running system from outside, beside what its engines could do at best in the same run.
//!
//! The generator is honest in three ways: it is its own process and is not counted; it measures on one clock, from the
//! moment that the sender had its 250 to the moment that the event stood on the bus; and it checks that every mail had
//! exactly its effect, because a system that loses or repeats mails is fast for nothing.

mod desk;
mod encode;
mod engines;
mod figures;
mod generate;
mod ingest;
mod limits;
mod load;
mod procs;
mod random;
mod report;
mod stamps;
mod texts;
mod watch;

use std::path::PathBuf;

use clap::Subcommand;
use solmu_cli::{
    ConnectOptions,
    parts::{Session, is_closed_pipe},
};

pub use desk::DeskArgs;

/// Measurements of a running system.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Mails from accepted to filed and assigned: rate, latency, CPU time and memory
    Ingest(Box<IngestArgs>),
    /// A desk of made-up tickets: how fast it is read, listed, searched and changed
    Desk(Box<DeskArgs>),
}

/// What is sent, where to, and what is watched.
#[derive(Debug, Clone, clap::Args)]
pub struct IngestArgs {
    /// PostgreSQL of the system [default: that of a `solmu serve` on the data directory]
    #[arg(
        long,
        env = "SOLMU_POSTGRES",
        hide_env_values = true,
        value_name = "URL"
    )]
    postgres: Option<String>,
    /// NATS of the system [default: that of a `solmu serve` on the data directory]
    #[arg(long, env = "SOLMU_NATS", hide_env_values = true, value_name = "URL")]
    nats: Option<String>,
    /// First token of the system's subjects
    #[arg(long, default_value = "solmu")]
    namespace: String,
    /// SMTP server of the system [default: of the configuration in the data directory, else 127.0.0.1:2525]
    #[arg(long, value_name = "HOST:PORT")]
    smtp: Option<String>,
    /// Address of ours that the mails go to [default: the first one of the configuration]
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Name of its e-mail account [default: the first one of the configuration]
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// SMTP connections; several numbers (1,8,64) make a run each and a table of all
    #[arg(long, default_value = "64", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: Vec<u16>,
    /// Mails to send
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    messages: u32,
    /// Mails per second [default: as fast as they are taken]
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Send the .eml files of this folder in place of generated mails
    #[arg(long, value_name = "DIR")]
    mails: Option<PathBuf>,
    /// Generated mails are the same for the same seed, but for the id of the run in their addresses
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Share of the mails at the beginning that is not measured
    #[arg(long, default_value_t = 0.1, value_name = "SHARE")]
    warm_up: f64,
    /// Process whose tree is counted; repeatable [default: found by the data directory]
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,
    /// How long nothing may happen before the run counts as ended, in seconds
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    patience: u64,
    /// Do not measure the limits of the engines
    #[arg(long)]
    no_limits: bool,
    /// Folder for the scratch file of the sync limit [default: the data directory, if it is there]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// Runs a measurement. An error's text says what to do; the process should then end with a code other than zero.
pub async fn run(command: BenchCommand, options: ConnectOptions) -> anyhow::Result<()> {
    let session = Session::new(options);
    let done = match command {
        BenchCommand::Ingest(arguments) => ingest::run(&session, *arguments).await,
        BenchCommand::Desk(arguments) => desk::run(&session, *arguments).await,
    };
    match done {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        connect: ConnectOptions,
        #[command(subcommand)]
        command: BenchCommand,
    }

    #[test]
    fn the_grammar_holds() {
        Cli::command().debug_assert();
        for line in [
            "bench ingest --messages 1000 --connections 8",
            "bench desk --tickets 10000",
            "bench desk --tickets 1000000 --calls 1000 --json",
            "bench desk --tickets 10000 --messages 50000 --load-only",
            "bench desk --tickets 10000 --no-reads --clients 32 --seconds 20 --writes 5",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }
}
