//! The order of commands, as a state machine without a socket.

use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use super::{Command, CommandError, MailParameters, Path, Reply, SmtpLimits};
use crate::accounts::Accounts;
use solmu_mime::address::Address;

/// What all sessions share.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// Our name in greeting and trace header.
    pub hostname: String,
    /// Limits.
    pub limits: SmtpLimits,
    /// Who gets mail here.
    pub accounts: Arc<Accounts>,
}

/// How the client introduced itself, for the `with` of the trace header (RFC 3848, RFC 6531).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// After HELO.
    Smtp,
    /// After EHLO.
    Esmtp,
    /// After EHLO, with SMTPUTF8.
    Utf8Smtp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
            Self::Utf8Smtp => "UTF8SMTP",
        })
    }
}

/// Envelope of the mail that is about to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Reverse-path.
    pub from: Path,
    /// Recipients, all of them ours, each once.
    pub recipients: Vec<Address>,
    /// The client's own name.
    pub client_name: String,
    /// For the trace header.
    pub protocol: Protocol,
    /// Announced size in bytes.
    pub size: Option<u64>,
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this and go on.
    Reply(Reply),
    /// Send this, then read message data.
    Data(Reply),
    /// Send this and close.
    Close(Reply),
}

#[derive(Debug)]
enum State {
    /// Before EHLO.
    Fresh,
    /// Between mails.
    Ready,
    /// After MAIL.
    Mail {
        from: Path,
        parameters: MailParameters,
        recipients: Vec<Address>,
    },
}

/// One connection's dialogue.
#[derive(Debug)]
pub struct Session {
    settings: Arc<SessionSettings>,
    peer: IpAddr,
    state: State,
    client_name: String,
    extended: bool,
    errors: u32,
    messages: u32,
}

impl Session {
    /// A dialogue with `peer`.
    #[must_use]
    pub fn new(settings: Arc<SessionSettings>, peer: IpAddr) -> Self {
        Self {
            settings,
            peer,
            state: State::Fresh,
            client_name: String::new(),
            extended: false,
            errors: 0,
            messages: 0,
        }
    }

    /// The first thing to send.
    #[must_use]
    pub fn greeting(&self) -> Reply {
        Reply::new(220, "", format!("{} ESMTP Solmu", self.settings.hostname))
    }

    /// Takes a line without its end.
    pub fn line(&mut self, line: &[u8]) -> Step {
        match Command::parse(line) {
            Ok(command) => self.command(command),
            Err(error) => self.refuse(refusal(error)),
        }
    }

    /// A line that was longer than the limit or did not end in CRLF.
    pub fn bad_line(&mut self, why: &'static str) -> Step {
        self.refuse(Reply::new(500, "5.5.2", why))
    }

    /// The envelope, once [`Step::Data`] was answered. The session is ready for the next mail.
    #[must_use]
    pub fn take_transaction(&mut self) -> Option<Transaction> {
        let State::Mail {
            from,
            parameters,
            recipients,
        } = std::mem::replace(&mut self.state, State::Ready)
        else {
            return None;
        };
        self.messages += 1;
        let protocol = match (self.extended, parameters.utf8) {
            (false, _) => Protocol::Smtp,
            (true, false) => Protocol::Esmtp,
            (true, true) => Protocol::Utf8Smtp,
        };
        Some(Transaction {
            from,
            recipients,
            client_name: self.client_name.clone(),
            protocol,
            size: parameters.size,
        })
    }

    /// What is sent when the service stops.
    #[must_use]
    pub fn goodbye(&self, why: &'static str) -> Reply {
        Reply::new(421, "4.3.2", format!("{} {why}", self.settings.hostname))
    }

