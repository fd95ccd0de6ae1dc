//! What the system says of a process: its processor time and its memory. Only Linux tells; elsewhere nothing is known
//! and only the clock on the wall counts.

use std::{fs, time::Duration};

/// Clock ticks of `/proc` in a second: 100 on every Linux that people run.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time that process `id` (`self` for this one) has used.
#[must_use]
pub fn processor_time(id: &str) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in brackets may have anything in it; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}

/// Bytes of memory that this process had at most since the last [`forget_peak`].
#[must_use]
pub fn peak_memory() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Begins to count the peak anew.
pub fn forget_peak() {
    // Where it cannot be reset, the peak of the whole run is compared, and says less.
    drop(fs::write("/proc/self/clear_refs", "5"));
}
