//! SQL of the schema `routing`. Free functions on a transaction; the leader's run in few statements per batch.

pub(crate) mod decision;
pub(crate) mod desk;
pub(crate) mod offer;
pub(crate) mod people;
pub(crate) mod queue;
pub(crate) mod removal;
pub(crate) mod rule;
pub(crate) mod ticket;
