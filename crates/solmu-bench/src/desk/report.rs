//! What was measured, as a page and as JSON.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;
use solmu_cli::parts::table;

use super::mixed::Mixed;
use crate::figures::Latency;

/// What a read may take at the 99th percentile.
const GOAL_MS: f64 = 20.0;
/// Calls a second that a mixed load should reach.
const GOAL_CALLS: f64 = 3_000.0;

/// One kind of call.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Measured {
    pub(super) call: &'static str,
    pub(super) writes: bool,
    pub(super) milliseconds: Latency,
    /// Things that a call found, on average.
    pub(super) found: f64,
    /// Pages of the desk's tables and indexes that PostgreSQL looked at for a call, on average.
    pub(super) pages: f64,
    /// Processor milliseconds of a call, on average, by program. What runs beside the calls is in it.
    pub(super) cpu_ms: BTreeMap<String, f64>,
    /// Times that a large table was read from one end to the other, by any of the calls.
    pub(super) sequential_scans: BTreeMap<String, i64>,
}

/// What was measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) tickets: usize,
    pub(super) messages: usize,
    /// None if the desk was there.
    pub(super) load_seconds: Option<f64>,
    pub(super) calls: Vec<Measured>,
    pub(super) mixed: Option<Mixed>,
}

impl Report {
    /// What makes the run a failure, however fast it was.
    pub(super) fn fault(&self) -> Option<String> {
        let scanned: Vec<String> = self
            .calls
            .iter()
            .filter(|it| !it.sequential_scans.is_empty())
            .map(|it| format!("{} ({})", it.call, scans(&it.sequential_scans)))
            .collect();
        if !scanned.is_empty() {
            return Some(format!(
                "large tables were read from end to end: {}",
                scanned.join("; ")
            ));
        }
        let mixed = self.mixed.as_ref().filter(|it| it.refused > 0)?;
        Some(format!(
            "{} calls of the mixed load were refused, the first: {}",
            mixed.refused,
            mixed.first_refusal.as_deref().unwrap_or_default()
        ))
    }

    pub(super) fn render(&self) -> String {
        let mut page = format!("{} tickets, {} messages", self.tickets, self.messages);
        if let Some(seconds) = self.load_seconds {
            let _ = write!(page, "; loaded in {seconds:.0} s");
        }
        if !self.calls.is_empty() {
            let mut rows = table(&[
                "Call, one at a time",
                "p50 ms",
                "p95 ms",
                "p99 ms",
                "max ms",
                "below 20 ms",
                "found",
                "pages",
                "CPU ms",
                "read whole",
            ]);
            for it in &self.calls {
                let [p50, p95, p99, max] = cells(it.milliseconds);
                rows.add_row([
                    it.call.to_owned(),
                    p50,
                    p95,
                    p99,
                    max,
                    it.goal().to_owned(),
                    format!("{:.1}", it.found),
                    format!("{:.0}", it.pages),
                    cpu(&it.cpu_ms),
                    scans(&it.sequential_scans),
                ]);
            }
            let _ = write!(page, "\n\n{}", rows.trim_fmt());
        }
        if let Some(mixed) = &self.mixed {
            let _ = write!(page, "\n\n{}", render_mixed(mixed));
        }
        page
    }
}

impl Measured {
    fn goal(&self) -> &'static str {
        if self.writes {
            ""
        } else if self.milliseconds.p99 < GOAL_MS {
            "yes"
        } else {
            "NO"
        }
    }
}

fn render_mixed(mixed: &Mixed) -> String {
    let mut rows = table(&["At once", "calls", "p50 ms", "p95 ms", "p99 ms", "max ms"]);
    let all = [("all", mixed.all_ms)];
    for (name, latency) in all
        .into_iter()
        .chain(mixed.milliseconds.iter().map(|(name, it)| (*name, *it)))
    {
        let [p50, p95, p99, max] = cells(latency);
        rows.add_row([
            name.to_owned(),
            latency.count.to_string(),
            p50,
            p95,
            p99,
            max,
        ]);
    }
    format!(
        "{:.0} calls a second (goal {GOAL_CALLS:.0}), {} % of them writes; {} callers over {} connections, {:.0} s; {} \
         refused\n{}\nCPU seconds for 1,000 calls: {}",
        mixed.calls_per_second,
        mixed.writes_percent,
        mixed.clients,
        mixed.connections,
        mixed.seconds,
        mixed.refused,
        rows.trim_fmt(),
        cpu(&mixed.cpu_seconds_per_1000)
    )
}

fn cells(latency: Latency) -> [String; 4] {
    [latency.p50, latency.p95, latency.p99, latency.max].map(|millis| format!("{millis:.1}"))
}

fn cpu(by_program: &BTreeMap<String, f64>) -> String {
    let each = by_program.iter();
    let each = each.map(|(name, spent)| format!("{name} {spent:.2}"));
    each.collect::<Vec<_>>().join(", ")
}

fn scans(scans: &BTreeMap<String, i64>) -> String {
    let each = scans.iter().map(|(name, count)| format!("{name} {count}"));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_was_read_whole_fails_the_run_and_a_slow_call_does_not() {
        let slow = Measured {
            call: "a call",
            milliseconds: Latency {
                p99: 25.0,
                ..Latency::default()
            },
            ..Measured::default()
        };
        let mut report = Report {
            calls: vec![slow],
            ..Report::default()
        };
        assert_eq!(report.fault(), None);
        let page = report.render();
        assert!(page.contains("25.0") && page.contains("NO"), "{page}");
        report.calls[0].sequential_scans = [("ticket".to_owned(), 3)].into();
        let fault = report.fault().unwrap();
        assert!(fault.contains("a call (ticket 3)"), "{fault}");
    }
}
