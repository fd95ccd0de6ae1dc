//! Placeholder
use crate::connect::Session;
/// Bench
#[derive(Debug, clap::Subcommand)]
pub enum BenchCommand {
    /// Ingest
    Ingest(IngestArgs),
}
/// Args
#[derive(Debug, clap::Args)]
pub struct IngestArgs {
    /// a
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// m
    #[arg(long, default_value_t = 1000)]
    messages: usize,
}
pub(crate) async fn run(_: &Session, _: BenchCommand) -> anyhow::Result<()> {
    Ok(())
}
