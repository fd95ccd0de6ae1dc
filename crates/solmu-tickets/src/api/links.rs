//! Links of a ticket, seen from its side.

use solmu_proto::ticket::v1::{TicketLink, ticket_link::Kind};
use solmu_runtime::ApiError;
use sqlx::PgPool;
use uuid::Uuid;

/// How many links a ticket shows, newest first: anybody can write a ticket's number into any number of mails.
pub(crate) const MAX_LINKS: i64 = 100;

/// The newest links of `ticket`, whichever side they were noted on.
pub(crate) async fn of(pool: &PgPool, ticket: Uuid) -> Result<Vec<TicketLink>, ApiError> {
    let rows: Vec<(Uuid, i64, i32)> = sqlx::query_as(
        "SELECT other.id, other.number, link.kind FROM (
            SELECT other_id AS id, CASE kind WHEN 'mentions' THEN $2 WHEN 'split' THEN $6 ELSE $4 END AS kind, created_at
                FROM tickets.ticket_link WHERE ticket_id = $1
            UNION ALL
            SELECT ticket_id, CASE kind WHEN 'mentions' THEN $3 WHEN 'split' THEN $7 ELSE $4 END, created_at
                FROM tickets.ticket_link WHERE other_id = $1
         ) AS link JOIN tickets.ticket AS other ON other.id = link.id
         GROUP BY other.id, other.number, link.kind
         ORDER BY max(link.created_at) DESC, other.number DESC, link.kind LIMIT $5",
    )
    .bind(ticket)
    .bind(i32::from(Kind::Mentions))
    .bind(i32::from(Kind::MentionedBy))
    .bind(i32::from(Kind::SameThread))
    .bind(MAX_LINKS)
    .bind(i32::from(Kind::SplitFrom))
    .bind(i32::from(Kind::SplitInto))
    .fetch_all(pool)
    .await
    .map_err(solmu_db::DbError::from)?;
    let links = rows
        .into_iter()
        .map(|(other, ticket_number, kind)| TicketLink {
            ticket_id: other.to_string(),
            ticket_number,
            kind,
        });
    Ok(links.collect())
}
