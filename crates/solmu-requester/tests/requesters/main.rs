//! Requesters on the real engines, over the wire, beside agents who work on the same tickets.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod merged;
mod orders;
mod rights;
mod sees;
mod shut;
mod world;
mod writes;
