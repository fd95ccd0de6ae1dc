//! One connection: bytes in, session, bytes out.
//!
//! Replies are gathered and sent when there is no whole command left to read, so that a client that pipelines
//! (RFC 2920) costs one write per round. Message data goes straight from the read buffer into the mail
//! (`mail.rs`).

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use solmu_domain::rng::SharedRng;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Reply, Role, Session, SessionSettings, Step, gate::Room, mail::Mail, tls::Certificates,
    wire::Wire,
};
use crate::{
    metrics::EmailMetrics,
    receive::{Accept, Receiver},
};

/// Bytes read at once.
const READ_BYTES: usize = 32 * 1024;
/// How long a client has to agree on TLS, if the time limit of commands is not shorter.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long, and for how many bytes, a client that is parted with may go on sending. Closing a socket that has bytes
/// left to read takes the last reply away from the client.
const LINGER: Duration = Duration::from_secs(2);
/// See [`LINGER`].
const LINGER_BYTES: usize = 1024 * 1024;

/// What a connection needs.
#[derive(Debug)]
pub(super) struct Shared<A> {
    pub(super) settings: Arc<SessionSettings>,
    pub(super) receiver: Receiver<A>,
    pub(super) rng: SharedRng,
    pub(super) metrics: EmailMetrics,
    pub(super) drain: CancellationToken,
    pub(super) room: Arc<Room>,
    pub(super) certificates: Option<Certificates>,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// By QUIT.
    Quit,
    /// By us; the client may not know yet.
    Parted,
    /// The client went away or the network broke.
    Gone,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Some,
    Gone,
    Late,
    Draining,
}

