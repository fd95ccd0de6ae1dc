//! One mail over one connection, and what it means where it breaks.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use lettre::{
    Address as LettreAddress,
    transport::smtp::{
        Error as SmtpError,
        client::AsyncSmtpConnection,
        commands::{Data, Ehlo, Mail, Rcpt},
        extension::{ClientId, Extension, MailParameter},
        response::Response,
    },
};
use solmu_connector::outbound::SendOutcome;
use tokio::time::timeout;

use super::{
    Built,
    dsn::{self, Notify},
};

/// Bytes that are written at once. Until the last piece is written the final dot is not, and the relay has no mail.
const PIECE: usize = 64 * 1024;
/// Time limits of a command that all commands before the mail may take together.
const ENVELOPE_LIMITS: u32 = 3;
/// Code of a mail whose addresses the relay cannot take.
pub(super) const NO_SMTPUTF8: &str = "smtputf8";
/// Codes by which a relay asks for fewer mails (RFC 5321 section 4.2.3): the domain of the recipient has to wait.
const THROTTLING: [u16; 4] = [421, 450, 451, 452];
/// Codes that say that our login is wrong (RFC 4954 section 6): not the mail's fault.
const LOGIN: [u16; 4] = [530, 534, 535, 538];

/// A mail that was not handed over, or perhaps was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Certainly not taken; later it may be.
    Retry(Cause),
    /// Certainly not taken, and nothing more for this domain is wanted now.
    Throttled(Cause),
    /// Certainly not taken, for good.
    Failed(Cause),
    /// The answer after the mail did not come.
    Unknown(Cause),
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Stable code: of the relay (`550 5.1.1`) or ours.
    pub code: String,
    /// For people, without personal data.
    pub text: String,
}

impl Failure {
    pub(super) fn retry(code: &str, text: &str) -> Self {
        Self::Retry(cause(code, text))
    }

    pub(super) fn into_outcome(self) -> SendOutcome {
        match self {
            Self::Retry(Cause { code, text }) => SendOutcome::retry(code, text),
            Self::Throttled(Cause { code, text }) => SendOutcome::Throttled { code, text },
            Self::Failed(Cause { code, text }) => SendOutcome::Failed { code, text },
            Self::Unknown(Cause { code, text }) => SendOutcome::Unknown { code, text },
        }
    }
}

/// What ended a dialogue early.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) failure: Failure,
    /// The relay answered and goes on: after RSET the connection takes the next mail.
    pub(super) usable: bool,
}

/// What a relay offers, besides what lettre reads from its greeting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Offers {
    /// Delivery status notifications (RFC 3461).
    pub(super) dsn: bool,
    /// Largest mail in bytes (RFC 1870); 0 if it names none.
    pub(super) size: Option<u64>,
}

impl Offers {
    /// Asks once more, because lettre forgets the keywords that it does not know.
    pub(super) async fn ask(
        connection: &mut AsyncSmtpConnection,
        hello: &ClientId,
    ) -> Result<Self, SmtpError> {
        let answer = connection.command(Ehlo::new(hello.clone())).await?;
        Ok(Self::of(&answer))
    }

    fn of(answer: &Response) -> Self {
        let mut offers = Self::default();
        for line in answer.message().skip(1) {
            let mut words = line.split_whitespace();
            match words.next().map(str::to_ascii_uppercase).as_deref() {
                Some("DSN") => offers.dsn = true,
                Some("SIZE") => {
                    let limit = words.next().and_then(|word| word.parse().ok());
                    offers.size = Some(limit.unwrap_or(0));
                }
                _ => {}
            }
        }
        offers
    }
}

/// Where in the dialogue something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Sender,
    Recipient,
    Data,
    Body,
}

impl Phase {
    fn what(self) -> &'static str {
        match self {
            Self::Sender => "the sender",
            Self::Recipient => "the recipient",
            Self::Data => "to take a mail",
            Self::Body => "the mail",
        }
    }
}

/// A mail that is handed over.
#[derive(Debug)]
pub(super) struct Dialogue<'a> {
    pub(super) mail: &'a Built,
    pub(super) offers: Offers,
    pub(super) notify: &'a [Notify],
    pub(super) command_time: Duration,
    pub(super) data_time: Duration,
}

