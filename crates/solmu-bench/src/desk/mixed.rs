//! Many callers at once: how many calls a second the system answers, and how long each kind takes then.
//!
//! Closed loop: each caller makes the next call when the last one was answered, as people and services do that wait for
//! answers; so the figure is what the system can take, and the times are those at that load. The callers share the
//! machine with the system.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::Serialize;
use solmu_cli::parts::Session;
use tokio::task::JoinSet;

use super::{
    calls::{Caller, Kind},
    world::World,
};
use crate::{
    figures::{Latency, histogram},
    procs,
    random::Random,
};

/// Calls of this first part are not counted: connections, caches and prepared statements come into being.
const WARM_UP: Duration = Duration::from_secs(3);

/// A load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Callers at the same time.
    pub(super) clients: usize,
    /// Connections that they share.
    pub(super) connections: usize,
    pub(super) time: Duration,
    /// Calls in a hundred that change something.
    pub(super) writes: usize,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Mixed {
    pub(super) clients: usize,
    pub(super) connections: usize,
    pub(super) seconds: f64,
    pub(super) writes_percent: usize,
    pub(super) calls: u64,
    pub(super) calls_per_second: f64,
    pub(super) refused: u64,
    pub(super) first_refusal: Option<String>,
    /// Of all calls, then by kind.
    pub(super) all_ms: Latency,
    pub(super) milliseconds: BTreeMap<&'static str, Latency>,
    /// Processor seconds for a thousand calls, by program; that of the callers is `bench`.
    pub(super) cpu_seconds_per_1000: BTreeMap<String, f64>,
}

/// What one caller saw.
#[derive(Default)]
struct Seen {
    times: BTreeMap<Kind, Histogram<u64>>,
    refused: u64,
    first_refusal: Option<String>,
}

impl Seen {
    fn add(&mut self, other: Self) -> anyhow::Result<()> {
        for (kind, times) in other.times {
            match self.times.get_mut(&kind) {
                Some(all) => all.add(&times)?,
                None => drop(self.times.insert(kind, times)),
            }
        }
        self.refused += other.refused;
        self.first_refusal = self.first_refusal.take().or(other.first_refusal);
        Ok(())
    }
}

pub(super) async fn run(session: &Session, world: World, load: Load) -> anyhow::Result<Mixed> {
    let mut callers = Vec::with_capacity(load.connections);
    for _ in 0..load.connections.max(1) {
        let client = session.client()?;
        callers.push(Caller { client, world });
    }
    let begun = Instant::now();
    let (counted, end) = (begun + WARM_UP, begun + WARM_UP + load.time);
    let mut work = JoinSet::new();
    for number in 0..load.clients {
        let caller = callers[number % callers.len()].clone();
        let seed = world.size.seed ^ (u64::try_from(number).unwrap_or(0) << 32);
        work.spawn(call(caller, Random::new(seed), load.writes, counted, end));
    }
    tokio::time::sleep_until(counted.into()).await;
    let roots = procs::roots(&[], &session.options.data);
    let (before, own) = (procs::usages(&roots), procs::own());
    tokio::time::sleep_until(end.into()).await;
    let mut cpu = procs::cpu_between(&before, &procs::usages(&roots));
    cpu.insert("bench".to_owned(), procs::own() - own);
    let mut seen = Seen::default();
    while let Some(one) = work.join_next().await {
        seen.add(one??)?;
    }
    report(load, seen, cpu)
}

async fn call(
    caller: Caller,
    mut random: Random,
    writes: usize,
    counted: Instant,
    end: Instant,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    loop {
        let kind = Kind::mixed(&mut random, writes);
        let begun = Instant::now();
        if begun >= end {
            return Ok(seen);
        }
        let outcome = caller.call(kind, &mut random).await;
        if begun < counted {
            continue;
        }
        match outcome {
            Ok(_) => {
                let took = u64::try_from(begun.elapsed().as_micros())?;
                let times = match seen.times.entry(kind) {
                    Entry::Occupied(times) => times.into_mut(),
                    Entry::Vacant(place) => place.insert(histogram()?),
                };
                times.saturating_record(took);
            }
            Err(status) => {
                seen.refused += 1;
                seen.first_refusal.get_or_insert_with(|| {
                    format!("{}: {:?}: {}", kind.name(), status.code(), status.message())
                });
            }
        }
    }
}

fn report(load: Load, seen: Seen, cpu: BTreeMap<String, f64>) -> anyhow::Result<Mixed> {
    let mut all = histogram()?;
    for times in seen.times.values() {
        all.add(times)?;
    }
    let (calls, seconds) = (all.len(), load.time.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "calls are far below 2^52")]
    let count = calls.max(1) as f64;
    let by_kind = seen.times.iter();
    Ok(Mixed {
        clients: load.clients,
        connections: load.connections,
        seconds,
        writes_percent: load.writes,
        calls,
        calls_per_second: count / seconds,
        refused: seen.refused,
        first_refusal: seen.first_refusal,
        all_ms: Latency::of(&all),
        milliseconds: by_kind
            .map(|(kind, times)| (kind.name(), Latency::of(times)))
            .collect(),
        cpu_seconds_per_1000: cpu
            .into_iter()
            .map(|(name, seconds)| (name, seconds * 1_000.0 / count))
            .collect(),
    })
}
