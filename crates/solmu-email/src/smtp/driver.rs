//! One connection: bytes in, session, bytes out.
//!
//! Replies are gathered and sent when there is no whole command left to read, so that a client that pipelines
//! (RFC 2920) costs one write per round. Message data goes straight from the read buffer into the mail.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use solmu_domain::rng::SharedRng;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{DataDecoder, DataEnd, Path, Reply, Session, SessionSettings, Step, Transaction};
use crate::{
    metrics::EmailMetrics,
    receive::{Accept, Incoming, Receiver, Refusal, rfc5322_date},
};

/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;
/// Memory that a mail is given at first, whatever size it announces.
const FIRST_BYTES: usize = 64 * 1024;

/// What a connection needs.
#[derive(Debug, Clone)]
pub(super) struct Shared<A> {
    pub(super) settings: Arc<SessionSettings>,
    pub(super) receiver: Receiver<A>,
    pub(super) rng: SharedRng,
    pub(super) metrics: EmailMetrics,
    pub(super) drain: CancellationToken,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By QUIT or by us.
    Closed,
    /// The client went away or the network broke.
    Gone,
}

/// What a read brought.
enum Read {
    Some,
    Gone,
    Late,
    Draining,
}

pub(super) struct Connection<S, A> {
    stream: S,
    shared: Arc<Shared<A>>,
    session: Session,
    peer: IpAddr,
    input: BytesMut,
    output: Vec<u8>,
    close_at: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accept> Connection<S, A> {
    pub(super) fn new(stream: S, peer: IpAddr, shared: Arc<Shared<A>>) -> Self {
        let session = Session::new(Arc::clone(&shared.settings), peer);
        let total = Duration::from_millis(shared.settings.limits.connection_total_ms);
        let close_at = Instant::now() + total;
        let (input, output) = (BytesMut::with_capacity(READ_BYTES), Vec::with_capacity(512));
        Self {
            stream,
            shared,
            session,
            peer,
            input,
            output,
            close_at,
        }
    }

    /// Talks until one side has enough.
    pub(super) async fn run(mut self) {
        self.say(&self.session.greeting());
        let end = self.talk().await;
        if end == End::Closed {
            // The client may be gone by now; there is nobody left to tell.
            drop(self.flush().await);
            drop(self.stream.shutdown().await);
        }
    }

    async fn talk(&mut self) -> End {
        loop {
            let step = match self.next_line() {
                Line::Whole(line) => self.session.line(&line),
                Line::Bad(why) => self.session.bad_line(why),
                Line::Partial => {
                    if self.flush().await.is_err() {
                        return End::Gone;
                    }
                    match self.read_command().await {
                        Read::Some => continue,
                        Read::Gone => return End::Gone,
                        Read::Late => return self.part("time is up"),
                        Read::Draining => return self.part("is stopping, come again"),
                    }
                }
            };
            match step {
                Step::Reply(reply) => {
                    self.count_refusal(&reply);
                    self.say(&reply);
                }
                Step::Close(reply) => {
                    self.say(&reply);
                    return End::Closed;
                }
                Step::Data(reply) => {
                    self.say(&reply);
                    if let Some(end) = self.mail().await {
                        return end;
                    }
                }
            }
        }
    }

    fn part(&mut self, why: &'static str) -> End {
        let goodbye = self.session.goodbye(why);
        self.say(&goodbye);
        End::Closed
    }

    fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }

    fn count_refusal(&self, reply: &Reply) {
        let why = match reply.code() {
            550 => "recipient",
            552 => "size",
            500..=504 | 553 | 555 => "syntax",
            code if code >= 400 => "other",
            _ => return,
        };
        self.shared.metrics.refused.inc([why]);
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let limit =
            Instant::now() + Duration::from_millis(self.shared.settings.limits.command_timeout_ms);
        let written = timeout_at(limit, self.stream.write_all(&self.output)).await;
        self.output.clear();
        written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// Takes a line out of what was read. Only CRLF ends one.
    fn next_line(&mut self) -> Line {
        let limit = self.shared.settings.limits.max_command_bytes;
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            if self.input.len() > limit {
                self.skip_line_start();
            }
            return Line::Partial;
        };
        let line = self.input.split_to(end + 1);
        if line.len() > limit {
            return Line::Bad("line too long");
        }
        match line.strip_suffix(b"\r\n") {
            Some(line) if !line.contains(&b'\r') => Line::Whole(Bytes::copy_from_slice(line)),
            _ => Line::Bad("lines must end in CRLF"),
        }
    }

    /// Drops the start of an endless line but keeps it too long, so that it is refused once it ends.
    fn skip_line_start(&mut self) {
        let keep = self.shared.settings.limits.max_command_bytes + 1;
        let surplus = self.input.len().saturating_sub(keep);
        self.input.advance(surplus);
    }

    async fn read_command(&mut self) -> Read {
        let limit =
            Instant::now() + Duration::from_millis(self.shared.settings.limits.command_timeout_ms);
        let drain = self.shared.drain.clone();
        tokio::select! {
            biased;
            () = drain.cancelled() => Read::Draining,
            read = self.read_until(limit.min(self.close_at)) => read,
        }
    }

