//! Why the engines cannot run. Each text says what to do, because it is the first thing a new user may see.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

/// One of the two engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineName {
    /// The database.
    Postgres,
    /// The bus.
    Nats,
}

impl EngineName {
    /// The name that people know it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Nats => "nats-server",
        }
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A binary that was looked at and not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The binary.
    pub path: PathBuf,
    /// Why not, as the end of a sentence.
    pub reason: String,
}

/// An engine of which no usable binary was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which one.
    pub engine: EngineName,
    /// What was looked at.
    pub rejected: Vec<Rejected>,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted = match self.engine {
            EngineName::Postgres => "no usable PostgreSQL (15 to 18) found",
            EngineName::Nats => "no usable nats-server (2.10 or newer) found",
        };
        formatter.write_str(wanted)?;
        for rejected in &self.rejected {
            write!(
                formatter,
                "; '{}' {}",
                rejected.path.display(),
                rejected.reason
            )?;
        }
        formatter.write_str(match self.engine {
            EngineName::Postgres => ". Run `make tools` in the checkout, or `apt install postgresql`, or pass --postgres URL",
            EngineName::Nats => {
                ". Run `make tools` in the checkout, or install nats-server on PATH (`apt install nats-server` where it is 2.10 or newer), or pass --nats URL"
            }
        })
    }
}

fn list(missing: &[Missing]) -> String {
    missing
        .iter()
        .map(Missing::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Why the engines did not start or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Another process works in this data directory.
    #[error("the data directory '{}' is in use by {}", dir.display(), holder.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The locked directory.
        dir: PathBuf,
        /// The process that holds it, when it has written its id.
        holder: Option<u32>,
    },
    /// No usable binary of one or both engines.
    #[error("{}", list(.0))]
    Missing(Vec<Missing>),
    /// The data was written by another major version than the ones found.
    #[error(
        "the database in '{}' was written by PostgreSQL {data_major}, but only {found} found. Install PostgreSQL {data_major} \
         (`apt install postgresql-{data_major}`) and start again. To move to a newer one: with {data_major} running, \
         `pg_dump -h '{}' -U solmu -Fc -f solmu.dump solmu`; stop; move '{}' away; start with the newer one; \
         `pg_restore -h '{}' -U solmu -d solmu solmu.dump`",
        cluster.display(), run_dir.display(), cluster.display(), run_dir.display()
    )]
    MajorMismatch {
        /// Where the data is.
        cluster: PathBuf,
        /// The folder of the socket.
        run_dir: PathBuf,
        /// The version the data needs.
        data_major: u32,
        /// What is there instead, as words.
        found: String,
    },
    /// initdb cannot work for a user id that has no name.
    #[error(
        "user id {0} has no entry in the passwd database and PostgreSQL's initdb needs one: add the entry (in a container: to \
         the image's /etc/passwd), run as a named user, or pass --postgres URL and --nats URL"
    )]
    NoPasswdEntry(u32),
    /// Root may not run PostgreSQL, and there is nobody to become.
    #[error(
        "PostgreSQL refuses to run as root, and there is no user 'postgres' or 'nobody' to run it as: run solmu as an ordinary user"
    )]
    NoUnprivilegedUser,
    /// This process is itself a child that was asked to become an engine; its `main` does not call
    /// [`crate::run_child_if_asked`] first.
    #[error("started as an engine's launcher, but run_child_if_asked was not called first")]
    NotALauncher,
    /// A file or folder could not be read or made.
    #[error("cannot {action} '{}'", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The cluster or its database could not be created.
    #[error("cannot create the database: {step} failed. Its log ends with:\n{log}")]
    Init {
        /// `initdb` or `create database`.
        step: &'static str,
        /// The last lines of the log.
        log: String,
    },
    /// The engine ended before it was ready.
    #[error("{engine} ended while starting ({status}). Its log '{}' ends with:\n{log}", log_file.display())]
    Ended {
        /// Which engine.
        engine: EngineName,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log_file: PathBuf,
        /// The last lines of the log.
        log: String,
    },
    /// The engine runs but does not serve.
    #[error("{engine} was not ready after {} s. Its log '{}' ends with:\n{log}", waited.as_secs(), log_file.display())]
    NotReady {
        /// Which engine.
        engine: EngineName,
        /// How long we waited.
        waited: Duration,
        /// Its log.
        log_file: PathBuf,
        /// The last lines of the log.
        log: String,
    },
    /// A process of an earlier run holds the data and does not end.
    #[error("{engine} of an earlier run (process {pid}) still works on the data and does not stop")]
    Orphan {
        /// Which engine.
        engine: EngineName,
        /// The process.
        pid: i32,
    },
    /// There was no free port on loopback.
    #[error("no free port on 127.0.0.1 for nats-server")]
    NoPort,
    /// The start was given up because the caller stopped it or the other engine failed.
    #[error("{0} was stopped while starting")]
    Cancelled(EngineName),
    /// A stop needed more than the ordinary signal; PostgreSQL recovers at its next start.
    #[error("{0} did not stop in time and was ended by force")]
    ForcedStop(EngineName),
}

impl EngineError {
    /// For `map_err`: an IO failure with what was tried on which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
