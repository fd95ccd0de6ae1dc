//! The private PostgreSQL: a cluster of our own on a unix socket, nothing on TCP. Who may enter the socket's folder
//! (0700) is the only authentication.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    access::private_folder,
    config::{Durability, EngineConfig},
    engine::{Address, Engine, Helper},
    error::{EngineError, EngineName},
    files::{random_hex, sync_folder},
    find::PostgresBin,
    identity::RunAs,
    layout::SOCKET,
    process::{Condition, condition, send, wait_until, working_in},
};

/// The superuser and the database of our cluster.
const NAME: &str = "solmu";
/// Only a part of the socket's name: nothing listens on a network.
const PORT: u16 = 5432;
/// How long processes of an earlier run may take to end.
const ORPHAN_LIMIT: Duration = Duration::from_secs(30);
/// The object id of our database, and so the name of its folder: the first that is not reserved. A single-user server
/// left to itself takes a reserved one, which pg_upgrade may need.
const DATABASE_OID: u32 = 16_384;

/// A PostgreSQL cluster in the data directory.
#[derive(Debug)]
pub(crate) struct Postgres {
    bin: PostgresBin,
    cluster: PathBuf,
    run_dir: PathBuf,
    run_as: RunAs,
    settings: Vec<String>,
    durability: Durability,
}

impl Postgres {
    pub(crate) fn new(
        bin: PostgresBin,
        cluster: PathBuf,
        run_dir: PathBuf,
        run_as: RunAs,
        config: &EngineConfig,
    ) -> Self {
        let settings = settings(&run_dir, config);
        Self {
            bin,
            cluster,
            run_dir,
            run_as,
            settings,
            durability: config.durability,
        }
    }

    /// Makes the cluster under another name and renames it: a killed initdb leaves half a cluster.
    fn create(&self, helper: &mut Helper<'_>) -> Result<(), EngineError> {
        helper.progress(format!(
            "creating a {} database in '{}'",
            self.title(),
            self.cluster.display()
        ));
        let home = self.cluster.parent().unwrap_or(&self.cluster);
        remove_leftovers(home).map_err(EngineError::io("clean", home))?;
        let suffix = random_hex(4).map_err(EngineError::io("read", Path::new("/dev/urandom")))?;
        let new = home.join(format!("{NEW_CLUSTER}{suffix}"));
        let result = self.init(helper, &new).and_then(|()| {
            fs::rename(&new, &self.cluster)
                .and_then(|()| sync_folder(home))
                .map_err(EngineError::io("put the new cluster at", &self.cluster))
        });
        if result.is_err() && new.exists() {
            // The first error is the one to show.
            let _ = fs::remove_dir_all(&new);
        }
        result
    }

    fn init(&self, helper: &mut Helper<'_>, new: &Path) -> Result<(), EngineError> {
        let mut done = false;
        for locale in self.locales() {
            private_folder(new, &self.run_as).map_err(EngineError::io("make", new))?;
            let mut arguments: Vec<OsString> = vec!["-D".into(), new.into()];
            let fixed = [
                "-U",
                NAME,
                "--encoding=UTF8",
                "--data-checksums",
                "--auth-local=trust",
                "--auth-host=reject",
                "--text-search-config=simple",
            ];
            arguments.extend(
                fixed
                    .into_iter()
                    .chain(locale.iter().copied())
                    .map(OsString::from),
            );
            if self.durability == Durability::Volatile {
                arguments.push("--no-sync".into());
            }
            let command = helper
                .launcher
                .command(&self.bin.bin_dir.join("initdb"), arguments);
            done = helper.run(EngineName::Postgres, command, "")?.success();
            if done {
                break;
            }
            tracing::debug!(?locale, "initdb failed");
        }
        if !done {
            return Err(EngineError::Init {
                step: "initdb",
                log: helper.log.tail(),
            });
        }

        // A single-user server needs neither a client nor a second start.
        let mut arguments: Vec<OsString> = vec!["--single".into(), "-D".into(), new.into()];
        if self.durability == Durability::Volatile {
            arguments.extend(["-c".into(), "fsync=off".into()]);
        }
        arguments.push("postgres".into());
        let command = helper
            .launcher
            .command(&self.bin.bin_dir.join("postgres"), arguments);
        let ended = helper.run(
            EngineName::Postgres,
            command,
            &format!("CREATE DATABASE {NAME} OID = {DATABASE_OID};\n"),
        )?;
        // It ends well after a failed statement too, so look for what it should have made.
        let made = new.join(format!("base/{DATABASE_OID}")).is_dir();
        if ended.success() && made {
            Ok(())
        } else {
            Err(EngineError::Init {
                step: "create database",
                log: helper.log.tail(),
            })
        }
    }

    /// The locales to try. From 17 on C.UTF-8 is built in; before, it comes from the C library, which may lack it
    /// (musl, old macOS).
    fn locales(&self) -> Vec<&'static [&'static str]> {
        if self.bin.major >= 17 {
            vec![&[
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--locale=C",
            ]]
        } else {
            vec![
                &["--locale=C.UTF-8"],
                &["--locale=en_US.UTF-8"],
                &["--locale=C"],
            ]
        }
    }

    fn pid_file(&self) -> PathBuf {
        self.cluster.join("postmaster.pid")
    }

    fn noted_pid(&self) -> Option<i32> {
        fs::read_to_string(self.pid_file())
            .ok()?
            .lines()
            .next()?
            .trim()
            .parse()
            .ok()
    }

    /// Processes that still work on the cluster. Each works in its folder, whatever it calls itself.
    fn orphans(&self) -> Vec<i32> {
        let mut pids = working_in(&self.cluster, "postgres");
        if let Some(pid) = self.noted_pid()
            && !pids.contains(&pid)
            && crate::process::has_argument(pid, &self.cluster)
        {
            pids.push(pid);
        }
        pids.retain(|pid| condition(*pid) == Condition::Alive);
        pids
    }
}

