//! The rows of links, and what a link shows.

use jiff::{SignedDuration, Timestamp};
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::{
    ids::{AgentId, TeamId},
    ticket::Status,
};
use solmu_proto::types::v1::actor::Kind;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::shown::Message;

/// Messages that a page shows, the newest.
const MAX_MESSAGES: usize = 200;
/// How long links are remembered after they have expired.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 90);
/// Old links that the making of a new one forgets.
const FORGET: i64 = 100;

/// A link.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Link {
    pub(crate) id: Uuid,
    pub(crate) ticket_id: Uuid,
    pub(crate) created_by: String,
    pub(crate) created_at: SqlTimestamp,
    pub(crate) expires_at: SqlTimestamp,
    pub(crate) revoked_at: Option<SqlTimestamp>,
    pub(crate) revoked_by: String,
}
solmu_db::from_row!(Link {
    id,
    ticket_id,
    created_by,
    created_at,
    expires_at,
    revoked_at,
    revoked_by
});

macro_rules! columns {
    () => {
        "id, ticket_id, created_by, created_at, expires_at, revoked_at, revoked_by"
    };
}

/// What decides whether a caller sees a ticket, and whether it may have links.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: Uuid,
    pub(crate) contact_id: Uuid,
    pub(crate) team: Option<TeamId>,
    pub(crate) assignee: Option<AgentId>,
    pub(crate) restricted_to: Option<Vec<Uuid>>,
    pub(crate) is_merged: bool,
}

type TicketRow = (
    Uuid,
    Uuid,
    Option<Uuid>,
    Option<Uuid>,
    Option<Vec<Uuid>>,
    bool,
);

/// A ticket by id or by number.
pub(crate) async fn ticket(
    pool: &PgPool,
    id: Option<Uuid>,
    number: Option<i64>,
) -> Result<Option<Ticket>, DbError> {
    let row: Option<TicketRow> = sqlx::query_as(
        "SELECT id, contact_id, team_id, assignee_id, restricted_to, merged_into IS NOT NULL FROM tickets.ticket
         WHERE id = $1 OR number = $2",
    )
    .bind(id)
    .bind(number)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(
        |(id, contact_id, team, assignee, restricted_to, is_merged)| Ticket {
            id,
            contact_id,
            team: team.map(TeamId::from_uuid),
            assignee: assignee.map(AgentId::from_uuid),
            restricted_to,
            is_merged,
        },
    ))
}

/// A link that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct New {
    pub(crate) id: Uuid,
    pub(crate) ticket: Uuid,
    pub(crate) contact: Uuid,
    pub(crate) by: String,
    pub(crate) expires: Timestamp,
    pub(crate) request_id: Option<String>,
    pub(crate) max_links: i64,
}

/// Makes a link of a ticket that is locked, or finds the one of the same request, whose id is another one then. None if the
/// ticket has as many that work as it may have.
pub(crate) async fn insert(
    tx: &mut PgConnection,
    new: &New,
    now: Timestamp,
) -> Result<Option<Link>, DbError> {
    let known: Option<Link> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM tickets.public_link WHERE ticket_id = $1 AND request_id = $2"
    ))
    .bind(new.ticket)
    .bind(&new.request_id)
    .fetch_optional(&mut *tx)
    .await?;
    if known.is_some() {
        return Ok(known);
    }
    sqlx::query(
        "DELETE FROM tickets.public_link WHERE id IN (SELECT id FROM tickets.public_link WHERE expires_at < $1
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(now.saturating_sub(REMEMBERED).unwrap_or(Timestamp::MIN).to_sqlx())
    .bind(FORGET)
    .execute(&mut *tx)
    .await?;
    let live: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM tickets.public_link WHERE ticket_id = $1 AND revoked_at IS NULL AND expires_at > $2",
    )
    .bind(new.ticket)
    .bind(now.to_sqlx())
    .fetch_one(&mut *tx)
    .await?;
    if live >= new.max_links {
        return Ok(None);
    }
    let made: Link = sqlx::query_as(concat!(
        "INSERT INTO tickets.public_link (id, ticket_id, contact_id, created_by, created_at, expires_at, request_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ",
        columns!()
    ))
    .bind(new.id)
    .bind(new.ticket)
    .bind(new.contact)
    .bind(&new.by)
    .bind(now.to_sqlx())
    .bind(new.expires.to_sqlx())
    .bind(&new.request_id)
    .fetch_one(tx)
    .await?;
    Ok(Some(made))
}

