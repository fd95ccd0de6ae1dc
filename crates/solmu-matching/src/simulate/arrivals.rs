//! Random arrivals: a Poisson stream with exponential handling times, the same for the same seed.

use solmu_domain::rng::{Rng as _, SeededRng};

/// A source of random numbers of one stream.
pub(super) struct Chance(SeededRng);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(SeededRng::new(seed))
    }

    /// Evenly between 0 and 1, never 1.
    pub(super) fn share(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let share = (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        share
    }

    /// Exponentially distributed with this mean.
    pub(super) fn exponential(&self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }
}
