//! Writes by what later messages find their ticket, and which tickets have to do with each other.

use solmu_db::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::plan::Plan;
use crate::error::TicketError;

/// Adds thread keys and participants. A key that another replica added meanwhile means that the two batches met in
/// one conversation: this one is decided again.
pub(crate) async fn write_threads(
    tx: &mut PgConnection,
    plan: &Plan<'_>,
) -> Result<(), TicketError> {
    if !plan.keys.is_empty() {
        let mut keys: Vec<_> = plan.keys.iter().collect();
        keys.sort();
        let done = sqlx::query(
            "INSERT INTO tickets.thread_key (channel, account, key, ticket_id, named_by)
             SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::uuid[], $5::text[])
             ON CONFLICT (channel, account, key) DO NOTHING",
        )
        .bind(keys.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
        .bind(
            keys.iter()
                .map(|(key, _)| key.1.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            keys.iter()
                .map(|(key, _)| key.2.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(keys.iter().map(|(_, ticket)| *ticket).collect::<Vec<_>>())
        .bind(
            keys.iter()
                .map(|(key, _)| plan.named.get(key).map_or("", String::as_str))
                .collect::<Vec<_>>(),
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() != keys.len() as u64 {
            return Err(TicketError::race());
        }
    }
    if !plan.moved_keys.is_empty() {
        let moved = &plan.moved_keys;
        sqlx::query(
            "UPDATE tickets.thread_key AS thread SET ticket_id = moved.ticket_id, named_by = ''
             FROM unnest($1::smallint[], $2::text[], $3::text[], $4::uuid[]) AS moved (channel, account, key, ticket_id)
             WHERE thread.channel = moved.channel AND thread.account = moved.account AND thread.key = moved.key",
        )
        .bind(moved.iter().map(|(key, _)| key.0).collect::<Vec<_>>())
        .bind(moved.iter().map(|(key, _)| key.1.as_str()).collect::<Vec<_>>())
        .bind(moved.iter().map(|(key, _)| key.2.as_str()).collect::<Vec<_>>())
        .bind(moved.iter().map(|(_, ticket)| *ticket).collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
    }
    write_claims(tx, plan).await?;
    write_links(tx, plan).await?;
    if !plan.participants.is_empty() {
        sqlx::query(
            "INSERT INTO tickets.participant (ticket_id, address) SELECT * FROM unnest($1::uuid[], $2::text[])
             ON CONFLICT DO NOTHING",
        )
        .bind(plan.participants.iter().map(|(ticket, _)| *ticket).collect::<Vec<Uuid>>())
        .bind(plan.participants.iter().map(|(_, address)| address.as_str()).collect::<Vec<_>>())
        .execute(tx)
        .await?;
    }
    Ok(())
}

/// Adds claims. One that another replica added meanwhile means that the two batches met, as above.
async fn write_claims(tx: &mut PgConnection, plan: &Plan<'_>) -> Result<(), TicketError> {
    if plan.claims.is_empty() {
        return Ok(());
    }
    let mut claims: Vec<_> = plan.claims.iter().collect();
    claims.sort();
    let done = sqlx::query(
        "INSERT INTO tickets.thread_claim (channel, account, key, party, ticket_id)
         SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::uuid[])
         ON CONFLICT (channel, account, key, party) DO NOTHING",
    )
    .bind(claims.iter().map(|((key, _), _)| key.0).collect::<Vec<_>>())
    .bind(
        claims
            .iter()
            .map(|((key, _), _)| key.1.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        claims
            .iter()
            .map(|((key, _), _)| key.2.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        claims
            .iter()
            .map(|((_, party), _)| party.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(claims.iter().map(|(_, ticket)| *ticket).collect::<Vec<_>>())
    .execute(tx)
    .await?;
    if done.rows_affected() == claims.len() as u64 {
        Ok(())
    } else {
        Err(TicketError::race())
    }
}

async fn write_links(tx: &mut PgConnection, plan: &Plan<'_>) -> Result<(), TicketError> {
    if plan.links.is_empty() {
        return Ok(());
    }
    let links = &plan.links;
    sqlx::query(
        "INSERT INTO tickets.ticket_link (ticket_id, other_id, kind, created_at)
         SELECT *, $4 FROM unnest($1::uuid[], $2::uuid[], $3::text[]) ON CONFLICT DO NOTHING",
    )
    .bind(links.iter().map(|link| link.ticket).collect::<Vec<_>>())
    .bind(links.iter().map(|link| link.other).collect::<Vec<_>>())
    .bind(
        links
            .iter()
            .map(|link| link.kind.name())
            .collect::<Vec<_>>(),
    )
    .bind(plan.now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}
