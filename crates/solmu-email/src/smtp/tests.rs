//! Dialogues over real sockets, with an intake that takes or refuses.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use solmu_connector::IntakeError;
use solmu_domain::rng::SeededRng;
use tokio::{
    io::{
        AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
        BufReader,
    },
    net::TcpStream,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use crate::{
    config::{AccountConfig, Config},
    testing::{Bench, bench},
};

mod chunking;
mod foreign;
mod limits;
mod lmtp;
mod secured;
mod smuggling;
mod streams;

struct Running {
    bench: Bench,
    address: SocketAddr,
    smtps: Option<SocketAddr>,
    lmtp: Option<SocketAddr>,
    tasks: TaskTracker,
    drain: CancellationToken,
}

fn config() -> Config {
    let second = AccountConfig {
        name: "sales".to_owned(),
        addresses: vec!["sales@desk.example".to_owned()],
        ..AccountConfig::default()
    };
    let mut config = Config::default();
    config.accounts.push(second);
    config
}

fn settings(config: &Config, bench: &Bench) -> SessionSettings {
    SessionSettings {
        hostname: "desk.example".to_owned(),
        limits: config.smtp.clone(),
        accounts: Arc::clone(bench.receiver.accounts()),
    }
}

async fn run(config: Config) -> Running {
    let bench = bench(&config);
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = Listeners::bind(any, &config.smtp).await.unwrap();
    let (address, smtps, lmtp) = (listeners.smtp(), listeners.smtps(), listeners.lmtp());
    let (tasks, drain) = (TaskTracker::new(), CancellationToken::new());
    let clock = Arc::clone(&bench.clock) as _;
    let server = Server {
        settings: settings(&config, &bench),
        receiver: bench.receiver.clone(),
        rng: Arc::new(SeededRng::new(1)),
        metrics: bench.metrics.clone(),
        tasks: tasks.clone(),
        drain: drain.clone(),
        certificates: Certificates::load(&config.smtp.tls, clock, bench.metrics.clone()).unwrap(),
    };
    tasks.spawn(serve(listeners, server));
    Running {
        bench,
        address,
        smtps,
        lmtp,
        tasks,
        drain,
    }
}

struct Client {
    reader: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    writer: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Client {
    fn over(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader: BufReader::new(Box::new(reader)),
            writer: Box::new(writer),
        }
    }

    async fn connect(running: &Running) -> Self {
        Self::over(TcpStream::connect(running.address).await.unwrap())
    }

    async fn hello(running: &Running) -> Self {
        let mut client = Self::connect(running).await;
        assert_eq!(client.reply().await, "220 desk.example ESMTP Solmu");
        let greeting = client.say("EHLO c.example").await;
        assert!(
            greeting.contains("250-PIPELINING\n250-CHUNKING\n")
                && greeting.ends_with("250 ENHANCEDSTATUSCODES"),
            "{greeting}"
        );
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
        self.writer.flush().await.unwrap();
    }

    /// The next reply, its lines joined by LF; empty if the server is gone.
    async fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.reader.read_line(&mut line))
                .await
                .expect("an answer in time");
            if read.unwrap_or(0) == 0 {
                return lines.join("\n");
            }
            let line = line
                .strip_suffix("\r\n")
                .expect("lines end in CRLF")
                .to_owned();
            let last = line.as_bytes().get(3) == Some(&b' ');
            lines.push(line);
            if last {
                return lines.join("\n");
            }
        }
    }

    /// All replies until the server hangs up, by code and enhanced status.
    async fn rest(&mut self) -> Vec<String> {
        let mut replies = Vec::new();
        loop {
            let reply = self.reply().await;
            if reply.is_empty() {
                return replies;
            }
            replies.push(status(&reply));
        }
    }

    async fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    async fn code(&mut self, line: &str) -> String {
        status(&self.say(line).await)
    }

    async fn envelope(&mut self, to: &[&str]) {
        assert_eq!(self.code("MAIL FROM:<a@c.example>").await, "250 2.1.0");
        for to in to {
            assert_eq!(self.code(&format!("RCPT TO:<{to}>")).await, "250 2.1.5");
        }
    }

    async fn mail(&mut self, to: &[&str], data: &str) -> String {
        self.envelope(to).await;
        assert_eq!(&self.say("DATA").await[..4], "354 ");
        self.send(data.as_bytes()).await;
        self.say("\r\n.").await
    }
}

