//! The organisations of a ticket: those of its contact, when it is opened.

use std::collections::HashMap;

use solmu_domain::contact::Assurance;
use solmu_proto::types::v1::IdentityKind;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{error::TicketError, model::small};

/// The organisations of each contact, sorted: set by hand, or by the domain of a proven address; with those of the
/// contacts that are the same person.
pub async fn of_contacts(
    tx: &mut PgConnection,
    contacts: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Uuid>>, TicketError> {
    let mut all: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    if contacts.is_empty() {
        return Ok(all);
    }
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "WITH asked AS (SELECT id, coalesce(root_id, id) AS root FROM tickets.contact WHERE id = ANY($1)),
         person AS (
            SELECT asked.id AS asked, root.id, root.organization_id FROM asked
                JOIN tickets.contact AS root ON root.id = asked.root
            UNION ALL
            SELECT asked.id, other.id, other.organization_id FROM asked
                JOIN tickets.contact AS other ON other.root_id = asked.root)
         SELECT asked, organization_id FROM person WHERE organization_id IS NOT NULL
         UNION
         SELECT person.asked, known.organization_id FROM person
            JOIN tickets.identity ON identity.contact_id = person.id
            JOIN tickets.organization_domain AS known ON known.domain = substring(identity.value FROM '[^@]*$')
            WHERE identity.kind = $2 AND identity.scope = '' AND identity.assurance = $3
         ORDER BY 1, 2",
    )
    .bind(contacts)
    .bind(small(IdentityKind::Email.into()))
    .bind(Assurance::Proven.code())
    .fetch_all(tx)
    .await?;
    for (contact, organization) in rows {
        all.entry(contact).or_default().push(organization);
    }
    Ok(all)
}

/// One of `organizations` that does not exist.
pub async fn unknown(
    tx: &mut PgConnection,
    organizations: &[Uuid],
) -> Result<Option<Uuid>, TicketError> {
    let unknown = sqlx::query_scalar(
        "SELECT id FROM unnest($1::uuid[]) AS wanted (id)
         WHERE NOT EXISTS (SELECT 1 FROM tickets.organization WHERE organization.id = wanted.id) LIMIT 1",
    )
    .bind(organizations)
    .fetch_optional(tx)
    .await?;
    Ok(unknown)
}
