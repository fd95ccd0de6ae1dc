//! Both engines as one: started side by side, stopped in order.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::channel,
};

use crate::{
    config::EngineConfig,
    engine::{Address, EngineHealth, Event},
    error::{EngineError, EngineName},
    exec::{Launcher, is_launcher},
    files::{Log, read_notes, write_notes},
    find::{self, ExistingCluster, NatsBin, PostgresBin},
    import,
    layout::Layout,
    nats::Nats,
    postgres::Postgres,
    supervisor::Supervisor,
};

/// A running PostgreSQL and a running nats-server. Dropping them stops them as [`Engines::stop`] does.
#[derive(Debug)]
pub struct Engines {
    // In the order of the stop: the bus first, so that nothing is delivered that could not be stored.
    nats: Supervisor,
    postgres: Supervisor,
    nats_address: Address,
    postgres_address: Address,
    // Last: the lock is held until both have ended.
    layout: Layout,
}

impl Engines {
    /// Finds both engines, starts them side by side in the data directory and returns when both serve. `progress` is
    /// told each step that takes its time, one line each. Blocking: seconds on the first start, else well below one;
    /// longer after a crash, when the engines recover.
    pub fn start(config: &EngineConfig, progress: &dyn Fn(&str)) -> Result<Self, EngineError> {
        if is_launcher() {
            return Err(EngineError::NotALauncher);
        }
        let layout = Layout::prepare(config)?;
        if let Some(notice) = &layout.notice {
            progress(notice);
        }
        let (postgres_bin, nats_bin) = find_both(config, &layout)?;
        let postgres_bin = import::postgres(postgres_bin, &config.system_dir, &layout.run_as)?;
        let nats_bin = import::nats(nats_bin, &config.system_dir, &layout.run_as)?;

        let launcher = Launcher::new(
            config.launcher.as_deref(),
            layout.run_as.clone(),
            &layout.root,
        )?;
        let log = |name: &str| Log::new(layout.root.join("logs").join(name));
        let cluster = layout.root.join("postgres");
        let postgres = Postgres::new(
            postgres_bin,
            cluster,
            layout.run_dir.clone(),
            layout.run_as.clone(),
            config,
        );
        let nats = Nats::new(
            nats_bin,
            &layout.root,
            layout.run_as.clone(),
            config.durability,
        );

        let (events, told) = channel();
        let postgres = Supervisor::start(
            postgres,
            launcher.clone(),
            log("postgres.log"),
            events.clone(),
        )?;
        let nats = Supervisor::start(nats, launcher, log("nats.log"), events)?;
        let (mut postgres_address, mut nats_address) = (None, None);
        loop {
            // Both senders end with a result, so the channel cannot close before it.
            match told.recv() {
                Ok(Event::Progress(text)) => progress(&text),
                Ok(Event::Ready(EngineName::Postgres, address)) => postgres_address = Some(address),
                Ok(Event::Ready(EngineName::Nats, address)) => nats_address = Some(address),
                // Dropping the supervisors stops the other one.
                Ok(Event::Failed(error)) => return Err(error),
                Err(_) => return Err(EngineError::Cancelled(EngineName::Postgres)),
            }
            if let (Some(postgres_address), Some(nats_address)) = (&postgres_address, &nats_address)
            {
                let (postgres_address, nats_address) =
                    (postgres_address.clone(), nats_address.clone());
                return Ok(Self {
                    nats,
                    postgres,
                    nats_address,
                    postgres_address,
                    layout,
                });
            }
        }
    }

    /// Where sqlx reaches the database `solmu`: `postgres://solmu@localhost:5432/solmu?sslmode=disable&host=<folder of the socket>`, with all
    /// that PG* variables of a shell could say otherwise. It stays the same when PostgreSQL is restarted.
    pub fn postgres_url(&self) -> String {
        self.postgres_address.url.clone()
    }

    /// Where async-nats reaches the bus: `nats://<token>@127.0.0.1:<port>`. It is a secret, and stays the same when
    /// nats-server is restarted.
    pub fn nats_url(&self) -> String {
        self.nats_address.url.clone()
    }

    /// nats-server's HTTP monitor: `http://127.0.0.1:<port>`.
    pub fn nats_monitor_url(&self) -> String {
        self.nats_address.monitor_url.clone().unwrap_or_default()
    }

    /// What the supervisor knows of PostgreSQL now.
    pub fn postgres_health(&self) -> EngineHealth {
        self.postgres.health()
    }

    /// What the supervisor knows of nats-server now.
    pub fn nats_health(&self) -> EngineHealth {
        self.nats.health()
    }

    /// The data directory that was taken, links resolved; not the one asked for when [`Engines::notice`] says so.
    pub fn data_dir(&self) -> &Path {
        &self.layout.root
    }

    /// For the banner: why the data is not where it was asked for.
    pub fn notice(&self) -> Option<&str> {
        self.layout.notice.as_deref()
    }

    /// Stops nats-server, then PostgreSQL, and waits for both: milliseconds as a rule, about two minutes at worst. An
    /// engine that needed more than the ordinary signal is an error, but has ended too.
    pub fn stop(mut self) -> Result<(), EngineError> {
        let nats_clean = self.nats.stop();
        let postgres_clean = self.postgres.stop();
        match (nats_clean, postgres_clean) {
            (true, true) => Ok(()),
            (false, _) => Err(EngineError::ForcedStop(EngineName::Nats)),
            (_, false) => Err(EngineError::ForcedStop(EngineName::Postgres)),
        }
    }
}

/// The folder with the programs of the PostgreSQL that was started last in a data directory: `pg_dump` and `pg_restore` of
/// the same version. None if none was, or if the notes cannot be read.
#[must_use]
pub fn noted_postgres_bin(data: &Path) -> Option<PathBuf> {
    let notes = read_notes(&data.join(POSTGRES_NOTES)).ok()?;
    notes.get("bin").map(PathBuf::from)
}

/// What was found of PostgreSQL, in the data directory.
const POSTGRES_NOTES: &str = "postgres.notes";

/// Finds both binaries; what is missing is told together.
fn find_both(
    config: &EngineConfig,
    layout: &Layout,
) -> Result<(PostgresBin, NatsBin), EngineError> {
    let notes_file = layout.root.join(POSTGRES_NOTES);
    let notes = read_notes(&notes_file).map_err(EngineError::io("read", &notes_file))?;
    let last_used = notes.get("bin").map(PathBuf::from);
    let cluster = layout.root.join("postgres");
    let existing = find::cluster_major(&cluster).map(|major| ExistingCluster {
        major,
        cluster: &cluster,
        run_dir: &layout.run_dir,
    });

    let postgres = find::postgres(
        config.postgres_bin.as_deref(),
        last_used.clone(),
        existing.as_ref(),
    );
    let nats = find::nats(config.nats_bin.as_deref());
    let (postgres, nats) = match (postgres, nats) {
        (Ok(postgres), Ok(nats)) => (postgres, nats),
        (Err(EngineError::Missing(mut missing)), Err(more)) => {
            missing.push(more);
            return Err(EngineError::Missing(missing));
        }
        (Err(error), _) => return Err(error),
        (Ok(_), Err(missing)) => return Err(EngineError::Missing(vec![missing])),
    };
    if last_used.as_ref() != Some(&postgres.bin_dir) {
        let (bin, major) = (
            postgres.bin_dir.to_string_lossy(),
            postgres.major.to_string(),
        );
        write_notes(&notes_file, &[("bin", &bin), ("major", &major)])
            .map_err(EngineError::io("write", &notes_file))?;
    }
    Ok((postgres, nats))
}
