//! Ports for one process under test.
//!
//! Fixed ones, not port 0: a process that is killed and started again must be found where it was, and the router of a
//! process asks the ticket service beside it at the configured address.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
};

/// Below the range of outgoing connections and below the one that nats-server's ports are drawn from.
const RANGE: std::ops::Range<u16> = 10_000..20_000;

/// Where one process listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) smtp: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) api: SocketAddr,
}

impl Ports {
    /// Free ones.
    pub(crate) fn free() -> Self {
        Self {
            smtp: free_address(),
            http: free_address(),
            grpc: free_address(),
            admin: free_address(),
            api: free_address(),
        }
    }

    /// As flags of `solmu serve`.
    pub(crate) fn flags(&self) -> Vec<String> {
        let Self {
            smtp,
            http,
            grpc,
            admin,
            api,
        } = self;
        [
            format!("email.listen={smtp}"),
            format!("server.http_address={http}"),
            format!("server.grpc_address={grpc}"),
            format!("server.admin_address={admin}"),
            format!("server.api_address={api}"),
        ]
        .into_iter()
        .flat_map(|pair| ["--set".to_owned(), pair])
        .collect()
    }

    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    pub(crate) fn api_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.api)
    }

    pub(crate) fn grpc_url(&self) -> String {
        format!("http://{}", self.grpc)
    }
}

/// An address that nobody listens on, never given out twice by this process.
pub(crate) fn free_address() -> SocketAddr {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_default();
    loop {
        let port = RANGE.start + rand::random::<u16>() % (RANGE.end - RANGE.start);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && given.insert(port) {
            return address;
        }
    }
}
