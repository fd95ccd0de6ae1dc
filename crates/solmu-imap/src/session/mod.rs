//! One connection to a server: commands, each of which ends well only by its own tagged OK.

mod auth;
mod folder;
mod idle;
mod names;

use std::time::Duration;

use crate::{
    error::ImapError,
    settings::{Settings, Tls},
    transport::{connect, protect},
    wire::{
        frame::Framed,
        response::{Code, Response, Status, understand},
    },
};

pub(crate) use folder::{Content, Selected};
pub(crate) use idle::Woke;

/// A connection; after [`Session::open`] one that is logged in.
pub(crate) struct Session {
    framed: Framed,
    tags: u64,
    capabilities: Vec<String>,
    /// The server said BYE, with this code.
    bye: Option<String>,
    /// Mails came, as far as the server has told.
    pub(crate) news: bool,
    /// Mails in the folder, as last told.
    exists: u32,
    message_max: usize,
    /// Bytes of mails that are kept of one answer.
    batch_max: usize,
}

/// How a command ended.
pub(crate) struct Done {
    pub(crate) status: Status,
    pub(crate) code: Code,
}

impl Done {
    /// Only OK is good.
    fn ok(self, command: &'static str) -> Result<Code, ImapError> {
        if self.status == Status::Ok {
            Ok(self.code)
        } else {
            Err(ImapError::Refused {
                command,
                code: self.code.name,
            })
        }
    }
}

/// Bytes of a mail that may come above the announced limit: Exchange tells sizes that are only nearly right.
pub(crate) const SIZE_SLACK_BYTES: u64 = 1024 * 1024;

impl Session {
    /// Connects, protects the connection and logs in.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, ImapError> {
        let stream = connect(settings).await?;
        let message_max = settings
            .limits
            .message_bytes
            .saturating_add(SIZE_SLACK_BYTES);
        let batch_max = settings.limits.batch_bytes.saturating_add(SIZE_SLACK_BYTES);
        let mut session = Self {
            framed: Framed::new(stream, settings.times.silence),
            tags: 0,
            capabilities: Vec::new(),
            bye: None,
            news: false,
            exists: 0,
            message_max: usize::try_from(message_max).unwrap_or(usize::MAX),
            batch_max: usize::try_from(batch_max).unwrap_or(usize::MAX),
        };
        let is_logged_in = session.greeting().await?;
        if settings.tls == Tls::StartTls {
            if is_logged_in {
                // RFC 9051 section 7.1.4: a PREAUTH that nobody asked for would go around STARTTLS.
                return Err(ImapError::NoStartTls);
            }
            session = session.start_tls(settings).await?;
        }
        if !is_logged_in {
            session.log_in(settings).await?;
        }
        if session.capabilities.is_empty() {
            session.ask_capabilities().await?;
        }
        Ok(session)
    }

    /// Whether the server has said that it can do this; in upper case.
    pub(crate) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|have| have == capability)
    }

    async fn greeting(&mut self) -> Result<bool, ImapError> {
        match self.read().await? {
            Response::Untagged {
                status: Status::Ok, ..
            } => Ok(false),
            Response::Untagged {
                status: Status::Preauth,
                ..
            } => Ok(true),
            Response::Untagged {
                status: Status::Bye,
                code,
            } => Err(ImapError::Bye(code.name)),
            _ => Err(ImapError::NotImap),
        }
    }

    async fn start_tls(mut self, settings: &Settings) -> Result<Self, ImapError> {
        if self.capabilities.is_empty() {
            self.ask_capabilities().await?;
        }
        if !self.can("STARTTLS") {
            return Err(ImapError::NoStartTls);
        }
        let done = self.command("STARTTLS", |_| ()).await?;
        if done.status != Status::Ok {
            return Err(ImapError::NoStartTls);
        }
        let stream = self.framed.into_stream().ok_or(ImapError::Injected)?;
        let stream = protect(stream, settings).await?;
        // RFC 9051 section 6.2.1: what was told before cannot be trusted.
        Ok(Self {
            framed: Framed::new(stream, settings.times.silence),
            capabilities: Vec::new(),
            ..self
        })
    }

    pub(crate) async fn ask_capabilities(&mut self) -> Result<(), ImapError> {
        self.command("CAPABILITY", |_| ()).await?.ok("CAPABILITY")?;
        Ok(())
    }

    /// Says goodbye and closes; for at most a second or two.
    pub(crate) async fn log_out(mut self) {
        let goodbye = async {
            let _ = self.command("LOGOUT", |_| ()).await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
        self.framed.shutdown().await;
    }

    /// Sends a command and reads until it ends; `take` sees all other responses.
    pub(crate) async fn command(
        &mut self,
        line: &str,
        take: impl FnMut(Response),
    ) -> Result<Done, ImapError> {
        let tag = self.send(line).await?;
        self.finish(&tag, take).await
    }

    async fn send(&mut self, line: &str) -> Result<String, ImapError> {
        self.tags += 1;
        let tag = format!("s{}", self.tags);
        let outcome = self
            .framed
            .write(format!("{tag} {line}\r\n").as_bytes())
            .await;
        self.or_bye(outcome)?;
        Ok(tag)
    }

    /// Sends what a command still owes.
    async fn send_more(&mut self, line: &str) -> Result<(), ImapError> {
        let outcome = self.framed.write(format!("{line}\r\n").as_bytes()).await;
        self.or_bye(outcome)
    }

    async fn finish(
        &mut self,
        tag: &str,
        mut take: impl FnMut(Response),
    ) -> Result<Done, ImapError> {
        loop {
            match self.read().await? {
                Response::Done {
                    tag: ended,
                    status,
                    code,
                } if ended == tag => return Ok(Done { status, code }),
                other => take(other),
            }
        }
    }

    /// Reads a response and notes what it says about the session itself.
    async fn read(&mut self) -> Result<Response, ImapError> {
        let pieces = self.framed.read().await;
        let response = understand(&self.or_bye(pieces)?);
        match &response {
            Response::Capability(names) => self.capabilities.clone_from(names),
            Response::Untagged { status, code } | Response::Done { status, code, .. } => {
                if *status == Status::Bye {
                    self.bye = Some(code.name.clone());
                }
                if code.name == "CAPABILITY" {
                    let names = code.rest.split_whitespace();
                    self.capabilities = names.map(str::to_ascii_uppercase).collect();
                }
            }
            Response::Exists(count) => {
                self.exists = *count;
                self.news = true;
            }
            Response::Fetch(_) | Response::Search(_) | Response::Continue(_) | Response::Other => {}
        }
        Ok(response)
    }

    /// A connection that breaks after BYE was ended, not broken.
    fn or_bye<T, E: Into<ImapError>>(&mut self, outcome: Result<T, E>) -> Result<T, ImapError> {
        outcome.map_err(|error| match self.bye.take() {
            Some(code) => ImapError::Bye(code),
            None => error.into(),
        })
    }
}
