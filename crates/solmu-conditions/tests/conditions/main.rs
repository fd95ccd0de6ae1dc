//! Conditions end to end: the grammar, the check, the answers, and that memory and PostgreSQL answer alike.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod answers;
mod checking;
mod grammar;
mod postgres;
mod properties;
mod strategies;
mod values;
