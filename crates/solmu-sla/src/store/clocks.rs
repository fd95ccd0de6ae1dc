//! The clocks of tickets. The row of a ticket is the lock of its clocks: who writes it has selected it for update.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::{
    ids::{PolicyId, TicketId},
    sla::{ClockEvent, DueTimes, TicketClocks, TicketStart},
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::tracked::{Announced, Decided, PolicyKey, Promise, Tracked};

macro_rules! columns {
    () => {
        "ticket_id, ticket_version, policy_id, policy_version, opening, state, announced, \
         first_response_due, next_response_due, resolution_due, breached"
    };
}

struct ClockRow {
    ticket_id: Uuid,
    ticket_version: i64,
    policy_id: Option<Uuid>,
    policy_version: Option<i32>,
    opening: Option<Json<TicketStart>>,
    state: Option<Json<TicketClocks>>,
    announced: Json<Vec<Announced>>,
    first_response_due: Option<SqlTimestamp>,
    next_response_due: Option<SqlTimestamp>,
    resolution_due: Option<SqlTimestamp>,
    breached: bool,
}
solmu_db::from_row!(ClockRow {
    ticket_id,
    ticket_version,
    policy_id,
    policy_version,
    opening,
    state,
    announced,
    first_response_due,
    next_response_due,
    resolution_due,
    breached
});

impl From<ClockRow> for Tracked {
    fn from(row: ClockRow) -> Self {
        let promise = match (row.policy_id, row.policy_version, row.opening, row.state) {
            (Some(id), Some(version), Some(Json(start)), Some(Json(clocks))) => Some(Promise {
                policy: PolicyKey {
                    id: PolicyId::from_uuid(id),
                    version,
                },
                start,
                clocks,
                announced: row.announced.0,
            }),
            _ => None,
        };
        let due = |at: Option<SqlTimestamp>| at.map(SqlTimestamp::to_jiff);
        Self {
            ticket: TicketId::from_uuid(row.ticket_id),
            version: row.ticket_version,
            promise,
            decided: Decided {
                due: DueTimes {
                    first_response_due: due(row.first_response_due),
                    next_response_due: due(row.next_response_due),
                    resolution_due: due(row.resolution_due),
                },
                breached: row.breached,
            },
        }
    }
}

/// A ticket's clocks, without a lock.
pub(crate) async fn clock_fetch(
    tx: &mut PgConnection,
    ticket: TicketId,
) -> Result<Option<Tracked>, DbError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM sla.ticket_clock WHERE ticket_id = $1"
    );
    let row: Option<ClockRow> = sqlx::query_as(sql)
        .bind(ticket.as_uuid())
        .fetch_optional(tx)
        .await?;
    Ok(row.map(Tracked::from))
}

/// Locks and reads the clocks of those tickets that have any.
pub(crate) async fn clock_lock(
    tx: &mut PgConnection,
    tickets: impl Iterator<Item = TicketId>,
) -> Result<HashMap<TicketId, Tracked>, DbError> {
    let ids: Vec<Uuid> = tickets.map(TicketId::as_uuid).collect();
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM sla.ticket_clock WHERE ticket_id = ANY($1) ORDER BY ticket_id FOR UPDATE"
    );
    let rows: Vec<ClockRow> = sqlx::query_as(sql).bind(ids).fetch_all(tx).await?;
    let tracked = rows.into_iter().map(Tracked::from);
    Ok(tracked.map(|tracked| (tracked.ticket, tracked)).collect())
}

/// Locks and reads the clocks whose timers are due, longest overdue first. Those in another transaction's hands are
/// passed over: they are written, and looked at again, soon.
pub(crate) async fn clock_lock_due(
    tx: &mut PgConnection,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Tracked>, DbError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM sla.ticket_clock WHERE wake_at <= $1 ORDER BY wake_at LIMIT $2 FOR UPDATE SKIP LOCKED"
    );
    let rows: Vec<ClockRow> = sqlx::query_as(sql)
        .bind(now.to_sqlx())
        .bind(i64::from(limit))
        .fetch_all(tx)
        .await?;
    Ok(rows.into_iter().map(Tracked::from).collect())
}

/// When the next timer is due.
pub(crate) async fn next_wake(tx: &mut PgConnection) -> Result<Option<Timestamp>, DbError> {
    let at: Option<SqlTimestamp> = sqlx::query_scalar("SELECT min(wake_at) FROM sla.ticket_clock")
        .fetch_one(tx)
        .await?;
    Ok(at.map(SqlTimestamp::to_jiff))
}

