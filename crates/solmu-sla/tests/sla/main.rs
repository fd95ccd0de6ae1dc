//! The SLA service on the real engines: ticket events in, due times, warnings and breaches out.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod api;
mod clocks;
mod contacts;
mod escalations;
mod later;
mod load;
mod manage;
mod moves;
mod owners;
mod support;
mod timers;
mod webhooks;
