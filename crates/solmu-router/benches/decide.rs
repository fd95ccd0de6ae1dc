//! Latency of one decision, from the event in memory to the decision computed: `cargo bench -p solmu-router`.
//!
//! 2,000 agents who are full, 200 rules, 100,000 tickets that wait. In turn a ticket is resolved (its place goes to the
//! best of what waits) and another one is opened (it is told why it waits). Plain wall time, because what is measured takes
//! microseconds and touches no disk; and the time on the processor, which other work on the machine does not stretch.

use std::time::Instant;

use solmu_router::bench::Core;

const STEPS: usize = 40_000;

fn main() {
    let begun = Instant::now();
    let mut core = Core::new(2_000, 200, 100_000);
    println!(
        "set up in {:.1} s: {} tickets wait, 2000 agents, 200 rules, resident {} MB",
        begun.elapsed().as_secs_f64(),
        core.waiting(),
        resident_mb()
    );
    let mut times = Vec::with_capacity(STEPS);
    let mut decisions = 0;
    let (begun, busy) = (Instant::now(), on_processor());
    for step in 0..STEPS {
        let started = Instant::now();
        decisions += if step % 2 == 0 {
            core.finish()
        } else {
            core.open()
        };
        times.push(started.elapsed());
    }
    let seconds = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |hundredths: usize| times[(STEPS * hundredths / 100).min(STEPS - 1)].as_micros();
    println!(
        "{STEPS} events, {decisions} decisions: p50 {} us, p99 {} us, longest {} us, {:.0} events and {:.0} decisions a second",
        at(50),
        at(99),
        at(100),
        per_second(STEPS, seconds),
        per_second(decisions, seconds)
    );
    let busy = on_processor() - busy;
    if busy > 0.0 {
        println!(
            "{:.2} s on the processor: {:.0} decisions a second of it",
            busy,
            per_second(decisions, busy)
        );
    }
}

/// Seconds that this thread was on a processor, where the system tells it; 0 elsewhere.
#[expect(clippy::cast_precision_loss, reason = "a run takes seconds")]
fn on_processor() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|it| it.parse::<u64>().ok());
    nanos.unwrap_or(0) as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn per_second(count: usize, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Resident memory of this process, where the system tells it; 0 elsewhere.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1_024
}
