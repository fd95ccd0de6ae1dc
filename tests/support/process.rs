//! A `solmu serve` under test.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Home, Ports, until};

/// How long a start may take: initdb on a loaded machine, or crash recovery.
const START: Duration = Duration::from_mins(2);
/// How long an orderly end may take.
const END: Duration = Duration::from_mins(2);
/// Lines of its log that are shown when a test fails.
const SHOWN: usize = 60;

/// The workspace.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    let path = std::env::var_os("SOLMU_BIN").map_or_else(
        || {
            // target/debug/deps/<this test>
            let test = std::env::current_exe().unwrap();
            test.ancestors().nth(2).unwrap().join("solmu")
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "there is no binary at '{}': run `cargo build -p solmu`, or set SOLMU_BIN",
        path.display()
    );
    path
}

/// A command of the program, without settings of whoever runs the tests; in the checkout, where `make tools` has put
/// the engines.
pub(crate) fn command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SOLMU") {
            command.env_remove(&name);
        }
    }
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Solmu {
    pub(crate) name: &'static str,
    pub(crate) ports: Ports,
    child: Child,
    log: PathBuf,
    /// Where the log of this run begins.
    begin: u64,
}

impl Solmu {
    /// Starts `solmu serve` with flags after the ports; does not wait.
    pub(crate) fn spawn(home: &Home, name: &'static str, ports: Ports, flags: &[String]) -> Self {
        Self::spawn_other(&binary(), home, name, ports, flags)
    }

    /// As [`Self::spawn`], of another build of the program.
    pub(crate) fn spawn_other(
        program: &Path,
        home: &Home,
        name: &'static str,
        ports: Ports,
        flags: &[String],
    ) -> Self {
        let log = home.beside(&format!("{name}.log"));
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let begin = out.metadata().unwrap().len();
        let child = command(program)
            .arg("--data")
            .arg(home.data())
            .arg("serve")
            .args(ports.flags())
            .args(flags)
            // Spans come at once, so that a test need not wait for the batch.
            .env("OTEL_BSP_SCHEDULE_DELAY", "100")
            .env("OTEL_BSP_MAX_QUEUE_SIZE", "65536")
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        Self {
            name,
            ports,
            child,
            log,
            begin,
        }
    }

    /// Starts it and waits for the banner; says how long that took.
    pub(crate) async fn start(
        home: &Home,
        name: &'static str,
        ports: Ports,
        flags: &[String],
    ) -> (Self, Duration) {
        let begun = Instant::now();
        let mut process = Self::spawn(home, name, ports, flags);
        process.ready().await;
        (process, begun.elapsed())
    }

    /// Waits for the banner, complete.
    pub(crate) async fn ready(&mut self) {
        let what = format!("{} is ready", self.name);
        until(&what, START, async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!(
                    "{} ended instead of starting: {status}\n{}",
                    self.name,
                    self.output()
                );
            }
            self.output().contains("Stop with Ctrl-C").then_some(())
        })
        .await;
    }

    /// What it has printed since it was started.
    pub(crate) fn output(&self) -> String {
        let mut file = File::open(&self.log).unwrap();
        file.seek(SeekFrom::Start(self.begin)).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Asks it to end in order.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        until(&what, END, async || self.child.try_wait().unwrap()).await
    }

    /// SIGTERM, and then exit code 0.
    pub(crate) async fn stop(mut self) -> Duration {
        let begun = Instant::now();
        self.terminate();
        let status = self.ended().await;
        assert!(
            status.success(),
            "{} ended with {status}:\n{}",
            self.name,
            self.output()
        );
        begun.elapsed()
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.child.wait().unwrap();
    }

    /// Stops it where it is, as a machine without memory or a debugger does.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// What it calls itself begins with this.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    fn tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}

impl Drop for Solmu {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- end of the log of {} ---\n{}", self.name, self.tail());
        }
    }
}
