//! Contacts: who is one person, and what is known of them.
//!
//! A library of the ticket service: it keeps its tables in the schema `tickets`, and filing writes contacts in the
//! transaction of the message that brought them ([`filing`]). It knows tickets and messages only as rows that belong to
//! a contact: to show, to export and to erase them.
//!
//! A contact row is never moved and never deleted. Identities, tickets and messages stay with the contact that they came
//! to; that two contacts are one person is a row of its own (`graph`), made by hand or by the resolver of
//! `solmu-identity` (`linker`), and `root_id` says who stands for whom while it holds. So taking a merge back moves
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

mod api;
mod attributes;
mod calls;
mod change;
mod condition_values;
mod context;
mod encounters;
mod erase;
mod error;
mod export;
pub mod filing;
mod graph;
mod inventory;
mod linker;
mod list;
mod merging;
mod neighbours;
pub mod objects;
mod organizations;
#[cfg(test)]
mod plans;
mod read;
pub mod requesters;
mod resolve;
mod sighting;
mod suggestions;

use std::sync::Arc;

use solmu_proto::{
    contact::v1::contact_service_server::ContactServiceServer,
    types::v1::{Actor, actor::Kind},
};
use solmu_runtime::{Parts, Runtime};
use tonic::service::Routes;

pub use context::Limits;

use crate::{api::Contacts, context::Context, error::ContactError};

/// Longest reason or note that is kept, in bytes.
const MAX_REASON: usize = 1_000;
/// Longest name, in bytes.
const MAX_NAME: usize = 500;

/// Starts what looks after contacts and returns `ContactService`.
pub fn start(runtime: &Runtime, limits: Limits) -> Parts {
    let context = Arc::new(Context::new(runtime, limits));
    runtime.spawn(
        "tickets.contacts",
        linker::run(context.clone(), runtime.shutdown.drain.clone()),
    );
    Parts {
        grpc: Some(Routes::new(ContactServiceServer::new(Contacts { context }))),
        http: None,
    }
}

/// An actor on the wire.
fn actor(kind: Kind, id: impl Into<String>) -> Actor {
    Actor {
        kind: kind.into(),
        id: id.into(),
    }
}

/// A small number as the `smallint` that it is stored as.
fn small(code: i32) -> i16 {
    i16::try_from(code).unwrap_or(0)
}
