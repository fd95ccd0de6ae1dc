//! The ticket service on the real engines: messages, decisions and calls in, tickets and events out.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod acknowledge;
mod api;
mod api_world;
mod blocks;
mod bounces;
mod close;
mod commands;
mod contacts;
mod decide;
mod delivery;
mod file;
mod links;
mod loops;
mod odd;
mod parties;
mod quarantine;
mod repeats;
mod replicas;
mod siblings;
mod support;
mod threads;
