//! Listens, counts connections, and ends them when the service drains.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use solmu_domain::rng::SharedRng;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    SessionSettings,
    driver::{Connection, Shared},
};
use crate::{
    metrics::EmailMetrics,
    receive::{Accept, Receiver},
};

/// How long a client that is one too many has to read why.
const FAREWELL: Duration = Duration::from_secs(5);
/// Pause after a failed accept, for example when file descriptors are short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
}

/// Takes connections of `listener` until the service drains.
pub async fn serve<A: Accept>(listener: TcpListener, server: Server<A>) {
    let Server {
        settings,
        receiver,
        rng,
        metrics,
        tasks,
        drain,
    } = server;
    let room = Arc::new(Semaphore::new(settings.limits.max_connections));
    let shared = Arc::new(Shared {
        settings: Arc::new(settings),
        receiver,
        rng,
        metrics,
        drain: drain.clone(),
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let shared = Arc::clone(&shared);
        if let Ok(place) = Arc::clone(&room).try_acquire_owned() {
            let talk = async move {
                shared.metrics.connections.add([], 1.0);
                converse(stream, peer, &shared).await;
                shared.metrics.connections.add([], -1.0);
                drop(place);
            };
            tasks.spawn(talk);
        } else {
            shared.metrics.refused.inc(["connections"]);
            tasks.spawn(turn_away(stream));
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

async fn converse<A: Accept>(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared<A>>) {
    // Replies are short and a client waits for each: better a packet at once than a full one later. If the option
    // cannot be set, the dialogue is only slower.
    drop(stream.set_nodelay(true));
    Box::pin(Connection::new(stream, peer.ip(), Arc::clone(shared)).run()).await;
}

async fn turn_away(mut stream: TcpStream) {
    let farewell = async {
        stream
            .write_all(b"421 4.3.2 too many connections, come again\r\n")
            .await?;
        stream.shutdown().await
    };
    // Whether the client has read it is its own business.
    drop(timeout(FAREWELL, farewell).await);
}
