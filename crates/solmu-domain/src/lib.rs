//! The words of the field as types: ids, clock, values, state machines, SLA arithmetic.
//!
//! No IO and no async, so that every rule here can be tested by tables and properties, and every service can share
//! it without depending on another service.

pub mod clock;
pub mod contact;
pub mod ids;
pub mod rng;
pub mod signed;
pub mod sla;
pub mod ticket;
