//! Commands that prepare and inspect a deployment.

use std::path::Path;

use anyhow::{Context as _, bail};
use solmu_runtime::config as runtime_config;

use crate::{
    arguments::{ApiTask, ConfigTask, Target},
    assemble,
    config::{self, Config},
    engines, first_start, out, reach,
};

/// `solmu migrate`.
pub(crate) async fn migrate(
    data: &Path,
    file: Option<&Path>,
    target: &Target,
) -> anyhow::Result<()> {
    let config = config::read(data, file, target, &[])?;
    let db = reach::postgres(&config, data).await?;
    let before = solmu_db::migrate::current_version(&db).await?;
    if let Err(error) = solmu_db::migrate::migrate(&db).await {
        return Err(if error.is_forbidden() {
            anyhow::Error::new(error).context(
                "the user of postgres.url may not make what the schema needs -> make it the owner of the database, or GRANT CREATE ON DATABASE to it",
            )
        } else {
            error.into()
        });
    }
    let after = solmu_db::migrate::current_version(&db).await?;
    out::line(format_args!("schema: version {before} -> {after}"))?;
    Ok(())
}

/// `solmu streams apply`.
pub(crate) async fn streams_apply(
    data: &Path,
    file: Option<&Path>,
    target: &Target,
) -> anyhow::Result<()> {
    let config = config::read(data, file, target, &[])?;
    let bus = reach::nats(&config, data).await?;
    let applied = solmu_bus::streams::apply(&bus, usize::from(config.nats.replicas)).await;
    for line in reach::explain(&bus, applied.map_err(Into::into))? {
        out::line(line)?;
    }
    Ok(())
}

/// `solmu streams rewind`.
pub(crate) async fn streams_rewind(
    data: &Path,
    file: Option<&Path>,
    target: &Target,
) -> anyhow::Result<()> {
    let config = config::read(data, file, target, &[])?;
    let bus = reach::nats(&config, data).await?;
    let forgotten = solmu_bus::streams::rewind_inbound(&bus).await;
    let forgotten = reach::explain(&bus, forgotten.map_err(Into::into))?;
    for durable in &forgotten {
        out::line(format_args!("forgotten: {durable}"))?;
    }
    out::line("the next `solmu serve` reads INBOUND from its beginning")?;
    Ok(())
}

/// `solmu first-token`; with `again` also where there is an admin token, which whoever calls has lost.
pub(crate) async fn first_token(
    data: &Path,
    file: Option<&Path>,
    target: &Target,
    again: bool,
) -> anyhow::Result<()> {
    let config = config::read(data, file, target, &[])?;
    let addresses = engines::addresses(&config, data)?;
    let runtime = assemble::runtime(&config, &addresses, data).await?;
    let token = match first_start::bootstrap(&runtime, data).await?.admin {
        Some(token) => token,
        None if again => first_start::another_admin(&runtime, data).await?,
        None => bail!(
            "there is an admin token already: make others with `solmu token create`, or, if it is lost, with `solmu first-token --again`"
        ),
    };
    out::line(token)?;
    Ok(())
}

/// `solmu config schema|check|print|docs`.
pub(crate) fn config(data: &Path, file: Option<&Path>, task: ConfigTask) -> anyhow::Result<()> {
    match task {
        ConfigTask::Schema => {
            out::line(format_args!(
                "{}",
                serde_json::to_string_pretty(&runtime_config::schema::<Config>())?
            ))?;
        }
        ConfigTask::Check => {
            let config = config::read(data, file, &Target::default(), &[])?;
            config::check(&config)?;
            out::line("the configuration is good")?;
        }
        ConfigTask::Print => {
            let config = config::read(data, file, &Target::default(), &[])?;
            out::print(runtime_config::print(&config)?)?;
        }
        ConfigTask::Docs { check: None } => out::print(runtime_config::markdown::<Config>())?,
        ConfigTask::Docs { check: Some(path) } => {
            let on_disk = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read '{}'", path.display()))?;
            if on_disk != runtime_config::markdown::<Config>() {
                bail!(
                    "'{0}' is stale: run `solmu config docs > {0}`",
                    path.display()
                );
            }
        }
    }
    Ok(())
}

/// `solmu api`.
pub(crate) fn api(task: &ApiTask) -> std::io::Result<()> {
    match task {
        ApiTask::Openapi => out::print(solmu_gateway::OPENAPI),
        ApiTask::Permissions => out::print(solmu_runtime::access::permissions::markdown()),
    }
}

/// `solmu sla eval`.
pub(crate) fn sla_eval() -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    solmu_matching::lines::each_line(std::io::stdin().lock(), &mut out, solmu_sla::eval_line)?;
    Ok(())
}
