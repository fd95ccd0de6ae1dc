//! `solmu bench desk`: how fast a desk of a given size is read.
//!
//! It loads made-up tickets into an empty system, waits until the system has indexed them, and asks for what agents ask
//! for all day, one call at a time over the API. Beside the times it tells how often PostgreSQL read a large table from
//! one end to the other meanwhile: on a hot path that has to be never, however fast it was.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::Serialize;
use solmu_client::Client;
use solmu_domain::clock::{Clock as _, SystemClock};
use solmu_proto::{
    contact::v1::ListEncountersRequest,
    ticket::v1::{GetTicketRequest, ListMessagesRequest, ListTicketsRequest, SearchTicketsRequest},
};
use sqlx::PgConnection;

use super::{
    desk_load::{self, ACCOUNT, Size},
    engines::{self, Addresses},
    figures::{Latency, histogram},
    random::Random,
};
use crate::{connect::Session, output::table};

/// Calls of each kind before the measured ones.
const WARM_UP: usize = 20;
/// PostgreSQL's backends tell of their scans once a second.
const SETTLE: Duration = Duration::from_millis(2_500);
/// Between two looks at the index.
const LOOK: Duration = Duration::from_millis(500);
/// Tables that grow with the desk.
const LARGE: [&str; 5] = [
    "ticket",
    "message",
    "search_document",
    "contact",
    "identity",
];

/// How large the desk is, and where it runs.
#[derive(Debug, Clone, clap::Args)]
pub struct DeskArgs {
    /// PostgreSQL of the system [default: that of a `solmu serve` on the data directory]
    #[arg(
        long,
        env = "SOLMU_POSTGRES",
        hide_env_values = true,
        value_name = "URL"
    )]
    postgres: Option<String>,
    /// Tickets to load
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=10_000_000))]
    tickets: u32,
    /// Messages to load, five for each ticket for instance
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(100..=100_000_000))]
    messages: u32,
    /// The desk is the same for the same seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Calls of each kind
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    calls: u32,
    /// Only load, so that something else can be measured
    #[arg(long)]
    load_only: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    tickets: u32,
    messages: u32,
    load_seconds: f64,
    index_seconds: f64,
    milliseconds: BTreeMap<&'static str, Latency>,
    /// Times that a large table was read from one end to the other while the calls were made.
    sequential_scans: BTreeMap<String, i64>,
}

/// What agents ask for.
const KINDS: [&str; 8] = [
    "open a ticket",
    "queue, first page",
    "filtered list",
    "search, common word",
    "search, usual word",
    "search, rare word",
    "search, word and filter",
    "contact timeline",
];

pub(super) async fn run(session: &Session, arguments: DeskArgs) -> anyhow::Result<()> {
    let data: PathBuf = session.options.data.clone();
    let addresses = Addresses::find(arguments.postgres.clone(), Some(String::new()), &data);
    let mut connection = engines::postgres(&addresses?.postgres).await?;
    let size = Size {
        tickets: usize::try_from(arguments.tickets)?,
        messages: usize::try_from(arguments.messages)?,
        seed: arguments.seed,
    };
    let began = Instant::now();
    load(session, &mut connection, size).await?;
    let load_seconds = began.elapsed().as_secs_f64();
    let began = Instant::now();
    index(session, &mut connection).await?;
    let index_seconds = began.elapsed().as_secs_f64();
    if arguments.load_only {
        return session.out.line("The desk is loaded.");
    }
    let before = scans(&mut connection).await?;
    let client = session.client()?;
    let mut milliseconds = BTreeMap::new();
    for kind in KINDS {
        session.out.progress(format!("Measuring: {kind}"));
        let latency = measure(&client, session, kind, size, arguments.calls).await?;
        milliseconds.insert(kind, latency);
    }
    tokio::time::sleep(SETTLE).await;
    let mut sequential_scans = scans(&mut connection).await?;
    for (name, count) in &mut sequential_scans {
        *count -= before.get(name).copied().unwrap_or(0);
    }
    let report = Report {
        tickets: arguments.tickets,
        messages: arguments.messages,
        load_seconds,
        index_seconds,
        milliseconds,
        sequential_scans,
    };
    session.out.either(&report, render(&report))
}

/// Loads, unless the same desk is there already. Anything else is not touched.
async fn load(session: &Session, connection: &mut PgConnection, size: Size) -> anyhow::Result<()> {
    let (ours, others): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE account = $1), count(*) FILTER (WHERE account <> $1) FROM tickets.ticket",
    )
    .bind(ACCOUNT)
    .fetch_one(&mut *connection)
    .await
    .context("this is no database of Solmu's")?;
    if usize::try_from(ours)? == size.tickets {
        session.out.progress("The desk is there already.");
        return Ok(());
    }
    if ours + others > 0 {
        bail!(
            "there are tickets already: bench fills an empty system only, in a data directory of its own"
        );
    }
    session.out.progress(format!(
        "Loading {} tickets and {} messages",
        size.tickets, size.messages
    ));
    desk_load::load(connection, size, SystemClock.now()).await
}

