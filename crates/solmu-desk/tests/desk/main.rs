//! The desk on the real engines: calls in, tickets, events and the log out.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod at_once;
mod bulk;
mod catalogue;
mod logged;
mod logged_calls;
mod mentions;
mod strangers;
mod support;
mod texts;
mod time;
mod time_booked;
mod time_export;
mod viewers;
