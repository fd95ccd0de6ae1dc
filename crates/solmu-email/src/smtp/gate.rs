//! Who may come in, and how much memory all mails under way may hold.
//!
//! Everything here is counted, nothing is remembered: what is held is given back when its holder is dropped.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SmtpConfig;

/// Bits of an IPv6 address that one customer of a provider usually has to himself alone.
const IPV6_PREFIX: u32 = 64;

/// Counts the connections of one kind of door.
#[derive(Debug)]
pub(super) struct Gate {
    all: Arc<Semaphore>,
    per_address: usize,
    exempt: Vec<IpAddr>,
    by_network: Counts,
}

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A place inside, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _all: OwnedSemaphorePermit,
    network: Option<(IpAddr, Counts)>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All places are taken.
    Connections,
    /// This address has as many as one may have.
    Address,
}

impl Full {
    /// For the metric.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address_connections",
        }
    }

    /// What is written before the connection is closed.
    pub(super) const fn farewell(self) -> &'static [u8] {
        match self {
            Self::Connections => b"421 4.3.2 too many connections, come again\r\n",
            Self::Address => b"421 4.7.0 too many connections from your address, come again\r\n",
        }
    }
}

impl Gate {
    pub(super) fn new(limits: &SmtpConfig) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.max_connections)),
            per_address: limits.max_connections_per_address,
            exempt: limits.exempt_addresses.clone(),
            by_network: Arc::default(),
        }
    }

    /// A place for a connection from `peer`, or for one on this machine if that is `None`.
    pub(super) fn admit(&self, peer: Option<IpAddr>) -> Result<Place, Full> {
        let all = Arc::clone(&self.all)
            .try_acquire_owned()
            .map_err(|_| Full::Connections)?;
        let Some(peer) = peer.filter(|peer| !self.exempt.contains(peer)) else {
            return Ok(Place {
                _all: all,
                network: None,
            });
        };
        let network = network(peer);
        let mut counts = lock(&self.by_network);
        let count = counts.entry(network).or_default();
        if *count >= self.per_address {
            if *count == 0 {
                counts.remove(&network);
            }
            return Err(Full::Address);
        }
        *count += 1;
        drop(counts);
        Ok(Place {
            _all: all,
            network: Some((network, Arc::clone(&self.by_network))),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((network, counts)) = &self.network else {
            return;
        };
        let mut counts = lock(counts);
        if let Some(count) = counts.get_mut(network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(network);
            }
        }
    }
}

fn lock(
    counts: &Mutex<HashMap<IpAddr, usize>>,
) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => {
            let mask = u128::MAX << (128 - IPV6_PREFIX);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// Memory of all mails under way.
#[derive(Debug)]
pub(super) struct Room {
    used: AtomicUsize,
    limit: usize,
}

impl Room {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicUsize::new(0),
            limit,
        })
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// The part of the room that one mail holds, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    room: Arc<Room>,
    bytes: usize,
}

impl Held {
    pub(super) fn nothing(room: &Arc<Room>) -> Self {
        Self {
            room: Arc::clone(room),
            bytes: 0,
        }
    }

    /// Holds `bytes` from now on; false, and no more than before, if there is not that much room.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let used = &self.room.used;
        if bytes <= self.bytes {
            used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.bytes = bytes;
            return true;
        }
        let more = bytes - self.bytes;
        let fits = |now: usize| now.checked_add(more).filter(|sum| *sum <= self.room.limit);
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        if taken.is_ok() {
            self.bytes = bytes;
        }
        taken.is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(all: usize, per_address: usize) -> Gate {
        Gate::new(&SmtpConfig {
            max_connections: all,
            max_connections_per_address: per_address,
            ..SmtpConfig::default()
        })
    }

    #[test]
    fn an_address_has_only_so_many() {
        let gate = gate(10, 2);
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        let first = gate.admit(Some(ip("192.0.2.1"))).unwrap();
        let _second = gate.admit(Some(ip("192.0.2.1"))).unwrap();
        let third = gate.admit(Some(ip("192.0.2.1")));
        assert_eq!(third.unwrap_err(), Full::Address);
        let _other = gate.admit(Some(ip("192.0.2.2"))).unwrap();
        drop(first);
        let _third = gate.admit(Some(ip("192.0.2.1"))).unwrap();

        let _one = gate.admit(Some(ip("2001:db8:0:1::1"))).unwrap();
        let _two = gate.admit(Some(ip("2001:db8:0:1:ffff::2"))).unwrap();
        let three = gate.admit(Some(ip("2001:db8:0:1::3")));
        assert_eq!(three.unwrap_err(), Full::Address);
        let _next = gate.admit(Some(ip("2001:db8:0:2::1"))).unwrap();
        assert_eq!(lock(&gate.by_network).len(), 4);
    }

    #[test]
    fn our_own_exchangers_are_only_counted_together() {
        let gate = gate(3, 1);
        let places: Vec<Place> = [
            Some([127, 0, 0, 1].into()),
            Some([127, 0, 0, 1].into()),
            None,
        ]
        .into_iter()
        .map(|peer| gate.admit(peer).unwrap())
        .collect();
        assert_eq!(gate.admit(None).unwrap_err(), Full::Connections);
        drop(places);
        assert!(gate.admit(None).is_ok());
        assert!(lock(&gate.by_network).is_empty());
    }

    #[test]
    fn room_is_given_back() {
        let room = Room::new(100);
        let mut first = Held::nothing(&room);
        let mut second = Held::nothing(&room);
        assert!(first.resize(60) && second.resize(40));
        assert!(!second.resize(41));
        assert!(first.resize(10) && second.resize(90));
        drop(second);
        assert_eq!(room.used(), 10);
        drop(first);
        assert_eq!(room.used(), 0);
    }
}
