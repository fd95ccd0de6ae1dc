//! A relay of our own, which answers as it is told and remembers everything.

use std::sync::{Mutex, PoisonError};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

/// What a relay does with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Say(String),
    Silence,
    Close,
}

/// What is said to a line; `None` for the usual. The body of a mail is asked about line by line, and its end as `.`.
pub(super) type Script = Arc<dyn Fn(&str) -> Option<Reply> + Send + Sync>;

/// A mail that the relay has.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken {
    pub(super) recipients: Vec<String>,
    pub(super) lines: Vec<String>,
}

impl Taken {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.lines.iter().find_map(|line| line.strip_prefix(name));
        found.map(|value| value.trim_start_matches(':').trim())
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    pub(super) lines: Vec<String>,
    pub(super) mails: Vec<Taken>,
}

pub(super) struct Peer {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Peer {
    /// Says to a line that begins with a key what stands beside it; `None` is silence, `close` ends the connection.
    pub(super) async fn scripted(script: Vec<(&'static str, Option<&'static str>)>) -> Self {
        Self::start(Arc::new(move |line| {
            let (_, reply) = script.iter().find(|(key, _)| line.starts_with(key))?;
            Some(match reply {
                None => Reply::Silence,
                Some("close") => Reply::Close,
                Some(text) => Reply::Say((*text).to_owned()),
            })
        }))
        .await
    }

    pub(super) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        #[expect(
            clippy::disallowed_methods,
            reason = "a test peer that lives as long as the test"
        )]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .connections += 1;
                tokio::spawn(talk(stream, Arc::clone(&script), Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

async fn talk(stream: TcpStream, script: Script, seen: Arc<Mutex<Seen>>) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let _ = writer.write_all(b"220 relay\r\n").await;
    let mut mail = Taken::default();
    let mut in_data = false;
    while let Ok(Some(line)) = lines.next_line().await {
        note(&seen, |seen| seen.lines.push(line.clone()));
        let told = script(&line);
        if in_data && line != "." {
            if told == Some(Reply::Close) && !line.starts_with('.') {
                return;
            }
            mail.lines.push(line);
            continue;
        }
        let usual = match line.as_str() {
            "DATA" => "354 go",
            line if line.starts_with("EHLO") => "250 relay",
            _ => "250 2.0.0 ok",
        };
        let reply = told.unwrap_or_else(|| Reply::Say(usual.to_owned()));
        let refuses = matches!(&reply, Reply::Say(text) if text.starts_with(['4', '5']));
        if line.starts_with("MAIL") || line == "RSET" {
            mail = Taken::default();
        } else if let Some(path) = line.strip_prefix("RCPT TO:<").filter(|_| !refuses) {
            let address = path.split('>').next().unwrap_or_default();
            mail.recipients.push(address.to_owned());
        } else if line == "." && in_data {
            in_data = false;
            // Also when the answer gets lost: that is the case which must not be guessed at.
            if !refuses {
                note(&seen, |seen| seen.mails.push(std::mem::take(&mut mail)));
            }
        } else if line == "DATA" && reply == Reply::Say("354 go".to_owned()) {
            in_data = true;
        }
        match reply {
            Reply::Say(text) => {
                let _ = writer.write_all(format!("{text}\r\n").as_bytes()).await;
            }
            Reply::Silence => {}
            Reply::Close => return,
        }
    }
}

fn note(seen: &Mutex<Seen>, change: impl FnOnce(&mut Seen)) {
    change(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
}