    fn command(&mut self, command: Command) -> Step {
        match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::Mail(from, parameters) => self.mail(from, parameters),
            Command::Rcpt(address) => self.rcpt(address),
            Command::Data => self.data(),
            Command::Rset => {
                self.reset();
                Step::Reply(Reply::new(250, "2.0.0", "forgotten"))
            }
            Command::Noop => Step::Reply(Reply::new(250, "2.0.0", "ok")),
            Command::Vrfy => Step::Reply(Reply::new(252, "2.1.5", "send the mail and see")),
            Command::Help => Step::Reply(Reply::new(214, "2.0.0", "see RFC 5321")),
            Command::Quit => Step::Close(Reply::new(221, "2.0.0", "goodbye")),
        }
    }

    fn hello(&mut self, name: String, extended: bool) -> Step {
        self.client_name = name;
        self.extended = extended;
        self.state = State::Ready;
        let greeting = format!("{} greets {}", self.settings.hostname, self.peer);
        if !extended {
            return Step::Reply(Reply::new(250, "", greeting));
        }
        let size = format!("SIZE {}", self.settings.limits.max_message_bytes);
        let keywords: [Cow<'static, str>; 5] = [
            size.into(),
            "8BITMIME".into(),
            "SMTPUTF8".into(),
            "PIPELINING".into(),
            "ENHANCEDSTATUSCODES".into(),
        ];
        Step::Reply(Reply::lines(
            250,
            std::iter::once(greeting.into()).chain(keywords).collect(),
        ))
    }

    fn mail(&mut self, from: Path, parameters: MailParameters) -> Step {
        let limits = &self.settings.limits;
        let too_large = parameters
            .size
            .is_some_and(|size| size > limits.max_message_bytes as u64);
        match self.state {
            State::Fresh => return self.refuse(Reply::new(503, "5.5.1", "say EHLO first")),
            State::Mail { .. } => {
                return self.refuse(Reply::new(503, "5.5.1", "one mail at a time"));
            }
            State::Ready => {}
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
        self.state = State::Mail {
            from,
            parameters,
            recipients: Vec::new(),
        };
        Step::Reply(Reply::new(250, "2.1.0", "sender ok"))
    }

    fn rcpt(&mut self, address: Address) -> Step {
        let settings = Arc::clone(&self.settings);
        let State::Mail {
            recipients,
            parameters,
            ..
        } = &mut self.state
        else {
            return self.refuse(Reply::new(503, "5.5.1", "say MAIL first"));
        };
        if !parameters.utf8 && !address.local().is_ascii() {
            return self.refuse(refusal(CommandError::NeedsUtf8));
        }
        if settings.accounts.resolve(&address).is_none() {
            return self.refuse(Reply::new(550, "5.1.1", "no such recipient here"));
        }
        if recipients.contains(&address) {
            return Step::Reply(Reply::new(250, "2.1.5", "recipient ok"));
        }
        if recipients.len() >= settings.limits.max_recipients {
            return Step::Reply(Reply::new(452, "4.5.3", "too many recipients"));
        }
        recipients.push(address);
        Step::Reply(Reply::new(250, "2.1.5", "recipient ok"))
    }

    fn data(&mut self) -> Step {
        match &self.state {
            State::Mail { recipients, .. } if !recipients.is_empty() => {
                Step::Data(Reply::new(354, "", "end with a line that has only a dot"))
            }
            State::Mail { .. } => self.refuse(Reply::new(554, "5.5.1", "no valid recipients")),
            _ => self.refuse(Reply::new(503, "5.5.1", "say MAIL and RCPT first")),
        }
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

fn refusal(error: CommandError) -> Reply {
    match error {
        CommandError::Unknown => Reply::new(500, "5.5.2", "command not known"),
        CommandError::NotOffered => Reply::new(502, "5.5.1", "command not offered"),
        CommandError::Syntax => Reply::new(501, "5.5.4", "syntax error"),
        CommandError::Parameter => Reply::new(555, "5.5.4", "parameter not known"),
        CommandError::Address(_) => Reply::new(553, "5.1.3", "not a valid address"),
        CommandError::NeedsUtf8 => Reply::new(553, "5.6.7", "address needs SMTPUTF8"),
    }
}
