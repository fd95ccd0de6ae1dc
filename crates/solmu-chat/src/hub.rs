//! Who is connected here, to wake them when something was said in their conversation.
//!
//! A wake carries no content: the connection reads from the database what it has not sent yet. So a wake may be lost,
//! doubled or late without harm, and messages from this process and from others take the same way.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;
use uuid::Uuid;

/// PostgreSQL's notification channel between replicas; the payload is the session's id.
pub(crate) const CHANNEL: &str = "solmu_chat";

#[derive(Debug, Default)]
struct Seats {
    sessions: HashMap<Uuid, (watch::Sender<()>, usize)>,
    addresses: HashMap<IpAddr, u32>,
}

/// The connections of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hub(Arc<Mutex<Seats>>);

/// A connection's place in its conversation. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    hub: Hub,
    session: Uuid,
    pub(crate) woken: watch::Receiver<()>,
}

/// A connection that counts for its address. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    hub: Hub,
    address: IpAddr,
}

impl Hub {
    /// Counts a connection of this address, unless there are `most` already.
    pub(crate) fn admit(&self, address: IpAddr, most: u32) -> Option<Place> {
        let mut seats = self.lock();
        let count = seats.addresses.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place {
            hub: self.clone(),
            address,
        })
    }

    /// Joins a conversation.
    pub(crate) fn join(&self, session: Uuid) -> Seat {
        let mut seats = self.lock();
        let (sender, count) = seats
            .sessions
            .entry(session)
            .or_insert_with(|| (watch::Sender::new(()), 0));
        *count += 1;
        Seat {
            hub: self.clone(),
            session,
            woken: sender.subscribe(),
        }
    }

    /// Something was said in this conversation.
    pub(crate) fn wake(&self, session: Uuid) {
        if let Some((sender, _)) = self.lock().sessions.get(&session) {
            sender.send_replace(());
        }
    }

    /// Something may have been said in any.
    pub(crate) fn wake_all(&self) {
        for (sender, _) in self.lock().sessions.values() {
            sender.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.hub.lock();
        if let Some((_, count)) = seats.sessions.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                seats.sessions.remove(&self.session);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.hub.lock();
        if let Some(count) = seats.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                seats.addresses.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_reach_the_conversation_and_nobody_else() {
        let hub = Hub::default();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (first, second, other) = (hub.join(a), hub.join(a), hub.join(b));
        hub.wake(a);
        let woken = |seat: &Seat| seat.woken.has_changed().unwrap();
        assert!(woken(&first) && woken(&second) && !woken(&other));
        hub.wake_all();
        assert!(woken(&other));
        drop((first, second, other));
        assert!(hub.lock().sessions.is_empty());
    }

    #[test]
    fn places_are_given_back() {
        let hub = Hub::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let place = hub.admit(address, 1);
        assert!(place.is_some() && hub.admit(address, 1).is_none());
        assert!(hub.admit(IpAddr::from([192, 0, 2, 2]), 1).is_some());
        drop(place);
        assert!(hub.admit(address, 1).is_some());
    }
}
