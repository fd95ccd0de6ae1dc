//! `solmu bench desk`: how fast a desk of a given size is read, listed, searched and changed.
//!
//! It loads made-up tickets into an empty system (a second run over the same data directory measures what is there), and
//! asks for what agents ask for all day: first one call at a time, each kind by itself, then many at once. Beside the
//! times stand the pages that PostgreSQL looked at for a call: they are the same on a slow machine and on a fast one, and
//! should be the same on a small desk and on a large one. A large table that was read from end to end fails the run.

mod calls;
mod copy;
mod cost;
mod language;
mod load;
mod mixed;
mod report;
mod spans;
mod world;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use solmu_cli::parts::Session;
use solmu_domain::clock::{Clock as _, SystemClock};
use sqlx::PgConnection;

use crate::{
    engines::{self, Addresses},
    figures::{Latency, histogram},
    procs,
    random::Random,
};
use calls::{Caller, Kind, MEASURED};
use cost::{Cost, SETTLE};
use load::TABLES;
use mixed::Load;
use report::{Measured, Report};
use world::{Size, World};

/// Calls of each kind before the measured ones.
const WARM_UP: u32 = 20;
/// Between two looks at the index.
const LOOK: Duration = Duration::from_millis(500);
/// The newest and the oldest documents, that the service indexes again to see whether it makes of them what was loaded.
const SAMPLE: i64 = 200;

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
    /// Messages to load, about [default: five for each ticket]
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=100_000_000))]
    messages: Option<u32>,
    /// The desk is the same for the same seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Calls of each kind; of slow ones fewer
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    calls: u32,
    /// Only load, so that something else can be measured
    #[arg(long)]
    load_only: bool,
    /// Leave out the calls one by one
    #[arg(long)]
    no_reads: bool,
    /// Leave out the mixed load
    #[arg(long)]
    no_mixed: bool,
    /// Callers at the same time in the mixed load
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    clients: u16,
    /// Connections that they share
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=500))]
    connections: u16,
    /// How long the mixed load runs
    #[arg(long, default_value_t = 20, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Calls of the mixed load that change something, in a hundred
    #[arg(long, default_value_t = 5, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    writes: u8,
}

pub(crate) async fn run(session: &Session, arguments: DeskArgs) -> anyhow::Result<()> {
    // Only PostgreSQL is looked for: the bus is not asked.
    let addresses = Addresses::find(
        arguments.postgres.clone(),
        Some(String::new()),
        &session.options.data,
    )?;
    let mut connection = engines::postgres(&addresses.postgres).await?;
    let (world, load_seconds) = desk(session, &mut connection, &arguments).await?;
    if arguments.load_only {
        return session.out.line("The desk is loaded.");
    }
    let mut report = Report {
        tickets: world.size.tickets,
        messages: world.size.messages,
        load_seconds,
        ..Report::default()
    };
    if !arguments.no_reads {
        report.calls = one_by_one(session, &mut connection, world, arguments.calls).await?;
    }
    if !arguments.no_mixed {
        let load = Load {
            clients: usize::from(arguments.clients),
            connections: usize::from(arguments.connections),
            time: Duration::from_secs(arguments.seconds),
            writes: usize::from(arguments.writes),
        };
        session.out.progress(format!(
            "{} callers at once for {} s.",
            load.clients, arguments.seconds
        ));
        report.mixed = Some(Box::pin(mixed::run(session, world, load)).await?);
    }
    session.out.either(&report, report.render())?;
    match report.fault() {
        Some(fault) => bail!("{fault}"),
        None => Ok(()),
    }
}

/// The desk: what is there if it is of the size asked for, else a new one. Anything else is not touched.
async fn desk(
    session: &Session,
    connection: &mut PgConnection,
    arguments: &DeskArgs,
) -> anyhow::Result<(World, Option<f64>)> {
    let messages = arguments
        .messages
        .unwrap_or(arguments.tickets.saturating_mul(5));
    let size = Size {
        tickets: usize::try_from(arguments.tickets)?,
        messages: usize::try_from(messages)?,
        seed: arguments.seed,
    };
    if let Some(world) = load::loaded(connection).await? {
        if world.size != size {
            bail!(
                "there is a desk of {} tickets and {} messages (seed {}) here: ask for that one, or take another data \
                 directory",
                world.size.tickets,
                world.size.messages,
                world.size.seed
            );
        }
        session.out.progress("The desk is there already.");
        return Ok((world, None));
    }
    let others: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tickets.ticket)")
        .fetch_one(&mut *connection)
        .await
        .context("this is no database of Solmu's")?;
    if others {
        bail!(
            "there are tickets already: bench fills an empty system only, in a data directory of its own"
        );
    }
    let world = World {
        size,
        now: SystemClock.now(),
    };
    let began = Instant::now();
    load::load(connection, world, session.out).await?;
    session
        .out
        .progress("Letting PostgreSQL look at its tables.");
    for name in TABLES {
        let statement = format!("VACUUM (ANALYZE) tickets.{name}");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&mut *connection)
            .await?;
    }
    let took = began.elapsed().as_secs_f64();
    check_index(session, connection).await?;
    Ok((world, Some(took)))
}

