//! `solmu bench ingest`: one run, step by step.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::bail;
use solmu_cli::parts::{LocalConfig, Session, ensure_room};
use solmu_domain::rng::{Rng as _, SystemRng};
use tokio::task::JoinSet;

use crate::{
    IngestArgs,
    engines::{self, Addresses, Work},
    figures::{Latency, figures},
    generate::{self, Generated, Kind},
    limits::Limits,
    load::{Load, Sent},
    procs::{self, Usages},
    report::{self, Report},
    stamps::Stamps,
    watch::{self, Watch},
};

/// How long each limit is measured.
const LIMIT_TIME: Duration = Duration::from_secs(3);
/// Between two looks at the processes.
const SAMPLE: Duration = Duration::from_millis(500);
/// PostgreSQL's backends tell of their transactions once a second.
const SETTLE: Duration = Duration::from_millis(2_500);
/// Between two looks at whether everything is done.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn run(session: &Session, arguments: IngestArgs) -> anyhow::Result<()> {
    let out = session.out;
    let mut reports = Vec::with_capacity(arguments.connections.len());
    let last = arguments.connections.len().saturating_sub(1);
    for (number, connections) in arguments.connections.iter().enumerate() {
        // The engines are the same in every run: their limits are measured once.
        let with_limits = !arguments.no_limits && number == last;
        let report = measure(session, &arguments, *connections, with_limits).await?;
        let fault = report.fault();
        if last > 0 || fault.is_none() {
            reports.push(report);
        } else {
            out.either(&report, report.render())?;
        }
        if let Some(fault) = fault {
            bail!("{fault}");
        }
    }
    match reports.as_slice() {
        [report] => out.either(report, report.render()),
        reports => out.either(&reports, report::render_all(reports)),
    }
}

/// One run over so many connections.
async fn measure(
    session: &Session,
    arguments: &IngestArgs,
    connections: u16,
    with_limits: bool,
) -> anyhow::Result<Report> {
    let out = session.out;
    let addresses = Addresses::find(
        arguments.postgres.clone(),
        arguments.nats.clone(),
        &session.options.data,
    )?;
    let roots = procs::roots(&arguments.pids, &session.options.data);
    if roots.is_empty() {
        out.progress("No process of the system was found on this machine: CPU time and memory are not measured (--pid).");
    }
    let config = LocalConfig::of_data(&session.options.data)?;
    let load = load(arguments, usize::from(connections), &config)?;
    let (mails, stamps) = (Arc::clone(&load.mails), Arc::clone(&load.stamps));
    make_room(session, &mails).await;

    let nats = engines::nats(&addresses.nats).await?;
    let events = watch::subscribe(&nats, &arguments.namespace).await?;
    let mut watching = JoinSet::new();
    watching.spawn(Watch::new(Arc::clone(&stamps)).run(events));
    tokio::time::sleep(SETTLE).await;
    let work = Work::read(&nats, &addresses.postgres, &arguments.namespace).await?;

    out.progress(format!(
        "Sending {} mails over {connections} connections.",
        mails.len(),
    ));
    let before = procs::usages(&roots);
    let (sent, peak) = sampled(&roots, async {
        let sent = load.run().await?;
        wait_for_effects(&stamps, Duration::from_secs(arguments.patience)).await;
        Ok::<Sent, anyhow::Error>(sent)
    })
    .await;
    let sent = sent?;
    let cpu = procs::cpu_between(&before, &procs::usages(&roots));
    tokio::time::sleep(SETTLE).await;
    let work = Work::read(&nats, &addresses.postgres, &arguments.namespace)
        .await?
        .since(work);

    let mut report = report(arguments, load.connections, &mails, &stamps, &sent)?;
    report.first_refusal.clone_from(&sent.first_refusal);
    report.set_work(work);
    report.set_cpu(cpu);
    report.peak_memory_mib = peak;
    if with_limits {
        out.progress("Measuring the limits of the engines.");
        let folder = scratch(arguments, session);
        report.set_limits(
            Limits::measure(&addresses.postgres, &nats, &folder, &mails, LIMIT_TIME).await?,
        );
    }
    Ok(report)
}