impl Dialogue<'_> {
    pub(super) async fn lead(&self, connection: &mut AsyncSmtpConnection) -> Result<(), Ended> {
        let parameters = self.parameters(connection)?;
        let limit = self.command_time * ENVELOPE_LIMITS;
        let envelope = self.envelope(connection, parameters);
        timeout(limit, Box::pin(envelope))
            .await
            .unwrap_or_else(|_| Err(too_slow()))?;
        self.body(connection).await
    }

    async fn envelope(
        &self,
        connection: &mut AsyncSmtpConnection,
        parameters: Vec<MailParameter>,
    ) -> Result<(), Ended> {
        let mail = self.mail;
        let sender = Mail::new(mail.mail_from.clone(), parameters);
        self.command(Phase::Sender, connection.command(sender))
            .await?;
        self.recipient(connection, &mail.recipient, true).await?;
        for copy in &mail.copies {
            match self.recipient(connection, copy, false).await {
                // The customer's answer does not wait for a copy that cannot be delivered.
                Err(Ended {
                    failure: Failure::Failed(_),
                    ..
                })
                | Ok(()) => {}
                Err(other) => return Err(other),
            }
        }
        self.command(Phase::Data, connection.command(Data)).await
    }

    async fn recipient(
        &self,
        connection: &mut AsyncSmtpConnection,
        address: &LettreAddress,
        is_main: bool,
    ) -> Result<(), Ended> {
        let parameters = if self.asks_for_reports() {
            dsn::recipient_parameters(self.notify, address, is_main)
        } else {
            Vec::new()
        };
        let command = Rcpt::new(address.clone(), parameters);
        self.command(Phase::Recipient, connection.command(command))
            .await
    }

    /// Automatic mail has the null reverse-path, to which no report goes.
    fn asks_for_reports(&self) -> bool {
        self.offers.dsn && !self.notify.is_empty() && self.mail.mail_from.is_some()
    }

    /// SMTPUTF8 where an address needs it (RFC 6531 section 3.4), SIZE and DSN where the relay offers them.
    fn parameters(&self, connection: &AsyncSmtpConnection) -> Result<Vec<MailParameter>, Ended> {
        let mail = self.mail;
        let mut parameters = Vec::new();
        if !mail.is_ascii() {
            let takes = connection
                .server_info()
                .supports_feature(Extension::SmtpUtfEight);
            if !takes {
                return Err(refused(
                    NO_SMTPUTF8,
                    "the relay takes no addresses outside ASCII",
                ));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if let Some(limit) = self.offers.size {
            let size = mail.bytes.len();
            if limit > 0 && u64::try_from(size).unwrap_or(u64::MAX) > limit {
                let text = format!("the mail has {size} bytes and the relay takes {limit}");
                return Err(refused("too_large", &text));
            }
            parameters.push(MailParameter::Size(size));
        }
        if self.asks_for_reports() {
            parameters.extend(dsn::sender_parameters(&mail.message_id));
        }
        Ok(parameters)
    }

    async fn body(&self, connection: &mut AsyncSmtpConnection) -> Result<(), Ended> {
        let all_written = AtomicBool::new(false);
        let mut pieces = self.mail.bytes.chunks(PIECE);
        let watched = std::iter::from_fn(|| {
            let piece = pieces.next();
            // The final dot is written after this and not before.
            all_written.store(piece.is_none(), Ordering::Relaxed);
            piece
        });
        let answer = timeout(self.data_time, connection.message_iter(watched)).await;
        let perhaps_taken = all_written.load(Ordering::Relaxed);
        match answer {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(ended(Phase::Body, &error, perhaps_taken)),
            Err(_) if perhaps_taken => Err(Ended {
                failure: Failure::Unknown(cause(
                    "relay_timeout",
                    "the relay did not say whether it has the mail",
                )),
                usable: false,
            }),
            Err(_) => Err(too_slow()),
        }
    }

    async fn command(
        &self,
        phase: Phase,
        answer: impl Future<Output = Result<Response, SmtpError>>,
    ) -> Result<(), Ended> {
        match timeout(self.command_time, answer).await {
            Ok(answer) => answer
                .map(drop)
                .map_err(|error| ended(phase, &error, false)),
            Err(_) => Err(too_slow()),
        }
    }
}

fn too_slow() -> Ended {
    Ended {
        failure: Failure::retry("relay_timeout", "the relay did not answer in time"),
        usable: false,
    }
}

/// Refused by ourselves, before the relay was asked.
fn refused(code: &str, text: &str) -> Ended {
    Ended {
        failure: Failure::Failed(cause(code, text)),
        usable: true,
    }
}

fn ended(phase: Phase, error: &SmtpError, perhaps_taken: bool) -> Ended {
    let Some(status) = error.status() else {
        let cause = cause("relay_broken", "the connection to the relay broke");
        let failure = if perhaps_taken {
            Failure::Unknown(cause)
        } else {
            Failure::Retry(cause)
        };
        return Ended {
            failure,
            usable: false,
        };
    };
    let number = u16::from(status);
    let code = with_enhanced(&status.to_string(), error);
    let text = format!("the relay refused {} ({code})", phase.what());
    let cause = Cause { code, text };
    let failure = if phase == Phase::Sender && LOGIN.contains(&number) {
        Failure::Retry(cause)
    } else if error.is_permanent() {
        Failure::Failed(cause)
    } else if phase != Phase::Sender && THROTTLING.contains(&number) {
        // Before it knows the recipient, the relay speaks of itself and of no domain.
        Failure::Throttled(cause)
    } else {
        Failure::Retry(cause)
    };
    // 421 closes the connection (RFC 5321 section 3.8).
    Ended {
        failure,
        usable: number != 421,
    }
}

/// The reply code with the enhanced status, if the text begins with one. The rest of the text may name people.
fn with_enhanced(code: &str, error: &SmtpError) -> String {
    let text = std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default();
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_status = first.len() <= 9
        && first.split('.').count() == 3
        && first
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_status {
        format!("{code} {first}")
    } else {
        code.to_owned()
    }
}

fn cause(code: &str, text: &str) -> Cause {
    Cause {
        code: code.to_owned(),
        text: text.to_owned(),
    }
}
