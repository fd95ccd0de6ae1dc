//! The roster of routing: teams, agents and rules as people set them up.
//!
//! What requests say is checked here ([`parse`]), stored ([`store`]) and shown again ([`convert`]). It is the part of
//! the router that has no clock and decides nothing: the router above it reads these rows, keeps them in memory and
//! gives tickets to people. So a new field of a rule, a team or an agent begins here, and the engine compiles alone.

pub mod care;
pub mod convert;
pub mod parse;
pub mod presence;
mod priority_name;
pub mod rule;
pub mod store;
