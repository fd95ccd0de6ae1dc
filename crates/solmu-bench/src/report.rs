//! What bench prints.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::{
    engines::Work,
    figures::{Figures, Latency},
    limits::Limits,
};
use solmu_cli::parts::table;

/// The whole run.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) connections: usize,
    /// Mails per second that were asked for; as fast as possible if absent.
    pub(crate) rate: Option<f64>,
    pub(crate) mails: usize,
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
    pub(crate) retries: usize,
    pub(crate) filed: usize,
    /// Mails that must have an effect: those that are no duplicates.
    pub(crate) expected_filed: usize,
    pub(crate) opened: usize,
    /// Tickets that must be opened; absent for a folder.
    pub(crate) expected_opened: Option<usize>,
    pub(crate) assigned: usize,
    pub(crate) quarantined: usize,
    pub(crate) smtp_ms: Latency,
    pub(crate) steady: Figures,
    /// CPU seconds per 1,000 accepted mails, by program, over the whole run.
    pub(crate) cpu_seconds_per_1000: BTreeMap<String, f64>,
    pub(crate) cpu_seconds_per_1000_total: f64,
    /// Most memory at a time, by program, in MiB.
    pub(crate) peak_memory_mib: BTreeMap<String, f64>,
    pub(crate) publishes_per_mail: f64,
    pub(crate) transactions_per_mail: f64,
    pub(crate) wal_syncs_per_mail: Option<f64>,
    pub(crate) limits: Option<Limits>,
    /// What reached how much of which limit.
    pub(crate) ratios: BTreeMap<String, f64>,
    /// What the server said to the first mail that it refused for good.
    pub(crate) first_refusal: Option<String>,
}

impl Report {
    /// Whether every mail had exactly its effect.
    pub(crate) fn is_complete(&self) -> bool {
        self.refused == 0
            && self.filed == self.expected_filed
            && self.assigned == self.opened
            && self
                .expected_opened
                .is_none_or(|expected| expected == self.opened)
    }

    /// Why the run proves nothing, if it does not.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Some(refusal) = &self.first_refusal {
            return Some(format!(
                "{} mails were refused, the first with: {refusal}",
                self.refused
            ));
        }
        (!self.is_complete()).then(|| {
            format!(
                "not every mail had exactly its effect in time: accepted {}, filed {} of {}, tickets {}, assigned {}",
                self.accepted, self.filed, self.expected_filed, self.opened, self.assigned
            )
        })
    }

    /// Takes the work of the engines, a mail.
    pub(crate) fn set_work(&mut self, work: Work) {
        self.publishes_per_mail = self.per_mail(work.publishes);
        self.transactions_per_mail = self.per_mail(work.transactions);
        self.wal_syncs_per_mail = work.wal_syncs.map(|count| self.per_mail(count));
    }

    /// Takes CPU seconds by program.
    pub(crate) fn set_cpu(&mut self, spent: BTreeMap<String, f64>) {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let thousands = (self.accepted.max(1) as f64) / 1_000.0;
        self.cpu_seconds_per_1000 = spent
            .into_iter()
            .map(|(name, seconds)| (name, seconds / thousands))
            .collect();
        self.cpu_seconds_per_1000_total = self.cpu_seconds_per_1000.values().sum();
    }

    /// Takes the limits, and holds the steady rate against them.
    pub(crate) fn set_limits(&mut self, limits: Limits) {
        let done = self.steady.done_per_second;
        let mut ratio = |name: &str, limit: f64| {
            if limit > 0.0 {
                self.ratios.insert(name.to_owned(), done / limit);
            }
        };
        ratio("inserts", limits.inserts);
        ratio("publishes", limits.publishes);
        ratio("syncs", limits.syncs);
        self.limits = Some(limits);
    }

    fn per_mail(&self, count: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let (count, mails) = (count as f64, self.accepted.max(1) as f64);
        count / mails
    }

    /// The page for people.
    pub(crate) fn render(&self) -> String {
        let pace = self.rate.map_or_else(
            || "as fast as they are taken".to_owned(),
            |rate| format!("{rate} a second"),
        );
        let expected = self
            .expected_opened
            .map(|expected| format!(" of {expected}"))
            .unwrap_or_default();
        let head = format!(
            "{} mails over {} connections, {pace}\naccepted {} (refused {}, tried again {}), filed {} of {}, tickets {}{expected}, \
             assigned {}, quarantined {}",
            self.mails,
            self.connections,
            self.accepted,
            self.refused,
            self.retries,
            self.filed,
            self.expected_filed,
            self.opened,
            self.assigned,
            self.quarantined
        );
        let parts = [
            Some(self.rates()),
            Some(self.latencies()),
            Some(self.costs()),
            self.beside_limits(),
        ];
        let tables = parts.into_iter().flatten().map(|table| table.trim_fmt());
        format!("{head}\n\n{}", tables.collect::<Vec<_>>().join("\n\n"))
    }

    fn rates(&self) -> Table {
        let mut rows = figures_table(&["Steady part", "mails/s"]);
        rows.add_row([
            "accepted".to_owned(),
            number(self.steady.accepted_per_second),
        ]);
        rows.add_row([
            "accepted, filed and assigned".to_owned(),
            number(self.steady.done_per_second),
        ]);
        rows
    }

    fn latencies(&self) -> Table {
        let mut rows = figures_table(&["Latency, ms", "p50", "p95", "p99", "max", "mails"]);
        for (name, latency) in [
            ("command to accepted (250)", &self.smtp_ms),
            ("accepted to filed", &self.steady.accepted_to_filed_ms),
            ("accepted to assigned", &self.steady.accepted_to_assigned_ms),
        ] {
            let Latency {
                count,
                p50,
                p95,
                p99,
                max,
            } = *latency;
            let values = [p50, p95, p99, max].map(number);
            rows.add_row(
                [
                    vec![name.to_owned()],
                    values.to_vec(),
                    vec![count.to_string()],
                ]
                .concat(),
            );
        }
        rows
    }

    fn costs(&self) -> Table {
        let mut rows = figures_table(&["Cost", "per 1,000 mails", "peak MiB"]);
        let memory = |name: &str| {
            self.peak_memory_mib
                .get(name)
                .map_or_else(|| "-".to_owned(), |mib| number(*mib))
        };
        for (name, seconds) in &self.cpu_seconds_per_1000 {
            rows.add_row([
                format!("CPU s, {name}"),
                format!("{seconds:.2}"),
                memory(name),
            ]);
        }
        let total = self
            .peak_memory_mib
            .values()
            .fold(0.0, |sum, mib| sum + mib);
        rows.add_row([
            "CPU s, all".to_owned(),
            format!("{:.2}", self.cpu_seconds_per_1000_total),
            number(total),
        ]);
        rows.add_row([
            "synced publishes".to_owned(),
            number(self.publishes_per_mail * 1_000.0),
            String::new(),
        ]);
        rows.add_row([
            "transactions".to_owned(),
            number(self.transactions_per_mail * 1_000.0),
            String::new(),
        ]);
        if let Some(syncs) = self.wal_syncs_per_mail {
            rows.add_row([
                "syncs of the database's log".to_owned(),
                number(syncs * 1_000.0),
                String::new(),
            ]);
        }
        rows
    }

    fn beside_limits(&self) -> Option<Table> {
        let limits = self.limits?;
        let mut rows = figures_table(&["Limit of the same engines", "per second", "we reach"]);
        for (key, name, limit) in [
            (
                "inserts",
                "batched inserts of the same mails",
                limits.inserts,
            ),
            (
                "publishes",
                "acknowledged publishes, one a mail",
                limits.publishes,
            ),
            ("syncs", "bare syncs of a file", limits.syncs),
        ] {
            let ratio = self.ratios.get(key).map_or_else(
                || "-".to_owned(),
                |ratio| format!("{} %", number(ratio * 100.0)),
            );
            rows.add_row([name.to_owned(), number(limit), ratio]);
        }
        Some(rows)
    }
}

