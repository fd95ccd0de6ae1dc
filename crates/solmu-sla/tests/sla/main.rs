//! The SLA service on the real engines: ticket events in, due times, warnings and breaches out.

mod api;
mod clocks;
mod contacts;
mod escalations;
mod later;
mod load;
mod manage;
mod moves;
mod support;
mod timers;
mod webhooks;
