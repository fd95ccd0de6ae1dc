//! The ticket service on the real engines: messages, decisions and calls in, tickets and events out.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod acknowledge;
mod agent_mail;
mod api;
mod api_world;
mod blocks;
mod bounces;
mod close;
mod commands;
mod contact_calls;
mod contact_erasing;
mod contact_merges;
mod contact_model;
mod contacts;
mod decide;
mod delivery;
mod experts;
mod file;
mod links;
mod loops;
mod merge_model;
mod merges;
mod odd;
mod orders;
mod parties;
mod quarantine;
mod repeats;
mod replicas;
mod siblings;
mod support;
mod threads;
