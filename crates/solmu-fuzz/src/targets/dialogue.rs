//! SMTP and LMTP: the real server on a port of loopback. The network may cut a dialogue where it likes, and no mail is
//! taken that was not ended.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use solmu_connector::{InboundEvent, IntakeError, ObjectStore};
use solmu_domain::{clock::FakeClock, rng::SeededRng};
use solmu_email::{
    Accounts, Config,
    metrics::EmailMetrics,
    receive::{Accept, Receiver, ReceiverParts},
    smtp::{BareLf, Listeners, Server, SessionSettings, serve},
};
use solmu_telemetry::Metrics;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Runtime,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Target,
    desk::{config, now, signer},
    way,
};
use crate::{chance::Chance, seeds};

/// Mails that one end of data brings at most: one in each account.
const MAILS_PER_END: usize = 2;

/// The first byte chooses the server, the rest is what a client says.
#[derive(Debug)]
pub(super) struct DialogueTarget {
    runtime: Runtime,
    doors: Vec<SocketAddr>,
    taken: Taken,
    _folder: TempDir,
}

/// What the desk took.
#[derive(Debug, Clone, Default)]
struct Taken(Arc<Mutex<Vec<String>>>);

impl Accept for Taken {
    async fn accept_all(&self, events: Vec<InboundEvent>) -> Result<(), IntakeError> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if let InboundEvent::Message(message) = event {
                taken.push(format!(
                    "{} {} {} {}",
                    message.account, message.external_id, message.subject, message.text
                ));
            }
        }
        Ok(())
    }
}

impl DialogueTarget {
    pub(super) fn new() -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let folder = tempfile::tempdir()?;
        let taken = Taken::default();
        let store = ObjectStore::open_local(folder.path())?;
        let mut doors = Vec::new();
        for policy in [BareLf::Reject, BareLf::Normalise] {
            doors.extend(runtime.block_on(door(policy, &store, &taken))?);
        }
        Ok(Self {
            runtime,
            doors,
            taken,
            _folder: folder,
        })
    }

    /// What the client is told (reply codes), and what was taken; nothing if the connection broke.
    fn talk(&self, door: SocketAddr, pieces: &[&[u8]]) -> Option<(Vec<String>, Vec<String>)> {
        let told = self.runtime.block_on(say(door, pieces)).ok();
        let taken =
            std::mem::take(&mut *self.taken.0.lock().unwrap_or_else(PoisonError::into_inner));
        let told = String::from_utf8(told?).expect("replies are ASCII");
        let mut codes = Vec::new();
        for line in told.split_terminator("\r\n") {
            let is_reply = line.len() > 3
                && line.is_char_boundary(3)
                && line[..3].bytes().all(|byte| byte.is_ascii_digit());
            assert!(is_reply, "a line that is no reply: {line:?}");
            codes.push(line[..4.min(line.len())].to_owned());
        }
        Some((codes, taken))
    }
}

/// Starts a server and says where SMTP and LMTP are.
async fn door(
    policy: BareLf,
    store: &ObjectStore,
    taken: &Taken,
) -> anyhow::Result<[SocketAddr; 2]> {
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let mut config: Config = config();
    config.smtp.max_message_bytes = 2_000;
    config.smtp.max_buffered_bytes = 1024 * 1024;
    config.smtp.max_command_bytes = 512;
    config.smtp.bare_lf = policy;
    config.smtp.lmtp.listen = Some(any);
    let accounts = Arc::new(Accounts::new(&config, &signer())?);
    let clock = Arc::new(FakeClock::new(now()));
    let metrics = EmailMetrics::new(&Metrics::new());
    let parts = ReceiverParts {
        accounts: Arc::clone(&accounts),
        signer: signer(),
        store: store.clone(),
        intake: taken.clone(),
        clock,
        metrics: metrics.clone(),
    };
    let listeners = Listeners::bind(any, &config.smtp).await?;
    let doors = [listeners.smtp(), listeners.lmtp().unwrap_or(any)];
    let tasks = TaskTracker::new();
    let server = Server {
        settings: SessionSettings {
            hostname: "desk.example".to_owned(),
            limits: config.smtp.clone(),
            accounts,
        },
        receiver: Receiver::new(parts, &config),
        rng: Arc::new(SeededRng::new(1)),
        metrics,
        tasks: tasks.clone(),
        drain: CancellationToken::new(),
        certificates: None,
    };
    tasks.spawn(serve(listeners, server));
    Ok(doors)
}

/// Says all pieces and listens until the server has closed.
async fn say(door: SocketAddr, pieces: &[&[u8]]) -> std::io::Result<Vec<u8>> {
    let stream = TcpStream::connect(door).await?;
    stream.set_nodelay(true)?;
    let (mut listening, mut talking) = stream.into_split();
    let mut told = Vec::new();
    let saying = async {
        for piece in pieces {
            // A server that has heard enough closes; what it said is what counts.
            if talking.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(talking.shutdown().await);
    };
    let ((), heard) = tokio::join!(saying, listening.read_to_end(&mut told));
    heard?;
    Ok(told)
}

fn count(bytes: &[u8], what: &[u8]) -> usize {
    let windows = bytes.windows(what.len());
    windows
        .filter(|window| window.eq_ignore_ascii_case(what))
        .count()
}

impl Target for DialogueTarget {
    fn name(&self) -> &'static str {
        "dialogue"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        seeds::dialogues()
    }

    fn words(&self) -> &'static [&'static str] {
        &seeds::DIALOGUE_WORDS
    }

    fn make(&self, chance: &mut Chance) -> Option<Vec<u8>> {
        let mut bytes = vec![chance.byte()];
        for _ in 0..chance.below(16) {
            bytes.extend(chance.pick(&seeds::DIALOGUE_WORDS).bytes());
        }
        Some(bytes)
    }

    fn longest(&self) -> usize {
        8 * 1024
    }

    fn read(&mut self, input: &[u8]) -> u64 {
        let (first, said) = input.split_first().unwrap_or((&0, &[]));
        let door = self.doors[usize::from(*first) % self.doors.len()];
        let whole = self.talk(door, &[said]);
        let mut chance = Chance::new(way(input));
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut rest = said;
        while !rest.is_empty() && pieces.len() < 40 {
            let (piece, after) = rest.split_at(1 + chance.length(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let cut = self.talk(door, &pieces);
        let Some((codes, taken)) = whole else {
            return 0;
        };
        if let Some(cut) = cut {
            assert!(
                cut == (codes.clone(), taken.clone()),
                "cut in pieces it is another dialogue:\n{cut:?}\n{codes:?} {taken:?}"
            );
        }
        let ends = count(said, b"\r\n.\r\n") + count(said, b"LAST");
        assert!(
            taken.len() <= MAILS_PER_END * ends,
            "a mail that did not end"
        );
        way((codes.into_iter().take(12).collect::<Vec<_>>(), taken.len()))
    }
}
