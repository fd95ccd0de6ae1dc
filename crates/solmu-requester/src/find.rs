//! What is a requester's of the tickets, and what they see of it.
//!
//! A ticket is theirs if they wrote its first message, and proved it; or if somebody of the desk began it for a contact
//! whose only proven requester they are, and wrote to them. What merges brought from tickets that are not theirs stays
//! hidden. Whatever is restricted is shown to nobody outside.
//!
//! The requester is known by their sightings and never by contact: the contact is what agents see, and a merge of
//! contacts, or somebody who typed an address, must not move what is shown. So a merge that is taken back changes
//! nothing here that has to be found again.

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::ticket::Status;
use solmu_proto::types::v1::actor::Kind;
use solmu_publiclink::{public_message, shown};
use solmu_tickets::requesters::Reached;
use sqlx::PgConnection;
use uuid::Uuid;

/// The message named `message` came by a merge from another ticket than the one named so.
macro_rules! came_by_merge {
    ($ticket:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM tickets.merged_message AS brought
                JOIN tickets.ticket_merge AS bringing ON bringing.id = brought.merge_id AND bringing.unmerged_at IS NULL
                WHERE brought.message_id = message.id AND bringing.target_id = ",
            $ticket,
            ".id)"
        )
    };
}

/// The messages that left the ticket named so with its merge, if it became part of another one.
macro_rules! moved_away {
    ($ticket:literal) => {
        concat!(
            "tickets.ticket_merge AS leaving
                JOIN tickets.merged_message AS moved ON moved.merge_id = leaving.id
                JOIN tickets.message ON message.id = moved.message_id
                WHERE leaving.source_id = ",
            $ticket,
            ".id AND leaving.unmerged_at IS NULL"
        )
    };
}

/// Whether the ticket named so is the requester's. `$1`: their sightings, `$2`: contacts that are only theirs.
macro_rules! theirs {
    ($ticket:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM (
                (SELECT message.author_kind, message.sighting_id, message.sequence AS place FROM tickets.message
                 WHERE message.ticket_id = ", $ticket, ".id AND NOT ", came_by_merge!($ticket), "
                 ORDER BY message.sequence LIMIT 1)
                UNION ALL
                (SELECT message.author_kind, message.sighting_id, moved.sequence FROM ", moved_away!($ticket), "
                    AND NOT ", came_by_merge!($ticket), "
                 ORDER BY moved.sequence LIMIT 1)
                ORDER BY place LIMIT 1) AS first
             WHERE (first.author_kind = 1 AND first.sighting_id = ANY($1))
                OR (first.author_kind <> 1 AND ", $ticket, ".parent_id IS NULL AND ", $ticket, ".contact_id = ANY($2)
                    AND (EXISTS (SELECT 1 FROM tickets.message
                            WHERE message.ticket_id = ", $ticket, ".id AND message.author_kind <> 1 AND ", public_message!(), ")
                        OR EXISTS (SELECT 1 FROM ", moved_away!($ticket), " AND message.author_kind <> 1
                            AND ", public_message!(), "))))"
        )
    };
}

/// Whether the requester sees the message named `message` on a ticket of theirs.
macro_rules! seen {
    () => {
        concat!(
            public_message!(),
            " AND NOT EXISTS (SELECT 1 FROM tickets.merged_message AS came
                JOIN tickets.ticket_merge AS merge ON merge.id = came.merge_id AND merge.unmerged_at IS NULL
                JOIN tickets.ticket AS source ON source.id = merge.source_id
                WHERE came.message_id = message.id AND NOT ",
            theirs!("source"),
            ")"
        )
    };
}

/// What is told of the ticket named `ticket`.
macro_rules! columns {
    () => {
        concat!(
            "ticket.id, ticket.number, ticket.subject, ticket.status, ticket.contact_id, ticket.created_at,
             (SELECT max(message.created_at) FROM tickets.message
                WHERE message.ticket_id = ticket.id AND ",
            seen!(),
            ") AS last_message_at"
        )
    };
}

/// A page of tickets; these statements are public within the crate, so that a test can look at their plans.
pub(crate) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM tickets.ticket
     WHERE ticket.contact_id = ANY($3) AND ticket.merged_into IS NULL AND ticket.restricted_to IS NULL
        AND ($4 OR ticket.status NOT IN ('resolved', 'closed')) AND (ticket.created_at, ticket.id) < ($5, $6)
        AND ",
    theirs!("ticket"),
    " ORDER BY ticket.created_at DESC, ticket.id DESC LIMIT $7"
);

pub(crate) const ONE: &str = concat!(
    "WITH RECURSIVE way AS (
        SELECT id, merged_into FROM tickets.ticket WHERE id = $3
        UNION SELECT next.id, next.merged_into FROM way JOIN tickets.ticket AS next ON next.id = way.merged_into
     )
     SELECT ",
    columns!(),
    " FROM way JOIN tickets.ticket ON ticket.id = way.id
     WHERE way.merged_into IS NULL AND NOT EXISTS (
        SELECT 1 FROM way AS passed JOIN tickets.ticket AS step ON step.id = passed.id
        WHERE step.restricted_to IS NOT NULL OR NOT ",
    theirs!("step"),
    ")"
);

