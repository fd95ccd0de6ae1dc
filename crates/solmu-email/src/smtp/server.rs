//! Listens, counts connections, and ends them when the service drains.
//!
//! One task takes connections at all doors, and each connection is one task.

use std::{
    future::pending,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use solmu_domain::rng::SharedRng;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Role, SessionSettings, SmtpConfig,
    driver::{Connection, Shared},
    gate::{Full, Gate, Room},
    tls::{Certificates, TlsError},
};
use crate::{
    metrics::EmailMetrics,
    receive::{Accept, Receiver},
};

/// Pause after a failed accept, for example when file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken or not allowed.
    #[error("cannot listen for mail on {address}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The unix socket cannot be made.
    #[error("cannot listen for mail on '{}'", path.display())]
    Socket {
        /// The configured path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("the certificate of smtp cannot be used")]
    Tls(#[from] TlsError),
}

/// The doors of the server.
#[derive(Debug)]
pub struct Listeners {
    smtp: TcpListener,
    smtp_address: SocketAddr,
    smtps: Option<TcpListener>,
    lmtp: Option<TcpListener>,
    socket: Option<Socket>,
}

/// A unix socket whose file goes away with it.
#[derive(Debug)]
struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // If it cannot be removed, the next start does it.
        drop(std::fs::remove_file(&self.path));
    }
}

impl Listeners {
    /// Opens SMTP on `address` and the other doors that `config` names.
    pub async fn bind(address: SocketAddr, config: &SmtpConfig) -> Result<Self, StartError> {
        let smtp = listen(address).await?;
        let smtp_address = smtp
            .local_addr()
            .map_err(|source| StartError::Listen { address, source })?;
        let listeners = Self {
            smtp,
            smtp_address,
            smtps: listen_if(config.tls.listen).await?,
            lmtp: listen_if(config.lmtp.listen).await?,
            socket: open_socket(config)?,
        };
        listeners.tell(config);
        Ok(listeners)
    }

    /// Where SMTP listens; tells the port when port 0 was configured.
    #[must_use]
    pub fn smtp(&self) -> SocketAddr {
        self.smtp_address
    }

    /// Where SMTP over TLS listens.
    #[must_use]
    pub fn smtps(&self) -> Option<SocketAddr> {
        self.smtps.as_ref().and_then(|door| door.local_addr().ok())
    }

    /// Where LMTP listens.
    #[must_use]
    pub fn lmtp(&self) -> Option<SocketAddr> {
        self.lmtp.as_ref().and_then(|door| door.local_addr().ok())
    }

    fn tell(&self, config: &SmtpConfig) {
        tracing::info!(address = %self.smtp_address, "smtp listens");
        if let Some(address) = self.smtps() {
            tracing::info!(%address, "smtp over tls listens");
        }
        if let Some(address) = self.lmtp() {
            tracing::info!(%address, "lmtp listens");
            if !address.ip().is_loopback() {
                tracing::warn!(
                    "lmtp is open beyond this machine: only mail servers of ours may reach it"
                );
            }
        }
        if let Some(path) = &config.lmtp.socket {
            tracing::info!(path = %path.display(), "lmtp listens on a socket");
        }
    }