/// Several runs in one table, a row for each number of connections.
pub(crate) fn render_all(reports: &[Report]) -> String {
    let mut rows = figures_table(&[
        "Connections",
        "mails",
        "accepted/s",
        "assigned/s",
        "250 p50 ms",
        "250 p99 ms",
        "assigned p50 ms",
        "assigned p99 ms",
        "CPU s per 1,000",
    ]);
    for report in reports {
        let (accepted, assigned) = (&report.smtp_ms, &report.steady.accepted_to_assigned_ms);
        rows.add_row([
            report.connections.to_string(),
            report.accepted.to_string(),
            number(report.steady.accepted_per_second),
            number(report.steady.done_per_second),
            number(accepted.p50),
            number(accepted.p99),
            number(assigned.p50),
            number(assigned.p99),
            format!("{:.2}", report.cpu_seconds_per_1000_total),
        ]);
    }
    let limits = reports.last().and_then(Report::beside_limits);
    let tables = [Some(rows), limits].into_iter().flatten();
    let tables: Vec<String> = tables.map(|table| table.trim_fmt()).collect();
    tables.join("\n\n")
}

/// A table whose figures stand to the right.
fn figures_table(header: &[&str]) -> Table {
    let mut rows = table(header);
    for column in rows.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    rows
}

/// Three digits that say something.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With each run of blanks as one, so that tests do not count columns.
    fn flat(text: &str) -> String {
        let lines = text.lines().map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.join(" ")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_page_shows_figures_beside_their_limits() {
        let mut report = Report {
            mails: 1_000,
            accepted: 500,
            filed: 480,
            expected_filed: 480,
            opened: 300,
            ..Report::default()
        };
        report.assigned = 300;
        report.expected_opened = Some(300);
        report.steady.done_per_second = 800.0;
        report.set_cpu(BTreeMap::from([
            ("solmu".to_owned(), 0.5),
            ("postgres".to_owned(), 0.25),
        ]));
        report.set_work(Work {
            publishes: 100,
            transactions: 50,
            wal_syncs: None,
        });
        report.set_limits(Limits {
            inserts: 8_000.0,
            publishes: 1_000.0,
            syncs: 0.0,
        });
        assert!(report.is_complete());
        let text = flat(&report.render());
        for part in [
            "filed 480 of 480, tickets 300 of 300",
            "accepted, filed and assigned 800",
            "CPU s, solmu 1.00 -",
            "CPU s, all 1.50 0.00",
            "synced publishes 200",
            "batched inserts of the same mails 8000 10.0 %",
            "acknowledged publishes, one a mail 1000 80.0 %",
            "bare syncs of a file 0.00 -",
        ] {
            assert!(text.contains(part), "{part}\nis not in\n{text}");
        }
        let other = Report {
            connections: 8,
            accepted: 77,
            ..Report::default()
        };
        let all = flat(&render_all(&[other, report.clone()]));
        for part in [
            "8 77 0.00 0.00",
            "0 500 0.00 800",
            "batched inserts of the same mails 8000",
        ] {
            assert!(all.contains(part), "{part}\nis not in\n{all}");
        }
        assert_eq!(report.fault(), None);
        report.assigned = 299;
        assert!(report.fault().unwrap().contains("assigned 299"));
    }
}
