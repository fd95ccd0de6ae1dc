//! The order of commands, as a state machine without a socket.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use super::{
    Command, CommandError, MailParameters, Path, Protocol, Reply, Role, SmtpConfig, Step,
    Transaction, command::is_chunk, config::TlsUse,
};
use crate::accounts::Accounts;
use solmu_mime::address::Address;

/// What all sessions share.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Our name in greeting and trace header.
    pub hostname: String,
    /// Limits.
    pub limits: SmtpConfig,
    /// Who gets mail here.
    pub accounts: Arc<Accounts>,
}

#[derive(Debug)]
enum State {
    /// Before EHLO.
    Fresh,
    /// Between mails.
    Ready,
    /// After MAIL.
    Mail(Envelope),
    /// After the first BDAT of a mail, before the last.
    Chunks,
}

#[derive(Debug)]
struct Envelope {
    from: Path,
    parameters: MailParameters,
    recipients: Vec<Address>,
    accepted: Vec<usize>,
}

/// One connection's dialogue.
#[derive(Debug)]
pub struct Session {
    settings: Arc<SessionSettings>,
    role: Role,
    peer: IpAddr,
    starttls: bool,
    cipher: Option<&'static str>,
    state: State,
    client_name: String,
    extended: bool,
    errors: u32,
    idle: u32,
    messages: u32,
}

impl Session {
    /// A dialogue with `peer`. `starttls` says whether there is a certificate to offer it with.
    #[must_use]
    pub fn new(settings: Arc<SessionSettings>, role: Role, peer: IpAddr, starttls: bool) -> Self {
        let offered = role == Role::Smtp && settings.limits.tls.required != TlsUse::Never;
        Self {
            settings,
            role,
            peer,
            starttls: starttls && offered,
            cipher: None,
            state: State::Fresh,
            client_name: String::new(),
            extended: false,
            errors: 0,
            idle: 0,
            messages: 0,
        }
    }

    /// Which protocol this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The first thing to send.
    #[must_use]
    pub fn greeting(&self) -> Reply {
        let protocol = match self.role {
            Role::Smtp => "ESMTP",
            Role::Lmtp => "LMTP",
        };
        Reply::new(
            220,
            "",
            format!("{} {protocol} Solmu", self.settings.hostname),
        )
    }

    /// TLS has begun: everything that was said before might have been said by somebody else, and is forgotten
    /// (RFC 3207 section 4.2).
    pub fn secured(&mut self, cipher: &'static str) {
        self.cipher = Some(cipher);
        self.state = State::Fresh;
        self.client_name.clear();
        self.extended = false;
    }

    /// Takes a line without its end.
    pub fn line(&mut self, line: &[u8]) -> Step {
        match Command::parse(line) {
            Ok(command) => self.command(command),
            Err(_) if is_chunk(line) => lost_count(),
            Err(error) => self.refuse(error.into()),
        }
    }

    /// A line that was longer than the limit or did not end in CRLF.
    pub fn bad_line(&mut self, line: &[u8], why: &'static str) -> Step {
        if is_chunk(line) {
            return lost_count();
        }
        self.refuse(Reply::new(500, "5.5.2", why))
    }

    /// The envelope, once [`Step::Data`] was answered. The session is ready for the next mail.
    #[must_use]
    pub fn take_transaction(&mut self) -> Option<Transaction> {
        self.take_envelope(State::Ready)
    }

    /// The chunks of a mail have come to their end, or are refused. The session is ready for the next mail.
    pub fn end_chunks(&mut self) {
        self.state = State::Ready;
    }

    /// A mail was taken: who brings mail may be wrong now and then. A list of thousands has recipients that are gone, and
    /// who only guesses addresses brings none.
    pub fn mail_taken(&mut self) {
        self.errors /= 2;
    }

    /// Whether a mail is under way whose first chunk has come, and not its last.
    #[must_use]
    pub fn in_chunks(&self) -> bool {
        matches!(self.state, State::Chunks)
    }

    /// What is sent when the service stops.
    #[must_use]
    pub fn goodbye(&self, why: &'static str) -> Reply {
        Reply::new(421, "4.3.2", format!("{} {why}", self.settings.hostname))
    }

