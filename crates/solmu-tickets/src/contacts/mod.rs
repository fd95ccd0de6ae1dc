//! Contacts: who is one person, and what is known of them.
//!
//! A contact row is never moved and never deleted. Identities, tickets and messages stay with the contact that they came
//! to; that two contacts are one person is a row of its own ([`graph`]), made by hand or by the resolver of
//! `solmu-identity` ([`linker`]), and `root_id` says who stands for whom while it holds. So taking a merge back moves
//! nothing: what came in between stands where it came to. Rewriting the tickets of the loser was rejected: it cannot be
//! taken back exactly.

pub(crate) mod attributes;
pub(crate) mod change;
pub(crate) mod encounters;
pub(crate) mod erase;
mod error;
pub(crate) mod export;
pub(crate) mod graph;
pub(crate) mod linker;
pub(crate) mod merging;
mod neighbours;
pub(crate) mod organizations;
#[cfg(test)]
mod plans;
pub(crate) mod read;
pub(crate) mod sighting;
pub(crate) mod suggestions;

pub(crate) use error::ContactError;

/// Longest reason or note that is kept, in bytes.
pub(crate) const MAX_REASON: usize = 1_000;
/// Longest name, in bytes.
pub(crate) const MAX_NAME: usize = 500;
