//! Rate limits on the injected clock.
//!
//! GCRA (`governor`): a burst, refilled evenly, one number of state per key. Counts are per process: with n replicas
//! somebody gets at most n times the limit, which is good enough against abuse and costs no shared state.

use std::{
    hash::Hash,
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use governor::{
    Quota, RateLimiter, clock::Clock as _, middleware::NoOpMiddleware, nanos::Nanos,
    state::keyed::DashMapStateStore,
};
use solmu_domain::clock::SharedClock;

/// Checks between two sweeps of the keys that are as good as new.
const SWEEP_EVERY: u32 = 1024;

#[derive(Debug, Clone)]
struct Ticks(SharedClock);

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(u64::try_from(self.0.now().as_nanosecond()).unwrap_or(0))
    }
}

/// Allows each key a burst, refilled evenly over a time.
#[derive(Debug)]
pub struct Limiter<K: Hash + Eq + Clone> {
    inner: RateLimiter<K, DashMapStateStore<K>, Ticks, NoOpMiddleware<Nanos>>,
    clock: Ticks,
    checks: AtomicU32,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// `burst` at once, and as many again in each `per`. Zero counts as one (or one second).
    ///
    /// # Panics
    /// Never: the period is longer than zero.
    #[must_use]
    pub fn new(burst: u32, per: Duration, clock: SharedClock) -> Self {
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let period = per.max(Duration::from_secs(1)) / burst.get();
        let quota = Quota::with_period(period)
            .expect("the period is at least a second over 2^32")
            .allow_burst(burst);
        let clock = Ticks(clock);
        let inner = RateLimiter::new(quota, DashMapStateStore::default(), clock.clone());
        Self {
            inner,
            clock,
            checks: AtomicU32::new(0),
        }
    }

    /// Counts one more for `key`, or says how long to wait.
    pub fn check(&self, key: &K) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.inner.retain_recent();
        }
        self.inner
            .check_key(key)
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::{SignedDuration, Timestamp};
    use solmu_domain::clock::FakeClock;

    use super::*;

    #[test]
    fn a_burst_then_evenly() {
        let clock = FakeClock::new(Timestamp::from_second(1_800_000_000).unwrap());
        let limiter = Limiter::new(3, Duration::from_secs(30), Arc::new(clock.clone()));
        for _ in 0..3 {
            assert_eq!(limiter.check(&"a"), Ok(()));
        }
        assert_eq!(limiter.check(&"a"), Err(Duration::from_secs(10)));
        assert_eq!(limiter.check(&"b"), Ok(()), "keys do not share");
        clock.advance(SignedDuration::from_secs(10));
        assert_eq!(limiter.check(&"a"), Ok(()));
        assert!(limiter.check(&"a").is_err());
    }
}
