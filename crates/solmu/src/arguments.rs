//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use solmu_cli::ConnectOptions;
use solmu_runtime::RoleName;

/// The omnichannel helpdesk backend: every customer contact becomes one ticket on one contact, owned and answered in time.
#[derive(Debug, Parser)]
#[command(name = "solmu", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Configuration file [default: solmu.toml in the data directory, if it is there]
    #[arg(long, global = true, env = "SOLMU_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connect: ConnectOptions,
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run the service: every role in one process, or some of them
    Serve(ServeFlags),
    /// Bring the database's schema up to date
    Migrate(Target),
    /// Manage the streams of the bus
    Streams {
        #[command(subcommand)]
        task: StreamsTask,
    },
    /// Set up a fresh deployment: default team, agent and SLA policy, and the first admin token, printed once
    FirstToken {
        #[command(flatten)]
        target: Target,
        /// Make another admin token although there is one: for who has lost it and reaches the database
        #[arg(long)]
        again: bool,
    },
    /// Show, check and document the configuration
    Config {
        #[command(subcommand)]
        task: ConfigTask,
    },
    /// Look at an installation and say what to do about what is found
    Doctor {
        #[command(flatten)]
        target: Target,
        /// Monitoring addresses of all nats-servers, to see whether each syncs each publish, e.g. `nats-0:8222,nats-1:8222`,
        /// or a name that has the addresses of all; may be given more than once
        #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
        nats_monitoring: Vec<String>,
    },
    /// Events that could not be done: list, show, replay and drop them
    Dead {
        #[command(flatten)]
        target: Target,
        #[command(subcommand)]
        task: DeadTask,
    },
    /// Write a copy of a private database into a file, beside a running `solmu serve`
    Dump {
        /// The file to make
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Fill the private database of an empty data directory from such a file
    Restore {
        /// The file that `solmu dump` (or `pg_dump --format custom`) has made
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// The API, described
    Api {
        #[command(subcommand)]
        task: ApiTask,
    },
    /// Import stored mail: mbox files, Maildirs, .eml files and folders of them
    Import(ImportFlags),
    /// When tickets must be answered: calendars, policies, clocks, attainment
    Sla {
        #[command(subcommand)]
        task: SlaTask,
    },
    /// Measure a running system
    #[command(subcommand)]
    Bench(solmu_bench::BenchCommand),
    #[command(flatten)]
    Desk(solmu_deskcli::DeskCommand),
    #[command(flatten)]
    Client(solmu_cli::Command),
}

/// Which engines to use; without any, those of a `solmu serve` on this data directory.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Target {
    /// PostgreSQL to use [default: a private one in the data directory]
    #[arg(
        long,
        value_name = "URL",
        env = "SOLMU_POSTGRES",
        hide_env_values = true
    )]
    pub(crate) postgres: Option<String>,
    /// NATS to use [default: a private one in the data directory]
    #[arg(long, value_name = "URL", env = "SOLMU_NATS", hide_env_values = true)]
    pub(crate) nats: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeFlags {
    #[command(flatten)]
    pub(crate) target: Target,
    /// A role to run; may be given more than once [default: all of them]
    #[arg(long = "service", value_name = "ROLE")]
    pub(crate) services: Vec<RoleName>,
    /// Set a configuration key, e.g. `server.http_address=0.0.0.0:7311`; may be given more than once
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Migrate the schema and apply the streams first, also on engines that are not private
    #[arg(long)]
    pub(crate) migrate: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StreamsTask {
    /// Make the streams as this release defines them
    Apply(Target),
    /// After a restore, before the processes start: have all that is still in INBOUND filed again; what is filed already is dropped
    Rewind(Target),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigTask {
    /// Print the JSON Schema of the configuration
    Schema,
    /// Check the configuration and say everything that is wrong with it
    Check,
    /// Print the configuration as it is in force, without secrets
    Print,
    /// Print the reference of all keys as Markdown
    Docs {
        /// Fail if this file differs from what would be printed
        #[arg(long, value_name = "FILE")]
        check: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiTask {
    /// Print the OpenAPI document of the JSON API
    Openapi,
    /// Print who may call which method, as Markdown
    Permissions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadTask {
    /// List dead letters, oldest first
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one with its cause
    Show {
        /// Its number in the list
        sequence: u64,
    },
    /// Publish one (or all) again where it came from; one that nobody can read stays, and is told
    Replay {
        /// Its number in the list; all of them if left out
        sequence: Option<u64>,
    },
    /// Remove one for good: what it holds is then lost. Prints a line with all that is known of it
    Drop {
        /// Its number in the list
        sequence: u64,
        /// Why nobody needs it; it stands in the line
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Keep its bytes in this file first
        #[arg(long, value_name = "FILE")]
        keep: Option<PathBuf>,
        /// Do it; without this nothing is removed
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SlaTask {
    /// Compute SLA cases: one JSON object a line from standard input to standard output
    Eval,
    #[command(flatten)]
    Client(solmu_cli::SlaCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ImportFlags {
    #[command(flatten)]
    pub(crate) target: Target,
    /// What to import
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Account for mail whose recipients are not ours [default: the default account]
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Only count what would be read: nothing is handed in, and no engines are needed
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Forget what earlier runs have done and begin anew; mail that is there already has no second effect
    #[arg(long)]
    pub(crate) restart: bool,
}
