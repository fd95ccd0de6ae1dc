//! Serves what the roles expose: HTTP for the outside, gRPC for agents, services and the command line.
//!
//! Both stop taking calls when the drain begins and finish those in hand. Tracing, metrics, limits and the token check
//! wrap all routes here, so that no service can forget them.

mod grpc;
mod http;
mod methods;
mod patience;
#[cfg(test)]
mod permission_tests;
mod shares;
mod standing;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::Semaphore};

use crate::{
    access::Access,
    api_error::ApiError,
    runtime::{Parts, Runtime},
    settings::ServerConfig,
};

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be bound.
    #[error("cannot listen for {server} on {address}")]
    Bind {
        /// Which server.
        server: &'static str,
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The descriptor set that is built in does not decode.
    #[error("the descriptor set is damaged")]
    Descriptors(#[source] tonic_reflection::server::Error),
}

impl ServeError {
    pub(crate) fn bind(server: &'static str, address: SocketAddr, source: std::io::Error) -> Self {
        Self::Bind {
            server,
            address,
            source,
        }
    }
}

/// The addresses that were bound; a port 0 in the configuration took a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// HTTP, when a role has routes.
    pub http: Option<SocketAddr>,
    /// gRPC, when a role has services.
    pub grpc: Option<SocketAddr>,
}

/// Binds and serves the parts until the drain. Returns as soon as calls can come.
pub async fn serve(
    runtime: &Runtime,
    config: &ServerConfig,
    access: &Access,
    parts: Parts,
) -> Result<Bound, ServeError> {
    let mut bound = Bound {
        http: None,
        grpc: None,
    };
    if let Some(router) = parts.http {
        bound.http =
            Some(http::serve(runtime, config, ("HTTP", config.http_address), router).await?);
    }
    if let Some(routes) = parts.grpc {
        bound.grpc = Some(grpc::serve(runtime, config, access.clone(), routes).await?);
    }
    Ok(bound)
}

/// Binds and serves the JSON API on its own address until the drain; `None` when it is switched off.
pub async fn serve_api(
    runtime: &Runtime,
    config: &ServerConfig,
    router: axum::Router,
) -> Result<Option<SocketAddr>, ServeError> {
    let Some(address) = config.api_address else {
        return Ok(None);
    };
    let bound = http::serve(runtime, config, ("the JSON API", address), router).await?;
    Ok(Some(bound))
}

pub(crate) async fn bind(
    server: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::bind(server, address, source))
}

/// What one server takes at most.
#[derive(Debug, Clone)]
struct Limits {
    timeout: Duration,
    calls: Arc<Semaphore>,
}

impl Limits {
    fn of(config: &ServerConfig) -> Self {
        Self {
            timeout: Duration::from_millis(config.request_timeout_ms),
            calls: Arc::new(Semaphore::new(
                config.concurrency.min(Semaphore::MAX_PERMITS),
            )),
        }
    }
}

/// The answer when there are too many calls: at once, because a queue would only make the callers time out.
fn too_many_calls() -> ApiError {
    ApiError::ResourceExhausted {
        reason: "TOO_MANY_CALLS",
        message: "too many calls at once: try again later".to_owned(),
        retry_after: Duration::from_secs(1),
    }
}
