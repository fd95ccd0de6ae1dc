//! Starting, killing and asking the engines without a client library.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use solmu_engines::{Durability, EngineConfig, Engines};

pub(crate) const LAUNCHER: &str = env!("CARGO_BIN_EXE_solmu-engine-launcher");
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn config(data_dir: &Path) -> EngineConfig {
    EngineConfig {
        launcher: Some(LAUNCHER.into()),
        durability: Durability::Volatile,
        ..EngineConfig::new(data_dir)
    }
}

pub(crate) fn start(config: &EngineConfig) -> Engines {
    Engines::start(config, &|line| eprintln!("{line}")).unwrap()
}

pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// Gone, or a zombie that somebody else has to reap.
pub(crate) fn has_ended(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

pub(crate) fn socket(postgres_url: &str) -> PathBuf {
    Path::new(postgres_url.split_once("host=").unwrap().1).join(".s.PGSQL.5432")
}

/// Opens a session as sqlx does and runs one statement; gives the server's answer as text.
pub(crate) fn query(postgres_url: &str, statement: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(socket(postgres_url))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut startup = 196_608_u32.to_be_bytes().to_vec();
    startup.extend_from_slice(b"user\0solmu\0database\0solmu\0\0");
    send_message(&mut stream, None, &startup)?;
    let mut body = statement.as_bytes().to_vec();
    body.push(0);
    send_message(&mut stream, Some(b'Q'), &body)?;
    send_message(&mut stream, Some(b'X'), b"")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub(crate) fn send_message(
    stream: &mut UnixStream,
    kind: Option<u8>,
    body: &[u8],
) -> std::io::Result<()> {
    let length = u32::try_from(body.len() + 4).unwrap();
    let mut message: Vec<u8> = kind.into_iter().collect();
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(body);
    stream.write_all(&message)
}

/// Whether the bus takes our token and answers a ping.
pub(crate) fn nats_answers(nats_url: &str) -> std::io::Result<bool> {
    let (token, address) = nats_url
        .strip_prefix("nats://")
        .unwrap()
        .split_once('@')
        .unwrap();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let info = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    write!(
        stream,
        "CONNECT {{\"auth_token\":\"{token}\",\"verbose\":false}}\r\nPING\r\n"
    )?;
    let answer = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    Ok(info.starts_with("INFO ") && answer == "PONG")
}

pub(crate) fn assert_serving(engines: &Engines) {
    let answer = query(
        &engines.postgres_url(),
        "select 'lower ' || lower('ÄÖ') || ' ' || current_setting('fsync')",
    )
    .unwrap();
    assert!(answer.contains("lower äö "), "{answer}");
    assert!(nats_answers(&engines.nats_url()).unwrap());
}

/// A process that has ended but is never asked how, as under an init that does not reap.
pub(crate) struct Zombie(pub(crate) Child);

impl Zombie {
    pub(crate) fn new() -> Self {
        let child = Command::new("true").spawn().unwrap();
        wait_for("the zombie", || has_ended(child.id()));
        Self(child)
    }
}

impl Drop for Zombie {
    fn drop(&mut self) {
        self.0.wait().unwrap();
    }
}

/// The engines in a process of their own, which can be killed.
pub(crate) struct Product {
    pub(crate) child: Child,
    pub(crate) postgres: (u32, String),
    pub(crate) nats: (u32, String),
}

impl Product {
    pub(crate) fn start(data_dir: &Path) -> Self {
        let mut child = Command::new(LAUNCHER)
            .arg(data_dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut engine = || {
            let line = lines.next().unwrap().unwrap();
            let words: Vec<_> = line.split(' ').collect();
            (words[1].parse().unwrap(), words[2].to_owned())
        };
        let (postgres, nats) = (engine(), engine());
        Self {
            child,
            postgres,
            nats,
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            drop(self.child.stdin.take());
            self.child.wait().unwrap();
        }
    }
}

pub(crate) fn script(path: &Path, body: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
