//! Contacts on the real engines: senders and calls in, people and events out. What needs messages and tickets is tested
//! with the ticket service.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod calls;
mod condition_values;
mod exports;
mod filters;
mod kept;
mod merges;
mod organizations;
mod requests;
mod role_mailboxes;
mod world;
