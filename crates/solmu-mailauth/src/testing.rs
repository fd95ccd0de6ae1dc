//! A name server on loopback, so that tests take the whole way to it and never leave the machine; and keys.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    str::FromStr as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mail_auth::common::crypto::Ed25519Key;
use mail_auth::hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{
        Name, RData, Record,
        rdata::{A, AAAA, MX, SOA, TXT},
    },
};
use tokio::{net::UdpSocket, task::JoinHandle};

use crate::config::DnsConfig;

/// Longest string within a TXT record (RFC 1035 section 3.3.14).
const TXT_STRING_MAX: usize = 255;

/// What a [`FakeDns`] knows. Names that it does not know do not exist.
#[derive(Debug, Clone, Default)]
pub struct Zone {
    records: HashMap<String, Vec<RData>>,
    broken: HashSet<String>,
    silent: HashSet<String>,
}

impl Zone {
    /// Adds a TXT record.
    #[must_use]
    pub fn txt(self, name: &str, text: &str) -> Self {
        let mut strings = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (string, tail) = rest.split_at(rest.len().min(TXT_STRING_MAX));
            strings.push(string.to_owned());
            rest = tail;
        }
        self.record(name, RData::TXT(TXT::new(strings)))
    }

    /// Adds an address.
    #[must_use]
    pub fn ip(self, name: &str, ip: IpAddr) -> Self {
        let record = match ip {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        };
        self.record(name, record)
    }

    /// Adds a mail exchanger.
    ///
    /// # Panics
    /// If `exchange` is no name.
    #[must_use]
    pub fn mx(self, name: &str, exchange: &str) -> Self {
        let exchange = Name::from_str(exchange).expect("a name");
        self.record(name, RData::MX(MX::new(10, exchange)))
    }

    /// Questions for this name are answered with SERVFAIL.
    #[must_use]
    pub fn broken(mut self, name: &str) -> Self {
        self.broken.insert(key(name));
        self
    }

    /// Questions for this name are not answered.
    #[must_use]
    pub fn silent(mut self, name: &str) -> Self {
        self.silent.insert(key(name));
        self
    }

    fn record(mut self, name: &str, record: RData) -> Self {
        self.records.entry(key(name)).or_default().push(record);
        self
    }

    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let asked = Message::from_vec(question).ok()?;
        let query = asked.queries.first()?.clone();
        let name = key(&query.name.to_ascii());
        if self.silent.contains(&name) {
            return None;
        }
        let mut answer = Message::response(asked.metadata.id, asked.metadata.op_code);
        answer.metadata.recursion_available = true;
        answer.metadata.recursion_desired = true;
        answer.metadata.response_code = match self.records.get(&name) {
            _ if self.broken.contains(&name) => ResponseCode::ServFail,
            None => ResponseCode::NXDomain,
            Some(records) => {
                let fitting = |data: &&RData| data.record_type() == query.query_type;
                let record =
                    |data: &RData| Record::from_rdata(query.name.clone(), 300, data.clone());
                answer.add_answers(
                    records
                        .iter()
                        .filter(fitting)
                        .map(record)
                        .collect::<Vec<_>>(),
                );
                ResponseCode::NoError
            }
        };
        if answer.answers.is_empty() {
            // How long others may remember that there is nothing (RFC 2308).
            let soa = SOA::new(Name::root(), Name::root(), 1, 300, 300, 300, 300);
            answer.add_authority(Record::from_rdata(Name::root(), 300, RData::SOA(soa)));
        }
        answer.add_query(query);
        answer.to_vec().ok()
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// A name server that answers from a [`Zone`] until it is dropped.
#[derive(Debug)]
pub struct FakeDns {
    address: SocketAddr,
    questions: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FakeDns {
    /// Starts one on a port of its own.
    ///
    /// # Panics
    /// If there is no port.
    pub async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port on loopback");
        let address = socket.local_addr().expect("it is bound");
        let questions = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&questions);
        let serve = async move {
            let mut buffer = vec![0; 4_096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                counter.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = zone.answer(&buffer[..length]) {
                    // Whoever has gone away needs no answer.
                    drop(socket.send_to(&answer, from).await);
                }
            }
        };
        Self {
            address,
            questions,
            task: tokio::runtime::Handle::current().spawn(serve),
        }
    }

    /// A configuration that asks this server only.
    #[must_use]
    pub fn config(&self) -> DnsConfig {
        DnsConfig {
            servers: vec![self.address],
            // A busy machine is no failure; what has to be late is told by the limit on the whole check.
            timeout_ms: 60_000,
            ..DnsConfig::default()
        }
    }

    /// Questions so far.
    #[must_use]
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }
}

impl Drop for FakeDns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A new Ed25519 key: its file in `folder`, and the TXT record that publishes it.
///
/// # Panics
/// If it cannot be written.
#[must_use]
pub fn ed25519_key(folder: &Path) -> (PathBuf, String) {
    let der = Ed25519Key::generate_pkcs8().expect("a key");
    let path = write_pem(folder, "ed25519.pem", &der);
    let key = Ed25519Key::from_pkcs8_der(&der).expect("it is one");
    let record = format!(
        "v=DKIM1; k=ed25519; p={}",
        STANDARD.encode(key.public_key())
    );
    (path, record)
}

/// Writes a private key (PKCS #8) as PEM.
///
/// # Panics
/// If it cannot be written.
#[must_use]
pub fn write_pem(folder: &Path, name: &str, der: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let body = STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    std::fs::write(&path, pem).expect("the folder can be written");
    path
}
