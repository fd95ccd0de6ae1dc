//! CPU time and memory of the system's processes, read from `/proc` (Linux).
//!
//! A process tree is counted from its roots down, with the time of children that have ended, which the kernel adds to
//! the parent that waited for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process,
};

/// Ticks of a second in `/proc/<pid>/stat`: `USER_HZ`, which is 100 on every Linux that Rust runs on.
const TICKS: u64 = 100;

/// One line of the process table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    parent: u32,
    name: String,
    /// User and system time, own and of children that have ended.
    ticks: u64,
}

/// CPU time and memory of one kind of process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// Private memory of all, and the shared memory once.
    pub(crate) memory_bytes: u64,
}

/// By name of the program.
pub(crate) type Usages = BTreeMap<String, Usage>;

/// The roots of the system's process trees: those that were named, else what the pid files of the data directory say,
/// else every `solmu serve` on this machine.
pub(crate) fn roots(named: &[u32], data: &Path) -> Vec<u32> {
    if !named.is_empty() {
        return named.to_vec();
    }
    let files = ["solmu.lock", "postgres/postmaster.pid", "nats/nats.pid"];
    let first_line = |file: &&str| {
        fs::read_to_string(data.join(file))
            .ok()?
            .lines()
            .next()?
            .trim()
            .parse()
            .ok()
    };
    let found: Vec<u32> = files
        .iter()
        .filter_map(first_line)
        .filter(|pid| read(*pid).is_some())
        .collect();
    if !found.is_empty() {
        return found;
    }
    let serves = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        let program = words.next().unwrap_or_default();
        program.ends_with(b"solmu") && words.any(|word| word == b"serve")
    };
    pids().into_iter().filter(serves).collect()
}

/// What the trees of `roots` use now.
pub(crate) fn usages(roots: &[u32]) -> Usages {
    let table: BTreeMap<u32, Process> = pids()
        .into_iter()
        .filter_map(|pid| Some((pid, read(pid)?)))
        .collect();
    let mut usages = Usages::new();
    let mut shared: BTreeMap<String, u64> = BTreeMap::new();
    for pid in tree(&table, roots) {
        let Some(process) = table.get(&pid) else {
            continue;
        };
        let (private, common) = memory(pid);
        let usage = usages.entry(process.name.clone()).or_default();
        #[expect(clippy::cast_precision_loss, reason = "ticks are far below 2^52")]
        let seconds = process.ticks as f64 / TICKS as f64;
        usage.cpu_seconds += seconds;
        usage.memory_bytes += private;
        let most = shared.entry(process.name.clone()).or_default();
        *most = common.max(*most);
    }
    for (name, bytes) in shared {
        usages.entry(name).or_default().memory_bytes += bytes;
    }
    usages
}

/// Processor seconds of this process so far.
pub(crate) fn own() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "ticks are far below 2^52")]
    let seconds = read(process::id()).map_or(0, |own| own.ticks) as f64 / TICKS as f64;
    seconds
}

/// The roots and all that come from them, without this process.
fn tree(table: &BTreeMap<u32, Process>, roots: &[u32]) -> BTreeSet<u32> {
    let ours = process::id();
    let mut members: BTreeSet<u32> = roots
        .iter()
        .copied()
        .filter(|pid| table.contains_key(pid) && *pid != ours)
        .collect();
    loop {
        let is_new = |(pid, process): &(&u32, &Process)| {
            members.contains(&process.parent) && !members.contains(pid) && **pid != ours
        };
        let new: Vec<u32> = table.iter().filter(is_new).map(|(pid, _)| *pid).collect();
        if new.is_empty() {
            return members;
        }
        members.extend(new);
    }
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn read(pid: u32) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// proc_pid_stat(5). The name may hold blanks and brackets, so fields are counted from its last bracket.
fn parse_stat(text: &str) -> Option<Process> {
    let (head, rest) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // state is field 3 of the manual: utime 14, stime 15, cutime 16, cstime 17.
    let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
    Some(Process {
        parent: u32::try_from(number(1)?).ok()?,
        name,
        ticks,
    })
}

/// Private and shared bytes. Pages of files and of shared memory segments are the same ones in all processes of a kind.
fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0)
            * 1_024
    };
    (field("RssAnon"), field("RssFile") + field("RssShmem"))
}

/// CPU time between two readings. What ended between them without its parent's waiting is lost, so a name that got
/// less counts as nothing.
pub(crate) fn cpu_between(before: &Usages, after: &Usages) -> BTreeMap<String, f64> {
    let spent = |(name, usage): (&String, &Usage)| {
        let earlier = before.get(name).map_or(0.0, |usage| usage.cpu_seconds);
        (name.clone(), (usage.cpu_seconds - earlier).max(0.0))
    };
    after.iter().map(spent).collect()
}

/// Keeps the largest memory of each name.
pub(crate) fn keep_peak(peak: &mut BTreeMap<String, u64>, now: &Usages) {
    for (name, usage) in now {
        let most = peak.entry(name.clone()).or_default();
        *most = usage.memory_bytes.max(*most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_process_table() {
        let text = "42 (odd) name)) S 7 42 42 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 5 6 7";
        let process = parse_stat(text).unwrap();
        assert_eq!(
            (process.parent, process.name.as_str(), process.ticks),
            (7, "odd) name)", 124)
        );
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn a_tree_has_all_that_come_from_its_roots() {
        let process = |parent| Process {
            parent,
            name: "x".to_owned(),
            ticks: 1,
        };
        let table = BTreeMap::from([
            (10, process(1)),
            (20, process(10)),
            (5, process(20)),
            (30, process(1)),
        ]);
        assert_eq!(tree(&table, &[10]), BTreeSet::from([5, 10, 20]));
        assert_eq!(tree(&table, &[20, 99]), BTreeSet::from([5, 20]));
    }

    #[test]
    fn differences_and_peaks() {
        let usage = |cpu_seconds, memory_bytes| {
            Usages::from([(
                "p".to_owned(),
                Usage {
                    cpu_seconds,
                    memory_bytes,
                },
            )])
        };
        let spent = cpu_between(&usage(1.0, 0), &usage(3.5, 0));
        assert!((spent["p"] - 2.5).abs() < f64::EPSILON);
        let mut peak = BTreeMap::new();
        for bytes in [5, 9, 7] {
            keep_peak(&mut peak, &usage(0.0, bytes));
        }
        assert_eq!(peak["p"], 9);
    }

    #[test]
    fn this_machine_can_be_read() {
        if !Path::new("/proc/self/stat").exists() {
            eprintln!("not run: there is no /proc on this machine");
            return;
        }
        // The parent of a test is the runner, which lives as long as the test.
        let parent = read(process::id()).unwrap().parent;
        let usages = usages(&[parent]);
        assert!(
            usages.values().any(|usage| usage.memory_bytes > 0),
            "{usages:?}"
        );
    }
}
