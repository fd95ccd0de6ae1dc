//! Where randomness comes from, for the same reason as the clock: a test injects the seed.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use rand::{RngCore, SeedableRng, rngs::StdRng};

/// A source of random bytes that is good enough for tokens and nonces.
pub trait Rng: Debug + Send + Sync {
    /// Fills `target` with random bytes.
    fn fill(&self, target: &mut [u8]);

    /// A random 64-bit number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// A generator that services share.
pub type SharedRng = Arc<dyn Rng>;

/// The operating system's generator.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, target: &mut [u8]) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads ambient randomness"
        )]
        rand::rng().fill_bytes(target);
    }
}

/// A generator with a seed, for tests.
#[derive(Debug, Clone)]
pub struct SeededRng(Arc<Mutex<StdRng>>);

impl SeededRng {
    /// The same `seed` gives the same bytes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }
}

impl Rng for SeededRng {
    fn fill(&self, target: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_bytes() {
        assert_eq!(SeededRng::new(7).next_u64(), SeededRng::new(7).next_u64());
        assert_ne!(SeededRng::new(7).next_u64(), SeededRng::new(8).next_u64());
    }
}