/// Waits until the service has indexed everything, and lets PostgreSQL look at its tables.
async fn index(session: &Session, connection: &mut PgConnection) -> anyhow::Result<()> {
    let mut told = Instant::now();
    loop {
        let left: i64 = sqlx::query_scalar(
            "SELECT coalesce((SELECT max(id) FROM tickets.search_queue) - (SELECT min(id) FROM tickets.search_queue) + 1, 0)",
        )
        .fetch_one(&mut *connection)
        .await?;
        if left == 0 {
            break;
        }
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            session
                .out
                .progress(format!("{left} documents still to be indexed"));
        }
        tokio::time::sleep(LOOK).await;
    }
    for name in LARGE {
        let statement = format!("VACUUM (ANALYZE) tickets.{name}");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn scans(connection: &mut PgConnection) -> anyhow::Result<BTreeMap<String, i64>> {
    let found: Vec<(String, i64)> = sqlx::query_as(
        "SELECT relname::text, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'tickets' AND relname = ANY($1)",
    )
    .bind(LARGE.as_slice())
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().collect())
}

async fn measure(
    client: &Client,
    session: &Session,
    kind: &'static str,
    size: Size,
    calls: u32,
) -> anyhow::Result<Latency> {
    let mut random = Random::new(size.seed ^ 0xb);
    let mut times = histogram()?;
    for number in 0..WARM_UP + usize::try_from(calls)? {
        let began = Instant::now();
        call(client, kind, size, &mut random)
            .await
            .map_err(|status| session.explain(status))?;
        if number >= WARM_UP {
            times.record(u64::try_from(began.elapsed().as_micros())?)?;
        }
    }
    Ok(Latency::of(&times))
}

async fn call(
    client: &Client,
    kind: &'static str,
    size: Size,
    random: &mut Random,
) -> Result<(), tonic::Status> {
    match kind {
        "open a ticket" => {
            let id = desk_load::ticket_id(random.below(size.tickets)).to_string();
            let messages = ListMessagesRequest {
                ticket_id: id.clone(),
                ..ListMessagesRequest::default()
            };
            client.tickets().get_ticket(GetTicketRequest { id }).await?;
            client.tickets().list_messages(messages).await?;
        }
        "queue, first page" => {
            let team = desk_load::team_id(random.below(12));
            list(client, format!("open = true AND team = {team}")).await?;
        }
        "filtered list" => {
            let priority = random.pick(&["high", "urgent"]);
            let filter = format!(
                "open = true AND created >= -60d AND priority = {priority} AND (tags:vip OR category = complaint)"
            );
            list(client, filter).await?;
        }
        "contact timeline" => {
            let request = ListEncountersRequest {
                contact_id: desk_load::contact_id(random.below(size.tickets.div_ceil(3)))
                    .to_string(),
                ..ListEncountersRequest::default()
            };
            client.contacts().list_encounters(request).await?;
        }
        searched => {
            let rank = match searched {
                "search, common word" => random.below(20),
                "search, rare word" => 10_000 + random.below(40_000),
                _ => 100 + random.below(3_000),
            };
            let filter = if searched == "search, word and filter" {
                "open = true AND priority = urgent"
            } else {
                ""
            };
            let request = SearchTicketsRequest {
                query: desk_load::word(rank),
                filter: filter.to_owned(),
                ..SearchTicketsRequest::default()
            };
            client.search().search_tickets(request).await?;
        }
    }
    Ok(())
}

async fn list(client: &Client, filter: String) -> Result<(), tonic::Status> {
    let request = ListTicketsRequest {
        filter,
        ..ListTicketsRequest::default()
    };
    client.tickets().list_tickets(request).await.map(drop)
}

fn render(report: &Report) -> String {
    let mut rows = table(&["Call", "p50 ms", "p95 ms", "p99 ms", "max ms"]);
    for kind in KINDS {
        let latency = report.milliseconds.get(kind).copied().unwrap_or_default();
        let cell = |millis: f64| format!("{millis:.1}");
        rows.add_row([
            kind.to_owned(),
            cell(latency.p50),
            cell(latency.p95),
            cell(latency.p99),
            cell(latency.max),
        ]);
    }
    let scans: Vec<String> = report
        .sequential_scans
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    format!(
        "{} tickets, {} messages; loaded in {:.0} s, indexed in {:.0} s\n{}\nSequential scans: {}",
        report.tickets,
        report.messages,
        report.load_seconds,
        report.index_seconds,
        rows.trim_fmt(),
        scans.join(", ")
    )
}
