//! Tests of the connectors: reading, webhooks on the real bus, sending against a fake vendor, and others' samples.

mod fixtures;
mod sending;
mod telegram;
mod webhooks;
mod whatsapp;