    async fn read_until(&mut self, limit: Instant) -> Read {
        self.input.reserve(READ_BYTES);
        match timeout_at(limit, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(0) | Err(_)) => Read::Gone,
            Ok(Ok(_)) => Read::Some,
            Err(_) => Read::Late,
        }
    }

    /// Reads a mail and hands it in. Only after that is it answered.
    async fn mail(&mut self) -> Option<End> {
        let Some(transaction) = self.session.take_transaction() else {
            return Some(self.part("lost the envelope"));
        };
        if self.flush().await.is_err() {
            return Some(End::Gone);
        }
        let mut raw = self.trace_header(&transaction);
        let end = match self.read_data(&transaction, &mut raw).await {
            Ok(end) => end,
            Err(Read::Late) => return Some(self.part("time is up")),
            Err(_) => return Some(End::Gone),
        };
        let reply = match end {
            DataEnd::TooLarge => Reply::new(552, "5.3.4", "larger than what is taken here"),
            DataEnd::Ambiguous => {
                self.say(&Reply::new(
                    554,
                    "5.6.0",
                    "a lone dot without CRLF: where does the mail end?",
                ));
                self.shared.metrics.replies.inc(["5xx"]);
                return Some(End::Closed);
            }
            DataEnd::Complete => self.hand_in(raw, transaction).await,
        };
        let class = match reply.code() {
            ..400 => "2xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.shared.metrics.replies.inc([class]);
        self.say(&reply);
        None
    }

    /// Return-Path and Received (RFC 5321 section 4.4) go before the mail, so that the original tells its own story.
    fn trace_header(&self, transaction: &Transaction) -> Vec<u8> {
        let announced = transaction
            .size
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(8 * 1024);
        let mut raw = Vec::with_capacity(announced.min(FIRST_BYTES) + 512);
        let from = match &transaction.from {
            Path::Null => String::new(),
            Path::Address(address) => address.to_string(),
        };
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || ".-_[]:".contains(*c);
        let client: String = transaction
            .client_name
            .chars()
            .filter(is_plain)
            .take(255)
            .collect();
        let recipient = match transaction.recipients.as_slice() {
            [only] => format!("\r\n\tfor <{only}>"),
            _ => String::new(),
        };
        let header = format!(
            "Return-Path: <{from}>\r\nReceived: from {client} ([{}])\r\n\tby {} (Solmu) with {} id {:016x}{recipient};\r\n\t{}\r\n",
            self.peer,
            self.shared.settings.hostname,
            transaction.protocol,
            self.shared.rng.next_u64(),
            rfc5322_date(self.shared.receiver.clock().now()),
        );
        raw.extend_from_slice(header.as_bytes());
        raw
    }

    async fn read_data(
        &mut self,
        transaction: &Transaction,
        raw: &mut Vec<u8>,
    ) -> Result<DataEnd, Read> {
        let limits = &self.shared.settings.limits;
        let (piece, total) = (
            Duration::from_millis(limits.data_timeout_ms),
            Duration::from_millis(limits.data_total_ms),
        );
        let mut decoder = DataDecoder::new(limits.max_message_bytes);
        let late = Instant::now() + total;
        tracing::trace!(recipients = transaction.recipients.len(), "reading a mail");
        loop {
            let (used, end) = decoder.push(&self.input, raw);
            self.input.advance(used);
            if let Some(end) = end {
                return Ok(end);
            }
            match self.read_until(late.min(Instant::now() + piece)).await {
                Read::Some => {}
                other => return Err(other),
            }
        }
    }

    async fn hand_in(&self, raw: Vec<u8>, transaction: Transaction) -> Reply {
        let mail_from = match transaction.from {
            Path::Null => String::new(),
            Path::Address(address) => address.to_string(),
        };
        let incoming = Incoming {
            raw: Bytes::from(raw),
            mail_from: Some(mail_from),
            recipients: transaction.recipients,
            fallback: None,
            own_hops: 1,
        };
        match self.shared.receiver.receive(incoming).await {
            Ok(()) => Reply::new(250, "2.0.0", "taken"),
            Err(refusal) => refused(&refusal),
        }
    }
}

enum Line {
    Whole(Bytes),
    Bad(&'static str),
    Partial,
}

fn refused(refusal: &Refusal) -> Reply {
    tracing::warn!(
        error = refusal as &dyn std::error::Error,
        "a mail was not taken"
    );
    match refusal {
        Refusal::Loop { .. } => Reply::new(554, "5.4.6", "too many hops"),
        Refusal::NoAccount => Reply::new(550, "5.1.1", "no such recipient here"),
        Refusal::TooLarge => Reply::new(552, "5.3.4", "larger than what is taken here"),
        Refusal::Unavailable(_) | Refusal::Store(_) | Refusal::Interrupted => {
            Reply::new(451, "4.3.0", "cannot be kept now, come again")
        }
    }
}
