//! Agents who follow a ticket.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::TicketError;

/// Followers of one ticket.
pub const MAX_FOLLOWERS: i64 = 100;

/// Who follows a ticket, the longest first.
pub async fn of(tx: &mut PgConnection, ticket: Uuid) -> Result<Vec<Uuid>, TicketError> {
    let agents = sqlx::query_scalar(
        "SELECT agent_id FROM tickets.follower WHERE ticket_id = $1 ORDER BY created_at, agent_id LIMIT $2",
    )
    .bind(ticket)
    .bind(MAX_FOLLOWERS)
    .fetch_all(tx)
    .await?;
    Ok(agents)
}