/// Links of a ticket, newest first, after the one at `after`.
pub(crate) async fn list(
    pool: &PgPool,
    ticket: Uuid,
    after: Option<(i64, Uuid)>,
    limit: i64,
) -> Result<Vec<Link>, DbError> {
    let (at, id) = after.unwrap_or((i64::MAX, Uuid::max()));
    let at = Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX);
    let links = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM tickets.public_link WHERE ticket_id = $1 AND (created_at, id) < ($2, $3)
         ORDER BY created_at DESC, id DESC LIMIT $4"
    ))
    .bind(ticket)
    .bind(at.to_sqlx())
    .bind(id)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(links)
}

/// Ends one link of a locked ticket, or all of them. Says whether there is such a link, and which ended now.
pub(crate) async fn revoke(
    tx: &mut PgConnection,
    ticket: Uuid,
    link: Option<Uuid>,
    by: &str,
    now: Timestamp,
) -> Result<(bool, Vec<Link>), DbError> {
    let known = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM tickets.public_link WHERE ticket_id = $1 AND ($2::uuid IS NULL OR id = $2))",
    )
    .bind(ticket)
    .bind(link)
    .fetch_one(&mut *tx)
    .await?;
    let mut ended: Vec<Link> = sqlx::query_as(concat!(
        "UPDATE tickets.public_link SET revoked_at = $3, revoked_by = $4
         WHERE ticket_id = $1 AND ($2::uuid IS NULL OR id = $2) AND revoked_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(ticket)
    .bind(link)
    .bind(now.to_sqlx())
    .bind(by)
    .fetch_all(tx)
    .await?;
    ended.sort_by_key(|it| it.id);
    Ok((known, ended))
}

/// What a link shows.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) number: i64,
    pub(crate) subject: String,
    pub(crate) status: Status,
    pub(crate) opened: Timestamp,
    /// Of the requester; may be empty.
    pub(crate) time_zone: String,
    /// There are older messages.
    pub(crate) older: bool,
    /// Oldest first.
    pub(crate) messages: Vec<Message>,
}

struct TicketShown {
    id: Uuid,
    number: i64,
    subject: String,
    status: String,
    created_at: SqlTimestamp,
    time_zone: String,
    person: Uuid,
}
solmu_db::from_row!(TicketShown {
    id,
    number,
    subject,
    status,
    created_at,
    time_zone,
    person
});

struct MessageRow {
    author_kind: i16,
    author_name: String,
    own: bool,
    body_text: String,
    quote_offset: Option<i32>,
    signature_offset: Option<i32>,
    files: i32,
    created_at: SqlTimestamp,
}
solmu_db::from_row!(MessageRow {
    author_kind,
    author_name,
    own,
    body_text,
    quote_offset,
    signature_offset,
    files,
    created_at
});