/// Lets the service index some documents again: it has to make of them what was loaded.
async fn check_index(session: &Session, connection: &mut PgConnection) -> anyhow::Result<()> {
    session
        .out
        .progress("Comparing the index with the service's.");
    let ends = |order: &str| {
        format!(
            "(SELECT id, is_message, words FROM tickets.search_document ORDER BY {order} LIMIT {SAMPLE})"
        )
    };
    let sample = format!(
        "CREATE TEMPORARY TABLE sample AS {} UNION {}",
        ends("created_at DESC, id DESC"),
        ends("created_at, id")
    );
    sqlx::query(sqlx::AssertSqlSafe(sample))
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO tickets.search_queue (is_message, document) SELECT is_message, id FROM sample",
    )
    .execute(&mut *connection)
    .await?;
    loop {
        let left: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM tickets.search_queue)")
            .fetch_one(&mut *connection)
            .await?;
        if !left {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let differing: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM sample LEFT JOIN tickets.search_document AS document USING (id)
         WHERE document.words IS DISTINCT FROM sample.words",
    )
    .fetch_one(&mut *connection)
    .await?;
    if differing > 0 {
        bail!(
            "the service indexes {differing} of a few hundred documents otherwise than bench loaded them: searches would measure \
             something else"
        );
    }
    Ok(())
}

/// Each kind of call by itself, one after the other.
async fn one_by_one(
    session: &Session,
    connection: &mut PgConnection,
    world: World,
    calls: u32,
) -> anyhow::Result<Vec<Measured>> {
    let caller = Caller {
        client: session.client()?,
        world,
    };
    caller
        .prepare()
        .await
        .map_err(|status| session.explain(status))?;
    let mut measured = Vec::with_capacity(MEASURED.len());
    let roots = procs::roots(&[], &session.options.data);
    let mut before = settled(connection).await?;
    for (kind, in_thousand) in MEASURED {
        session.out.progress(format!("Measuring: {}", kind.name()));
        let count = (calls * in_thousand / 1_000).max(3);
        let warm_up = WARM_UP.min(count);
        let idle = procs::usages(&roots);
        let (latency, found) = times(session, &caller, kind, [warm_up, count]).await?;
        let cpu = procs::cpu_between(&idle, &procs::usages(&roots));
        let after = settled(connection).await?;
        let cost = after.clone().since(&before);
        before = after;
        let per_call = |sum: f64, calls: u32| sum / f64::from(calls);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let (pages, found) = (cost.pages as f64, found as f64);
        measured.push(Measured {
            call: kind.name(),
            writes: kind.writes(),
            milliseconds: latency,
            found: per_call(found, count),
            pages: per_call(pages, count + warm_up),
            cpu_ms: cpu
                .into_iter()
                .map(|(name, seconds)| (name, per_call(seconds * 1_000.0, count + warm_up)))
                .collect(),
            sequential_scans: cost.scans,
        });
    }
    Ok(measured)
}

/// The counters, once every backend has told what it did.
async fn settled(connection: &mut PgConnection) -> anyhow::Result<Cost> {
    tokio::time::sleep(SETTLE).await;
    Cost::read(connection).await
}

async fn times(
    session: &Session,
    caller: &Caller,
    kind: Kind,
    [warm_up, count]: [u32; 2],
) -> anyhow::Result<(Latency, usize)> {
    let mut random = Random::new(caller.world.size.seed ^ 0xb);
    let (mut times, mut found) = (histogram()?, 0);
    for number in 0..warm_up + count {
        let began = Instant::now();
        let some = caller
            .call(kind, &mut random)
            .await
            .map_err(|status| session.explain(status))?;
        if number >= warm_up {
            times.saturating_record(u64::try_from(began.elapsed().as_micros())?);
            found += some;
        }
    }
    Ok((Latency::of(&times), found))
}
