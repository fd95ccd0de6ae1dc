//! A small IMAP server for tests: enough of the protocol for one client, and a list of things that it does wrongly on
//! demand. Not in any build that is run.

mod client;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::TcpListener, sync::Notify};

use crate::{
    transport::Stream,
    wire::{frame::Framed, response::understand},
};
use client::Client;

/// A mail in a folder.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Its bytes.
    pub raw: Vec<u8>,
    /// Its flags and keywords.
    pub flags: BTreeSet<String>,
}

/// What the server has and how it behaves.
#[derive(Debug)]
pub struct Model {
    /// UIDVALIDITY of the inbox.
    pub uid_validity: u32,
    /// The next mail's UID.
    pub uid_next: u32,
    /// Mails of the folder that is opened, whatever its name.
    pub inbox: BTreeMap<u32, Stored>,
    /// Other folders, by their quoted names.
    pub folders: BTreeMap<String, Vec<Vec<u8>>>,
    /// What CAPABILITY tells.
    pub capabilities: String,
    /// What SELECT tells.
    pub permanent_flags: String,
    /// The first line.
    pub greeting: String,
    /// Accepted initial responses of AUTHENTICATE, decoded, and arguments of LOGIN.
    pub logins: Vec<String>,
    /// Answer to a login that is not accepted.
    pub login_refusal: String,
    /// Tells of new mail during IDLE.
    pub tells: bool,
    /// Writes byte by byte, with lines between that nobody asked for.
    pub noisy: bool,
    /// Breaks the connection in the middle of the body (true) or header (false) of a mail so many times.
    pub breaks: BTreeMap<(u32, bool), u32>,
    /// Says NO to every command that asks for the body (true) or header (false) of such a mail.
    pub refuses: BTreeSet<(u32, bool)>,
    /// Does so for all mails, for as many commands as the second number says, after as many as the first.
    pub refuses_all: (u32, u32),
    /// Does what a command wants and breaks the connection instead of answering, by its first words, so many times.
    pub cuts: BTreeMap<String, u32>,
    /// Tells sizes that are wrong.
    pub sizes: BTreeMap<u32, u64>,
    /// Commands that are refused, by their first words, with the rest of the answer.
    pub answers: BTreeMap<String, String>,
    /// Commands before the server says BYE; counted down.
    pub bye_in: Option<u32>,
    /// Everything that was asked, without tags.
    pub commands: Vec<String>,
    /// Connections that were made.
    pub connections: u32,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            uid_validity: 17,
            uid_next: 1,
            inbox: BTreeMap::new(),
            folders: BTreeMap::new(),
            capabilities: "IMAP4rev1 AUTH=PLAIN SASL-IR IDLE MOVE UIDPLUS".to_owned(),
            permanent_flags: "(\\Seen \\Deleted \\*)".to_owned(),
            greeting: "* OK ready".to_owned(),
            logins: vec!["\0anna\0secret".to_owned()],
            login_refusal: "NO [AUTHENTICATIONFAILED] Sorry, anna@desk.example".to_owned(),
            tells: true,
            noisy: false,
            breaks: BTreeMap::new(),
            refuses: BTreeSet::new(),
            refuses_all: (0, 0),
            cuts: BTreeMap::new(),
            sizes: BTreeMap::new(),
            answers: BTreeMap::new(),
            bye_in: None,
            commands: Vec::new(),
            connections: 0,
        }
    }
}

/// A server on a port of this machine.
#[derive(Debug, Clone)]
pub struct Server {
    model: Arc<Mutex<Model>>,
    news: Arc<Notify>,
    /// Its port.
    pub port: u16,
}

impl Server {
    /// Starts one. It ends with the runtime.
    ///
    /// # Panics
    /// Where no port is free.
    pub async fn start(change: impl FnOnce(&mut Model)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let mut model = Model::default();
        change(&mut model);
        let server = Self {
            model: Arc::new(Mutex::new(model)),
            news: Arc::default(),
            port: listener.local_addr().expect("it listens").port(),
        };
        let answering = server.clone();
        #[expect(clippy::disallowed_methods, reason = "a test's server")]
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let _ = stream.set_nodelay(true);
                answering.model().connections += 1;
                let server = answering.clone();
                tokio::spawn(async move {
                    let mut client = Client::new(stream, server);
                    client.serve().await
                });
            }
        });
        server
    }

    /// What it has and how it behaves, to be looked at and changed. Do not keep it over an await.
    pub fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a mail into the folder and tells of it.
    pub fn deliver(&self, text: &str) -> u32 {
        let uid = {
            let mut model = self.model();
            let uid = model.uid_next;
            model.uid_next += 1;
            let raw = mail(text).into_bytes();
            model.inbox.insert(
                uid,
                Stored {
                    raw,
                    ..Stored::default()
                },
            );
            uid
        };
        self.news.notify_waiters();
        uid
    }

    /// How often a command was sent that begins so.
    pub fn asked(&self, start: &str) -> usize {
        self.model()
            .commands
            .iter()
            .filter(|line| line.starts_with(start))
            .count()
    }

    /// Flags of a mail.
    pub fn flags(&self, uid: u32) -> Vec<String> {
        let model = self.model();
        model
            .inbox
            .get(&uid)
            .map(|mail| mail.flags.iter().cloned().collect())
            .unwrap_or_default()
    }
}

/// The mail that `text` stands for.
pub fn mail(text: &str) -> String {
    format!("Message-ID: <{text}@mail.example>\r\nSubject: {text}\r\n\r\nBody of {text}\r\n")
}

/// Reads everything that a server says, as a session does, and tells what was understood. For fuzzing: it must come to
/// an end whatever `bytes` are.
pub async fn read_responses(bytes: Vec<u8>, literal_max: usize) -> Vec<String> {
    let stream: Stream = Box::new(std::io::Cursor::new(bytes));
    let mut framed = Framed::new(stream, std::time::Duration::from_secs(1));
    framed.literal_max = literal_max;
    let mut understood = Vec::new();
    loop {
        match framed.read().await {
            Ok(pieces) => understood.push(format!("{:?}", understand(&pieces))),
            Err(error) => {
                understood.push(error.to_string());
                return understood;
            }
        }
    }
}
