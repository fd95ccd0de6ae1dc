//! A relay, and connections to it that are kept for the next mail.

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lettre::transport::smtp::{
    authentication::Credentials,
    client::{AsyncSmtpConnection, TlsParameters},
    commands::Rset,
    extension::ClientId,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::{
    Built,
    auth::{AccessTokens, Login},
    dialogue::{Dialogue, Ended, Failure, Offers},
};
use crate::config::{RelayConfig, Tls};

/// How long a broken connection is given to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// A connection that was idle for longer is not asked whether it lives: behind a firewall it may be dead without
/// saying so, and the question would cost the whole time limit.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// A relay and the connections to it.
pub struct Relay {
    config: RelayConfig,
    hello: ClientId,
    login: Login,
    idle: Mutex<Vec<Line>>,
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

/// A connection that has said hello and logged in.
struct Line {
    connection: AsyncSmtpConnection,
    offers: Offers,
    /// Mails that went over it.
    mails: usize,
    /// When it was put aside.
    idle_since: Instant,
}

type Trouble = (
    &'static str,
    &'static str,
    Box<dyn std::error::Error + Send + Sync>,
);

impl Relay {
    /// A relay that is greeted as `hostname`. With `tokens` the login is by access token. Nothing is connected yet.
    #[must_use]
    pub fn new(config: RelayConfig, hostname: &str, tokens: Option<Arc<dyn AccessTokens>>) -> Self {
        let hello = match hostname.parse() {
            Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
            Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
            Err(_) => ClientId::Domain(hostname.to_owned()),
        };
        let user = config.username.clone();
        let login = match tokens {
            Some(tokens) => Login::Tokens { user, tokens },
            None if user.is_empty() => Login::None,
            None => Login::Password(Credentials::new(user, config.password.expose().to_owned())),
        };
        let room = Semaphore::new(config.connections.max(1));
        Self {
            config,
            hello,
            login,
            idle: Mutex::new(Vec::new()),
            room,
        }
    }

    /// Hands a mail over.
    pub async fn deliver(&self, mail: &Built) -> Result<(), Failure> {
        // The wait is bounded, because the time limit of the whole attempt counts as "perhaps sent".
        let waited = timeout(self.command_time(), self.room.acquire()).await;
        let Ok(Ok(_place)) = waited else {
            return Err(Failure::retry(
                "relay_busy",
                "all connections to the relay are in use",
            ));
        };
        let mut line = match self.take_idle().await {
            Some(line) => line,
            None => self.connect().await?,
        };
        let dialogue = Dialogue {
            mail,
            offers: line.offers,
            notify: &self.config.notify,
            command_time: self.command_time(),
            data_time: Duration::from_millis(self.config.data_timeout_ms),
        };
        let result = dialogue.lead(&mut line.connection).await;
        line.mails += 1;
        match result {
            Ok(()) => {
                self.keep(line).await;
                Ok(())
            }
            Err(Ended { failure, usable }) => {
                self.mend(line, usable).await;
                Err(failure)
            }
        }
    }

    /// A kept connection that still answers. All questions together have the time of one.
    async fn take_idle(&self) -> Option<Line> {
        timeout(self.command_time(), async {
            loop {
                let mut line = self
                    .idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop()?;
                if line.idle_since.elapsed() < IDLE_MAX && line.connection.test_connected().await {
                    return Some(line);
                }
            }
        })
        .await
        .unwrap_or(None)
    }

    /// Keeps a connection for the next mail, unless it has carried as many as the relay likes.
    async fn keep(&self, mut line: Line) {
        let most = self.config.mails_per_connection;
        let worn = most > 0 && line.mails >= most;
        if worn || line.connection.has_broken() {
            drop(timeout(FAREWELL, line.connection.abort()).await);
            return;
        }
        line.idle_since = Instant::now();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
    }

    /// After a refusal the relay waits for the next mail; after anything else the connection is given up.
    async fn mend(&self, mut line: Line, usable: bool) {
        let reset = usable
            && timeout(self.command_time(), line.connection.command(Rset))
                .await
                .is_ok_and(|answer| answer.is_ok());
        if reset {
            self.keep(line).await;
        } else {
            // That the farewell fails changes nothing.
            drop(timeout(FAREWELL, line.connection.abort()).await);
        }
    }

    fn command_time(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms)
    }

    /// Nothing that goes wrong here is the mail's fault, so all of it is tried again.
    async fn connect(&self) -> Result<Line, Failure> {
        match timeout(self.command_time(), Box::pin(self.try_connect())).await {
            Ok(Ok(line)) => Ok(line),
            Ok(Err((code, text, error))) => {
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    code,
                    "the relay could not be used"
                );
                Err(Failure::retry(code, text))
            }
            Err(_) => Err(Failure::retry(
                "relay_timeout",
                "the relay did not answer in time",
            )),
        }
    }

    async fn try_connect(&self) -> Result<Line, Trouble> {
        let config = &self.config;
        let tls_error = |error: lettre::transport::smtp::Error| -> Trouble {
            (
                "relay_tls",
                "no protected connection to the relay",
                error.into(),
            )
        };
        let unreachable = |error: lettre::transport::smtp::Error| -> Trouble {
            (
                "relay_unreachable",
                "the relay cannot be reached",
                error.into(),
            )
        };
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
        let mut connection = connecting.await.map_err(unreachable)?;
        if config.tls == Tls::StartTls {
            connection
                .starttls(tls()?, &self.hello)
                .await
                .map_err(tls_error)?;
        }
        let offers = Offers::ask(&mut connection, &self.hello)
            .await
            .map_err(unreachable)?;
        self.login.perform(&mut connection).await.map_err(|error| {
            let (code, text) = error.cause();
            (code, text, error.into())
        })?;
        Ok(Line {
            connection,
            offers,
            mails: 0,
            idle_since: Instant::now(),
        })
    }
}
