//! The dialogue with a relay, and connections that are kept for the next mail.

use std::{
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use lettre::transport::smtp::{
    Error as SmtpError,
    authentication::{Credentials, Mechanism},
    client::{AsyncSmtpConnection, TlsParameters},
    commands::{Data, Mail, Rcpt},
    extension::{ClientId, Extension, MailParameter},
    response::Response,
};
use solmu_connector::outbound::SendOutcome;
use tokio::{sync::Semaphore, time::timeout};

use super::Built;
use crate::config::{RelayConfig, Tls};

/// How long a broken connection is given to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// A mail that was not handed over, or perhaps was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Certainly not taken; later it may be.
    Retry(Cause),
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
    pub(super) fn into_outcome(self) -> SendOutcome {
        match self {
            Self::Retry(Cause { code, text }) => SendOutcome::Retry {
                after: None,
                code,
                text,
            },
            Self::Failed(Cause { code, text }) => SendOutcome::Failed { code, text },
            Self::Unknown(Cause { code, text }) => SendOutcome::Unknown { code, text },
        }
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

/// A relay and the connections to it.
pub struct Relay {
    config: RelayConfig,
    hello: ClientId,
    idle: Mutex<Vec<AsyncSmtpConnection>>,
    room: Semaphore,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("host", &self.config.host)
            .field("port", &self.config.port)
            .finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay that is greeted as `hostname`. Nothing is connected yet.
    #[must_use]
    pub fn new(config: RelayConfig, hostname: &str) -> Self {
        let hello = match hostname.parse() {
            Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(hostname.to_owned()),
        };
        let room = Semaphore::new(config.connections.max(1));
        Self {
            config,
            hello,
            idle: Mutex::new(Vec::new()),
            room,
        }
    }

    /// Hands a mail over.
    pub async fn deliver(&self, mail: &Built) -> Result<(), Failure> {
        // The semaphore is never closed; if it were, the mail would wait for the next try.
        let _place = self
            .room
            .acquire()
            .await
            .map_err(|_| retry("relay_closed", "the sender is stopping"))?;
        let mut connection = match self.take_idle().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        match self.dialogue(&mut connection, mail).await {
            Ok(()) => {
                self.keep(connection);
                Ok(())
            }
            Err(failure) => {
                // A half-finished dialogue is not worth saving; that the farewell fails changes nothing.
                drop(timeout(FAREWELL, connection.abort()).await);
                Err(failure)
            }
        }
    }

    /// A kept connection that still answers.
    async fn take_idle(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let mut connection = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop()?;
            if timeout(self.command_time(), connection.test_connected()).await == Ok(true) {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        if !connection.has_broken() {
            self.idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }

    fn command_time(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms)
    }

    /// Nothing that goes wrong here is the mail's fault, so all of it is tried again.
    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        match timeout(self.command_time(), Box::pin(self.try_connect())).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err((code, text, error))) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    code,
                    "the relay could not be used"
                );
                Err(retry(code, text))
            }
            Err(_) => Err(retry("relay_timeout", "the relay did not answer in time")),
        }
    }

    async fn try_connect(
        &self,
    ) -> Result<AsyncSmtpConnection, (&'static str, &'static str, SmtpError)> {
        let config = &self.config;
        let tls_error = |error| ("relay_tls", "no protected connection to the relay", error);
        let tls = || TlsParameters::new(config.host.clone()).map_err(tls_error);
        let implicit = if config.tls == Tls::Implicit {
            Some(tls()?)
        } else {
            None
        };
        let server = (config.host.as_str(), config.port);
        let connecting = AsyncSmtpConnection::connect_tokio1(
            server,
            Some(self.command_time()),
            &self.hello,
            implicit,
            None,
        );
        let mut connection = connecting
            .await
            .map_err(|error| ("relay_unreachable", "the relay cannot be reached", error))?;
        if config.tls == Tls::StartTls {
            connection
                .starttls(tls()?, &self.hello)
                .await
                .map_err(tls_error)?;
        }
        if !config.username.is_empty() {
            let credentials =
                Credentials::new(config.username.clone(), config.password.expose().to_owned());
            connection
                .auth(&[Mechanism::Plain, Mechanism::Login], &credentials)
                .await
                .map_err(|error| ("relay_auth", "the relay refused user or password", error))?;
        }
        Ok(connection)
    }

    async fn dialogue(
        &self,
        connection: &mut AsyncSmtpConnection,
        mail: &Built,
    ) -> Result<(), Failure> {
        let parameters = parameters(connection, mail)?;
        self.command(
            Phase::Sender,
            connection.command(Mail::new(mail.mail_from.clone(), parameters)),
        )
        .await?;
        self.command(
            Phase::Recipient,
            connection.command(Rcpt::new(mail.recipient.clone(), Vec::new())),
        )
        .await?;
        for copy in &mail.copies {
            let accepted = connection.command(Rcpt::new(copy.clone(), Vec::new()));
            match self.command(Phase::Recipient, accepted).await {
                // The customer's answer does not wait for a copy that cannot be delivered.
                Ok(()) | Err(Failure::Failed(_)) => {}
                Err(other) => return Err(other),
            }
        }
        self.command(Phase::Data, connection.command(Data)).await?;
        let whole = Duration::from_millis(self.config.data_timeout_ms);
        match timeout(whole, connection.message(&mail.bytes)).await {
            Ok(answer) => answer
                .map(drop)
                .map_err(|error| failure(Phase::Body, &error)),
            Err(_) => Err(Failure::Unknown(cause(
                "relay_timeout",
                "the relay did not say whether it has the mail",
            ))),
        }
    }

    async fn command(
        &self,
        phase: Phase,
        answer: impl Future<Output = Result<Response, SmtpError>>,
    ) -> Result<(), Failure> {
        match timeout(self.command_time(), answer).await {
            Ok(answer) => answer.map(drop).map_err(|error| failure(phase, &error)),
            Err(_) => Err(retry("relay_timeout", "the relay did not answer in time")),
        }
    }
}

/// SMTPUTF8 where an address needs it (RFC 6531 section 3.4).
fn parameters(
    connection: &AsyncSmtpConnection,
    mail: &Built,
) -> Result<Vec<MailParameter>, Failure> {
    let addresses = mail
        .mail_from
        .iter()
        .chain(std::iter::once(&mail.recipient))
        .chain(&mail.copies);
    let all_ascii = addresses
        .into_iter()
        .all(|address| AsRef::<str>::as_ref(address).is_ascii());
    if all_ascii {
        return Ok(Vec::new());
    }
    if connection
        .server_info()
        .supports_feature(Extension::SmtpUtfEight)
    {
        return Ok(vec![MailParameter::SmtpUtfEight]);
    }
    Err(Failure::Failed(cause(
        "smtputf8",
        "the relay takes no addresses outside ASCII",
    )))
}

fn failure(phase: Phase, error: &SmtpError) -> Failure {
    let cause = match error.status() {
        Some(status) => {
            let code = with_enhanced(&status.to_string(), error);
            Cause {
                text: format!("the relay refused {} ({code})", phase.what()),
                code,
            }
        }
        None => cause("relay_broken", "the connection to the relay broke"),
    };
    match (phase, error.is_permanent(), error.is_transient()) {
        (_, true, _) => Failure::Failed(cause),
        (_, _, true) => Failure::Retry(cause),
        (Phase::Body, ..) => Failure::Unknown(cause),
        _ => Failure::Retry(cause),
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

fn retry(code: &str, text: &str) -> Failure {
    Failure::Retry(cause(code, text))
}
