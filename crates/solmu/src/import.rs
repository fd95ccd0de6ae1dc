//! `solmu import`: stored mail through the same door as mail that comes by SMTP.
//!
//! What was done stands in a journal in the data directory, so that an import that was killed goes on where it was.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use solmu_connector::{Intake, IntakeConfig};
use solmu_email::import::{self, ImportOptions, Journal, Progress, Summary};

use crate::{arguments::ImportFlags, assemble, config, engines, out};

/// Folder of the journals in the data directory.
const JOURNALS: &str = "imports";
/// Time between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub(crate) async fn run(
    data: &Path,
    file: Option<&Path>,
    flags: ImportFlags,
) -> anyhow::Result<()> {
    let config = config::read(data, file, &flags.target, &[])?;
    let journals: Vec<PathBuf> = flags
        .paths
        .iter()
        .map(|path| place(data, path, flags.account.as_deref(), &config))
        .collect();
    let options = ImportOptions {
        account: flags.account.clone(),
        ..ImportOptions::default()
    };
    let mut complete = true;
    if flags.dry_run {
        for (path, journal) in flags.paths.iter().zip(&journals) {
            let journal = if flags.restart {
                Journal::empty(journal)
            } else {
                open(journal, false)?
            };
            let summary = import::dry_run(path, &options, &journal)?;
            out::tell(format_args!(
                "{}: would read {}",
                path.display(),
                words(&summary, true)
            ));
            name_places(&summary);
            complete &= summary.is_complete();
        }
        return verdict(complete);
    }
    let addresses = engines::addresses(&config, data)?;
    let runtime = assemble::runtime(&config, &addresses, data).await?;
    let intake = Intake::start(&runtime, IntakeConfig::default());
    let objects = assemble::objects(&config, data)?;
    let metrics = solmu_email::metrics::EmailMetrics::new(&runtime.metrics);
    let receiver = solmu_email::receiver(&runtime, &config.email, &intake, &objects, metrics)?;
    for (path, journal) in flags.paths.iter().zip(&journals) {
        let mut journal = open(journal, flags.restart)?;
        let display = Display::new(path)?;
        let outcome = import::run(&receiver, path, &options, &mut journal, |at| {
            display.show(at);
        })
        .await;
        display.finish();
        let summary = outcome.with_context(|| {
            format!(
                "'{}' is not finished; the same command goes on where it was",
                path.display()
            )
        })?;
        out::tell(format_args!(
            "{}: {}",
            path.display(),
            words(&summary, false)
        ));
        name_places(&summary);
        complete &= summary.is_complete();
    }
    verdict(complete)
}

fn verdict(complete: bool) -> anyhow::Result<()> {
    if complete {
        return Ok(());
    }
    bail!(
        "not everything was taken; the places are named above, and the same command tries them again"
    )
}

/// A journal for each path, account and bus: what one bus has says nothing about another.
fn place(data: &Path, path: &Path, account: Option<&str>, config: &config::Config) -> PathBuf {
    let (bus, namespace) = (config.nats.url.expose(), &config.nats.namespace);
    let scope = format!("{}\n{bus}\n{namespace}", account.unwrap_or_default());
    Journal::place(&data.join(JOURNALS), path, &scope)
}

fn open(journal: &Path, restart: bool) -> anyhow::Result<Journal> {
    if restart && journal.exists() {
        std::fs::remove_file(journal)
            .with_context(|| format!("cannot remove the journal '{}'", journal.display()))?;
    }
    Journal::open(journal)
        .with_context(|| format!("cannot read the journal '{}'", journal.display()))
}

/// Counts by outcome.
fn words(summary: &Summary, dry: bool) -> String {
    let at = &summary.progress;
    let mut words = vec![if dry {
        format!("{} mails", at.read)
    } else {
        format!("{} mails read, {} accepted", at.read, at.accepted)
    }];
    if at.earlier > 0 {
        words.push(format!("{} accepted by earlier runs", at.earlier));
    }
    for (cause, count) in &summary.causes {
        words.push(format!("{count} refused ({})", cause.replace('_', " ")));
    }
    for (cause, count) in summary.left_out.by_cause() {
        words.push(format!("{count} left out ({cause})"));
    }
    if at.unreadable > 0 {
        words.push(format!("{} files or folders unreadable", at.unreadable));
    }
    words.push(HumanBytes(at.total_bytes).to_string());
    words.join(", ")
}

/// Names what was not taken, and says how much is not named.
fn name_places(summary: &Summary) {
    let at = &summary.progress;
    for (kind, places, count) in [
        ("refused", &summary.refused, at.refused),
        ("unreadable", &summary.unreadable, at.unreadable),
    ] {
        for (place, why) in places {
            out::tell(format_args!("  {kind}: {place}: {why}"));
        }
        let named = places.len() as u64;
        if count > named {
            out::tell(format_args!("  {kind}: and {} more", count - named));
        }
    }
}

/// Progress as a bar on a terminal, else as a line every few seconds.
struct Display {
    shown: String,
    bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

impl Display {
    fn new(path: &Path) -> anyhow::Result<Self> {
        let template =
            "{spinner} {bar:30} {percent:>3}% {bytes}/{total_bytes} {msg}  {elapsed}, {eta} left";
        let style = ProgressStyle::with_template(template)?;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Ok(Self {
            shown: path.display().to_string(),
            bar,
            last_line: Mutex::new(Instant::now()),
        })
    }

    fn show(&self, at: Progress) {
        let text = format!(
            "{} accepted, {} refused",
            at.accepted,
            at.refused + at.unreadable
        );
        if let Some(bar) = &self.bar {
            bar.set_length(at.total_bytes);
            bar.set_position(at.bytes);
            bar.set_message(text);
            return;
        }
        let Ok(mut last) = self.last_line.lock() else {
            return;
        };
        if last.elapsed() >= LINE_EVERY {
            *last = Instant::now();
            let percent = (at.bytes * 100).checked_div(at.total_bytes).unwrap_or(100);
            out::warn(format_args!(
                "{}: {percent} %, {} read, {text}",
                self.shown, at.read
            ));
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
