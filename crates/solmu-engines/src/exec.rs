//! The hidden subcommand through which every engine starts: it leaves the terminal's session, gives up root, ties its
//! life to the supervisor's and becomes the engine. The process id stays the same, so the supervisor watches the engine
//! itself.

use std::{
    convert::Infallible,
    ffi::{OsStr, OsString},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::{
    errno::Errno,
    sys::stat::{Mode, umask},
    unistd::{Gid, Pid, Uid, getppid, setgid, setsid, setuid},
};

use crate::{error::EngineError, identity::RunAs};

/// The hidden subcommand: `<executable> engine-exec <supervisor pid> <uid or -> <gid or -> <program> <argument>...`.
pub const EXEC_SUBCOMMAND: &str = "engine-exec";

/// Exit code of a launcher that could not become the engine, as shells have it for "found but cannot run".
const CANNOT_EXEC: i32 = 126;

/// Stands for "stay who you are" in place of a user or group id.
const SAME: &str = "-";

/// Becomes the engine when this process was started with [`EXEC_SUBCOMMAND`] and then never returns; otherwise does
/// nothing. Call it first in `main`, before any thread or runtime exists.
pub fn run_child_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments
        .next()
        .is_none_or(|first| first != EXEC_SUBCOMMAND)
    {
        return;
    }
    let Err(error) = become_engine(arguments);
    // Standard error is the engine's log, whose end the supervisor shows.
    eprintln!("solmu {EXEC_SUBCOMMAND}: {error}");
    std::process::exit(CANNOT_EXEC);
}

/// Whether this process was started as a launcher.
pub(crate) fn is_launcher() -> bool {
    std::env::args_os()
        .nth(1)
        .is_some_and(|first| first == EXEC_SUBCOMMAND)
}

#[derive(Debug, thiserror::Error)]
enum ExecError {
    #[error("unusable arguments")]
    Arguments,
    #[error("cannot leave the session: {0}")]
    Session(Errno),
    #[error(
        "cannot become user {uid} group {gid}: {errno}. In a container, root needs the capabilities SETUID and SETGID"
    )]
    Drop { uid: Uid, gid: Gid, errno: Errno },
    #[error("cannot ask for the parent's death signal: {0}")]
    DeathSignal(Errno),
    #[error("the supervisor is gone")]
    Orphaned,
    #[error("cannot run '{}': {source}", program.display())]
    Run { program: PathBuf, source: io::Error },
}

fn become_engine(mut arguments: impl Iterator<Item = OsString>) -> Result<Infallible, ExecError> {
    let supervisor: i32 = number(arguments.next())?.ok_or(ExecError::Arguments)?;
    let uid = number(arguments.next())?.map(Uid::from_raw);
    let gid = number(arguments.next())?.map(Gid::from_raw);
    let program = PathBuf::from(arguments.next().ok_or(ExecError::Arguments)?);

    // A Ctrl-C in the terminal must reach the supervisor only, which then stops the engines in order.
    setsid().map_err(ExecError::Session)?;
    umask(Mode::from_bits_truncate(0o077));
    if let (Some(uid), Some(gid)) = (uid, gid) {
        drop_to(uid, gid).map_err(|errno| ExecError::Drop { uid, gid, errno })?;
    }
    tie_to(Pid::from_raw(supervisor))?;
    let source = Command::new(&program).args(arguments).exec();
    Err(ExecError::Run { program, source })
}

/// `None` for [`SAME`].
fn number<T: std::str::FromStr>(argument: Option<OsString>) -> Result<Option<T>, ExecError> {
    let argument = argument.ok_or(ExecError::Arguments)?;
    let text = argument.to_str().ok_or(ExecError::Arguments)?;
    if text == SAME {
        Ok(None)
    } else {
        text.parse().map(Some).map_err(|_| ExecError::Arguments)
    }
}

fn drop_to(uid: Uid, gid: Gid) -> Result<(), Errno> {
    #[cfg(not(target_vendor = "apple"))]
    nix::unistd::setgroups(&[gid])?;
    setgid(gid)?;
    setuid(uid)
}

/// Asks for SIGINT, the ordinary stop of both engines, when the supervisor dies. Only after `drop_to`: a change of
/// credentials clears the request. The second look at the parent closes the gap before the request.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn tie_to(supervisor: Pid) -> Result<(), ExecError> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGINT)
        .map_err(ExecError::DeathSignal)?;
    if getppid() == supervisor {
        Ok(())
    } else {
        Err(ExecError::Orphaned)
    }
}

/// There is no death signal here: an engine that outlives its supervisor is stopped by the next start.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn tie_to(supervisor: Pid) -> Result<(), ExecError> {
    if getppid() == supervisor {
        Ok(())
    } else {
        Err(ExecError::Orphaned)
    }
}

/// Builds the commands that start engines and their helpers.
#[derive(Debug, Clone)]
pub(crate) struct Launcher {
    executable: PathBuf,
    run_as: RunAs,
    work_dir: PathBuf,
}

impl Launcher {
    /// Starts children through `executable`, or through the running one, as `run_as`, in `work_dir`.
    pub(crate) fn new(
        executable: Option<&Path>,
        run_as: RunAs,
        work_dir: &Path,
    ) -> Result<Self, EngineError> {
        let executable = match executable {
            Some(path) => path.to_owned(),
            // The magic link names the very file that runs, also after an upgrade has replaced or removed its path.
            None if cfg!(target_os = "linux") => PathBuf::from("/proc/self/exe"),
            None => std::env::current_exe()
                .map_err(EngineError::io("find", Path::new("our own executable")))?,
        };
        Ok(Self {
            executable,
            run_as,
            work_dir: work_dir.to_owned(),
        })
    }

    /// A command that becomes `program`. Its environment is empty but for PATH and the locale: no secret of ours, no
    /// `PG*` variable of the user.
    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .arg0("solmu")
            .arg(EXEC_SUBCOMMAND)
            .arg(std::process::id().to_string());
        match &self.run_as {
            RunAs::Ourselves => command.args([SAME, SAME]),
            RunAs::User { uid, gid, .. } => command.args([uid.to_string(), gid.to_string()]),
        };
        command.arg(program).args(arguments);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C");
        command
            .current_dir(&self.work_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }
}
