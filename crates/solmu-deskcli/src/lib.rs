//! The commands of the desk: contacts, the quarantine, time, tasks, links, snooze, restrictions, fields, canned answers, macros,
//! the service catalogue and tokens.
//!
//! As those of `solmu-cli`, they are clients of the public API with a bearer token; what a customer wrote is never
//! printed raw. A crate of its own, so that neither becomes too large to be read.

mod canned;
mod contact;
mod fields;
mod items;
mod macros;
mod quarantine;
mod restrict;
mod texts;
mod time;
mod token;
mod work;

use clap::Subcommand;
use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use solmu_cli::{
    ConnectOptions,
    parts::{Roster, Session, is_closed_pipe, words},
};
use solmu_domain::{clock::SystemClock, ids::new_uuid, rng::SystemRng};

pub use canned::CannedCommand;
pub use contact::ContactCommand;
pub use fields::{FieldCommand, FieldDetails, FieldKindArg};
pub use items::Whose;
pub use macros::MacroCommand;
pub use quarantine::QuarantineCommand;
pub use texts::ServiceCommand;
pub use time::TimeCommand;
pub use token::{RoleArg, TokenCommand};
pub use work::{KindArg, TaskCommand};

/// A command of the desk.
#[derive(Debug, Subcommand)]
pub enum DeskCommand {
    /// Contacts: the people who write
    #[command(subcommand)]
    Contact(ContactCommand),
    /// Messages that opened no ticket and wait for a decision
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Time spent on tickets: timers, entries, the bill
    #[command(subcommand)]
    Time(TimeCommand),
    /// Tasks of tickets
    #[command(subcommand)]
    Task(TaskCommand),
    /// Link a ticket with another one
    Link {
        /// Number (1001) or id
        ticket: String,
        /// What it is to the other one
        kind: KindArg,
        /// Number or id of the other one
        other: String,
        /// Remove the link
        #[arg(long)]
        remove: bool,
    },
    /// Let a ticket sleep until a time, or until the customer writes
    Snooze {
        /// Number (1001) or id
        ticket: String,
        /// When it wakes: a length as 3h or 2d, a day, or RFC 3339 [default: when the customer writes]
        #[arg(long)]
        until: Option<String>,
        /// Wake it at once
        #[arg(long, conflicts_with = "until")]
        wake: bool,
    },
    /// Let only named agents and teams see a ticket
    Restrict {
        /// Number (1001) or id
        ticket: String,
        /// An agent who sees it, by name, address or id; once for each. Name one, or a team
        #[arg(long, required_unless_present = "team")]
        agent: Vec<String>,
        /// A team that sees it, by name or id; once for each
        #[arg(long)]
        team: Vec<String>,
        /// Why, for the log of the ticket
        #[arg(long)]
        reason: String,
    },
    /// Let everybody see a ticket again who sees others like it
    Unrestrict {
        /// Number (1001) or id
        ticket: String,
        /// Why, for the log of the ticket
        #[arg(long)]
        reason: String,
    },
    /// Custom fields of tickets
    #[command(subcommand)]
    Field(FieldCommand),
    /// Canned answers: texts with variables
    #[command(subcommand)]
    Canned(CannedCommand),
    /// Macros: several changes and an answer in one
    #[command(subcommand)]
    Macro(MacroCommand),
    /// The service catalogue
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Bearer tokens (role admin)
    #[command(subcommand)]
    Token(TokenCommand),
}

/// Runs a command. An error's text says what to do; the process should then end with a code other than zero.
pub async fn run(command: DeskCommand, options: ConnectOptions) -> anyhow::Result<()> {
    let session = Session::new(options);
    let done = match command {
        DeskCommand::Contact(command) => contact::run(&session, command, &SystemClock).await,
        DeskCommand::Quarantine(command) => quarantine::run(&session, command, &SystemClock).await,
        DeskCommand::Time(command) => time::run(&session, command).await,
        DeskCommand::Task(command) => work::task(&session, command).await,
        DeskCommand::Link {
            ticket,
            kind,
            other,
            remove,
        } => work::link(&session, (key(&ticket), key(&other)), kind, remove).await,
        DeskCommand::Snooze {
            ticket,
            until,
            wake,
        } => work::snooze(&session, key(&ticket), until, wake).await,
        DeskCommand::Restrict {
            ticket,
            agent,
            team,
            reason,
        } => restrict::restrict(&session, key(&ticket), (&agent, &team), reason).await,
        DeskCommand::Unrestrict { ticket, reason } => {
            restrict::unrestrict(&session, key(&ticket), reason).await
        }
        DeskCommand::Field(command) => fields::run(&session, command).await,
        DeskCommand::Canned(command) => canned::run(&session, command).await,
        DeskCommand::Macro(command) => macros::run(&session, command).await,
        DeskCommand::Service(command) => texts::service(&session, command).await,
        DeskCommand::Token(command) => token::run(&session, command, &SystemClock).await,
    };
    match done {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        done => done,
    }
}

