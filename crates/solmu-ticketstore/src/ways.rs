//! Conversations on other channels that joined a ticket: the ways by which its requester can be answered.
//!
//! A message about the same matter joins with its conversation, whose rows are written where that is decided. Here they
//! are read, for whoever answers and for whoever splits one out again.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::TicketError;

/// State of a row whose message joined by itself.
pub const JOINED: i16 = 1;
/// State of a row whose proposal somebody accepted.
pub const ACCEPTED: i16 = 3;
/// State of a row whose message is on another ticket again.
pub const SPLIT: i16 = 5;

/// A conversation by which a requester can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Whose conversation it is.
    pub contact_id: Uuid,
    /// The channel, as it is stored.
    pub channel: i16,
    /// The account of the connector.
    pub account: String,
    /// Where they wrote from.
    pub address: String,
    /// The conversation, as its channel names it.
    pub conversation_key: String,
    /// The address of ours that they wrote to.
    pub recipient: String,
}
solmu_db::from_row!(Way {
    contact_id,
    channel,
    account,
    address,
    conversation_key,
    recipient
});

/// The conversations that joined `ticket` and are still on it; with `proven` only those whose requester proved to be the
/// ticket's. Proof for a ticket that became part of another customer's is none for that one.
pub async fn of(
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
