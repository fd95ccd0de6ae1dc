//! One matter, one ticket: a message on another channel that is about the same as an open ticket of its writer.
//!
//! A message that answers nothing known would open a ticket. Before it does, it is compared with the few open tickets of
//! its contact that came on another channel ([`find`]). It joins one of them only if the same requester wrote both and
//! proved it: a stranger who types somebody's address and quotes their order would otherwise be answered in their place.
//! Everything weaker opens its ticket as ever, and the pair waits for somebody to decide ([`decide`]).
//!
//! The conversation of what joined is kept beside the ticket, so that an answer goes where the requester wrote last
//! (`recipient`), and so that it can be split out whole (`merge`).

mod config;
mod decide;
mod find;
mod list;
pub(crate) mod service;

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_domain::ids::new_uuid;
use solmu_matter::Likeness;
use solmu_proto::ticket::v1 as proto;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{context::Context, error::TicketError};

pub use config::{Matter, MatterPolicy};
pub(crate) use find::{cuts, find};

/// States of a row, as they are stored.
pub(crate) const JOINED: i16 = 1;
const PROPOSED: i16 = 2;
pub(crate) const ACCEPTED: i16 = 3;
const DISMISSED: i16 = 4;
pub(crate) const SPLIT: i16 = 5;

/// The ticket that a message is about, and what is done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) ticket: Uuid,
    pub(crate) likeness: Likeness,
    /// The same requester wrote both, and proved it.
    pub(crate) proven: bool,
    /// It joins; otherwise somebody is asked.
    pub(crate) joins: bool,
}

/// A finding, to be written.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) id: Uuid,
    pub(crate) finding: Finding,
    pub(crate) message: Uuid,
    /// The ticket that the message opened.
    pub(crate) opened: Option<Uuid>,
    pub(crate) way: Way,
}

/// A conversation by which a requester can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) contact_id: Uuid,
    pub(crate) channel: i16,
    pub(crate) account: String,
    pub(crate) address: String,
    pub(crate) conversation_key: String,
    pub(crate) recipient: String,
}
solmu_db::from_row!(Way {
    contact_id,
    channel,
    account,
    address,
    conversation_key,
    recipient
});

impl Found {
    pub(crate) fn new(context: &Context, finding: Finding, message: Uuid, way: Way) -> Self {
        Self {
            id: new_uuid(context.clock.as_ref(), context.rng.as_ref()),
            finding,
            message,
            opened: None,
            way,
        }
    }

    /// As events tell of it.
    pub(crate) fn told(&self) -> proto::SameMatter {
        proto::SameMatter {
            ticket_id: self.finding.ticket.to_string(),
            ground: self.finding.likeness.ground.name().to_owned(),
            score: self.finding.likeness.score.into(),
            proven: self.finding.proven,
            matter_id: self.id.to_string(),
        }
    }
}

/// Writes what was found.
pub(crate) async fn write(
    tx: &mut PgConnection,
    found: &[&Found],
    now: Timestamp,
) -> Result<(), TicketError> {
    for it in found {
        let (finding, way) = (&it.finding, &it.way);
        sqlx::query(
            "INSERT INTO tickets.matter (id, state, message_id, ticket_id, opened_id, ground, score, proven, reference,
                contact_id, channel, account, address, conversation_key, recipient, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
             ON CONFLICT (message_id, ticket_id) DO NOTHING",
        )
        .bind(it.id)
        .bind(if it.opened.is_some() { PROPOSED } else { JOINED })
        .bind(it.message)
        .bind(finding.ticket)
        .bind(it.opened)
        .bind(finding.likeness.ground.name())
        .bind(i16::from(finding.likeness.score))
        .bind(finding.proven)
        .bind(&finding.likeness.reference)
        .bind(way.contact_id)
        .bind(way.channel)
        .bind(&way.account)
        .bind(&way.address)
        .bind(&way.conversation_key)
        .bind(&way.recipient)
        .bind(now.to_sqlx())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// The conversations that joined `ticket` and are still on it; with `proven` only those whose requester proved to be the
/// ticket's. Proof for a ticket that became part of another customer's is none for that one.
pub(crate) async fn ways(
    tx: &mut PgConnection,
    ticket: Uuid,
    proven: bool,
) -> Result<Vec<Way>, TicketError> {
    let found = sqlx::query_as(
        "SELECT DISTINCT matter.contact_id, matter.channel, matter.account, matter.address, matter.conversation_key,
            matter.recipient
         FROM tickets.message AS joined JOIN tickets.matter ON matter.message_id = joined.id
         WHERE joined.ticket_id = $1 AND matter.state = ANY($2) AND (NOT $3 OR matter.proven
            AND (SELECT contact_id FROM tickets.ticket WHERE id = matter.ticket_id)
              = (SELECT contact_id FROM tickets.ticket WHERE id = $1))
         ORDER BY matter.channel, matter.account, matter.address, matter.conversation_key, matter.contact_id",
    )
    .bind(ticket)
    .bind([JOINED, ACCEPTED])
    .bind(proven)
    .fetch_all(tx)
    .await?;
    Ok(found)
}