/// Longest wait for anything: long, because a busy machine is no failure.
const PATIENCE: Duration = Duration::from_mins(2);

/// Code and enhanced status of a reply; its start where it has no status.
fn status(reply: &str) -> String {
    let mut words = reply.split(' ');
    match (words.next(), words.next()) {
        (Some(code), Some(status)) if status.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{code} {status}")
        }
        _ => reply.chars().take(9).collect::<String>().trim().to_owned(),
    }
}

/// The original of the `index`th message.
fn original(running: &Running, index: usize) -> String {
    let message = running.bench.desk.messages().swap_remove(index);
    let Some(solmu_proto::inbound::v1::raw_original::Place::Inline(raw)) =
        message.raw.unwrap().place
    else {
        panic!("a small original travels inline");
    };
    String::from_utf8(raw).unwrap()
}

const MAIL: &str = "From: A <a@c.example>\r\nTo: support@desk.example\r\nMessage-ID: <1@c.example>\r\nSubject: s\r\n\r\n..stuffed\r\nbody";

#[tokio::test]
async fn a_mail_is_answered_after_it_was_handed_in() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    assert_eq!(
        client.mail(&["Support+tag@desk.example"], MAIL).await,
        "250 2.0.0 taken"
    );
    let messages = running.bench.desk.messages();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].text, ".stuffed\nbody");
    assert_eq!(messages[0].delivered_to, ["support+tag@desk.example"]);
    let raw = original(&running, 0);
    assert!(raw.starts_with("Return-Path: <a@c.example>\r\nReceived: from c.example ([127.0.0.1])\r\n\tby desk.example (Solmu) with ESMTP id "), "{raw}");
    assert!(
        raw.contains(
            "for <Support+tag@desk.example>;\r\n\tMon, 02 Nov 2026 08:00:00 +0000\r\nFrom: A"
        ),
        "{raw}"
    );
    assert_eq!(client.code("QUIT").await, "221 2.0.0");
    assert_eq!(client.reply().await, "");
}

#[tokio::test]
async fn commands_out_of_order_and_odd_ones() {
    let mut config = config();
    config.smtp.max_errors = 30;
    let running = run(config).await;
    let mut client = Client::connect(&running).await;
    client.reply().await;
    for (line, wanted) in [
        ("MAIL FROM:<a@c.example>", "503 5.5.1"),
        ("RCPT TO:<support@desk.example>", "503 5.5.1"),
        ("HELO c.example", "250 desk."),
        ("MAIL FROM:<a@c.example> SIZE=5", "555 5.5.4"),
        ("MAIL FROM:<a@c.example> RET=FULL", "555 5.5.4"),
        ("LHLO c.example", "500 5.5.1"),
        ("EHLO c.example", "250-desk."),
        ("DATA", "503 5.5.1"),
        ("VRFY support", "252 2.1.5"),
        ("EXPN list", "252 2.1.5"),
        ("HELP", "214 2.0.0"),
        ("NOOP", "250 2.0.0"),
        ("STARTTLS", "502 5.5.1"),
        ("WHAT", "500 5.5.2"),
        ("MAIL FROM:<>", "250 2.1.0"),
        ("MAIL FROM:<>", "503 5.5.1"),
        ("DATA", "554 5.5.1"),
        ("RCPT TO:<stranger@desk.example>", "550 5.1.1"),
        ("RCPT TO:<support@other.example>", "550 5.1.1"),
        ("RCPT TO:<support%other.example@desk.example>", "550 5.1.1"),
        (
            "RCPT TO:<support@desk.example> NOTIFY=NEVER,DELAY",
            "501 5.5.4",
        ),
        ("RCPT TO:<support@desk.example> AUTH=x", "555 5.5.4"),
        (
            "RCPT TO:<support@desk.example> NOTIFY=SUCCESS ORCPT=rfc822;a@c.example",
            "250 2.1.5",
        ),
        ("RCPT TO:<\"support\"@DESK.example>", "250 2.1.5"),
        ("RSET", "250 2.0.0"),
        ("RCPT TO:<support@desk.example>", "503 5.5.1"),
        ("MAIL FROM:<ä@c.example>", "553 5.6.7"),
        ("MAIL FROM:<ä@c.example> SMTPUTF8", "250 2.1.0"),
    ] {
        assert_eq!(client.code(line).await, wanted, "{line}");
    }
    client.send(b"NOOP\n").await;
    assert_eq!(client.reply().await, "500 5.5.2 lines must end in CRLF");
    client.send(&[b'x'; 9_000]).await;
    client.send(b"\r\n").await;
    assert_eq!(client.reply().await, "500 5.5.2 line too long");
    assert_eq!(client.code("NOOP").await, "250 2.0.0");
}

