//! Puts the runtime together and starts the roles: the role table.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use futures::{FutureExt as _, future::BoxFuture};
use solmu_bus::Bus;
use solmu_connector::{Intake, IntakeConfig, ObjectStore};
use solmu_db::Db;
use solmu_domain::{clock::SystemClock, rng::SystemRng};
use solmu_runtime::{Keyring, Parts, RoleName, Runtime, RuntimeParts, api_error::BoxError};
use solmu_telemetry::Metrics;

use crate::{config::Config, engines::Addresses};

/// A runtime over the given engines.
pub(crate) async fn runtime(
    config: &Config,
    addresses: &Addresses,
    data: &Path,
) -> anyhow::Result<Runtime> {
    let rng = Arc::new(SystemRng);
    let db = Db::new(&addresses.postgres, &config.postgres.to_config())?;
    let bus = Bus::connect(&addresses.nats, config.nats.to_config()).await?;
    std::fs::create_dir_all(data)
        .with_context(|| format!("cannot make the data directory '{}'", data.display()))?;
    let secrets = Keyring::load(&config.secrets, data, rng.as_ref())?;
    let mut unique = [0; 4];
    solmu_domain::rng::Rng::fill(rng.as_ref(), &mut unique);
    Ok(Runtime::new(RuntimeParts {
        clock: Arc::new(SystemClock),
        rng,
        db,
        bus,
        metrics: Metrics::for_process(),
        instance: format!("{}-{}", std::process::id(), hex::encode(unique)),
        secrets,
    }))
}

/// The object store of this process.
pub(crate) fn objects(config: &Config, data: &Path) -> anyhow::Result<ObjectStore> {
    let folder = match config.objects.folder.as_str() {
        "" => data.join("objects"),
        folder => folder.into(),
    };
    Ok(ObjectStore::open_local(&folder)?.with_max_object_bytes(config.objects.max_object_bytes))
}

/// Roles that keep files, and so have the folder of all: the others may see an empty one. Tickets keep the files of answers
/// where they are told which folder it is: one of their own would be one that no connector sends from.
fn has_files(role: RoleName, config: &Config) -> bool {
    match role {
        RoleName::Email | RoleName::Social => true,
        RoleName::Tickets => !config.objects.folder.is_empty(),
        RoleName::Chat | RoleName::Forms | RoleName::Router | RoleName::Sla => false,
    }
}

/// The object store, as the ticket service removes from it.
#[derive(Debug)]
struct Files(ObjectStore);

impl solmu_tickets::Objects for Files {
    fn remove<'a>(
        &'a self,
        key: &'a str,
        newest: jiff::Timestamp,
    ) -> BoxFuture<'a, Result<bool, BoxError>> {
        async move { Ok(self.0.remove(key, newest).await?) }.boxed()
    }
}

impl solmu_tickets::Keep for Files {
    fn keep(&self, bytes: Vec<u8>) -> solmu_tickets::Keeping<'_> {
        async move {
            let kept = self.0.put(bytes).await?;
            Ok(solmu_tickets::Kept {
                object_key: kept.key,
                sha256: kept.sha256,
            })
        }
        .boxed()
    }
}

/// What runs after the start, and where.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) parts: Parts,
    pub(crate) smtp: Option<std::net::SocketAddr>,
}

/// Starts the roles that were asked for.
pub(crate) async fn roles(
    runtime: &Runtime,
    config: &Config,
    data: &Path,
    wanted: &[RoleName],
) -> anyhow::Result<Started> {
    let connects = |role: &RoleName| {
        matches!(
            role,
            RoleName::Email | RoleName::Chat | RoleName::Social | RoleName::Forms
        )
    };
    let keeps = wanted.iter().any(|role| has_files(*role, config));
    let connects = wanted.iter().any(connects);
    let store = if keeps || connects {
        Some(objects(config, data)?)
    } else {
        None
    };
    let intake = connects.then(|| Intake::start(runtime, IntakeConfig::default()));
    let connector = intake.zip(store.clone());
    let files = store.filter(|_| keeps).map(|it| Arc::new(Files(it)));
    if let Some(files) = &files {
        solmu_tickets::remove_erased_objects(runtime, &config.tickets, Arc::<Files>::clone(files));
    }
    let mut started = Started {
        parts: Parts::default(),
        smtp: None,
    };
    for role in wanted {
        let parts = match (role, &connector) {
            (RoleName::Email, Some((intake, objects))) => {
                let email =
                    solmu_email::start(runtime, config.email.clone(), intake, objects).await?;
                started.smtp = Some(email.smtp);
                email.parts
            }
            (RoleName::Social, Some((intake, objects))) => {
                solmu_social::start(runtime, intake, objects, &config.social)?
            }
            (RoleName::Chat, Some((intake, _))) => {
                solmu_chat::start(runtime, intake, config.chat.clone())?
            }
            (RoleName::Forms, Some((intake, _))) => {
                solmu_forms::start(runtime, intake, &config.forms)?
            }
            (RoleName::Tickets, _) => {
                let files = files.clone();
                let files = files.map(|files| files as Arc<dyn solmu_tickets::Keep>);
                let (parts, hands) =
                    solmu_tickets::start_with_files(runtime, config.tickets.clone(), files);
                let links = solmu_publiclink::start(runtime, &config.public_links);
                // What requesters write goes the way of every inbound message.
                let intake = connector.as_ref().map(|(intake, _)| intake.clone());
                let intake =
                    intake.unwrap_or_else(|| Intake::start(runtime, IntakeConfig::default()));
                let requesters =
                    solmu_requester::start(runtime, &config.requesters, hands.clone(), intake);
                let desk = solmu_desk::start(runtime, hands);
                parts.merge(desk).merge(links).merge(requesters)
            }
            (RoleName::Router, _) => solmu_router::start(runtime, config.router.clone()).await?,
            (RoleName::Sla, _) => solmu_sla::start(runtime, config.sla.clone()).await?,
            (RoleName::Email | RoleName::Social | RoleName::Chat | RoleName::Forms, None) => {
                continue;
            }
        };
        started.parts = std::mem::take(&mut started.parts).merge(parts);
    }
    Ok(started)
}