const NEW_CLUSTER: &str = "postgres.new-";

/// Half clusters of killed starts.
fn remove_leftovers(home: &Path) -> io::Result<()> {
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(NEW_CLUSTER) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Settings that the product relies on go on the command line, above postgresql.conf, which stays the operator's.
fn settings(run_dir: &Path, config: &EngineConfig) -> Vec<String> {
    let quoted_run_dir = format!("\"{}\"", run_dir.to_string_lossy().replace('"', "\"\""));
    let mut settings = vec![
        "listen_addresses=".to_owned(),
        format!("port={PORT}"),
        format!("unix_socket_directories={quoted_run_dir}"),
        "unix_socket_permissions=0700".to_owned(),
        format!("max_connections={}", config.max_connections),
        format!("shared_buffers={}MB", config.shared_buffers_mb),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
        // Short statements: compiling them costs more than it saves.
        "jit=off".to_owned(),
        // The client gets its errors; in a log their text would be somebody's address or message.
        "logging_collector=off".to_owned(),
        "log_min_messages=log".to_owned(),
        "log_min_error_statement=panic".to_owned(),
        "log_checkpoints=off".to_owned(),
    ];
    let durability: &[&str] = match config.durability {
        Durability::Synced => &["fsync=on", "synchronous_commit=on", "full_page_writes=on"],
        Durability::Volatile => &[
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "wal_level=minimal",
            "max_wal_senders=0",
        ],
    };
    settings.extend(durability.iter().map(|setting| (*setting).to_owned()));
    settings
}

impl Engine for Postgres {
    const NAME: EngineName = EngineName::Postgres;
    /// SIGINT: fast shutdown. SIGQUIT: immediate, with recovery at the next start.
    const STOP: [(Signal, Duration); 3] = [
        (Signal::SIGINT, Duration::from_mins(1)),
        (Signal::SIGQUIT, Duration::from_secs(10)),
        (Signal::SIGKILL, Duration::from_secs(10)),
    ];

    fn title(&self) -> String {
        format!("PostgreSQL {}", self.bin.version)
    }

    fn prepare(&mut self, helper: &mut Helper<'_>) -> Result<(), EngineError> {
        if self.cluster.join("PG_VERSION").is_file() {
            return private_folder(&self.cluster, &self.run_as)
                .map_err(EngineError::io("take over", &self.cluster));
        }
        self.create(helper)
    }

    /// PostgreSQL trusts `kill(pid, 0)`, which also finds zombies and strangers with a reused id, and then refuses to
    /// start. We know better, but only remove its files when no process works on the cluster any more.
    fn recover(&mut self) -> Result<(), EngineError> {
        let socket_lock = self.run_dir.join(format!("{SOCKET}.lock"));
        if !self.pid_file().exists() && !socket_lock.exists() {
            return Ok(());
        }
        let orphans = self.orphans();
        if let Some(postmaster) = self.noted_pid().filter(|pid| orphans.contains(pid)) {
            tracing::warn!(
                pid = postmaster,
                "stopping the database server of an earlier run"
            );
            send(postmaster, Signal::SIGINT);
            send(postmaster, Signal::SIGCONT);
        }
        if !wait_until(ORPHAN_LIMIT, || self.orphans().is_empty()) {
            let pid = self.orphans().first().copied().unwrap_or_default();
            return Err(EngineError::Orphan {
                engine: EngineName::Postgres,
                pid,
            });
        }
        for path in [self.pid_file(), socket_lock, self.run_dir.join(SOCKET)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(EngineError::io("remove the stale", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn program(&self) -> (PathBuf, Vec<OsString>) {
        let mut arguments: Vec<OsString> = vec!["-D".into(), self.cluster.clone().into()];
        for setting in &self.settings {
            arguments.extend(["-c".into(), setting.into()]);
        }
        (self.bin.bin_dir.join("postgres"), arguments)
    }

    /// The last line of postmaster.pid is its state. The first has to be our child: the file of a killed run says
    /// "ready" too.
    fn is_ready(&self, pid: u32) -> bool {
        let Ok(text) = fs::read_to_string(self.pid_file()) else {
            return false;
        };
        let lines: Vec<_> = text.lines().collect();
        lines
            .first()
            .is_some_and(|line| line.trim().parse() == Ok(pid))
            && lines.get(7).is_some_and(|state| state.trim() == "ready")
    }

    fn address(&self) -> Address {
        Address {
            url: format!(
                // Everything is said: what a URL leaves out, clients take from PG* variables of the shell.
                "postgres://{NAME}@localhost:{PORT}/{NAME}?sslmode=disable&host={}",
                percent_encoded(&self.run_dir)
            ),
            monitor_url: None,
        }
    }
}

/// A path as the value of a URL's query parameter.
fn percent_encoded(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes all that is written to it");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_is_a_url_parameter() {
        assert_eq!(percent_encoded(Path::new("/run/solmu-1")), "/run/solmu-1");
        assert_eq!(
            percent_encoded(Path::new("/my desk/a&b+ä")),
            "/my%20desk/a%26b%2B%C3%A4"
        );
    }

    #[test]
    fn only_tests_give_up_durability() {
        let mut config = EngineConfig::new("/data");
        assert!(settings(Path::new("/data/run"), &config).contains(&"fsync=on".to_owned()));
        config.durability = Durability::Volatile;
        assert!(settings(Path::new("/data/run"), &config).contains(&"fsync=off".to_owned()));
    }
}
