//! The router's thinking, without any IO: what is known, what waits, who gets it, and why.
//!
//! [`state::State`] learns from events, routes by rules and matches tickets with agents. It says afterwards what has
//! to be stored. So the engine, a property test and a later simulation decide alike.

#[cfg(test)]
mod absent_tests;
pub(crate) mod answers;
#[cfg(test)]
mod care_tests;
mod chores;
pub(crate) mod decision;
pub(crate) mod desk;
pub(crate) mod event;
mod hours;
pub(crate) mod matching;
#[cfg(test)]
mod matching_tests;
pub(crate) mod offers;
#[cfg(test)]
mod properties_tests;
mod restricted;
mod rule_facts;
pub(crate) mod rule_index;
pub(crate) mod rules;
pub(crate) mod state;
#[cfg(test)]
mod state_tests;
#[cfg(test)]
mod stranded_tests;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod ticket;
pub(crate) mod waits;

pub(crate) use solmu_roster::care;
