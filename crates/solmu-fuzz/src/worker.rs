//! Feeds the targets in turns, in one thread with the stack of a server's thread.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};

use crate::{
    host,
    pool::Pool,
    seeds,
    supervisor::{CURRENT, STATS, save},
    targets::{self, Target},
};

/// Inputs of one target before the next one's turn.
const TURN: usize = 64;
/// Bytes of the stack: that of the threads that read mail in the product (tokio's default).
const STACK: usize = 2 * 1024 * 1024;
/// Processor time that one input may take.
const SLOW: Duration = Duration::from_secs(2);
/// Memory that a turn may take on top of what there was before, in bytes.
const MEMORY_MAX: usize = 384 * 1024 * 1024;
/// Findings of one place that are kept: after that they say nothing new.
const SAME_MAX: u32 = 3;

/// Where the last panic was, and what it said.
static LAST_PANIC: Mutex<Option<(String, String)>> = Mutex::new(None);

/// What a worker does.
#[derive(Debug, Clone)]
pub struct Work {
    /// Folder for what is found, and for what is being read.
    pub folder: PathBuf,
    /// Decides everything.
    pub seed: u64,
    /// When it ends.
    pub time: Duration,
    /// Only these targets, if there are any.
    pub only: Vec<String>,
    /// Mails of others to begin with.
    pub samples: Option<PathBuf>,
}

/// Works until its time is over. What it finds is in its folder.
pub fn run(work: Work) -> anyhow::Result<()> {
    let thread = thread::Builder::new()
        .name("fuzz".to_owned())
        .stack_size(STACK)
        .spawn(move || Worker::new(&work)?.run(work.time))?;
    thread
        .join()
        .map_err(|_| anyhow!("the fuzzer itself panicked"))?
}

/// Reads one file with one target, for somebody who looks into a finding.
pub fn replay(target: &str, file: &Path) -> anyhow::Result<()> {
    let input = fs::read(file).with_context(|| format!("cannot read '{}'", file.display()))?;
    let name = target.to_owned();
    let reading = thread::Builder::new().stack_size(STACK).spawn(move || {
        let mut found = targets::all()?
            .into_iter()
            .find(|target| target.name() == name)
            .with_context(|| format!("there is no target '{name}'"))?;
        let begun = Instant::now();
        let way = found.read(&input);
        writeln!(
            std::io::stdout(),
            "read {} bytes in way {way:x} within {:?}",
            input.len(),
            begun.elapsed()
        )?;
        Ok::<_, anyhow::Error>(())
    })?;
    reading.join().map_err(|_| anyhow!("it panicked"))?
}

struct Worker {
    fed: Vec<Fed>,
    current: File,
    folder: PathBuf,
    same: HashMap<String, u32>,
}

/// A target with its inputs and its count.
struct Fed {
    target: Box<dyn Target>,
    pool: Pool,
    read: u64,
    found: u64,
}

/// Why an input is a finding.
enum Trouble {
    Panic(String, String),
    Slow(Duration),
}

