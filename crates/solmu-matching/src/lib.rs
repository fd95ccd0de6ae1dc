//! Who gets what waits: the pure core of routing.
//!
//! A [`Floor`] knows the agents, what they have, and what waits. Every change touches only what depends on it: tickets
//! that the same agents can take stand in one line, a line that found nobody is not asked again before somebody changes
//! who could take from it, and what changes by time alone (a skill that is no longer insisted on, another team that may
//! help) waits in an order of instants. So a decision costs the same with a hundred tickets and with a hundred thousand.
//!
//! The service `solmu-router` decides with it; `solmu route eval` and `match` put snapshots to it, `solmu route
//! simulate` replays a day in virtual time. No IO, no clock: instants are arguments.

mod bits;
mod choice;
mod estimate;
mod floor;
pub mod lines;
mod names;
mod numbers;
mod person;
mod policy;
mod repair;
mod round;
pub mod simulate;
pub mod snapshot;
mod stuck;
#[cfg(test)]
mod tests;
mod ticket;
mod waiting;
mod why;

pub use choice::{Considered, How};
pub use estimate::Estimate;
pub use floor::Floor;
pub use person::{Agent, Availability, Location};
pub use policy::{ChannelPolicy, Hold, Policy, Strategy, TeamPolicy, Turns};
pub use round::{Placement, Round};
pub use ticket::{Kind, Place, Ticket, Want};
pub use why::{Obstacle, Why};

/// An instant: microseconds since 1970, or since the beginning of a simulation.
pub type Micros = i64;

/// Microseconds of a second.
pub const SECOND: Micros = 1_000_000;
