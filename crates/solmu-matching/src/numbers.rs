//! Numbers of files, with bounds: what lies beyond them is a slip, and arithmetic with it would overflow.

use serde::Deserialize;

use crate::{Micros, SECOND};

/// Seconds that a file may name, forwards and backwards: three thousand years.
const SECONDS_MAX: f64 = 1e11;
/// Units of capacity that a file may name.
const UNITS_MAX: u32 = 100_000_000;
/// Items that a file may count.
const COUNT_MAX: u32 = 100_000;

/// A number that is too large, or of the wrong sign.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NumberError {
    #[error("{0} is too far away: seconds go from -1e11 to 1e11")]
    Far(f64),
    #[error("{0} is less than zero")]
    Negative(f64),
    #[error("{0} is too much: at most {UNITS_MAX} units")]
    Units(u32),
    #[error("{0} is too much: at most {COUNT_MAX}")]
    Count(u32),
}

/// An instant or a time, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Seconds(f64);

impl Seconds {
    pub(crate) const fn new(seconds: f64) -> Self {
        Self(seconds)
    }

    /// Whole microseconds.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded far below the largest"
    )]
    pub(crate) fn micros(self) -> Micros {
        #[expect(clippy::cast_precision_loss, reason = "a million is exact")]
        let second = SECOND as f64;
        (self.0 * second).round() as Micros
    }

    pub(crate) const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Seconds {
    type Error = NumberError;

    fn try_from(seconds: f64) -> Result<Self, NumberError> {
        let near = seconds.abs() <= SECONDS_MAX;
        near.then_some(Self(seconds))
            .ok_or(NumberError::Far(seconds))
    }
}

/// How long something takes, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(crate) struct Lasting(Seconds);

impl Lasting {
    pub(crate) fn minutes(minutes: u32) -> Self {
        Self(Seconds::new(f64::from(minutes * 60)))
    }

    pub(crate) fn micros(self) -> Micros {
        self.0.micros()
    }

    pub(crate) const fn get(self) -> f64 {
        self.0.get()
    }
}

impl TryFrom<f64> for Lasting {
    type Error = NumberError;

    fn try_from(seconds: f64) -> Result<Self, NumberError> {
        if seconds < 0.0 {
            return Err(NumberError::Negative(seconds));
        }
        Seconds::try_from(seconds).map(Self)
    }
}

/// A weight or a capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Units(pub(crate) u32);

impl TryFrom<u32> for Units {
    type Error = NumberError;

    fn try_from(units: u32) -> Result<Self, NumberError> {
        (units <= UNITS_MAX)
            .then_some(Self(units))
            .ok_or(NumberError::Units(units))
    }
}

/// How many there are of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub(crate) struct Count(pub(crate) u32);

impl TryFrom<u32> for Count {
    type Error = NumberError;

    fn try_from(count: u32) -> Result<Self, NumberError> {
        (count <= COUNT_MAX)
            .then_some(Self(count))
            .ok_or(NumberError::Count(count))
    }
}

/// A level of a skill. Files of others may name any number: below 1 everybody has it, and more than 255 counts as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(from = "i64")]
pub(crate) struct Level(pub(crate) u8);

impl From<i64> for Level {
    fn from(level: i64) -> Self {
        Self(u8::try_from(level.max(0)).unwrap_or(u8::MAX))
    }
}
