//! What the supervisor knows and asks of an engine, and what it tells about one.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::{Command, ExitStatus},
    sync::mpsc::{Receiver, Sender, TryRecvError},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    error::{EngineError, EngineName},
    exec::Launcher,
    files::Log,
    process::wait_until,
};

/// How long helpers such as initdb may take.
const HELPER_LIMIT: Duration = Duration::from_mins(5);

/// Whether an engine serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineState {
    /// It starts for the first time, or again after a death.
    Starting,
    /// It serves.
    Ready,
    /// It died and the next start waits for its pause (0.1 to 10 s).
    Down,
    /// It was asked to stop, or its first start failed.
    Stopped,
}

/// What the supervisor knows of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineHealth {
    /// Whether it serves.
    pub state: EngineState,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// How often it was started again since [`crate::Engines::start`].
    pub restarts: u32,
    /// Why it ended last, or could not start again.
    pub last_failure: Option<String>,
}

/// Where a serving engine is reached.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) url: String,
    /// nats-server's HTTP monitor.
    pub(crate) monitor_url: Option<String>,
}

/// What a supervisor tells the caller of `start`.
#[derive(Debug)]
pub(crate) enum Event {
    Progress(String),
    Ready(EngineName, Address),
    Failed(EngineError),
}

/// What differs between the engines.
pub(crate) trait Engine: Send + 'static {
    const NAME: EngineName;
    /// From the ordinary stop to the last resort, each with the time it gets.
    const STOP: [(Signal, Duration); 3];

    /// The name and version, for people.
    fn title(&self) -> String;
    /// Once before the first start: makes what is missing.
    fn prepare(&mut self, helper: &mut Helper<'_>) -> Result<(), EngineError>;
    /// Before every start: removes what a crash has left and waits for processes that still work on the data.
    fn recover(&mut self) -> Result<(), EngineError>;
    /// The engine's binary and arguments.
    fn program(&self) -> (PathBuf, Vec<OsString>);
    /// Whether the child with this id serves; never true for anything else that may answer in its place.
    fn is_ready(&self, pid: u32) -> bool;
    /// Why it cannot do its work although it runs, as it says itself. Asked now and then; the answer comes within a second.
    fn complaint(&self) -> Option<String> {
        None
    }
    /// Where it is reached; it does not change after `prepare`.
    fn address(&self) -> Address;
}

/// Runs helpers on behalf of an engine's preparation.
pub(crate) struct Helper<'a> {
    pub(crate) launcher: &'a Launcher,
    pub(crate) log: &'a mut Log,
    pub(crate) events: &'a Sender<Event>,
    pub(crate) stop: &'a Receiver<()>,
}

impl Helper<'_> {
    /// Tells the user what takes its time.
    pub(crate) fn progress(&self, text: String) {
        // The caller of `start` may be gone already; then nobody wants to know.
        let _ = self.events.send(Event::Progress(text));
    }

    /// Runs `command` to its end, with its standard error in the engine's log; `input` goes to its standard input.
    pub(crate) fn run(
        &mut self,
        name: EngineName,
        mut command: Command,
        input: &str,
    ) -> Result<ExitStatus, EngineError> {
        use std::io::Write as _;
        let log_file = self
            .log
            .open()
            .map_err(EngineError::io("open the log", self.log.path()))?;
        let failed =
            |error| EngineError::io("run initdb or postgres with the log", self.log.path())(error);
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .stderr(log_file)
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take()
            && !input.is_empty()
        {
            stdin.write_all(input.as_bytes()).map_err(failed)?;
        }
        let mut ended = None;
        let mut cancelled = false;
        wait_until(HELPER_LIMIT, || {
            ended = child.try_wait().ok().flatten();
            cancelled = self.stop.try_recv() == Err(TryRecvError::Disconnected);
            ended.is_some() || cancelled
        });
        if let Some(status) = ended {
            return Ok(status);
        }
        child.kill().and_then(|()| child.wait()).map_err(failed)?;
        Err(EngineError::Cancelled(name))
    }
}