/// What a link shows now: of the ticket that stands for its own one, while that is of the same person, and not
/// restricted on the way. None for everything that must not be shown, whatever the reason.
pub(crate) async fn shown(
    pool: &PgPool,
    link: Uuid,
    now: Timestamp,
) -> Result<Option<Shown>, DbError> {
    let found: Option<TicketShown> = sqlx::query_as(
        "WITH RECURSIVE link AS (
            SELECT ticket_id, contact_id FROM tickets.public_link
            WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2
         ), way AS (
            SELECT ticket.id, ticket.merged_into, ticket.restricted_to
            FROM link JOIN tickets.ticket ON ticket.id = link.ticket_id
            UNION SELECT next.id, next.merged_into, next.restricted_to
            FROM way JOIN tickets.ticket AS next ON next.id = way.merged_into
         )
         SELECT ticket.id, ticket.number, ticket.subject, ticket.status, ticket.created_at, person.time_zone,
            person.id AS person
         FROM way JOIN tickets.ticket ON ticket.id = way.id
         CROSS JOIN link
         JOIN tickets.contact AS mine ON mine.id = link.contact_id
         JOIN tickets.contact AS theirs ON theirs.id = ticket.contact_id
         JOIN tickets.contact AS person ON person.id = coalesce(mine.root_id, mine.id)
         WHERE way.merged_into IS NULL AND NOT EXISTS (SELECT 1 FROM way WHERE restricted_to IS NOT NULL)
            AND coalesce(theirs.root_id, theirs.id) = person.id AND person.erased_at IS NULL",
    )
    .bind(link)
    .bind(now.to_sqlx())
    .fetch_optional(pool)
    .await?;
    let Some(ticket) = found else {
        return Ok(None);
    };
    let mut rows = messages(pool, &ticket).await?;
    let older = rows.len() > MAX_MESSAGES;
    rows.truncate(MAX_MESSAGES);
    let messages = rows.into_iter().rev().map(|row| Message {
        author: Kind::try_from(i32::from(row.author_kind)).unwrap_or_default(),
        author_name: row.author_name,
        own: row.own,
        text: row.body_text,
        quote_offset: row.quote_offset,
        signature_offset: row.signature_offset,
        files: row.files,
        at: row.created_at.to_jiff(),
    });
    Ok(Some(Shown {
        number: ticket.number,
        subject: ticket.subject,
        // A release that knows more of them wrote it: the desk is at it.
        status: ticket.status.parse().unwrap_or(Status::Open),
        opened: ticket.created_at.to_jiff(),
        time_zone: ticket.time_zone,
        older,
        messages: messages.collect(),
    }))
}

/// Public messages, newest first, with one more than a page shows. What a merge brought from another person's ticket is
/// theirs, and what machines wrote may name anybody.
async fn messages(pool: &PgPool, ticket: &TicketShown) -> Result<Vec<MessageRow>, DbError> {
    let rows = sqlx::query_as(concat!(
        "WITH RECURSIVE family AS (
            SELECT $1::uuid AS id
            UNION SELECT source.id FROM family JOIN tickets.ticket AS source ON source.merged_into = family.id
         ), foreign_merge AS (
            SELECT merge.id FROM family
            JOIN tickets.ticket_merge AS merge ON merge.target_id = family.id AND merge.unmerged_at IS NULL
            JOIN tickets.ticket AS home ON home.id = merge.source_id
            JOIN tickets.contact AS whose ON whose.id = home.contact_id
            WHERE coalesce(whose.root_id, whose.id) <> $2
         )
         SELECT message.author_kind, message.author_name, message.body_text, message.quote_offset,
            message.signature_offset, jsonb_array_length(message.attachments) AS files, message.created_at,
            message.author_kind = $3 AND message.author_id = ANY(ARRAY(SELECT contact.id::text FROM tickets.contact
                WHERE contact.id = $2 OR contact.root_id = $2)) AS own
         FROM tickets.message
         WHERE message.ticket_id = $1 AND ",
        crate::public_message!(),
        " AND NOT EXISTS (SELECT 1 FROM foreign_merge JOIN tickets.merged_message AS moved
                ON moved.merge_id = foreign_merge.id WHERE moved.message_id = message.id)
         ORDER BY message.sequence DESC LIMIT $4"
    ))
    .bind(ticket.id)
    .bind(ticket.person)
    .bind(small(Kind::Customer.into()))
    .bind(i64::try_from(MAX_MESSAGES + 1).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// A code as the `smallint` that it is stored as.
fn small(code: i32) -> i16 {
    i16::try_from(code).unwrap_or(0)
}
