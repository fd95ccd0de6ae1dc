//! Runs workers one after the other and finds out what killed them.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{host, worker::Work};

/// File with the input that is being read: a line with the target's name and a number, then the input.
pub(crate) const CURRENT: &str = "current";
/// File with a worker's counts.
pub(crate) const STATS: &str = "stats.json";
/// Processor time on one input after which a worker is ended.
const STUCK: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Between two lines that say how it goes.
const TELL: Duration = Duration::from_mins(1);

/// What came of one target in all workers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Inputs that were read.
    pub read: u64,
    /// Ways of reading that were seen, at most in one worker.
    pub ways: u64,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Summary {
    /// By target.
    pub counts: BTreeMap<String, Count>,
    /// Workers that died or were ended.
    pub deaths: u32,
    /// Files of what was found.
    pub findings: Vec<PathBuf>,
}

/// Runs workers until the time of `work` is over. `command` starts one; it is given its seed and its seconds.
///
/// # Errors
/// If the folder cannot be written or no worker can be started.
pub fn run(work: &Work, command: &dyn Fn(u64, u64) -> Command) -> anyhow::Result<Summary> {
    fs::create_dir_all(&work.folder)?;
    let begun = Instant::now();
    let mut summary = Summary::default();
    let mut seed = work.seed;
    loop {
        let left = work.time.saturating_sub(begun.elapsed());
        if left < Duration::from_secs(1) {
            break;
        }
        drop(fs::remove_file(work.folder.join(STATS)));
        let mut child = command(seed, left.as_secs())
            .spawn()
            .context("cannot start a worker")?;
        let killer = watch(&mut child, work, &summary.counts)?;
        add(&mut summary.counts, &stats(&work.folder));
        if let Some(killer) = killer {
            summary.deaths += 1;
            let (target, input) = current(&work.folder);
            save(&work.folder, &target, &killer, &input)?;
        }
        seed = seed.wrapping_add(1);
    }
    summary.findings = findings(&work.folder)?;
    Ok(summary)
}

/// Waits for the end of a worker; says what killed it, if something did.
fn watch(
    child: &mut Child,
    work: &Work,
    before: &BTreeMap<String, Count>,
) -> anyhow::Result<Option<String>> {
    let id = child.id().to_string();
    let (mut head, mut since) = (String::new(), host::processor_time(&id));
    let (begun, mut told) = (Instant::now(), Instant::now());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!status.success()).then(|| format!("the process ended with {status}")));
        }
        thread::sleep(LOOK);
        let now = head_of(&work.folder);
        let used = host::processor_time(&id);
        if now != head {
            (head, since) = (now, used);
        }
        let spent = used
            .unwrap_or_default()
            .saturating_sub(since.unwrap_or_default());
        if spent > STUCK {
            child.kill()?;
            child.wait()?;
            return Ok(Some(format!("not ready after {spent:?}")));
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            let mut counts = before.clone();
            add(&mut counts, &stats(&work.folder));
            let read: u64 = counts.values().map(|count| count.read).sum();
            let ways: u64 = counts.values().map(|count| count.ways).sum();
            let found = findings(&work.folder)?.len();
            let minutes = begun.elapsed().as_secs() / 60;
            writeln!(
                std::io::stdout(),
                "{minutes} min: {read} inputs read in {ways} ways, {found} findings"
            )?;
        }
    }
}

fn stats(folder: &Path) -> Vec<Value> {
    let text = fs::read(folder.join(STATS)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn add(counts: &mut BTreeMap<String, Count>, stats: &[Value]) {
    for of_target in stats {
        let name = of_target["target"].as_str().unwrap_or_default();
        let count = counts.entry(name.to_owned()).or_default();
        count.read += of_target["read"].as_u64().unwrap_or(0);
        count.ways = count.ways.max(of_target["ways"].as_u64().unwrap_or(0));
    }
}

fn head_of(folder: &Path) -> String {
    let bytes = fs::read(folder.join(CURRENT)).unwrap_or_default();
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Target and input that were being read.
fn current(folder: &Path) -> (String, Vec<u8>) {
    let bytes = fs::read(folder.join(CURRENT)).unwrap_or_default();
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return ("unknown".to_owned(), bytes);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let target = head.split(' ').next().unwrap_or_default().to_owned();
    (target, bytes[end + 1..].to_vec())
}

/// Saves an input that is a finding, with the reason beside it.
pub(crate) fn save(folder: &Path, target: &str, why: &str, input: &[u8]) -> anyhow::Result<()> {
    let name = &hex::encode(Sha256::digest(input))[..12];
    let folder = folder.join("findings");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{target}-{name}.bin")), input)?;
    fs::write(
        folder.join(format!("{target}-{name}.txt")),
        format!("{why}\n"),
    )?;
    writeln!(
        std::io::stdout(),
        "found: {target} {why} ({target}-{name}.bin)"
    )?;
    Ok(())
}

fn findings(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if let Ok(entries) = fs::read_dir(folder.join("findings")) {
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "bin") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
