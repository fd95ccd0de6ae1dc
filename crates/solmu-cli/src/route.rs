//! `solmu route`: decisions without a running system, on snapshots and on a whole day in virtual time; and why a ticket of a
//! running one is where it is.

mod explain;

use std::{
    fs::File,
    io::{self, BufReader, Write},
    path::PathBuf,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use comfy_table::Table;
use solmu_domain::clock::SystemClock;
use solmu_matching::{
    lines::each_line,
    simulate::{self, Assigned, Report, Waits},
    snapshot::{self, SnapshotError},
};

use crate::{connect::Session, output::table, words};

/// Routing, tried out.
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Decide on snapshots: one JSON object a line from standard input to standard output
    Eval,
    /// Place weighted tickets all at once: one JSON object a line from standard input to standard output
    Match,
    /// Replay arrivals and shifts in virtual time
    Simulate(SimulateArgs),
    /// Why a ticket is where it is: what was decided on which agents, why it waits, and what each rule says of it now
    Explain {
        /// Number (#1001) or id
        ticket: String,
    },
}

/// A simulation.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// JSON lines: policy, teams, agents, tickets, arrivals (docs/routing.md); `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print each assignment too, as JSON lines
    #[arg(long)]
    assignments: bool,
}

pub(crate) async fn run(session: &Session, command: RouteCommand) -> anyhow::Result<()> {
    if let RouteCommand::Explain { ticket } = &command {
        return explain::run(session, ticket, &SystemClock).await;
    }
    alone(command, session.out.is_json())
}

/// Commands that need no server.
fn alone(command: RouteCommand, json: bool) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match command {
        RouteCommand::Explain { .. } => {}
        RouteCommand::Eval => each_line(io::stdin().lock(), &mut out, eval)?,
        RouteCommand::Match => each_line(io::stdin().lock(), &mut out, place)?,
        RouteCommand::Simulate(arguments) => simulate_file(&arguments, json, &mut out)?,
    }
    out.flush()?;
    Ok(())
}

fn eval(line: &str) -> Result<String, SnapshotError> {
    Ok(snapshot::eval_line(line)?.to_line())
}

fn place(line: &str) -> Result<String, SnapshotError> {
    Ok(snapshot::match_line(line, true)?.to_line())
}

fn simulate_file(arguments: &SimulateArgs, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let plan = if arguments.file.as_os_str() == "-" {
        simulate::read_plan(io::stdin().lock())
    } else {
        let file = File::open(&arguments.file)
            .with_context(|| format!("cannot open '{}'", arguments.file.display()))?;
        simulate::read_plan(BufReader::new(file))
    }?;
    let mut failed = None;
    let report = simulate::run(&plan, |assigned| {
        if arguments.assignments && failed.is_none() {
            failed = print_assigned(out, assigned).err();
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    if json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        writeln!(out, "{}", summary(&report))?;
    }
    Ok(())
}

fn print_assigned(out: &mut impl Write, assigned: &Assigned) -> io::Result<()> {
    let object = serde_json::json!({
        "ticket": assigned.ticket,
        "agent": assigned.agent,
        "at": assigned.at,
        "waited": assigned.waited,
        "missing_skills": assigned.missing,
        "expected_wait": assigned.expected,
    });
    writeln!(out, "{object}")
}

/// The report for people.
fn summary(report: &Report) -> String {
    let mut waits = table(&[
        "Wait (s)", "Tickets", "Mean", "p50", "p90", "p99", "Longest", "In time", "Left",
    ]);
    let all = [("all".to_owned(), &report.all)];
    let each = report.by_priority.iter();
    for (name, of) in all
        .into_iter()
        .chain(each.map(|(name, of)| (name.clone(), of)))
    {
        wait_row(&mut waits, name, of);
    }
    let mut agents = table(&["Agent", "Tickets", "Occupied"]);
    for agent in &report.agents {
        agents.add_row([
            words::short(&agent.agent, 30),
            agent.tickets.to_string(),
            percent(agent.occupancy),
        ]);
    }
    format!(
        "{}\n\n{}\n\nBest skill match {}, mean occupancy {}, fairness (Jain) {:.4}, left over {}.",
        waits.trim_fmt(),
        agents.trim_fmt(),
        percent(report.best_skill),
        percent(report.occupancy),
        report.fairness,
        report.left
    )
}

fn wait_row(rows: &mut Table, name: String, of: &Waits) {
    let seconds = |value: f64| format!("{value:.1}");
    rows.add_row([
        name,
        of.count.to_string(),
        seconds(of.mean),
        seconds(of.p50),
        seconds(of.p90),
        seconds(of.p99),
        seconds(of.max),
        of.within.map_or_else(|| "-".to_owned(), percent),
        of.left.to_string(),
    ]);
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::flat;

    const SNAPSHOT: &str = r#"{"id":"x","now":10,"policy":{},"agents":[{"id":"anna","teams":["t"],"capacity":10}],"queue":[
        {"id":"b","channel":"email","team":"t","arrived":2},{"id":"a","channel":"email","team":"t","arrived":1}]}"#;

    #[test]
    fn snapshots_are_answered_line_by_line() {
        let input = format!("{}\n\n", SNAPSHOT.replace('\n', ""));
        let mut out = Vec::new();
        each_line(input.as_bytes(), &mut out, eval).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"id\":\"x\",\"assignments\":[[\"a\",\"anna\"],[\"b\",null]]}\n"
        );
        let input = r#"{"id":"m","agents":[{"skills":[1,2],"cap":1},{"skills":[1],"cap":1}],
            "tickets":[{"need":[1],"w":9},{"need":[2],"w":5}]}"#
            .replace('\n', "");
        let mut out = Vec::new();
        each_line(input.as_bytes(), &mut out, place).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"id\":\"m\",\"placed\":14,\"assignments\":[[0,1],[1,0]]}\n"
        );
        let error = each_line("{}".as_bytes(), &mut Vec::new(), eval).unwrap_err();
        assert_eq!(error.to_string(), "line 1");
    }

    #[test]
    fn a_simulation_is_shown_as_tables() {
        let text = r#"{"type":"policy","weights":{"chat":100}}
{"type":"agent","id":"Anna","teams":["t"]}
{"type":"ticket","id":"1","at":0,"handle":10,"team":"t","channel":"chat","within":5}
{"type":"ticket","id":"2","at":1,"handle":10,"team":"t","channel":"chat","within":5}"#;
        let plan = simulate::read_plan(text.as_bytes()).unwrap();
        let text = flat(&summary(&simulate::run(&plan, |_| {})));
        assert!(
            text.contains("all 2 4.5 0.0 9.0 9.0 9.0 50.0 % 0"),
            "{text}"
        );
        assert!(text.contains("left over 0."), "{text}");
    }
}
