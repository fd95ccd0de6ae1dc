//! Looks at an installation and says what to do about what it finds: engines, schema, streams, clock, rights.
//!
//! Only questions, no changes; each finding stands for itself, so that one engine that is away does not hide what is wrong
//! with the other. What a process checks for its own readiness is not repeated: here it is about what readiness cannot
//! see, such as a NATS that acknowledges before its disk has a message.

mod bus;
mod monitoring;
mod postgres;
mod schema;

use serde::Serialize;

pub use bus::{examine as examine_bus, unreachable as bus_unreachable};
pub use postgres::{examine as examine_postgres, unreachable as postgres_unreachable};

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and may not for long; or it could not be found out.
    Warning,
    /// It does not work, or a promise does not hold.
    Bad,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name: stable words.
    pub check: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What is there.
    pub found: String,
    /// What to do about it; empty when all is well.
    pub advice: String,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Good,
            found: found.into(),
            advice: String::new(),
        }
    }

    /// Something to look at.
    #[must_use]
    pub fn warning(
        check: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check,
            verdict: Verdict::Warning,
            found: found.into(),
            advice: advice.into(),
        }
    }

    /// Something to mend.
    #[must_use]
    pub fn bad(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Bad,
            found: found.into(),
            advice: advice.into(),
        }
    }
}

#[cfg(test)]
mod tests;
