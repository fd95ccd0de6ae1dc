//! A data directory of one test's own, and the engines in it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::process::{binary, command};

/// How long engines may take to follow their supervisor.
const FOLLOW: Duration = Duration::from_secs(20);

/// A private engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Postgres,
    Nats,
}

/// The data directory. Dropped last: it waits for its engines and is removed.
#[derive(Debug)]
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("solmu-e2e-")
            .tempdir()
            .unwrap();
        // Started by root, the engines run as somebody else, who has to get through.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// What `--data` names.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A place beside the data directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the data directory.
    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.data().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// URLs of PostgreSQL and of NATS, as the supervising process wrote them.
    pub(crate) fn engine_urls(&self) -> (String, String) {
        let urls: serde_json::Value = serde_json::from_str(&self.read("engines.json")).unwrap();
        let url = |key: &str| urls[key].as_str().unwrap().to_owned();
        (url("postgres"), url("nats"))
    }

    /// The process id of an engine that runs.
    pub(crate) fn engine_pid(&self, engine: Engine) -> Option<i32> {
        engine_pid(&self.data(), engine)
    }

    /// Runs a command of the program to its end, which must be good.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = self.try_run(arguments);
        let (stdout, stderr) = (
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr),
        );
        assert!(
            status.success(),
            "solmu {arguments:?}: {status}\n{stdout}{stderr}"
        );
        stdout.into_owned()
    }

    /// As [`Self::run`], whatever comes of it.
    pub(crate) fn try_run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// As [`Self::try_run`], with nobody who reads what it prints.
    pub(crate) fn run_unread(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        child.wait_with_output().unwrap()
    }

    fn command(&self) -> Command {
        let mut command = command(&binary());
        command.arg("--data").arg(self.data());
        command
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let begun = Instant::now();
        for engine in [Engine::Nats, Engine::Postgres] {
            while let Some(pid) = self.engine_pid(engine) {
                if begun.elapsed() > FOLLOW {
                    eprintln!("{engine:?} did not follow its supervisor");
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn engine_pid(data: &Path, engine: Engine) -> Option<i32> {
    let (file, program) = match engine {
        Engine::Postgres => ("postgres/postmaster.pid", "postgres"),
        Engine::Nats => ("nats/nats.pid", "nats-server"),
    };
    let text = fs::read_to_string(data.join(file)).ok()?;
    let pid = text.lines().next()?.trim().parse().ok()?;
    runs(pid, program).then_some(pid)
}

/// Whether the process is there, is that program and is no zombie: a stale file may name somebody else's.
fn runs(pid: i32, program: &str) -> bool {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    name.trim() == program && !matches!(state, None | Some('Z' | 'X'))
}
