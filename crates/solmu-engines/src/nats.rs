//! The private nats-server: on loopback, behind a random token, with JetStream in the data directory.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::sys::signal::Signal;

use crate::{
    access::private_folder,
    config::Durability,
    engine::{Address, Engine, Helper},
    error::{EngineError, EngineName},
    files::{random_hex, read_notes, write_notes, write_private},
    find::NatsBin,
    identity::RunAs,
    process::{Condition, condition, has_argument, send, wait_until},
};

/// Ports are drawn from here: below the ephemeral ranges of Linux and macOS, so that no outgoing connection takes ours
/// while we are stopped.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
const PORT_TRIES: u32 = 100;
const TOKEN_BYTES: usize = 24;
/// What all streams together may be allowed to hold. Each stream has its own limit, and JetStream counts those limits
/// as taken; its default, three quarters of the free disk, would keep a half-full laptop from starting.
const MAX_FILE_STORE: &str = "1TB";
/// How long a server of an earlier run may take to end.
const ORPHAN_LIMIT: Duration = Duration::from_secs(20);
/// How long a listening server may take to introduce itself.
const INFO_LIMIT: Duration = Duration::from_millis(500);
/// The introduction is below 1 KB; whatever sends more is somebody else.
const INFO_BYTES: u64 = 16_384;

/// What stays the same from start to start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Identity {
    /// Tells our server from another one that got hold of the port.
    server_name: String,
    token: String,
    port: u16,
    monitor_port: u16,
}

/// A nats-server in the data directory.
#[derive(Debug)]
pub(crate) struct Nats {
    bin: NatsBin,
    folder: PathBuf,
    notes: PathBuf,
    run_as: RunAs,
    durability: Durability,
    identity: Identity,
}

impl Nats {
    pub(crate) fn new(bin: NatsBin, root: &Path, run_as: RunAs, durability: Durability) -> Self {
        Self {
            bin,
            folder: root.join("nats"),
            notes: root.join("nats.notes"),
            run_as,
            durability,
            identity: Identity::default(),
        }
    }

    fn config_file(&self) -> PathBuf {
        self.folder.join("nats.conf")
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("nats.pid")
    }

    fn config(&self) -> String {
        let Identity {
            server_name,
            token,
            port,
            monitor_port,
        } = &self.identity;
        // JetStream acknowledges before the disk has it unless told otherwise; a power cut then takes whole streams.
        let sync = match self.durability {
            Durability::Synced => "always",
            Durability::Volatile => "2m",
        };
        format!(
            "# Written by solmu at each start.\n\
             server_name: {}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor_port}\"\npid_file: {}\n\
             authorization {{ token: {} }}\njetstream {{\n  store_dir: {}\n  sync_interval: {sync}\n  max_file_store: {MAX_FILE_STORE}\n}}\n",
            quoted(server_name),
            quoted(&self.pid_file().to_string_lossy()),
            quoted(token),
            quoted(&self.folder.join("jetstream").to_string_lossy()),
        )
    }

    /// The server of an earlier run, if it still runs on our configuration.
    fn orphan(&self) -> Option<i32> {
        let pid = fs::read_to_string(self.pid_file())
            .ok()?
            .trim()
            .parse()
            .ok()?;
        (condition(pid) == Condition::Alive && has_argument(pid, &self.config_file()))
            .then_some(pid)
    }

    /// The ports and the token of the last start, with new ports where somebody else has taken them.
    fn recall(&self) -> Result<Identity, EngineError> {
        let notes = read_notes(&self.notes).map_err(EngineError::io("read", &self.notes))?;
        let random =
            |length| random_hex(length).map_err(EngineError::io("read", Path::new("/dev/urandom")));
        let known = identity_from(&notes);
        let mut identity = match known.clone() {
            Some(identity) => identity,
            None => Identity {
                server_name: format!("solmu-{}", random(4)?),
                token: random(TOKEN_BYTES)?,
                ..Identity::default()
            },
        };
        if !is_free(identity.port) {
            identity.port = free_port(identity.monitor_port)?;
        }
        if !is_free(identity.monitor_port) {
            identity.monitor_port = free_port(identity.port)?;
        }
        if known.as_ref() != Some(&identity) {
            let (port, monitor_port) =
                (identity.port.to_string(), identity.monitor_port.to_string());
            let notes = [
                ("server_name", identity.server_name.as_str()),
                ("token", &identity.token),
                ("port", &port),
                ("monitor_port", &monitor_port),
            ];
            write_notes(&self.notes, &notes).map_err(EngineError::io("write", &self.notes))?;
        }
        Ok(identity)
    }
}

fn identity_from(notes: &BTreeMap<String, String>) -> Option<Identity> {
    Some(Identity {
        server_name: notes.get("server_name")?.clone(),
        token: notes
            .get("token")
            .filter(|token| token.len() == 2 * TOKEN_BYTES)?
            .clone(),
        port: notes.get("port")?.parse().ok()?,
        monitor_port: notes.get("monitor_port")?.parse().ok()?,
    })
}

