//! The part of a connection that takes a mail: reads its data, hands it in, and answers.

use std::{net::IpAddr, time::Duration};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    DataDecoder, DataEnd, Path, Reply, Role, SmtpConfig, Transaction,
    data::ChunkDecoder,
    driver::{Connection, End, Read},
    gate::Held,
};
use crate::receive::{Accept, AccountOutcome, ConnectionFacts, Incoming, Refusal, rfc5322_date};

/// Memory that a mail is given at first, whatever size it announces.
const FIRST_BYTES: usize = 64 * 1024;
/// Characters of the client's own name in the trace header.
const CLIENT_NAME_MAX: usize = 255;

/// A mail under way.
pub(super) struct Mail {
    envelope: Transaction,
    /// With our trace header before it.
    raw: Vec<u8>,
    chunks: ChunkDecoder,
    held: Held,
    pub(super) pace: Pace,
}

/// How fast a mail has to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    started: Instant,
    received: u64,
    /// When it must have come altogether.
    pub(super) late: Instant,
}

impl Pace {
    fn new(limits: &SmtpConfig) -> Self {
        let started = Instant::now();
        Self {
            started,
            received: 0,
            late: started + Duration::from_millis(limits.data_total_ms),
        }
    }

    /// When what came so far is too little.
    fn slow_at(&self, limits: &SmtpConfig) -> Option<Instant> {
        let due = self
            .received
            .saturating_mul(1_000)
            .checked_div(limits.min_bytes_per_second)?;
        let after = Duration::from_millis(limits.slow_start_ms.saturating_add(due));
        self.started.checked_add(after)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send, A: Accept> Connection<S, A> {
    /// Reads a mail that comes by DATA and hands it in. Only after that is it answered.
    pub(super) async fn data(&mut self) -> Option<End> {
        let Some(envelope) = self.session.take_transaction() else {
            return Some(self.part("lost the envelope"));
        };
        let mut mail = self.begin(envelope);
        let limits = &self.shared.settings.limits;
        let mut decoder = DataDecoder::new(limits.max_message_bytes, limits.bare_lf);
        loop {
            let (used, end) = decoder.push(&self.input, &mut mail.raw);
            self.input.advance(used);
            if !mail.held.resize(mail.raw.capacity()) {
                decoder.no_room(&mut mail.raw);
            }
            if end.is_some() {
                return self.finish(mail, decoder.end()).await;
            }
            if let Err(end) = self.read_piece(&mut mail.pace).await {
                return Some(end);
            }
        }
    }

    /// Reads a chunk (RFC 3030); with the last one the mail is handed in.
    pub(super) async fn chunk(
        &mut self,
        size: u64,
        last: bool,
        envelope: Option<Box<Transaction>>,
    ) -> Option<End> {
        let begun = match envelope {
            Some(envelope) => Some(self.begin(*envelope)),
            None => self.partial.take(),
        };
        let Some(mut mail) = begun else {
            return Some(self.part("lost the envelope"));
        };
        let mut left = size;
        loop {
            let here = self.arrived(left);
            mail.chunks.push(&self.input[..here], &mut mail.raw);
            self.input.advance(here);
            left -= here as u64;
            if !mail.held.resize(mail.raw.capacity()) {
                mail.chunks.no_room(&mut mail.raw);
            }
            if left == 0 {
                break;
            }
            if let Err(end) = self.read_piece(&mut mail.pace).await {
                return Some(end);
            }
        }
        let end = mail.chunks.end();
        if last {
            self.session.end_chunks();
            return self.finish(mail, end).await;
        }
        match self.fault(end) {
            None => {
                self.say(&Reply::new(250, "2.0.0", format!("{size} bytes taken")));
                self.partial = Some(mail);
            }
            Some(reply) => {
                // The chunks that follow find no mail.
                self.session.end_chunks();
                self.answer(&[reply]);
            }
        }
        None
    }

    /// Reads a chunk that was refused and forgets it.
    pub(super) async fn discard(&mut self, size: u64, reply: &Reply) -> Option<End> {
        let mut pace = Pace::new(&self.shared.settings.limits);
        let mut left = size;
        loop {
            let here = self.arrived(left);
            self.input.advance(here);
            left -= here as u64;
            if left == 0 {
                self.say(reply);
                return None;
            }
            if let Err(end) = self.read_piece(&mut pace).await {
                return Some(end);
            }
        }
    }

    fn begin(&self, envelope: Transaction) -> Mail {
        let limits = &self.shared.settings.limits;
        let raw = self.trace_header(&envelope);
        Mail {
            envelope,
            raw,
            chunks: ChunkDecoder::new(limits.max_message_bytes),
            held: Held::nothing(&self.shared.room),
            pace: Pace::new(limits),
        }
    }

    /// How much of `left` bytes is here already.
    fn arrived(&self, left: u64) -> usize {
        usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(self.input.len())
    }

    /// Waits for more data; all that was here has been used.
    async fn read_piece(&mut self, pace: &mut Pace) -> Result<(), End> {
        if self.flush().await.is_err() {
            return Err(End::Gone);
        }
        let (now, limits) = (Instant::now(), &self.shared.settings.limits);
        // A client that never stops sending is never waited for.
        if now >= pace.late {
            return Err(self.part("time is up"));
        }
        let piece = now + Duration::from_millis(limits.data_timeout_ms);
        let mut limit = pace.late.min(piece);
        let slow_at = pace.slow_at(limits).filter(|slow| *slow < limit);
        limit = slow_at.unwrap_or(limit);
        match self.read_until(limit).await {
            Read::Some => {
                pace.received += self.input.len() as u64;
                Ok(())
            }
            Read::Late if slow_at.is_some() => {
                self.shared.metrics.refused.inc(["slow"]);
                self.say(&Reply::new(421, "4.4.2", "the mail comes too slowly"));
                Err(End::Parted)
            }
            Read::Late => Err(self.part("time is up")),
            Read::Gone | Read::Draining => Err(End::Gone),
        }
    }

    /// Answers a mail that has come to its end.
    async fn finish(&mut self, mail: Mail, end: DataEnd) -> Option<End> {
        let Mail {
            envelope,
            raw,
            held,
            ..
        } = mail;
        let role = self.session.role();
        let replies = match (self.fault(end), role) {
            (Some(fault), Role::Smtp) => vec![fault],
            (Some(fault), Role::Lmtp) => vec![fault; envelope.accepted.len()],
            (None, Role::Smtp) => vec![self.hand_in(raw, envelope).await],
            (None, Role::Lmtp) => self.hand_in_each(raw, envelope).await,
        };
        drop(held);
        if replies.iter().any(|reply| !reply.is_refusal()) {
            self.session.mail_taken();
        }
        self.answer(&replies);
        // What was smuggled behind the lone dot would be the next thing that such a client says.
        (end == DataEnd::Ambiguous).then_some(End::Parted)
    }

    fn answer(&mut self, replies: &[Reply]) {
        for reply in replies {
            let class = match reply.code() {
                ..400 => "2xx",
                400..500 => "4xx",
                _ => "5xx",
            };
            self.shared.metrics.replies.inc([class]);
            self.say(reply);
        }
    }

    /// What to say of data that cannot be taken as it is.
    fn fault(&self, end: DataEnd) -> Option<Reply> {
        let (why, reply) = match end {
            DataEnd::Complete => return None,
            DataEnd::TooLarge => (
                "size",
                Reply::new(552, "5.3.4", "larger than what is taken here"),
            ),
            DataEnd::BareLf => (
                "line_ends",
                Reply::new(550, "5.6.11", "a line feed without a carriage return"),
            ),
            DataEnd::Ambiguous => (
                "line_ends",
                Reply::new(
                    550,
                    "5.6.11",
                    "a lone dot without CRLF: where does the mail end?",
                ),
            ),
            DataEnd::NoRoom => (
                "memory",
                Reply::new(452, "4.3.1", "no room for the mail now, come again"),
            ),
        };
        self.shared.metrics.refused.inc([why]);
        Some(reply)
    }

    /// Return-Path and Received (RFC 5321 section 4.4) go before the mail, so that the original tells its own story.
    fn trace_header(&self, envelope: &Transaction) -> Vec<u8> {
        let announced = envelope
            .size
            .and_then(|size| usize::try_from(size).ok())
            .unwrap_or(8 * 1024);
        let mut raw = Vec::with_capacity(announced.min(FIRST_BYTES) + 512);
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || ".-_[]:".contains(*c);
        let client: String = envelope
            .client_name
            .chars()
            .filter(is_plain)
            .take(CLIENT_NAME_MAX)
            .collect();
        let peer = match self.peer {
            IpAddr::V4(address) => format!("[{address}]"),
            IpAddr::V6(address) => format!("[IPv6:{address}]"),
        };
        let recipient = match envelope.recipients.as_slice() {
            [only] => format!("\r\n\tfor <{only}>"),
            _ => String::new(),
        };
        // RFC 8314 section 7.4. The library writes the names of TLS 1.3 with a version that the registry has not.
        let cipher = envelope.cipher.map_or_else(String::new, |name| {
            format!("\r\n\ttls {}", name.replacen("TLS13_", "TLS_", 1))
        });
        let header = format!(
            "Return-Path: <{}>\r\nReceived: from {client} ({peer})\r\n\tby {} (Solmu) with {} id {:016x}{recipient}{cipher};\r\n\t{}\r\n",
            reverse_path(&envelope.from),
            self.shared.settings.hostname,
            envelope.protocol,
            self.shared.rng.next_u64(),
            rfc5322_date(self.shared.receiver.clock().now()),
        );
        raw.extend_from_slice(header.as_bytes());
        raw
    }

    fn incoming(&self, raw: Vec<u8>, envelope: Transaction) -> Incoming {
        // Over LMTP comes what a server of ours took in: of the sender's connection, only its trace headers tell.
        let connection = (self.session.role() == Role::Smtp).then_some(ConnectionFacts {
            peer: self.peer,
            helo: envelope.client_name,
            tls: envelope.protocol.tls,
        });
        Incoming {
            raw: Bytes::from(raw),
            mail_from: Some(reverse_path(&envelope.from)),
            recipients: envelope.recipients,
            fallback: None,
            own_hops: 1,
            connection,
        }
    }

    async fn hand_in(&self, raw: Vec<u8>, envelope: Transaction) -> Reply {
        let incoming = self.incoming(raw, envelope);
        match self.shared.receiver.receive(incoming).await {
            Ok(()) => taken(),
            Err(refusal) => refused(&refusal),
        }
    }

    /// As [`Self::hand_in`], with a reply for each recipient that was accepted, in their order (RFC 2033 section 4.2).
    async fn hand_in_each(&self, raw: Vec<u8>, envelope: Transaction) -> Vec<Reply> {
        let accounts = &self.shared.settings.accounts;
        let (recipients, accepted) = (envelope.recipients.clone(), envelope.accepted.clone());
        let incoming = self.incoming(raw, envelope);
        let outcomes = match self.shared.receiver.receive_each(incoming).await {
            Ok(outcomes) => outcomes,
            Err(refusal) => return vec![refused(&refusal); accepted.len()],
        };
        let answers: Vec<(String, Reply)> = outcomes
            .into_iter()
            .map(|AccountOutcome { account, outcome }| {
                let reply = outcome.map_or_else(|refusal| refused(&refusal), |()| taken());
                (account, reply)
            })
            .collect();
        let reply_for = |index: &usize| {
            let account = recipients
                .get(*index)
                .and_then(|recipient| accounts.for_recipient(recipient))?;
            let answer = answers.iter().find(|(name, _)| *name == account.name)?;
            Some(answer.1.clone())
        };
        accepted
            .iter()
            .map(|index| reply_for(index).unwrap_or_else(|| refused(&Refusal::NoAccount)))
            .collect()
    }
}

fn reverse_path(from: &Path) -> String {
    match from {
        Path::Null => String::new(),
        Path::Address(address) => address.to_string(),
    }
}

fn taken() -> Reply {
    Reply::new(250, "2.0.0", "taken")
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
