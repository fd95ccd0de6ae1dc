//! The rows of schema `sla`. Free functions on a transaction; batches are one statement each.

pub(crate) mod catalogue;
pub(crate) mod clocks;
pub(crate) mod contacts;
pub(crate) mod cycles;
pub(crate) mod edits;
pub(crate) mod erasure;
pub(crate) mod own_changes;
pub(crate) mod webhooks;