#[tokio::test]
async fn pipelined_mails_come_in_order() {
    let running = run(config()).await;
    let mut client = Client::connect(&running).await;
    client.reply().await;
    let mut all = String::from("EHLO c.example\r\n");
    for number in 0..3 {
        all.push_str("MAIL FROM:<a@c.example>\r\nRCPT TO:<support@desk.example>\r\nRCPT TO:<no@desk.example>\r\nDATA\r\n");
        let id = number.to_string();
        all.extend(["Message-ID: <", &id, "@c.example>\r\n\r\nbody\r\n.\r\n"]);
    }
    all.push_str("QUIT\r\n");
    client.send(all.as_bytes()).await;
    let mut codes = Vec::new();
    loop {
        let reply = client.reply().await;
        if reply.is_empty() {
            break;
        }
        codes.push(reply[..3].to_owned());
    }
    let each = ["250", "250", "550", "354", "250"];
    let wanted: Vec<&str> = std::iter::once("250")
        .chain(each.into_iter().cycle().take(15))
        .chain(["221"])
        .collect();
    assert_eq!(codes, wanted);
    let ids: Vec<String> = running
        .bench
        .desk
        .messages()
        .into_iter()
        .map(|message| message.external_id)
        .collect();
    assert_eq!(ids, ["0@c.example", "1@c.example", "2@c.example"]);
}

#[tokio::test]
async fn two_accounts_get_one_event_each() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    let to = [
        "support@desk.example",
        "sales@desk.example",
        "SUPPORT@desk.example",
    ];
    assert_eq!(client.mail(&to, MAIL).await, "250 2.0.0 taken");
    let messages = running.bench.desk.messages();
    let accounts: Vec<&str> = messages
        .iter()
        .map(|message| message.account.as_str())
        .collect();
    assert_eq!(accounts, ["main", "sales"]);
    assert_ne!(messages[0].message_id, messages[1].message_id);
}

#[tokio::test]
async fn attachments_are_in_the_store_before_the_answer() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    let data = "From: a@c.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nhi\r\n--x\r\n\
                Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\nPDF\r\n--x--";
    assert_eq!(
        client.mail(&["support@desk.example"], data).await,
        "250 2.0.0 taken"
    );
    let messages = running.bench.desk.messages();
    let file = &messages[0].attachments[0];
    assert_eq!(
        (
            file.filename.as_str(),
            file.content_type.as_str(),
            file.size_bytes
        ),
        ("a.pdf", "application/pdf", 3)
    );
    assert_eq!(
        &running.bench.store.get(&file.object_key).await.unwrap()[..],
        b"PDF"
    );
}

#[tokio::test]
async fn while_the_bus_is_away_the_sender_comes_again() {
    let running = run(config()).await;
    let mut client = Client::hello(&running).await;
    running
        .bench
        .desk
        .refuse_with(Some(IntakeError::Unavailable));
    assert!(
        client
            .mail(&["support@desk.example"], MAIL)
            .await
            .starts_with("451 4.3.0")
    );
    running.bench.desk.refuse_with(Some(IntakeError::TooLarge));
    assert!(
        client
            .mail(&["support@desk.example"], MAIL)
            .await
            .starts_with("552 5.3.4")
    );
    running.bench.desk.refuse_with(None);
    assert_eq!(
        client.mail(&["support@desk.example"], MAIL).await,
        "250 2.0.0 taken"
    );
}
