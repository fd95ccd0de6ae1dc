//! Tickets as people look for them: lists, filters, full text, saved views, streams of changes, and who sees what.
//!
//! Only the index of words is written here, and the views; everything else reads. Each list selects in its SQL what its
//! caller may see, and calls that name a ticket ask [`sight`] before their work. Only the parts of the ticket service
//! use it.

pub mod list;
pub mod search;
pub mod sight;
mod views;
pub mod watch;

pub(crate) use solmu_ticketstore::{attachments, calls, context, model, restrict, strangers};