    fn take_envelope(&mut self, next: State) -> Option<Transaction> {
        if !matches!(self.state, State::Mail(_)) {
            return None;
        }
        let State::Mail(envelope) = std::mem::replace(&mut self.state, next) else {
            return None;
        };
        self.messages += 1;
        self.idle = 0;
        let protocol = Protocol {
            role: self.role,
            extended: self.extended,
            utf8: envelope.parameters.utf8,
            tls: self.cipher.is_some(),
        };
        Some(Transaction {
            from: envelope.from,
            recipients: envelope.recipients,
            accepted: envelope.accepted,
            client_name: self.client_name.clone(),
            protocol,
            cipher: self.cipher,
            size: envelope.parameters.size,
        })
    }

    fn command(&mut self, command: Command) -> Step {
        match command {
            Command::Ehlo(name) => self.hello(name, Role::Smtp, true),
            Command::Helo(name) => self.hello(name, Role::Smtp, false),
            Command::Lhlo(name) => self.hello(name, Role::Lmtp, true),
            Command::StartTls => self.start_tls(),
            Command::Mail(from, parameters) => self.mail(from, parameters),
            Command::Rcpt { to, parameters } => self.rcpt(to, parameters),
            Command::Data => self.data(),
            Command::Bdat { size, last } => self.bdat(size, last),
            Command::Rset => {
                self.reset();
                self.idle(Reply::new(250, "2.0.0", "forgotten"))
            }
            Command::Noop => self.idle(Reply::new(250, "2.0.0", "ok")),
            Command::Vrfy => self.idle(Reply::new(252, "2.1.5", "send the mail and see")),
            Command::Help => self.idle(Reply::new(214, "2.0.0", "see RFC 5321")),
            Command::Quit => Step::Close(Reply::new(221, "2.0.0", "goodbye")),
        }
    }

    /// A reply to a command that brings no mail nearer.
    fn idle(&mut self, reply: Reply) -> Step {
        self.idle += 1;
        if self.idle > self.settings.limits.max_idle_commands {
            return Step::Close(Reply::new(421, "4.7.0", "too many commands and no mail"));
        }
        Step::Reply(reply)
    }

