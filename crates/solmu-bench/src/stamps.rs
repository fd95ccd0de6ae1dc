//! When each mail was accepted, filed and assigned, as seen from here, on one clock.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use solmu_domain::ids::MessageId;

use crate::generate::{Generated, Kind};

/// Times of one mail, in nanoseconds since the beginning; 0 for what has not happened.
#[derive(Debug, Default)]
struct Stamp {
    accepted: AtomicU64,
    filed: AtomicU64,
    assigned: AtomicU64,
}

/// Times of all mails.
#[derive(Debug)]
pub(crate) struct Stamps {
    begun: Instant,
    of_mails: Vec<Stamp>,
    /// The message id that the system gives a mail, to its index.
    ids: HashMap<String, usize>,
    pub(crate) accepted: AtomicUsize,
    pub(crate) filed: AtomicUsize,
    pub(crate) assigned: AtomicUsize,
    pub(crate) opened: AtomicUsize,
    pub(crate) quarantined: AtomicUsize,
}

/// Times of one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) accepted: Option<Duration>,
    pub(crate) filed: Option<Duration>,
    pub(crate) assigned: Option<Duration>,
}

impl Stamps {
    /// The clock starts now. `account` is the e-mail account's name, which is part of the system's message ids.
    pub(crate) fn new(mails: &[Generated], account: &str) -> Self {
        let originals = mails
            .iter()
            .enumerate()
            .filter(|(_, mail)| mail.kind != Kind::Duplicate);
        let ids = originals.map(|(index, mail)| {
            (
                MessageId::of_inbound("email", account, &mail.id).to_string(),
                index,
            )
        });
        Self {
            begun: Instant::now(),
            of_mails: mails.iter().map(|_| Stamp::default()).collect(),
            ids: ids.collect(),
            accepted: AtomicUsize::new(0),
            filed: AtomicUsize::new(0),
            assigned: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            quarantined: AtomicUsize::new(0),
        }
    }

    /// Mails that must have an effect each.
    pub(crate) fn distinct(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn index_of(&self, message_id: &str) -> Option<usize> {
        self.ids.get(message_id).copied()
    }

    pub(crate) fn mark_accepted(&self, index: usize) {
        mark(
            &self.of_mails[index].accepted,
            self.elapsed(),
            &self.accepted,
        );
    }

    pub(crate) fn mark_filed(&self, index: usize) {
        mark(&self.of_mails[index].filed, self.elapsed(), &self.filed);
    }

    pub(crate) fn mark_assigned(&self, index: usize, at: Duration) {
        mark(&self.of_mails[index].assigned, at, &self.assigned);
    }

    /// Times of all mails, in the order in which they were sent.
    pub(crate) fn times(&self) -> Vec<Times> {
        let read = |cell: &AtomicU64| match cell.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        };
        let times = |stamp: &Stamp| Times {
            accepted: read(&stamp.accepted),
            filed: read(&stamp.filed),
            assigned: read(&stamp.assigned),
        };
        self.of_mails.iter().map(times).collect()
    }
}

/// The first time counts: a redelivered event changes nothing.
fn mark(cell: &AtomicU64, at: Duration, count: &AtomicUsize) {
    let nanos = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX).max(1);
    if cell
        .compare_exchange(0, nanos, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok()
    {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_time_counts() {
        let mail = |kind, id: &str| Generated {
            kind,
            from: String::new(),
            id: id.to_owned(),
            bytes: Vec::new(),
        };
        let mails = [
            mail(Kind::New, "a"),
            mail(Kind::Duplicate, "a"),
            mail(Kind::Reply, "b"),
        ];
        let stamps = Stamps::new(&mails, "main");
        assert_eq!(stamps.distinct(), 2);
        let id = MessageId::of_inbound("email", "main", "b").to_string();
        let index = stamps.index_of(&id).unwrap();
        stamps.mark_filed(index);
        let first = stamps.times()[index].filed.unwrap();
        stamps.mark_filed(index);
        assert_eq!(
            (
                stamps.times()[index].filed,
                stamps.filed.load(Ordering::Relaxed)
            ),
            (Some(first), 1)
        );
        assert_eq!(
            stamps.times()[0],
            Times {
                accepted: None,
                filed: None,
                assigned: None
            }
        );
    }
}
