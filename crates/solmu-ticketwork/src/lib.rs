//! What people and services do to tickets: answers and notes, changes of fields, sub-statuses, tasks, links, questions to
//! experts.
//!
//! Each command is one transaction with its events. Messages that come in are filed elsewhere, and neither knows the
//! other. Only the parts of the ticket service use it.

pub mod command;
pub mod edit;
pub mod experts;
pub mod links;
mod mentions;
pub mod substatus;
pub mod tasks;

pub(crate) use solmu_ticketstore::{
    activity, attachments, calls, change, context, error, events, fields, followers, hierarchy,
    looked, missed, model, recipient, restrict, row, strangers,
};