pub(crate) const MESSAGES: &str = concat!(
    "SELECT message.id, message.sequence, message.author_kind, message.author_name, message.body_text,
        message.quote_offset, message.signature_offset, jsonb_array_length(message.attachments) AS files,
        message.created_at, coalesce(message.author_kind = 1 AND message.sighting_id = ANY($1), false) AS own
     FROM tickets.message
     WHERE message.ticket_id = $3 AND message.sequence > $4 AND ",
    seen!(),
    " ORDER BY message.sequence LIMIT $5"
);

/// A ticket of theirs.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) id: Uuid,
    pub(crate) number: i64,
    pub(crate) subject: String,
    status: String,
    pub(crate) contact_id: Uuid,
    pub(crate) created_at: SqlTimestamp,
    pub(crate) last_message_at: Option<SqlTimestamp>,
}
solmu_db::from_row!(Ticket {
    id,
    number,
    subject,
    status,
    contact_id,
    created_at,
    last_message_at
});

impl Ticket {
    /// Where it stands.
    pub(crate) fn status(&self) -> Status {
        // One that this release does not know is in somebody's hands.
        self.status.parse().unwrap_or(Status::Open)
    }
}

/// A message that they see.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(crate) sequence: i64,
    pub(crate) shown: shown::Message,
}

struct MessageRow {
    id: Uuid,
    sequence: i64,
    author_kind: i16,
    author_name: String,
    body_text: String,
    quote_offset: Option<i32>,
    signature_offset: Option<i32>,
    files: i32,
    created_at: SqlTimestamp,
    own: bool,
}
solmu_db::from_row!(MessageRow {
    id,
    sequence,
    author_kind,
    author_name,
    body_text,
    quote_offset,
    signature_offset,
    files,
    created_at,
    own
});

impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id,
            sequence: row.sequence,
            shown: shown::Message {
                author: Kind::try_from(i32::from(row.author_kind)).unwrap_or_default(),
                author_name: row.author_name,
                own: row.own,
                text: row.body_text,
                quote_offset: row.quote_offset,
                signature_offset: row.signature_offset,
                files: row.files,
                at: row.created_at.to_jiff(),
            },
        }
    }
}

fn list_of(ids: &std::collections::BTreeSet<Uuid>) -> Vec<Uuid> {
    ids.iter().copied().collect()
}

/// Their tickets, newest first, after the one at `after`: all, or the open ones.
pub(crate) async fn tickets(
    connection: &mut PgConnection,
    reached: &Reached,
    all: bool,
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Ticket>, DbError> {
    if reached.contacts.is_empty() {
        return Ok(Vec::new());
    }
    let (at, id) = after.unwrap_or((i64::MAX, Uuid::max()));
    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX);
    let tickets = sqlx::query_as(LIST)
        .bind(list_of(&reached.sightings))
        .bind(list_of(&reached.sole))
        .bind(list_of(&reached.contacts))
        .bind(all)
        .bind(at.to_sqlx())
        .bind(id)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(tickets)
}

/// The ticket that stands for `id`, if it and all on the way are theirs.
pub(crate) async fn ticket(
    connection: &mut PgConnection,
    reached: &Reached,
    id: Uuid,
) -> Result<Option<Ticket>, DbError> {
    if reached.contacts.is_empty() {
        return Ok(None);
    }
    let ticket = sqlx::query_as(ONE)
        .bind(list_of(&reached.sightings))
        .bind(list_of(&reached.sole))
        .bind(id)
        .fetch_optional(connection)
        .await?;
    Ok(ticket)
}

/// What they see on a ticket of theirs, oldest first, after the message at `after`.
pub(crate) async fn messages(
    connection: &mut PgConnection,
    reached: &Reached,
    ticket: Uuid,
    after: i64,
    limit: i64,
) -> Result<Vec<Message>, DbError> {
    let rows: Vec<MessageRow> = sqlx::query_as(MESSAGES)
        .bind(list_of(&reached.sightings))
        .bind(list_of(&reached.sole))
        .bind(ticket)
        .bind(after)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Whether somebody of these contacts is blocked, or stands for one who is.
pub(crate) async fn is_blocked(
    connection: &mut PgConnection,
    reached: &Reached,
) -> Result<bool, DbError> {
    let blocked = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tickets.contact AS own
            JOIN tickets.contact AS root ON root.id = coalesce(own.root_id, own.id)
            WHERE own.id = ANY($1) AND (own.blocked_at IS NOT NULL OR root.blocked_at IS NOT NULL))",
    )
    .bind(list_of(&reached.contacts))
    .fetch_one(connection)
    .await?;
    Ok(blocked)
}

/// The ticket that a message is on, once it is filed.
pub(crate) async fn ticket_of(
    connection: &mut PgConnection,
    message: Uuid,
) -> Result<Option<Uuid>, DbError> {
    let ticket = sqlx::query_scalar("SELECT ticket_id FROM tickets.message WHERE id = $1")
        .bind(message)
        .fetch_optional(connection)
        .await?;
    Ok(ticket)
}