/// Puts a ticket whose clocks cannot be read off until `at`, so that it does not hold up others.
pub(crate) async fn clock_defer(
    tx: &mut PgConnection,
    tickets: &[TicketId],
    at: Timestamp,
) -> Result<(), DbError> {
    if tickets.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = tickets.iter().map(|id| id.as_uuid()).collect();
    sqlx::query("UPDATE sla.ticket_clock SET wake_at = $2 WHERE ticket_id = ANY($1)")
        .bind(ids)
        .bind(at.to_sqlx())
        .execute(tx)
        .await?;
    Ok(())
}

/// Writes clocks, each with the time of its next timer.
pub(crate) async fn clock_upsert(
    tx: &mut PgConnection,
    rows: &[(Tracked, Option<Timestamp>)],
    now: Timestamp,
) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let tracked = || rows.iter().map(|(tracked, _)| tracked);
    let promises = || tracked().map(|tracked| tracked.promise.as_ref());
    let due = |which: fn(&DueTimes) -> Option<Timestamp>| -> Vec<Option<SqlTimestamp>> {
        let at = |tracked: &Tracked| which(&tracked.decided.due).map(Timestamp::to_sqlx);
        tracked().map(at).collect()
    };
    sqlx::query(
        "INSERT INTO sla.ticket_clock
            (ticket_id, ticket_version, policy_id, policy_version, opening, state, announced,
             first_response_due, next_response_due, resolution_due, breached, wake_at, updated_at)
         SELECT *, $13 FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::integer[], $5::jsonb[], $6::jsonb[],
             $7::jsonb[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::boolean[], $12::timestamptz[])
         ON CONFLICT (ticket_id) DO UPDATE SET
            ticket_version = excluded.ticket_version, policy_id = excluded.policy_id,
            policy_version = excluded.policy_version, opening = excluded.opening, state = excluded.state,
            announced = excluded.announced, first_response_due = excluded.first_response_due,
            next_response_due = excluded.next_response_due, resolution_due = excluded.resolution_due,
            breached = excluded.breached, wake_at = excluded.wake_at, updated_at = excluded.updated_at",
    )
    .bind(tracked().map(|it| it.ticket.as_uuid()).collect::<Vec<_>>())
    .bind(tracked().map(|it| it.version).collect::<Vec<_>>())
    .bind(promises().map(|it| Some(it?.policy.id.as_uuid())).collect::<Vec<_>>())
    .bind(promises().map(|it| Some(it?.policy.version)).collect::<Vec<_>>())
    .bind(promises().map(|it| Some(Json(&it?.start))).collect::<Vec<_>>())
    .bind(promises().map(|it| Some(Json(&it?.clocks))).collect::<Vec<_>>())
    .bind(promises().map(|it| Json(it.map_or(&[][..], |it| &it.announced))).collect::<Vec<_>>())
    .bind(due(|due| due.first_response_due))
    .bind(due(|due| due.next_response_due))
    .bind(due(|due| due.resolution_due))
    .bind(tracked().map(|it| it.decided.breached).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, wake)| wake.map(Timestamp::to_sqlx)).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .execute(tx)
    .await?;
    Ok(())
}

/// All that happened to the clocks of those tickets, in order of arrival.
pub(crate) async fn event_list(
    tx: &mut PgConnection,
    tickets: &[TicketId],
) -> Result<BTreeMap<TicketId, Vec<ClockEvent>>, DbError> {
    if tickets.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Uuid> = tickets.iter().map(|id| id.as_uuid()).collect();
    let rows: Vec<(Uuid, Json<ClockEvent>)> = sqlx::query_as(
        "SELECT ticket_id, event FROM sla.clock_event WHERE ticket_id = ANY($1) ORDER BY ticket_id, id",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut events: BTreeMap<TicketId, Vec<ClockEvent>> = BTreeMap::new();
    for (ticket, Json(event)) in rows {
        let ticket = TicketId::from_uuid(ticket);
        events.entry(ticket).or_default().push(event);
    }
    Ok(events)
}

/// Adds what happened, in order.
pub(crate) async fn event_insert(
    tx: &mut PgConnection,
    events: &[(TicketId, ClockEvent)],
) -> Result<(), DbError> {
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = events.iter().map(|(id, _)| id.as_uuid()).collect();
    let bodies: Vec<Json<&ClockEvent>> = events.iter().map(|(_, event)| Json(event)).collect();
    sqlx::query(
        "INSERT INTO sla.clock_event (ticket_id, event)
         SELECT ticket_id, event FROM unnest($1::uuid[], $2::jsonb[])
             WITH ORDINALITY AS row (ticket_id, event, place) ORDER BY place",
    )
    .bind(ids)
    .bind(bodies)
    .execute(tx)
    .await?;
    Ok(())
}
