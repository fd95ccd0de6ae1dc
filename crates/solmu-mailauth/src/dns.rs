//! Name servers, and how many questions one mail may cost.
//!
//! Answers are kept by the resolver itself, bounded in number and age, so nothing is kept here a second time.
//! mail-auth asks its caller's cache before each question: [`Budget`] uses that to count them.

use std::{
    borrow::Borrow,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use mail_auth::{
    DnssecStatus, Error, MX, MessageAuthenticator, RecordSet, ResolverCache, Txt,
    hickory_resolver::{
        config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
        net::NetError,
        system_conf::read_system_conf,
    },
};

use crate::config::DnsConfig;

/// Nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The system names no name servers.
    #[error("the name servers of the system could not be read")]
    System(#[source] Box<NetError>),
    /// The resolver cannot be made.
    #[error("the resolver could not be set up")]
    Resolver(#[source] Box<NetError>),
}

/// A resolver. Cheap to clone; clones share what they know.
#[derive(Clone)]
pub struct Dns(pub(crate) MessageAuthenticator);

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dns").finish_non_exhaustive()
    }
}

impl Dns {
    /// A resolver that asks the configured servers, or those of the system. Nothing is asked yet.
    pub fn new(config: &DnsConfig) -> Result<Self, DnsError> {
        let servers = if config.servers.is_empty() {
            let (system, _) =
                read_system_conf().map_err(|error| DnsError::System(Box::new(error)))?;
            system.name_servers().to_vec()
        } else {
            config
                .servers
                .iter()
                .map(|server| name_server(server.ip(), server.port()))
                .collect()
        };
        // Without the system's search list: every name that is asked for is a full one.
        MessageAuthenticator::new(ResolverConfig::from_name_servers(servers), options(config))
            .map(Self)
            .map_err(|error| DnsError::Resolver(Box::new(error)))
    }
}

fn name_server(ip: IpAddr, port: u16) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let on_port = |mut connection: ConnectionConfig| {
        connection.port = port;
        connection
    };
    NameServerConfig::new(ip, true, connections.map(on_port).to_vec())
}

fn options(config: &DnsConfig) -> ResolverOpts {
    let longest = Some(Duration::from_secs(config.cache_max_seconds));
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_millis(config.timeout_ms);
    options.attempts = config.retries;
    options.cache_size = config.cache_entries;
    options.positive_max_ttl = longest;
    options.negative_max_ttl = longest;
    // What this machine calls others says nothing about who may send their mail.
    options.use_hosts_file = ResolveHosts::Never;
    options
}

/// Counts questions. When none is left, the rest are answered with nothing, and [`Budget::spent`] says that the outcome
/// must not be believed: mail-auth takes an empty answer for a real one.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit,
        }
    }

    /// Whether a question was not asked for want of budget.
    pub(crate) fn spent(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    /// `None` lets the question be asked.
    fn answer<V>(&self, nothing: impl FnOnce() -> V) -> Option<V> {
        let before = self.used.fetch_add(1, Ordering::Relaxed);
        (before >= self.limit).then(nothing)
    }
}

fn no_records<T>() -> RecordSet<T> {
    RecordSet {
        rrset: Arc::new([]),
        dnssec_status: DnssecStatus::Indeterminate,
    }
}

macro_rules! count_questions {
    ($($key:ty => $value:ty, $nothing:expr;)+) => {$(
        impl ResolverCache<$key, $value> for Budget {
            fn get<Q>(&self, _: &Q) -> Option<$value>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                self.answer(|| $nothing)
            }

            fn remove<Q>(&self, _: &Q) -> Option<$value>
            where
                $key: Borrow<Q>,
                Q: Hash + Eq + ?Sized,
            {
                None
            }

            fn insert(&self, _: $key, _: $value, _: Instant) {}
        }
    )+};
}

count_questions! {
    Box<str> => Txt, Txt::Error(Error::Dns(mail_auth::DnsError::Resolver("budget".to_owned())));
    Box<str> => RecordSet<MX>, no_records();
    Box<str> => RecordSet<Ipv4Addr>, no_records();
    Box<str> => RecordSet<Ipv6Addr>, no_records();
    IpAddr => RecordSet<Box<str>>, no_records();
}
