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
use solmu_connector::outbound::{Rests, SendOutcome};
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
/// Replies that speak of the other side as a whole where no enhanced status says so (RFC 5321 section 4.2.3): it closes,
/// it has trouble, its disk is full. 450 is about the mailbox.
const OF_THE_SERVER: [u16; 3] = [421, 451, 452];
/// Subjects of an enhanced status (RFC 3463 section 3) that concern the server or the whole domain: its system, the
/// network to it, its policy, by which providers ask for fewer mails. An address (1) or a mailbox (2) is one person's,
/// what is wrong with the protocol (5) or the content (6) is one mail's.
const OF_THE_DOMAIN: [&str; 3] = ["4.3.", "4.4.", "4.7."];
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
            Self::Throttled(Cause { code, text }) => SendOutcome::Throttled {
                rests: Rests::Lane,
                // SMTP has no word for it.
                after: None,
                code,
                text,
            },
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
    let enhanced = enhanced_status(error);
    let code = match &enhanced {
        Some(enhanced) => format!("{status} {enhanced}"),
        None => status.to_string(),
    };
    let text = format!("the relay refused {} ({code})", phase.what());
    let cause = Cause { code, text };
    let failure = if phase == Phase::Sender && LOGIN.contains(&number) {
        Failure::Retry(cause)
    } else if error.is_permanent() {
        Failure::Failed(cause)
    } else if phase != Phase::Sender && concerns_the_domain(phase, number, enhanced.as_deref()) {
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

/// Whether a refusal for the time being is more than this mail's and its recipient's: then all mail for the domain
/// rests. One full or greylisted mailbox must not hold up its neighbours.
fn concerns_the_domain(phase: Phase, number: u16, enhanced: Option<&str>) -> bool {
    match enhanced {
        _ if number == 421 => true,
        Some(status) => OF_THE_DOMAIN
            .iter()
            .any(|subject| status.starts_with(subject)),
        // After the recipient was taken there is no mailbox left that a bare 450 could be about.
        None => OF_THE_SERVER.contains(&number) || (phase != Phase::Recipient && number == 450),
    }
}

/// The enhanced status (RFC 3463), if the text begins with one. The rest of the text may name people.
fn enhanced_status(error: &SmtpError) -> Option<String> {
    let text = std::error::Error::source(error)
        .map(ToString::to_string)
        .unwrap_or_default();
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_status = first.len() <= 9
        && first.split('.').count() == 3
        && first
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_status.then(|| first.to_owned())
}

fn cause(code: &str, text: &str) -> Cause {
    Cause {
        code: code.to_owned(),
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_the_domain_lets_it_rest() {
        for (phase, number, enhanced, rests) in [
            (Phase::Recipient, 450, Some("4.2.0"), false),
            (Phase::Recipient, 452, Some("4.2.2"), false),
            (Phase::Recipient, 450, Some("4.1.8"), false),
            (Phase::Recipient, 451, Some("4.1.1"), false),
            (Phase::Body, 452, Some("4.2.2"), false),
            (Phase::Data, 451, Some("4.5.0"), false),
            (Phase::Body, 451, Some("4.6.1"), false),
            (Phase::Recipient, 452, Some("4.3.1"), true),
            (Phase::Recipient, 451, Some("4.3.2"), true),
            (Phase::Recipient, 451, Some("4.4.1"), true),
            (Phase::Recipient, 450, Some("4.7.1"), true),
            (Phase::Body, 451, Some("4.7.28"), true),
            (Phase::Recipient, 421, Some("4.2.1"), true),
            (Phase::Recipient, 421, None, true),
            (Phase::Recipient, 450, None, false),
            (Phase::Recipient, 451, None, true),
            (Phase::Recipient, 452, None, true),
            (Phase::Data, 450, None, true),
            (Phase::Body, 450, None, true),
            (Phase::Body, 454, None, false),
        ] {
            assert_eq!(
                concerns_the_domain(phase, number, enhanced),
                rests,
                "{phase:?} {number} {enhanced:?}"
            );
        }
    }
}
