//! The ticket service on the real engines: messages, decisions and calls in, tickets and events out.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod acknowledge;
mod activity;
mod agent_mail;
mod answers;
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
mod escalations;
mod experts;
mod fields;
mod file;
mod guard;
mod hierarchy;
mod links;
mod lists;
mod loops;
mod matters;
mod matters_order;
mod merge_model;
mod merges;
mod odd;
mod orders;
mod parties;
mod quarantine;
mod repeats;
mod replicas;
mod restricted;
mod search;
mod siblings;
mod substatuses;
mod support;
mod threads;
mod update;
mod work;
