//! Who is one person: cases by hand, any order of events, and the labelled samples where they are.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod cases;
mod measure;
mod order;
