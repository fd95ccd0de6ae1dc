//! Tickets as they are stored and told: the rows, their model, events, log and settings.
//!
//! What the parts of the ticket service stand on, so that they need not know each other: whoever files messages, whoever
//! works on tickets and whoever looks for them reads and writes tickets by these functions alone. Nothing here decides
//! what happens to a ticket, starts anything or answers a call. Only the parts of the ticket service use it.

pub mod activity;
pub mod attachments;
pub mod blocks;
pub mod calls;
pub mod catalogue;
pub mod change;
pub mod config;
pub mod context;
pub mod error;
pub mod events;
pub mod fields;
pub mod followers;
pub mod hierarchy;
pub mod keys;
pub mod looked;
pub mod metrics;
pub mod missed;
pub mod model;
pub mod quarantine;
pub mod reach;
pub mod recipient;
pub mod restrict;
pub mod row;
pub mod strangers;
pub mod ways;
mod wire;
