//! Contacts: who is one person, and what is known of them.
//!
//! A contact row is never moved and never deleted. Identities, tickets and messages stay with the contact that they came
//! to; that two contacts are one person is a row of its own ([`graph`]), made by hand or by the resolver of
//! `solmu-identity` ([`linker`]), and `root_id` says who stands for whom while it holds. So taking a merge back moves
//! nothing: what came in between stands where it came to. Rewriting the tickets of the loser was rejected: it cannot be
//! taken back exactly.

/// Messages that merges moved from or to tickets of the contacts `$1`, each with the contact whose ticket it was on first.
macro_rules! home {
    () => {
        "concerned AS (
            SELECT merge.id, merge.source_id, merge.merged_at FROM tickets.ticket
            JOIN tickets.ticket_merge AS merge ON merge.source_id = ticket.id AND merge.unmerged_at IS NULL
            WHERE ticket.contact_id = ANY($1)
            UNION SELECT merge.id, merge.source_id, merge.merged_at FROM tickets.ticket
            JOIN tickets.ticket_merge AS merge ON merge.target_id = ticket.id AND merge.unmerged_at IS NULL
            WHERE ticket.contact_id = ANY($1)),
        home AS (SELECT DISTINCT ON (moved.message_id) moved.message_id, source.contact_id
            FROM concerned AS merge
            JOIN tickets.merged_message AS moved ON moved.merge_id = merge.id
            JOIN tickets.ticket AS source ON source.id = merge.source_id
            ORDER BY moved.message_id, merge.merged_at, merge.id)"
    };
}
use home;

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
