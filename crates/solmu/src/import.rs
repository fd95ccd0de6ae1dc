//! `solmu import`: stored mail through the same door as mail that comes by SMTP.

use std::path::Path;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use solmu_connector::{Intake, IntakeConfig};
use solmu_email::import::{self, ImportOptions, Progress};

use crate::{arguments::ImportFlags, assemble, config, engines};

pub(crate) async fn run(
    data: &Path,
    file: Option<&Path>,
    flags: ImportFlags,
) -> anyhow::Result<()> {
    let config = config::read(data, file, &flags.target, &[])?;
    let addresses = engines::addresses(&config, data)?;
    let runtime = assemble::runtime(&config, &addresses, data).await?;
    let intake = Intake::start(&runtime, IntakeConfig::default());
    let objects = assemble::objects(&config, data)?;
    let metrics = solmu_email::metrics::EmailMetrics::new(&runtime.metrics);
    let receiver = solmu_email::receiver(&runtime, &config.email, &intake, &objects, metrics)?;
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}  {elapsed}")?);
    let mut refused = 0;
    for path in &flags.paths {
        let options = ImportOptions {
            account: flags.account.clone(),
            ..ImportOptions::default()
        };
        let shown = path.display().to_string();
        let progress = |at: Progress| {
            bar.set_message(format!(
                "{shown}: {} read, {} accepted, {} refused",
                at.read, at.accepted, at.refused
            ));
            bar.tick();
        };
        let summary = import::run(&receiver, path, &options, progress).await?;
        bar.suspend(|| {
            println!(
                "{shown}: {} read, {} accepted, {} refused",
                summary.progress.read, summary.progress.accepted, summary.progress.refused
            );
            for (place, why) in &summary.refused {
                println!("  {place}: {why}");
            }
        });
        refused += summary.progress.refused;
    }
    bar.finish_and_clear();
    if refused > 0 {
        bail!("{refused} mails were not taken; they are named above");
    }
    Ok(())
}
