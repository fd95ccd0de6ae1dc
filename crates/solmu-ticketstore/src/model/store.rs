//! Locks and writes tickets.

use jiff::Timestamp;
use solmu_db::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{COLUMNS, Row, Ticket};
use crate::error::TicketError;

/// Locks tickets in order of id, so that two transactions never wait for each other in a ring.
pub async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Ticket>, TicketError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let sql =
        format!("SELECT {COLUMNS} FROM tickets.ticket WHERE id = ANY($1) ORDER BY id FOR UPDATE");
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(ids)
        .fetch_all(tx)
        .await?;
    rows.into_iter().map(Ticket::try_from).collect()
}

/// Writes every changed ticket in one statement. When it was over follows from its status before and after, so that no
/// way of resolving, closing or reopening can forget it.
pub async fn update(tx: &mut PgConnection, tickets: &[&Ticket]) -> Result<(), TicketError> {
    if tickets.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        (|$it:ident| $value:expr) => {
            tickets.iter().map(|$it| $value).collect::<Vec<_>>()
        };
    }
    let time = |at: Option<Timestamp>| at.map(solmu_db::ToSqlx::to_sqlx);
    sqlx::query(
        "UPDATE tickets.ticket AS ticket SET
            status = new.status, priority = new.priority, team_id = new.team_id, assignee_id = new.assignee_id,
            assign_reason = new.assign_reason, tags = string_to_array(new.tags, E'\\x1f'),
            updated_at = new.updated_at, close_at = new.close_at, first_response_due = new.first_response_due,
            next_response_due = new.next_response_due, resolution_due = new.resolution_due, breached = new.breached,
            version = new.version, routing_version = new.routing_version, sla_version = new.sla_version,
            message_count = new.message_count, channels = new.channels, next_ticket_id = new.next_ticket_id,
            sla_decided_at = new.sla_decided_at, merged_into = new.merged_into, moved_away = new.moved_away,
            touched = new.touched, subject = new.subject, category = new.category,
            organization_ids = coalesce(string_to_array(nullif(new.organizations, ''), ','), '{}')::uuid[],
            fields = new.fields::jsonb, parent_id = new.parent_id, snoozed = new.snoozed, wake_at = new.wake_at,
            substatus = new.substatus,
            resolved_at = CASE WHEN new.status NOT IN ('resolved', 'closed') THEN NULL
                WHEN new.status = 'resolved' AND ticket.status NOT IN ('resolved', 'closed') THEN new.updated_at
                ELSE coalesce(ticket.resolved_at, new.updated_at) END,
            closed_at = CASE WHEN new.status = 'closed' THEN coalesce(ticket.closed_at, new.updated_at) END
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
            $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
            $13::boolean[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::integer[], $19::uuid[],
            $20::timestamptz[], $21::uuid[], $22::bigint[], $23::boolean[], $24::text[], $25::text[], $26::text[], $27::text[],
            $28::uuid[], $29::boolean[], $30::timestamptz[], $31::text[])
            AS new (id, status, priority, team_id, assignee_id, assign_reason, tags, updated_at, close_at,
            first_response_due, next_response_due, resolution_due, breached, version, routing_version, sla_version,
            message_count, channels, next_ticket_id, sla_decided_at, merged_into, moved_away, touched, subject,
            category, organizations, fields, parent_id, snoozed, wake_at, substatus)
         WHERE ticket.id = new.id",
    )
    .bind(column!(|it| it.id))
    .bind(column!(|it| it.status.name()))
    .bind(column!(|it| it.priority.name()))
    .bind(column!(|it| it.team_id))
    .bind(column!(|it| it.assignee_id))
    .bind(column!(|it| it.assign_reason.as_str()))
    .bind(column!(|it| it.tags.join("\u{1f}")))
    .bind(column!(|it| it.updated_at.to_sqlx()))
    .bind(column!(|it| time(it.close_at)))
    .bind(column!(|it| time(it.first_response_due)))
    .bind(column!(|it| time(it.next_response_due)))
    .bind(column!(|it| time(it.resolution_due)))
    .bind(column!(|it| it.breached))
    .bind(column!(|it| it.version))
    .bind(column!(|it| it.routing_version))
    .bind(column!(|it| it.sla_version))
    .bind(column!(|it| it.message_count))
    .bind(column!(|it| it.channels))
    .bind(column!(|it| it.next_ticket_id))
    .bind(column!(|it| time(it.sla_decided_at)))
    .bind(column!(|it| it.merged_into))
    .bind(column!(|it| it.moved_away))
    .bind(column!(|it| it.touched))
    .bind(column!(|it| it.subject.as_str()))
    .bind(column!(|it| it.category.as_str()))
    .bind(column!(|it| it.organization_texts().join(",")))
    .bind(column!(|it| serde_json::json!(it.fields).to_string()))
    .bind(column!(|it| it.parent_id))
    .bind(column!(|it| it.sleeps().is_some()))
    .bind(column!(|it| time(it.sleeps().and_then(|it| it.0))))
    .bind(column!(|it| it.held_substatus()))
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks a ticket that stands for itself: nothing is done on one that became part of another.
pub async fn lock_one(tx: &mut PgConnection, id: Uuid) -> Result<Ticket, TicketError> {
    let ticket = lock(tx, &[id])
        .await?
        .pop()
        .ok_or_else(|| TicketError::UnknownTicket(id.to_string()))?;
    match ticket.merged_into {
        Some(target) => Err(TicketError::Merged { target }),
        None => Ok(ticket),
    }
}