impl Worker {
    fn new(work: &Work) -> anyhow::Result<Self> {
        panic::set_hook(Box::new(|info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let said = info.payload_as_str().unwrap_or("no text").to_owned();
            let mut last = LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
            // The first one is the cause.
            last.get_or_insert((place, said));
        }));
        fs::create_dir_all(&work.folder)?;
        let samples = work.samples.as_deref().map(seeds::samples);
        let samples = samples.unwrap_or_default();
        let mut fed = Vec::new();
        for (number, target) in targets::all()?.into_iter().enumerate() {
            if !work.only.is_empty() && !work.only.iter().any(|name| name == target.name()) {
                continue;
            }
            let mut inputs = target.seeds();
            if target.name() == "mail" {
                inputs.extend(samples.iter().cloned());
            }
            let seed = work.seed.wrapping_mul(0x1_0000_0001) ^ number as u64;
            fed.push(Fed {
                pool: Pool::new(inputs, seed),
                target,
                read: 0,
                found: 0,
            });
        }
        if fed.is_empty() {
            bail!("there is no target of that name");
        }
        Ok(Self {
            fed,
            current: File::create(work.folder.join(CURRENT))?,
            folder: work.folder.clone(),
            same: HashMap::new(),
        })
    }

    fn run(&mut self, time: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        for number in 0..self.fed.len() {
            for input in self.fed[number].pool.given().to_vec() {
                self.feed(number, &input)?;
            }
        }
        let mut told = Instant::now();
        while begun.elapsed() < time {
            for number in 0..self.fed.len() {
                self.turn(number)?;
            }
            if told.elapsed() > Duration::from_secs(2) {
                self.tell()?;
                told = Instant::now();
            }
        }
        self.tell()
    }

    /// Feeds one target for a while, and looks at its memory after that.
    fn turn(&mut self, number: usize) -> anyhow::Result<()> {
        host::forget_peak();
        let before = host::peak_memory();
        let mut inputs = Vec::with_capacity(TURN);
        for _ in 0..TURN {
            let fed = &mut self.fed[number];
            let input = fed.pool.next(&*fed.target);
            self.feed(number, &input)?;
            inputs.push(input);
        }
        let grown = grown_since(before);
        if grown < MEMORY_MAX {
            return Ok(());
        }
        for input in inputs {
            host::forget_peak();
            let before = host::peak_memory();
            self.feed(number, &input)?;
            let grown = grown_since(before);
            if grown >= MEMORY_MAX {
                let why = format!("{} MiB of memory", grown / 1024 / 1024);
                self.found(number, "memory", &why, &input)?;
            }
        }
        Ok(())
    }

    fn feed(&mut self, number: usize, input: &[u8]) -> anyhow::Result<()> {
        self.write_down(number, input)?;
        let fed = &mut self.fed[number];
        fed.read += 1;
        match attempt(fed.target.as_mut(), input) {
            Ok(way) => {
                fed.pool.learn(input, way);
                Ok(())
            }
            Err(Trouble::Panic(place, said)) => {
                let why = format!("panicked at {place}: {said}");
                self.found(number, &place, &why, input)
            }
            // Other programs may have had the processor: only what is slow again is slow.
            Err(Trouble::Slow(_)) => match attempt(self.fed[number].target.as_mut(), input) {
                Err(Trouble::Slow(again)) => {
                    self.found(number, "slow", &format!("took {again:?}"), input)
                }
                _ => Ok(()),
            },
        }
    }

    /// What is being read, for whoever finds this process dead.
    fn write_down(&mut self, number: usize, input: &[u8]) -> anyhow::Result<()> {
        let fed = &self.fed[number];
        let head = format!("{} {}\n", fed.target.name(), fed.read);
        let bytes = [head.as_bytes(), input].concat();
        self.current.seek(SeekFrom::Start(0))?;
        self.current.write_all(&bytes)?;
        self.current.set_len(u64::try_from(bytes.len())?)?;
        Ok(())
    }

    fn found(&mut self, number: usize, place: &str, why: &str, input: &[u8]) -> anyhow::Result<()> {
        let fed = &mut self.fed[number];
        fed.found += 1;
        let same = self
            .same
            .entry(format!("{} {place}", fed.target.name()))
            .or_default();
        *same += 1;
        if *same <= SAME_MAX {
            save(&self.folder, fed.target.name(), why, input)?;
        }
        Ok(())
    }

    /// Writes the counts where the supervisor reads them.
    fn tell(&self) -> anyhow::Result<()> {
        let counts: Vec<_> = self
            .fed
            .iter()
            .map(|fed| {
                serde_json::json!({
                    "target": fed.target.name(),
                    "read": fed.read,
                    "found": fed.found,
                    "ways": fed.pool.ways(),
                })
            })
            .collect();
        let new = self.folder.join("stats.new");
        fs::write(&new, serde_json::to_vec(&counts)?)?;
        fs::rename(&new, self.folder.join(STATS))?;
        Ok(())
    }
}

fn grown_since(before: Option<usize>) -> usize {
    match (before, host::peak_memory()) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => 0,
    }
}

/// Reads an input once. Panics of other threads and tasks meanwhile count too.
fn attempt(target: &mut dyn Target, input: &[u8]) -> Result<u64, Trouble> {
    let last = || LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
    *last() = None;
    let (begun, used) = (Instant::now(), host::processor_time("self"));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| target.read(input)));
    let took = match (used, begun.elapsed()) {
        (Some(used), took) if took > SLOW => {
            host::processor_time("self").map_or(took, |now| now.saturating_sub(used))
        }
        (_, took) => took,
    };
    if let Some((place, said)) = last().take() {
        return Err(Trouble::Panic(place, said));
    }
    match outcome {
        Ok(_) if took > SLOW => Err(Trouble::Slow(took)),
        Ok(way) => Ok(way),
        Err(_) => Err(Trouble::Panic(String::new(), "no text".to_owned())),
    }
}
