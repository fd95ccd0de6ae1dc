//! The ticket service on the real engines: messages, decisions and calls in, tickets and events out.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod api;
mod api_world;
mod close;
mod commands;
mod contacts;
mod decide;
mod delivery;
mod file;
mod odd;
mod quarantine;
mod replicas;
mod support;
mod threads;