fn is_free(port: u16) -> bool {
    port != 0 && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn free_port(other_than: u16) -> Result<u16, EngineError> {
    for _ in 0..PORT_TRIES {
        let random = random_hex(2).map_err(EngineError::io("read", Path::new("/dev/urandom")))?;
        let number = u16::from_str_radix(&random, 16).unwrap_or_default();
        let port = PORTS.start + number % (PORTS.end - PORTS.start);
        if port != other_than && is_free(port) {
            return Ok(port);
        }
    }
    Err(EngineError::NoPort)
}

/// A string of nats-server's configuration language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The line with which a NATS server greets every connection.
fn introduction(port: u16) -> io::Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, INFO_LIMIT)?;
    stream.set_read_timeout(Some(INFO_LIMIT))?;
    let mut line = String::new();
    BufReader::new(stream.take(INFO_BYTES)).read_line(&mut line)?;
    Ok(line)
}

/// What the monitor at `port` says of the server's health, where it does not say that all is well.
fn complaint(port: u16) -> io::Result<Option<String>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, INFO_LIMIT)?;
    stream.set_read_timeout(Some(INFO_LIMIT))?;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(INFO_BYTES).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let unwell = head.split(' ').nth(1) == Some("503");
    Ok(unwell.then(|| body.trim().to_owned()))
}

impl Engine for Nats {
    const NAME: EngineName = EngineName::Nats;
    const STOP: [(Signal, Duration); 3] = [
        (Signal::SIGINT, Duration::from_secs(20)),
        (Signal::SIGTERM, Duration::from_secs(5)),
        (Signal::SIGKILL, Duration::from_secs(10)),
    ];

    fn title(&self) -> String {
        format!("nats-server {}", self.bin.version)
    }

    fn prepare(&mut self, _helper: &mut Helper<'_>) -> Result<(), EngineError> {
        private_folder(&self.folder, &self.run_as)
            .map_err(EngineError::io("make", &self.folder))?;
        // An orphan would still hold the ports.
        self.recover()?;
        self.identity = self.recall()?;
        let path = self.config_file();
        // Made by us, it belongs to the owner of the folder: to whom the server runs as.
        write_private(&path, &self.config()).map_err(EngineError::io("write", &path))
    }

    fn recover(&mut self) -> Result<(), EngineError> {
        if let Some(pid) = self.orphan() {
            tracing::warn!(pid, "stopping the bus server of an earlier run");
            send(pid, Signal::SIGINT);
            send(pid, Signal::SIGCONT);
            if !wait_until(ORPHAN_LIMIT, || self.orphan().is_none()) {
                return Err(EngineError::Orphan {
                    engine: EngineName::Nats,
                    pid,
                });
            }
        }
        match fs::remove_file(self.pid_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(EngineError::io("remove the stale", &self.pid_file())(error))
            }
            _ => Ok(()),
        }
    }

    fn program(&self) -> (PathBuf, Vec<OsString>) {
        (
            self.bin.path.clone(),
            vec!["--config".into(), self.config_file().into()],
        )
    }

    /// It listens for clients only after JetStream has recovered its streams.
    fn is_ready(&self, _pid: u32) -> bool {
        introduction(self.identity.port).is_ok_and(|line| {
            let named = format!("\"server_name\":\"{}\"", self.identity.server_name);
            line.starts_with("INFO ")
                && line.contains(&named)
                && line.contains("\"jetstream\":true")
        })
    }

    /// After a write that failed (a full disk) a stream refuses everything, also when there is room again: only a restart
    /// ends it.
    fn complaint(&self) -> Option<String> {
        complaint(self.identity.monitor_port).unwrap_or_default()
    }

    fn address(&self) -> Address {
        let Identity {
            token,
            port,
            monitor_port,
            ..
        } = &self.identity;
        Address {
            url: format!("nats://{token}@127.0.0.1:{port}"),
            monitor_url: Some(format!("http://127.0.0.1:{monitor_port}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nats(root: &Path, durability: Durability) -> Nats {
        let bin = NatsBin {
            path: "/bin/nats-server".into(),
            version: "2.15.1".to_owned(),
        };
        Nats::new(bin, root, RunAs::Ourselves, durability)
    }

    #[test]
    fn ports_and_token_stay_unless_a_port_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let nats = nats(folder.path(), Durability::Synced);
        let first = nats.recall().unwrap();
        assert_ne!(first.port, first.monitor_port);
        assert_eq!(nats.recall().unwrap(), first);
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first.port)).unwrap();
        let second = nats.recall().unwrap();
        assert_ne!(second.port, first.port);
        assert_eq!(
            (second.monitor_port, &second.token),
            (first.monitor_port, &first.token)
        );
    }

    #[test]
    fn a_server_that_calls_itself_unhealthy_is_heard() {
        let says = |answer: &'static str| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut question = [0; 64];
                let length = stream.read(&mut question).unwrap();
                assert!(question[..length].starts_with(b"GET /healthz "));
                stream.write_all(answer.as_bytes()).unwrap();
            });
            let heard = complaint(port).unwrap();
            server.join().unwrap();
            heard
        };
        assert_eq!(says("HTTP/1.0 200 OK\r\n\r\n{\"status\":\"ok\"}"), None);
        let unwell = says("HTTP/1.0 503 Service Unavailable\r\n\r\nwrite error\n");
        assert_eq!(unwell.as_deref(), Some("write error"));
    }

    #[test]
    fn every_message_is_synced_and_odd_paths_are_quoted() {
        let config = nats(Path::new("/my \"desk\""), Durability::Synced).config();
        assert!(config.contains("sync_interval: always"), "{config}");
        assert!(config.contains("max_file_store: 1TB"), "{config}");
        assert!(
            config.contains(r#"store_dir: "/my \"desk\"/nats/jetstream""#),
            "{config}"
        );
    }
}
