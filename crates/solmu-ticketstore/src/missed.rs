//! The guard of answers: nobody answers what they have not read.
//!
//! It looks under the ticket's row lock, so of two agents who have seen the same and answer at the same moment exactly
//! one goes through. A warning in the console alone would leave a gap as long as it takes to write.

use solmu_bus::envelope::to_proto_time;
use solmu_db::SqlTimestamp;
use solmu_proto::{
    ticket::v1::{MessageFact, MissedMessages},
    types::v1::{Actor, AutomaticClass},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::TicketError,
    model::{Ticket, small},
    row::AUTHOR,
};

/// Missed messages that are named at most.
const NAMED: i64 = 20;

struct Row {
    id: Uuid,
    sequence: i64,
    author_kind: i16,
    author_id: String,
    automatic_class: i16,
    channel: i16,
    created_at: SqlTimestamp,
    total: i64,
}
solmu_db::from_row!(Row {
    id,
    sequence,
    author_kind,
    author_id,
    automatic_class,
    channel,
    created_at,
    total
});

/// Fails if somebody else has written a public message after the `seen`th. The ticket is locked. What the author wrote
/// themselves in another window does not count, nor does our own acknowledgement.
pub async fn check(
    tx: &mut PgConnection,
    ticket: &Ticket,
    seen: i64,
    author: &Actor,
) -> Result<(), TicketError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, sequence, author_kind, author_id, automatic_class, channel, created_at, count(*) OVER () AS total
         FROM tickets.message WHERE ticket_id = $1 AND sequence > $2 AND public
            AND NOT (author_kind = $3 AND author_id = $4) AND NOT (author_id = $5 AND automatic_class = $6)
         ORDER BY sequence LIMIT $7",
    )
    .bind(ticket.id)
    .bind(seen)
    .bind(small(author.kind))
    .bind(&author.id)
    .bind(AUTHOR)
    .bind(small(AutomaticClass::AutoReply.into()))
    .bind(NAMED)
    .fetch_all(tx)
    .await?;
    let Some(total) = rows.first().map(|row| row.total) else {
        return Ok(());
    };
    let messages = rows.into_iter().map(|row| MessageFact {
        message_id: row.id.to_string(),
        author: Some(Actor {
            kind: row.author_kind.into(),
            id: row.author_id,
        }),
        public: true,
        automatic_class: row.automatic_class.into(),
        create_time: Some(to_proto_time(row.created_at.to_jiff())),
        sequence: row.sequence,
        channel: row.channel.into(),
        ..MessageFact::default()
    });
    Err(TicketError::NewerMessages(Box::new(MissedMessages {
        messages: messages.collect(),
        total,
        last_sequence: ticket.message_count,
    })))
}
