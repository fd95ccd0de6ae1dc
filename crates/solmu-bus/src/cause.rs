//! What a handler says of an event, and why.

use std::fmt;

/// Why an event could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Stable code, for metrics and for people who look for a runbook.
    pub code: &'static str,
    /// The chain of errors, without personal data.
    pub detail: String,
    /// False when the event is not to blame (the database is away): such retries are not counted.
    pub counts: bool,
}

impl Cause {
    /// A cause that lies in the event.
    #[must_use]
    pub fn new(code: &'static str, error: &dyn std::error::Error) -> Self {
        Self {
            code,
            detail: chain(error),
            counts: true,
        }
    }

    /// A cause that lies elsewhere and will pass: retried without end, never dead-lettered.
    #[must_use]
    pub fn passing(code: &'static str, error: &dyn std::error::Error) -> Self {
        Self {
            code,
            detail: chain(error),
            counts: false,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

/// An error with all its sources, in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Its effect is committed, or it was a repeat.
    Done,
    /// Try again later; after the last attempt it is dead-lettered.
    Retry(Cause),
    /// It can never be done: dead-letter it now.
    Reject(Cause),
}