/// A bare number is what a person types where the shell takes `#` for a comment.
fn key(meant: &str) -> String {
    let meant = meant.trim();
    if !meant.is_empty() && meant.bytes().all(|byte| byte.is_ascii_digit()) {
        return format!("#{meant}");
    }
    meant.to_owned()
}

/// A time as people read it, in the zone of this machine.
fn when(at: Option<&prost_types::Timestamp>) -> String {
    words::time(at).map_or_else(|| "-".to_owned(), words::moment)
}

/// The id of the agent that somebody means by a name, an address or an id; empty if nobody is meant.
async fn agent_id(session: &Session, meant: &str) -> anyhow::Result<String> {
    if meant.is_empty() {
        return Ok(String::new());
    }
    let roster = Roster::fetch(session, &session.client()?).await?;
    Ok(roster.agent(meant)?.id.clone())
}

/// One id per command, so that a call that is made again by a lower layer has one effect.
fn request_id() -> String {
    new_uuid(&SystemClock, &SystemRng).to_string()
}

/// A length as "45m", "1h 30m" or "3600", in seconds.
fn seconds(text: &str) -> anyhow::Result<i64> {
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let length: SignedDuration = text
        .parse()
        .map_err(|_| anyhow::anyhow!("'{text}' is no length: write 45m, 1h30m or seconds"))?;
    Ok(length.as_secs())
}

/// A day in the zone of this machine, or an instant.
fn instant(text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(day) = text.parse::<civil::Date>() {
        return Ok(day.to_zoned(TimeZone::system())?.timestamp());
    }
    text.parse().map_err(|_| {
        anyhow::anyhow!("'{text}' is no time: write 2026-11-22 or 2026-11-22T08:00:00Z")
    })
}

fn to_proto(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}

/// Rendered text with each run of blanks as one, so that tests do not count columns.
#[cfg(test)]
fn flat(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        _connect: ConnectOptions,
        #[command(subcommand)]
        _command: DeskCommand,
    }

    #[test]
    fn the_lines_of_the_documentation_are_commands() {
        for line in [
            "solmu quarantine list",
            "solmu contact eval --region SE",
            "solmu contact merge a b --reason same",
            "solmu contact erase a --confirm Aino",
            "solmu contact timeline a --limit 5",
            "solmu quarantine block @spam.example --reason advertising",
            "solmu quarantine unblock @spam.example",
            "solmu quarantine blocked --limit 5 --json",
            "solmu time start 1001 --billable --activity travel",
            "solmu time stop --note text --length 45m",
            "solmu time discard",
            "solmu time add 1001 45m --rate 85.50 --currency EUR",
            "solmu time list 1001",
            "solmu time export --from 2026-11-01 --until 2026-12-01 --billable",
            "solmu time export --since-file bill.place --json",
            "solmu task add 1001 call back --due 2d --agent A",
            "solmu task list 1001 --all",
            "solmu task done ID",
            "solmu link 1001 problem-of 1002",
            "solmu snooze 1001 --until 3h",
            "solmu snooze 1001 --wake",
            "solmu restrict 1001 --agent A --team B --team C --reason threat",
            "solmu unrestrict 1001 --reason song",
            "solmu field list --all",
            "solmu field create order_no text --label Order --max-length 8 --required",
            "solmu field create colour multi-choice --option red --option green",
            "solmu field update amount --min -5 --required false",
            "solmu field remove order_no",
            "solmu canned list",
            "solmu canned show NAME --ticket 1001",
            "solmu canned create NAME @answer.txt --language fi --team A",
            "solmu canned update NAME --rename OTHER --text text --agent A",
            "solmu canned remove NAME",
            "solmu macro list",
            "solmu macro show NAME",
            "solmu macro create NAME status=resolved tag=vip reply=@answer.txt --team A",
            "solmu macro update NAME --rename OTHER",
            "solmu macro remove NAME",
            "solmu macro apply NAME 1001 --force",
            "solmu service list",
            "solmu token create ci --role service",
            "solmu service order NAME CONTACT who=Aino vpn=true",
        ] {
            let words = line.split_whitespace();
            Line::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn lengths_and_keys_are_read() {
        assert_eq!(seconds("45m").unwrap(), 2_700);
        assert_eq!(seconds("1h30m").unwrap(), 5_400);
        assert_eq!(seconds("90").unwrap(), 90);
        assert!(seconds("soon").is_err());
        assert_eq!(
            (key("1001"), key("#7"), key("x")),
            ("#1001".to_owned(), "#7".to_owned(), "x".to_owned())
        );
        assert_eq!(instant("1970-01-02T00:00:00Z").unwrap().as_second(), 86_400);
        assert!(instant("tomorrow").is_err());
    }
}
