//! Links of a ticket, seen from its side.

use solmu_proto::ticket::v1::TicketLink;
use solmu_runtime::{ApiError, access::Visibility};
use sqlx::PgPool;
use uuid::Uuid;

use crate::links::seen;

/// How many links a ticket shows, newest first: anybody can write a ticket's number into any number of mails.
pub(crate) const MAX_LINKS: i64 = 100;

/// The newest links of `ticket`, whichever side they were noted on. Of a restricted ticket that the caller does not see,
/// only that there is a link.
pub(crate) async fn of(
    pool: &PgPool,
    ticket: Uuid,
    visibility: &Visibility,
) -> Result<Vec<TicketLink>, ApiError> {
    let rows: Vec<(Uuid, i64, String, bool, bool)> = sqlx::query_as(
        "SELECT other.id, other.number, link.kind, link.from_other,
            $3::uuid[] IS NOT NULL AND other.restricted_to IS NOT NULL AND NOT other.restricted_to && $3 FROM (
            SELECT other_id AS id, kind, false AS from_other, created_at FROM tickets.ticket_link WHERE ticket_id = $1
            UNION ALL
            SELECT ticket_id, kind, kind NOT IN ('same_thread', 'related'), created_at FROM tickets.ticket_link
                WHERE other_id = $1
         ) AS link JOIN tickets.ticket AS other ON other.id = link.id
         GROUP BY other.id, other.number, other.restricted_to, link.kind, link.from_other
         ORDER BY max(link.created_at) DESC, other.number DESC, link.kind, link.from_other LIMIT $2",
    )
    .bind(ticket)
    .bind(MAX_LINKS)
    .bind(visibility.sight_binds().names)
    .fetch_all(pool)
    .await
    .map_err(solmu_db::DbError::from)?;
    let links = rows
        .into_iter()
        .map(|(other, number, kind, from_other, restricted)| TicketLink {
            ticket_id: if restricted {
                String::new()
            } else {
                other.to_string()
            },
            ticket_number: if restricted { 0 } else { number },
            kind: seen(&kind, from_other).into(),
            restricted,
        });
    Ok(links.collect())
}
