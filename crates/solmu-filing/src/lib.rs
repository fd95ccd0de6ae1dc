//! Files messages: what arrives becomes a ticket or joins one, reports on what was sent find their messages, and tickets
//! become one or two.
//!
//! The heart of the ticket service, and a part of it: the service starts its loops and puts its calls before it. It knows
//! the rows of tickets, but neither the commands of people nor the calls.

pub mod agent_mail;
pub mod delivery;
mod experts;
pub mod file;
pub mod matters;

pub(crate) use solmu_ticketmerge as merge;
pub(crate) use solmu_ticketstore::{
    activity, attachments, blocks, change, config, context, error, events, fields, followers,
    hierarchy, keys, metrics, model, reach, recipient, restrict, row, ways,
};