    fn hello(&mut self, name: String, role: Role, extended: bool) -> Step {
        if role != self.role {
            // RFC 2033 section 4.1: neither protocol may be taken for the other.
            let other = match self.role {
                Role::Smtp => "this is SMTP: say EHLO",
                Role::Lmtp => "this is LMTP: say LHLO",
            };
            return self.refuse(Reply::new(500, "5.5.1", other));
        }
        self.client_name = name;
        self.extended = extended;
        self.state = State::Ready;
        let greeting = format!("{} greets {}", self.settings.hostname, self.peer);
        if !extended {
            return self.idle(Reply::new(250, "", greeting));
        }
        let size = format!("SIZE {}", self.settings.limits.max_message_bytes);
        let mut lines: Vec<Cow<'static, str>> = vec![
            greeting.into(),
            size.into(),
            "8BITMIME".into(),
            "SMTPUTF8".into(),
            "PIPELINING".into(),
            "CHUNKING".into(),
        ];
        if self.starttls && self.cipher.is_none() {
            lines.push("STARTTLS".into());
        }
        lines.push("ENHANCEDSTATUSCODES".into());
        self.idle(Reply::lines(250, lines))
    }

    fn start_tls(&mut self) -> Step {
        if self.cipher.is_some() {
            return self.refuse(Reply::new(503, "5.5.1", "the connection is encrypted"));
        }
        if !self.starttls {
            return self.refuse(CommandError::NotOffered.into());
        }
        match self.state {
            State::Ready => Step::StartTls(Reply::new(220, "2.0.0", "go ahead")),
            State::Fresh => self.refuse(Reply::new(503, "5.5.1", "say EHLO first")),
            State::Mail(_) | State::Chunks => {
                self.refuse(Reply::new(503, "5.5.1", "not within a mail"))
            }
        }
    }

    fn mail(&mut self, from: Path, parameters: MailParameters) -> Step {
        let settings = Arc::clone(&self.settings);
        let limits = &settings.limits;
        let too_large = parameters
            .size
            .is_some_and(|size| size > limits.max_message_bytes as u64);
        match self.state {
            State::Fresh => {
                let first = match self.role {
                    Role::Smtp => "say EHLO first",
                    Role::Lmtp => "say LHLO first",
                };
                return self.refuse(Reply::new(503, "5.5.1", first));
            }
            State::Mail(_) | State::Chunks => {
                return self.refuse(Reply::new(503, "5.5.1", "one mail at a time"));
            }
            State::Ready => {}
        }
        if self.role == Role::Smtp
            && self.cipher.is_none()
            && limits.tls.required == TlsUse::Required
        {
            return self.refuse(Reply::new(530, "5.7.0", "say STARTTLS first"));
        }
        if !self.extended && parameters != MailParameters::default() {
            return self.refuse(Reply::new(555, "5.5.4", "parameters need EHLO"));
        }
        if too_large {
            return self.refuse(Reply::new(552, "5.3.4", "larger than what is taken here"));
        }
        if self.messages >= limits.max_messages {
            return Step::Close(self.goodbye("enough mails for one connection"));
        }
        self.state = State::Mail(Envelope {
            from,
            parameters,
            recipients: Vec::new(),
            accepted: Vec::new(),
        });
        Step::Reply(Reply::new(250, "2.1.0", "sender ok"))
    }

    fn rcpt(&mut self, address: Option<Address>, parameters: bool) -> Step {
        let settings = Arc::clone(&self.settings);
        let Some(address) = address.or_else(|| settings.accounts.postmaster()) else {
            return self.refuse(Reply::new(550, "5.1.1", "no such recipient here"));
        };
        let State::Mail(envelope) = &mut self.state else {
            return self.refuse(Reply::new(503, "5.5.1", "say MAIL first"));
        };
        if !self.extended && parameters {
            return self.refuse(Reply::new(555, "5.5.4", "parameters need EHLO"));
        }
        if !envelope.parameters.utf8 && !address.local().is_ascii() {
            return self.refuse(CommandError::NeedsUtf8.into());
        }
        if settings.accounts.for_recipient(&address).is_none() {
            return self.refuse(Reply::new(550, "5.1.1", "no such recipient here"));
        }
        if envelope.accepted.len() >= settings.limits.max_recipients {
            return Step::Reply(Reply::new(452, "4.5.3", "too many recipients"));
        }
        let known = envelope
            .recipients
            .iter()
            .position(|known| *known == address);
        envelope
            .accepted
            .push(known.unwrap_or(envelope.recipients.len()));
        if known.is_none() {
            envelope.recipients.push(address);
        }
        Step::Reply(Reply::new(250, "2.1.5", "recipient ok"))
    }

    fn data(&mut self) -> Step {
        match &self.state {
            State::Mail(envelope) if !envelope.recipients.is_empty() => {
                Step::Data(Reply::new(354, "", "end with a line that has only a dot"))
            }
            State::Mail(_) => self.refuse(self.no_recipients()),
            State::Chunks => {
                // RFC 3030 section 2: the two may not be mixed.
                self.refuse(Reply::new(503, "5.5.1", "the mail comes by BDAT"))
            }
            State::Fresh | State::Ready => {
                self.refuse(Reply::new(503, "5.5.1", "say MAIL and RCPT first"))
            }
        }
    }

    fn bdat(&mut self, size: u64, last: bool) -> Step {
        let refused = match &self.state {
            State::Chunks => {
                return Step::Chunk {
                    size,
                    last,
                    envelope: None,
                };
            }
            State::Mail(envelope) if !envelope.recipients.is_empty() => {
                let envelope = self.take_envelope(State::Chunks).map(Box::new);
                return Step::Chunk {
                    size,
                    last,
                    envelope,
                };
            }
            State::Mail(_) => self.no_recipients(),
            State::Fresh | State::Ready => Reply::new(503, "5.5.1", "say MAIL and RCPT first"),
        };
        // The bytes are on their way, whatever we say.
        match self.refuse(refused) {
            Step::Reply(reply) => Step::Discard { size, reply },
            close => close,
        }
    }

    /// DATA without a recipient: RFC 5321 section 3.3 and RFC 2033 section 4.2.
    fn no_recipients(&self) -> Reply {
        let code = match self.role {
            Role::Smtp => 554,
            Role::Lmtp => 503,
        };
        Reply::new(code, "5.5.1", "no valid recipients")
    }

    fn reset(&mut self) {
        if !matches!(self.state, State::Fresh) {
            self.state = State::Ready;
        }
    }

    fn refuse(&mut self, reply: Reply) -> Step {
        self.errors += 1;
        if self.errors >= self.settings.limits.max_errors {
            return Step::Close(Reply::new(421, "4.7.0", "too many errors"));
        }
        Step::Reply(reply)
    }
}

fn lost_count() -> Step {
    Step::Close(CommandError::Chunk.into())
}