    async fn accept(&self) -> io::Result<Visitor> {
        let smtps = async {
            match &self.smtps {
                Some(door) => door.accept().await,
                None => pending().await,
            }
        };
        let lmtp = async {
            match &self.lmtp {
                Some(door) => door.accept().await,
                None => pending().await,
            }
        };
        let socket = async {
            match &self.socket {
                Some(door) => door.listener.accept().await,
                None => pending().await,
            }
        };
        tokio::select! {
            accepted = self.smtp.accept() => accepted.map(|(stream, peer)| Visitor::tcp(stream, peer, Role::Smtp, false)),
            accepted = smtps => accepted.map(|(stream, peer)| Visitor::tcp(stream, peer, Role::Smtp, true)),
            accepted = lmtp => accepted.map(|(stream, peer)| Visitor::tcp(stream, peer, Role::Lmtp, false)),
            accepted = socket => accepted.map(|(stream, _)| Visitor::Unix(stream)),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

async fn listen_if(address: Option<SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    match address {
        Some(address) => listen(address).await.map(Some),
        None => Ok(None),
    }
}

fn open_socket(config: &SmtpConfig) -> Result<Option<Socket>, StartError> {
    let Some(path) = &config.lmtp.socket else {
        return Ok(None);
    };
    let socket_error = |source| StartError::Socket {
        path: path.clone(),
        source,
    };
    remove_stale(path).map_err(socket_error)?;
    let listener = UnixListener::bind(path).map_err(socket_error)?;
    let socket = Socket {
        listener,
        path: path.clone(),
    };
    if let Some(mode) = config.lmtp.mode() {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, permissions).map_err(socket_error)?;
    }
    Ok(Some(socket))
}

/// A process that was killed leaves its socket behind; one that lives keeps it.
fn remove_stale(path: &Path) -> io::Result<()> {
    use std::os::unix::{fs::FileTypeExt as _, net::UnixStream};
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        // A file of another kind is not ours to remove: binding says that it is in the way.
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Who came in.
enum Visitor {
    Tcp {
        stream: TcpStream,
        peer: IpAddr,
        role: Role,
        tls_first: bool,
    },
    Unix(UnixStream),
}

impl Visitor {
    fn tcp(stream: TcpStream, peer: SocketAddr, role: Role, tls_first: bool) -> Self {
        Self::Tcp {
            stream,
            peer: peer.ip().to_canonical(),
            role,
            tls_first,
        }
    }

    fn peer(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { peer, .. } => Some(*peer),
            Self::Unix(_) => None,
        }
    }

    fn role(&self) -> Role {
        match self {
            Self::Tcp { role, .. } => *role,
            Self::Unix(_) => Role::Lmtp,
        }
    }

    /// Says why not and hangs up. The line fits what the system buffers for a new connection, so nobody is waited for.
    fn turn_away(self, full: Full) -> io::Result<()> {
        match self {
            // A client that waits for TLS could not read it.
            Self::Tcp {
                tls_first: true, ..
            } => Ok(()),
            Self::Tcp { stream, .. } => stream.into_std()?.write_all(full.farewell()),
            Self::Unix(stream) => stream.into_std()?.write_all(full.farewell()),
        }
    }
}

/// What the server needs.
#[derive(Debug)]
pub struct Server<A> {
    /// Shared by all sessions.
    pub settings: SessionSettings,
    /// Where mails go.
    pub receiver: Receiver<A>,
    /// For ids in trace headers.
    pub rng: SharedRng,
    /// Counters.
    pub metrics: EmailMetrics,
    /// Connections run here.
    pub tasks: TaskTracker,
    /// Ends the server; mails that are being read are still taken.
    pub drain: CancellationToken,
    /// Our certificate, if there is one.
    pub certificates: Option<Certificates>,
}

/// Takes connections of `listeners` until the service drains.
pub async fn serve<A: Accept>(listeners: Listeners, server: Server<A>) {
    let Server {
        settings,
        receiver,
        rng,
        metrics,
        tasks,
        drain,
        certificates,
    } = server;
    // Strangers who take all places must not keep our own server from handing in what it has.
    let (strangers, neighbours) = (Gate::new(&settings.limits), Gate::new(&settings.limits));
    let shared = Arc::new(Shared {
        room: Room::new(settings.limits.max_buffered_bytes),
        settings: Arc::new(settings),
        receiver,
        rng,
        metrics,
        drain: drain.clone(),
        certificates,
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            accepted = listeners.accept() => accepted,
        };
        let visitor = match accepted {
            Ok(visitor) => visitor,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let gate = match visitor.role() {
            Role::Smtp => &strangers,
            Role::Lmtp => &neighbours,
        };
        match gate.admit(visitor.peer()) {
            Ok(place) => {
                let shared = Arc::clone(&shared);
                let talk = async move {
                    shared.metrics.connections.add([], 1.0);
                    converse(visitor, &shared).await;
                    shared.metrics.connections.add([], -1.0);
                    drop(place);
                };
                tasks.spawn(talk);
            }
            Err(full) => {
                shared.metrics.refused.inc([full.label()]);
                // Whether the client has read it is its own business.
                drop(visitor.turn_away(full));
            }
        }
    }
}

async fn pause_after(error: &io::Error) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "a connection could not be taken"
    );
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn converse<A: Accept>(visitor: Visitor, shared: &Arc<Shared<A>>) {
    match visitor {
        Visitor::Tcp {
            stream,
            peer,
            role,
            tls_first,
        } => {
            // Replies are short and a client waits for each: better a packet at once than a full one later. If the
            // option cannot be set, the dialogue is only slower.
            drop(stream.set_nodelay(true));
            talk(stream, role, peer, tls_first, shared).await;
        }
        Visitor::Unix(stream) => {
            talk(
                stream,
                Role::Lmtp,
                Ipv4Addr::LOCALHOST.into(),
                false,
                shared,
            )
            .await;
        }
    }
}

async fn talk<S, A>(stream: S, role: Role, peer: IpAddr, tls_first: bool, shared: &Arc<Shared<A>>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    A: Accept,
{
    let connection = Connection::new(stream, role, peer, Arc::clone(shared));
    Box::pin(connection.run(tls_first)).await;
}
