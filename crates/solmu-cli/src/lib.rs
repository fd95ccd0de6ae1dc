//! The commands of `solmu` that talk to a running system: for people (tables, sentences) and for scripts (`--json`,
//! one object a line).
//!
//! Everything goes through the public gRPC API with a bearer token, so that nothing here can do what another client
//! could not. One command is more than a client: [`demo`](DemoArgs) sends real messages through the real protocols
//! and checks what becomes of them. `solmu bench` has a crate of its own, which works with [`parts`] of this one.
//!
//! What a customer wrote is never printed raw on a terminal: control characters are taken out first (see `words`).

mod agent;
mod connect;
mod demo;
mod email;
mod http;
mod local;
mod offers;
mod output;
mod quarantine;
mod roster;
mod route;
mod rule;
mod sla;
mod smtp;
mod team;
mod ticket;
mod views;
pub mod words;

use clap::Subcommand;
use solmu_domain::clock::SystemClock;

pub use agent::{AgentCommand, AgentDetails, PresenceArg};
pub use connect::ConnectOptions;
pub use demo::DemoArgs;
pub use email::EmailCommand;
pub use route::{RouteCommand, SimulateArgs};
pub use rule::{RuleCommand, RuleCreateArgs};
pub use sla::{
    AttainmentArgs, CalendarCommand, ContactsArgs, PolicyCommand, PolicyCreateArgs,
    PolicyUpdateArgs, PreviewArgs, SetArgs, SlaCommand,
};
pub use team::TeamCommand;
pub use ticket::{PriorityArg, StatusArg, TicketCommand};

use connect::Session;

/// What the commands are made of, for `solmu bench` and the commands of the desk.
pub mod parts {
    pub use crate::{
        connect::Session,
        demo::{
            agents::ensure_room,
            mails::{DemoMail, header, of_folder},
        },
        local::LocalConfig,
        output::{Output, is_closed_pipe, table},
        quarantine::fetch as quarantined,
        roster::Roster,
        smtp::{Connection, Mail, Reply},
        views::{ContactView, QuarantinedView, TicketView, undeliverable},
        words,
        words::{clean, short},
    };
}

/// A command of the client's side.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tickets: list, show, watch, answer and change them
    #[command(subcommand)]
    Ticket(TicketCommand),
    /// Agents: the people who answer
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Teams of agents
    #[command(subcommand)]
    Team(TeamCommand),
    /// Routing rules: which team gets which ticket
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Routing, tried out: snapshots and simulated days
    #[command(subcommand)]
    Route(RouteCommand),
    /// Mail files: how they are read
    #[command(subcommand)]
    Email(EmailCommand),
    /// Send real messages through every channel and show what becomes of them
    Demo(DemoArgs),
}

/// Runs a command. An error's text says what to do; the process should then end with a code other than zero.
pub async fn run(command: Command, options: ConnectOptions) -> anyhow::Result<()> {
    let session = Session::new(options);
    let done = match command {
        Command::Ticket(command) => ticket::run(&session, command, &SystemClock).await,
        Command::Agent(command) => agent::run(&session, command, &SystemClock).await,
        Command::Team(command) => team::run(&session, command).await,
        Command::Rule(command) => rule::run(&session, command).await,
        Command::Route(command) => route::run(&session, command).await,
        Command::Email(command) => email::run(command),
        Command::Demo(arguments) => Box::pin(demo::run(&session, arguments, &SystemClock)).await,
    };
    match done {
        Err(error) if output::is_closed_pipe(&error) => Ok(()),
        done => done,
    }
}

/// Runs a command of `solmu sla`, which has others that need no server.
pub async fn run_sla(command: SlaCommand, options: ConnectOptions) -> anyhow::Result<()> {
    let done = sla::run(&Session::new(options), command, &SystemClock).await;
    match done {
        Err(error) if output::is_closed_pipe(&error) => Ok(()),
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
        command: Command,
    }

    #[test]
    fn the_grammar_holds() {
        Cli::command().debug_assert();
        for line in [
            "solmu ticket list --filter status=open --limit 5 --json",
            "solmu ticket show #1001",
            "solmu ticket reply 1001 hello there",
            "solmu ticket reply 1001 hello --force",
            "solmu ticket assign #1001 --agent Liisa --team Support",
            "solmu ticket status #1001 waiting-on-customer",
            "solmu ticket watch --cursor abc",
            "solmu agent create Liisa --team Support --capacity 10 --online",
            "solmu agent presence Liisa busy",
            "solmu agent set Liisa --skill billing=3 --language fi --capacity 5 --limit chat=2",
            "solmu team set Support --strategy round_robin --overflow-after 600 --overflow-to Night",
            "solmu team queues --json",
            "solmu rule try big --condition channel=email --team Support --tickets 50",
            "solmu rule create vips --condition tags:vip --vip --needs billing=3:60 --wants calm --continue",
            "solmu rule create vip --condition channel=email --team Support --priority high",
            "solmu route eval",
            "solmu route match",
            "solmu route simulate day.jsonl --assignments --json",
            "solmu ticket search tilaus* -maksettu --filter open=true --limit 5",
            "solmu ticket list --view a --order create_time",
            "solmu email parse a.eml b.eml --own help@desk.example",
            "solmu demo --json",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
        let cli = Cli::try_parse_from(["solmu", "team", "list", "--json"]).unwrap();
        assert!(cli.connect.json && matches!(cli.command, Command::Team(TeamCommand::List)));
    }
}
