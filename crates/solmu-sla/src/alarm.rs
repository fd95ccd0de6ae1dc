//! When the timer loop has to wake up next.
//!
//! The table is the truth; this is what the process knows of it, so that the loop can sleep until the next timer and a
//! batch that adds an earlier one can wake it. Whoever asks the table calls [`Alarm::reset`] first: what a batch adds
//! between the question and the answer then stays.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::Notify;

/// The next timer.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    next: Mutex<Option<Timestamp>>,
    earlier: Notify,
}

impl Alarm {
    /// Forgets what is known.
    pub(crate) fn reset(&self) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// There is a timer at `at`. Wakes the loop when that is earlier than what was known.
    pub(crate) fn set(&self, at: Timestamp) {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|next| at < next) {
            *next = Some(at);
            self.earlier.notify_one();
        }
    }

    /// The next timer, if one is known.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an earlier timer is known.
    pub(crate) async fn changed(&self) {
        self.earlier.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[tokio::test]
    async fn only_an_earlier_timer_wakes() {
        let alarm = Alarm::default();
        let first = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(10);
        alarm.set(first);
        alarm.changed().await;
        alarm.set(first + SignedDuration::from_secs(1));
        assert_eq!(alarm.next(), Some(first));
        let woken = tokio::time::timeout(std::time::Duration::ZERO, alarm.changed()).await;
        assert!(woken.is_err());
        alarm.set(Timestamp::UNIX_EPOCH);
        alarm.changed().await;
        assert_eq!(alarm.next(), Some(Timestamp::UNIX_EPOCH));
        alarm.reset();
        assert_eq!(alarm.next(), None);
    }
}