/// What is sent: flags win over the configuration of the system.
fn load(arguments: &IngestArgs, connections: usize, config: &LocalConfig) -> anyhow::Result<Load> {
    let or = |flag: &Option<String>, configured: Option<String>, default: &str| {
        flag.clone()
            .or(configured)
            .unwrap_or_else(|| default.to_owned())
    };
    let to = or(&arguments.to, config.recipient(), "support@desk.example");
    let account = or(&arguments.account, config.account(), "main");
    let count = usize::try_from(arguments.messages)?;
    let mails = if let Some(folder) = &arguments.mails {
        generate::from_folder(folder, count)?
    } else {
        // Ids of its own for each run: the same ones again would all be duplicates.
        let run = format!("{:08x}", SystemRng.next_u64() >> 32);
        generate::generate(count, arguments.seed, &run, &to, connections * 2)
    };
    let stamps = Stamps::new(&mails, &account);
    Ok(Load {
        smtp: or(&arguments.smtp, config.smtp(), "127.0.0.1:2525"),
        to,
        connections,
        rate: arguments.rate.filter(|rate| *rate > 0.0),
        mails: Arc::new(mails),
        stamps: Arc::new(stamps),
    })
}

/// Without anybody who has room, no ticket is assigned; that is then told by the counts.
async fn make_room(session: &Session, mails: &[Generated]) {
    let tickets = mails
        .iter()
        .filter(|mail| matches!(mail.kind, Kind::New | Kind::Unknown))
        .count();
    let room = i32::try_from(tickets).unwrap_or(i32::MAX / 4);
    let made = match session.client() {
        Ok(client) => ensure_room(session, &client, room).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(Some(done)) => session.out.progress(format!("{done}.")),
        Ok(None) => {}
        Err(error) => session
            .out
            .progress(format!("Not every ticket may find an owner: {error:#}")),
    }
}

/// Runs `work` and keeps the largest memory of each program meanwhile, in MiB.
async fn sampled<T>(roots: &[u32], work: impl Future<Output = T>) -> (T, BTreeMap<String, f64>) {
    let mut peak = BTreeMap::new();
    let mut ticks = tokio::time::interval(SAMPLE);
    tokio::pin!(work);
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            _ = ticks.tick() => {
                let usages: Usages = procs::usages(roots);
                procs::keep_peak(&mut peak, &usages);
            }
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    (
        outcome,
        peak.into_iter()
            .map(|(name, bytes)| (name, mib(bytes)))
            .collect(),
    )
}

/// Waits until every mail is filed and every ticket assigned, or nothing has happened for `patience`.
async fn wait_for_effects(stamps: &Stamps, patience: Duration) {
    let count = || {
        let read = |cell: &std::sync::atomic::AtomicUsize| cell.load(Ordering::Relaxed);
        (
            read(&stamps.filed),
            read(&stamps.opened),
            read(&stamps.assigned),
        )
    };
    let mut last = (count(), Instant::now());
    loop {
        let now = count();
        let (filed, opened, assigned) = now;
        if filed >= stamps.distinct() && assigned >= opened {
            return;
        }
        if now != last.0 {
            last = (now, Instant::now());
        }
        if last.1.elapsed() > patience {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn report(
    arguments: &IngestArgs,
    connections: usize,
    mails: &[Generated],
    stamps: &Stamps,
    sent: &Sent,
) -> anyhow::Result<Report> {
    let read = |cell: &std::sync::atomic::AtomicUsize| cell.load(Ordering::Relaxed);
    let expected = mails.iter().filter(|mail| mail.kind == Kind::New).count();
    Ok(Report {
        connections,
        rate: arguments.rate,
        mails: mails.len(),
        accepted: read(&stamps.accepted),
        refused: sent.refused,
        retries: sent.retries,
        filed: read(&stamps.filed),
        expected_filed: stamps.distinct(),
        opened: read(&stamps.opened),
        expected_opened: arguments.mails.is_none().then_some(expected),
        assigned: read(&stamps.assigned),
        quarantined: read(&stamps.quarantined),
        smtp_ms: Latency::of(&sent.latency),
        steady: figures(&stamps.times(), arguments.warm_up)?,
        ..Report::default()
    })
}

/// The limit of syncs is that of the disk with the data.
fn scratch(arguments: &IngestArgs, session: &Session) -> PathBuf {
    let data = &session.options.data;
    let default = if data.is_dir() {
        data.clone()
    } else {
        PathBuf::from(".")
    };
    arguments.scratch.clone().unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_with_the_last_effect_or_with_patience() {
        let mail = Generated {
            kind: Kind::New,
            from: String::new(),
            id: "1".to_owned(),
            bytes: Vec::new(),
        };
        let stamps = Stamps::new(&[mail], "main");
        let begun = Instant::now();
        wait_for_effects(&stamps, Duration::from_millis(60)).await;
        assert!(begun.elapsed() >= Duration::from_millis(60));
        stamps.mark_filed(0);
        wait_for_effects(&stamps, Duration::from_hours(1)).await;
    }

    #[tokio::test]
    async fn the_peak_is_sampled_while_the_work_runs() {
        let (outcome, peak) = sampled(&[], async { 7 }).await;
        assert_eq!((outcome, peak.len()), (7, 0));
    }
}