pub(super) struct Connection<S, A> {
    wire: Wire<S>,
    pub(super) shared: Arc<Shared<A>>,
    pub(super) session: Session,
    pub(super) peer: IpAddr,
    pub(super) input: BytesMut,
    output: Vec<u8>,
    /// A mail of which only some chunks have come.
    pub(super) partial: Option<Mail>,
    close_at: Instant,
    waiting_since: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accept> Connection<S, A> {
    pub(super) fn new(stream: S, role: Role, peer: IpAddr, shared: Arc<Shared<A>>) -> Self {
        let starttls = shared.certificates.is_some();
        let session = Session::new(Arc::clone(&shared.settings), role, peer, starttls);
        let now = Instant::now();
        Self {
            wire: Wire::Plain(stream),
            session,
            peer,
            input: BytesMut::with_capacity(READ_BYTES),
            output: Vec::with_capacity(512),
            partial: None,
            close_at: now + Duration::from_millis(shared.settings.limits.connection_total_ms),
            waiting_since: now,
            shared,
        }
    }

    /// Talks until one side has enough; `tls_first` if TLS begins before the greeting.
    pub(super) async fn run(mut self, tls_first: bool) {
        if tls_first && !self.secure().await {
            return;
        }
        self.say(&self.session.greeting());
        let end = self.talk().await;
        if end == End::Gone {
            return;
        }
        // The client may be gone by now; there is nobody left to tell.
        drop(self.flush().await);
        drop(self.wire.shutdown().await);
        if end == End::Parted && !self.shared.drain.is_cancelled() {
            self.linger().await;
        }
    }

    async fn talk(&mut self) -> End {
        loop {
            let step = match self.next_line() {
                Line::Whole(line) => self.session.line(&line),
                Line::Bad(line, why) => self.session.bad_line(&line, why),
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
            if let Some(end) = self.perform(step).await {
                return end;
            }
            if !self.session.in_chunks() {
                self.partial = None;
            }
            self.waiting_since = Instant::now();
        }
    }

    async fn perform(&mut self, step: Step) -> Option<End> {
        match step {
            Step::Reply(reply) => {
                self.count_refusal(&reply);
                self.say(&reply);
                None
            }
            Step::Close(reply) => {
                self.count_refusal(&reply);
                self.say(&reply);
                let refused = reply.is_refusal();
                Some(if refused { End::Parted } else { End::Quit })
            }
            Step::Data(reply) => {
                self.say(&reply);
                self.data().await
            }
            Step::Chunk {
                size,
                last,
                envelope,
            } => self.chunk(size, last, envelope).await,
            Step::Discard { size, reply } => {
                self.count_refusal(&reply);
                self.discard(size, &reply).await
            }
            Step::StartTls(reply) => self.start_tls(&reply).await,
        }
    }

    /// Parts with the client: something came between.
    pub(super) fn part(&mut self, why: &'static str) -> End {
        let goodbye = self.session.goodbye(why);
        self.say(&goodbye);
        End::Parted
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        reply.write(&mut self.output);
    }

    fn count_refusal(&self, reply: &Reply) {
        let why = match reply.code() {
            530 => "tls_required",
            550 => "recipient",
            552 => "size",
            500..=504 | 553 | 555 => "syntax",
            code if code >= 400 => "other",
            _ => return,
        };
        self.shared.metrics.refused.inc([why]);
    }

    pub(super) async fn flush(&mut self) -> std::io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let limit =
            Instant::now() + Duration::from_millis(self.shared.settings.limits.command_timeout_ms);
        let writing = async {
            self.wire.write_all(&self.output).await?;
            self.wire.flush().await
        };
        let written = timeout_at(limit, writing).await;
        self.output.clear();
        written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    /// Takes a line out of what was read. Only CRLF ends one.
    fn next_line(&mut self) -> Line {
        let limit = self.shared.settings.limits.max_command_bytes;
        let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
            // The rest of an endless line is dropped, but it stays too long, so that it is refused once it ends.
            self.input.truncate(limit + 1);
            return Line::Partial;
        };
        let line = self.input.split_to(end + 1).freeze();
        if line.len() > limit {
            return Line::Bad(line.slice(..=limit), "line too long");
        }
        match line.strip_suffix(b"\r\n") {
            Some(text) if !text.contains(&b'\r') => Line::Whole(line.slice(..text.len())),
            _ => Line::Bad(line, "lines must end in CRLF"),
        }
    }

    /// Waits for more of a command. The time is that of the whole command, so that a byte now and then does not help.
    async fn read_command(&mut self) -> Read {
        let patience = Duration::from_millis(self.shared.settings.limits.command_timeout_ms);
        let mut close_at = self.close_at;
        if let Some(mail) = &self.partial {
            close_at = close_at.min(mail.pace.late);
        }
        // A client that never stops sending is never waited for.
        if Instant::now() >= close_at {
            return Read::Late;
        }
        let limit = close_at.min(self.waiting_since + patience);
        let drain = self.shared.drain.clone();
        tokio::select! {
            biased;
            () = drain.cancelled() => Read::Draining,
            read = self.read_until(limit) => read,
        }
    }

    pub(super) async fn read_until(&mut self, limit: Instant) -> Read {
        self.input.reserve(READ_BYTES);
        match timeout_at(limit, self.wire.read_buf(&mut self.input)).await {
            Ok(Ok(0) | Err(_)) => Read::Gone,
            Ok(Ok(_)) => Read::Some,
            Err(_) => Read::Late,
        }
    }

    /// Starts TLS, unless something came behind the command: in the clear anybody on the way can have put it there,
    /// to be obeyed as if it had come encrypted (CVE-2011-0411).
    async fn start_tls(&mut self, reply: &Reply) -> Option<End> {
        if !self.input.is_empty() {
            self.input.clear();
            self.shared.metrics.refused.inc(["injection"]);
            self.say(&Reply::new(
                554,
                "5.5.1",
                "nothing may be sent behind STARTTLS",
            ));
            return Some(End::Parted);
        }
        self.say(reply);
        if self.flush().await.is_err() || !self.secure().await {
            return Some(End::Gone);
        }
        None
    }

    async fn secure(&mut self) -> bool {
        let Some(certificates) = &self.shared.certificates else {
            return false;
        };
        let patience = Duration::from_millis(self.shared.settings.limits.command_timeout_ms);
        let config = certificates.current().await;
        match self.wire.secure(config, HANDSHAKE.min(patience)).await {
            Ok(cipher) => {
                self.shared.metrics.handshakes.inc(["ok"]);
                self.session.secured(cipher);
                true
            }
            Err(error) => {
                // Scanners and old clients do this all day long.
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "tls could not be agreed on"
                );
                self.shared.metrics.handshakes.inc(["failed"]);
                false
            }
        }
    }

    /// Reads what is still on its way and forgets it, so that the client gets to see the last reply.
    async fn linger(&mut self) {
        let limit = Instant::now() + LINGER;
        let mut left = LINGER_BYTES;
        while left > 0 {
            self.input.clear();
            if self.read_until(limit).await != Read::Some {
                return;
            }
            left = left.saturating_sub(self.input.len());
        }
    }
}

enum Line {
    Whole(Bytes),
    Bad(Bytes, &'static str),
    Partial,
}
