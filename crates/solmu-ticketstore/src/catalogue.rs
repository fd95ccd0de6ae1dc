//! Tickets that were ordered from the service catalogue: where their requester, who wrote nothing, is answered.

use solmu_proto::types::v1::IdentityKind;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    error::TicketError,
    model::{Ticket, small},
};

/// What the conversation key of a ticket that was ordered begins with.
pub const BY_CATALOGUE: &str = "catalogue:";

/// The e-mail address of a person: the one that is proven best; empty if they have none.
pub async fn address_of(tx: &mut PgConnection, root: Uuid) -> Result<String, TicketError> {
    let found: Option<String> = sqlx::query_scalar(
        "SELECT identity.value FROM tickets.contact AS person
         JOIN tickets.identity ON identity.contact_id = person.id
         WHERE (person.id = $1 OR person.root_id = $1) AND identity.kind = $2 AND identity.scope = ''
         ORDER BY identity.undeliverable_at IS NOT NULL, identity.assurance DESC, identity.first_seen DESC,
            identity.value LIMIT 1",
    )
    .bind(root)
    .bind(small(IdentityKind::Email.into()))
    .fetch_optional(tx)
    .await?;
    Ok(found.unwrap_or_default())
}

/// Where an answer goes on a ticket that was ordered and on which its requester wrote nothing yet.
pub async fn address(
    tx: &mut PgConnection,
    ticket: &Ticket,
) -> Result<Option<String>, TicketError> {
    if !ticket.conversation_key.starts_with(BY_CATALOGUE) {
        return Ok(None);
    }
    let root: Uuid =
        sqlx::query_scalar("SELECT coalesce(root_id, id) FROM tickets.contact WHERE id = $1")
            .bind(ticket.contact_id)
            .fetch_one(&mut *tx)
            .await?;
    let address = address_of(tx, root).await?;
    Ok(Some(address).filter(|it| !it.is_empty()))
}
