//! One matter, one ticket: a message that is about the same as an open ticket of its writer and does not answer it.
//!
//! A message that answers nothing known would open a ticket. Before it does, it is compared with the few open tickets of
//! its contact ([`find`]): first of all with those that came on another channel. It joins one of them only if the same requester wrote both and
//! proved it: a stranger who types somebody's address and quotes their order would otherwise be answered in their place.
//! Everything weaker opens its ticket as ever, and the pair waits for somebody to decide ([`decide`]).
//!
//! The conversation of what joined is kept beside the ticket, so that an answer goes where the requester wrote last
//! (`recipient`), and so that it can be split out whole (`merge`).

mod cuts;
pub mod decide;
mod find;
pub mod list;

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use solmu_domain::ids::new_uuid;
use solmu_matter::Likeness;
use solmu_proto::ticket::v1 as proto;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    context::Context,
    error::TicketError,
    ways::{JOINED, Way},
};

pub(crate) use cuts::cuts;
pub use find::CANDIDATES;
pub(crate) use find::find;

/// States of a row, as they are stored.
const PROPOSED: i16 = 2;
const DISMISSED: i16 = 4;

/// The ticket that a message is about, and what is done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) ticket: Uuid,
    pub(crate) likeness: Likeness,
    /// The same requester wrote both, and proved it.
    pub(crate) proven: bool,
    /// It joins; otherwise somebody is asked.
    pub(crate) joins: bool,
    /// The ticket is restricted: whoever does not see it must not learn that it is there.
    pub(crate) restricted: bool,
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

    /// As events and the log of the ticket tell of it. A restricted ticket is not named on another one: who sees both
    /// finds it by the id of the pair.
    pub(crate) fn told(&self) -> proto::SameMatter {
        let hidden = self.finding.restricted && self.opened.is_some();
        let ticket = self.finding.ticket.to_string();
        proto::SameMatter {
            ticket_id: if hidden { String::new() } else { ticket },
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
