//! Contacts and organisations whose fields changed, on their way to the open tickets of theirs.

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::ids::TicketId;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{facts::TicketFacts, intake::OwnChange};

/// A change that has not reached every ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangeRow {
    pub(crate) id: i64,
    pub(crate) subject: Uuid,
    pub(crate) organization: bool,
    /// The last ticket that it has reached.
    pub(crate) after: Uuid,
    pub(crate) at: Timestamp,
}

/// Adds a change. One that has not begun is enough for all.
pub(crate) async fn change_insert(
    tx: &mut PgConnection,
    change: &OwnChange,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO sla.own_change (subject_id, organization, changed_at)
         SELECT DISTINCT id, $2, $3::timestamptz FROM unnest($1::uuid[]) AS it (id)
         WHERE NOT EXISTS (SELECT 1 FROM sla.own_change AS known WHERE known.subject_id = it.id
            AND known.organization = $2 AND known.after = '00000000-0000-0000-0000-000000000000')",
    )
    .bind(&change.ids)
    .bind(change.organizations)
    .bind(change.at.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// The oldest change.
pub(crate) async fn change_next(tx: &mut PgConnection) -> Result<Option<ChangeRow>, DbError> {
    let row: Option<(i64, Uuid, bool, Uuid, SqlTimestamp)> = sqlx::query_as(
        "SELECT id, subject_id, organization, after, changed_at FROM sla.own_change ORDER BY id LIMIT 1",
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|(id, subject, organization, after, at)| ChangeRow {
        id,
        subject,
        organization,
        after,
        at: at.to_jiff(),
    }))
}

/// The next open tickets that it concerns, with what policies look at.
pub(crate) async fn change_tickets(
    tx: &mut PgConnection,
    change: &ChangeRow,
    limit: u32,
) -> Result<Vec<(TicketId, TicketFacts)>, DbError> {
    let sql = if change.organization {
        "SELECT ticket_id, facts FROM sla.ticket_clock
         WHERE organization_ids @> ARRAY[$1] AND open AND organization_ids <> '{}' AND ticket_id > $2
            AND facts IS NOT NULL ORDER BY ticket_id LIMIT $3"
    } else {
        "SELECT ticket_id, facts FROM sla.ticket_clock
         WHERE contact_id = $1 AND open AND ticket_id > $2 AND facts IS NOT NULL ORDER BY ticket_id LIMIT $3"
    };
    let rows: Vec<(Uuid, Json<TicketFacts>)> = sqlx::query_as(sql)
        .bind(change.subject)
        .bind(change.after)
        .bind(i64::from(limit))
        .fetch_all(tx)
        .await?;
    let typed = |(id, Json(facts))| (TicketId::from_uuid(id), facts);
    Ok(rows.into_iter().map(typed).collect())
}

/// The change has reached all tickets up to `after`; None: it is done. False when somebody else was faster.
pub(crate) async fn change_advance(
    tx: &mut PgConnection,
    change: &ChangeRow,
    after: Option<TicketId>,
) -> Result<bool, DbError> {
    let query = match after {
        None => sqlx::query("DELETE FROM sla.own_change WHERE id = $1 AND after = $2")
            .bind(change.id)
            .bind(change.after),
        Some(after) => {
            sqlx::query("UPDATE sla.own_change SET after = $3 WHERE id = $1 AND after = $2")
                .bind(change.id)
                .bind(change.after)
                .bind(after.as_uuid())
        }
    };
    Ok(query.execute(tx).await?.rows_affected() == 1)
}
