//! The clocks of tickets. The row of a ticket is the lock of its clocks: who writes it has selected it for update.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use solmu_db::{DbError, SqlTimestamp, ToSqlx as _};
use solmu_domain::{
    ids::{PolicyId, TicketId},
    sla::{ClockEvent, DueTimes, TicketClocks, TicketStart},
};
use solmu_telemetry::TraceContext;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    facts::TicketFacts,
    policy_set::{PolicyKey, PolicySet},
    tracked::{Announced, Decided, Promise, Tracked},
    unpromised::Unpromised,
};

macro_rules! columns {
    () => {
        "ticket_id, ticket_version, policy_id, policy_version, policies, opening, state, announced, channel, \
         first_response_due, next_response_due, resolution_due, periodic_update_due, agent_work_due, \
         ownership_due, breached, unpromised, first_trace, facts"
    };
}

struct ClockRow {
    ticket_id: Uuid,
    ticket_version: i64,
    policy_id: Option<Uuid>,
    policy_version: Option<i32>,
    policies: Vec<String>,
    opening: Option<Json<TicketStart>>,
    state: Option<Json<TicketClocks>>,
    announced: Json<Vec<Announced>>,
    channel: String,
    first_response_due: Option<SqlTimestamp>,
    next_response_due: Option<SqlTimestamp>,
    resolution_due: Option<SqlTimestamp>,
    periodic_update_due: Option<SqlTimestamp>,
    agent_work_due: Option<SqlTimestamp>,
    ownership_due: Option<SqlTimestamp>,
    breached: bool,
    unpromised: Option<Json<Unpromised>>,
    first_trace: String,
    facts: Option<Json<TicketFacts>>,
}
solmu_db::from_row!(ClockRow {
    ticket_id,
    ticket_version,
    policy_id,
    policy_version,
    policies,
    opening,
    state,
    announced,
    channel,
    first_response_due,
    next_response_due,
    resolution_due,
    periodic_update_due,
    agent_work_due,
    ownership_due,
    breached,
    unpromised,
    first_trace,
    facts
});

impl From<ClockRow> for Tracked {
    fn from(row: ClockRow) -> Self {
        let promise = match (row.policy_id, row.policy_version, row.opening, row.state) {
            (Some(id), Some(version), Some(Json(start)), Some(Json(clocks))) => {
                let keys = row.policies.iter().map(|key| key.parse());
                let keys: Vec<PolicyKey> = keys.filter_map(Result::ok).collect();
                // Rows of the release before have no list.
                let first = PolicyKey {
                    id: PolicyId::from_uuid(id),
                    version,
                };
                Some(Promise {
                    policies: PolicySet::of(keys).unwrap_or_else(|| PolicySet::one(first)),
                    start,
                    clocks,
                    announced: row.announced.0,
                })
            }
            _ => None,
        };
        let due = |at: Option<SqlTimestamp>| at.map(SqlTimestamp::to_jiff);
        let booked = promise.as_ref().map(Promise::bookings);
        Self {
            ticket: TicketId::from_uuid(row.ticket_id),
            version: row.ticket_version,
            promise,
            unpromised: row.unpromised.map(|Json(kept)| Box::new(kept)),
            channel: row.channel,
            booked: booked.unwrap_or_default(),
            decided: Decided {
                due: DueTimes {
                    first_response_due: due(row.first_response_due),
                    next_response_due: due(row.next_response_due),
                    resolution_due: due(row.resolution_due),
                    periodic_update_due: due(row.periodic_update_due),
                    agent_work_due: due(row.agent_work_due),
                    ownership_due: due(row.ownership_due),
                },
                breached: row.breached,
            },
            trace: TraceContext::stored(&row.first_trace),
            facts: row.facts.map(|Json(facts)| Box::new(facts)),
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

/// When the next timer is due, and whether an edit of a policy, or a change of a contact, has not reached all its tickets.
pub(crate) async fn next_wake(tx: &mut PgConnection) -> Result<(Option<Timestamp>, bool), DbError> {
    let (at, edited): (Option<SqlTimestamp>, bool) = sqlx::query_as(
        "SELECT (SELECT min(wake_at) FROM sla.ticket_clock),
            EXISTS (SELECT 1 FROM sla.edit) OR EXISTS (SELECT 1 FROM sla.own_change)",
    )
    .fetch_one(tx)
    .await?;
    Ok((at.map(SqlTimestamp::to_jiff), edited))
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
    let organizations = |tracked: &Tracked| {
        let facts = tracked.facts.as_ref();
        let ids = facts.into_iter().flat_map(|it| it.organizations());
        ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
    };
    let policies = |promise: Option<&Promise>| {
        let texts = promise.map(|promise| promise.policies.texts());
        // One text for each row: arrays of arrays must not differ in length.
        texts.unwrap_or_default().join("+")
    };
    sqlx::query(
        "INSERT INTO sla.ticket_clock
            (ticket_id, ticket_version, policy_id, policy_version, policies, opening, state, announced,
             first_response_due, next_response_due, resolution_due, periodic_update_due, agent_work_due, ownership_due,
             breached, wake_at, open, channel, unpromised, first_trace, updated_at, facts, contact_id, organization_ids)
         SELECT ticket_id, ticket_version, policy_id, policy_version,
                CASE WHEN policies = '' THEN '{}' ELSE string_to_array(policies, '+') END, opening, state, announced,
                first_response_due, next_response_due, resolution_due, periodic_update_due, agent_work_due,
                ownership_due, breached, wake_at, open, channel, unpromised, first_trace, $19, facts, contact_id,
                string_to_array(nullif(organizations, ''), ',')::uuid[]
         FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::integer[], $5::text[], $6::jsonb[], $7::jsonb[],
             $8::jsonb[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[],
             $13::timestamptz[], $14::timestamptz[], $15::boolean[], $16::timestamptz[], $17::boolean[], $18::text[],
             $20::jsonb[], $21::text[], $22::jsonb[], $23::uuid[], $24::text[])
             AS row (ticket_id, ticket_version, policy_id, policy_version, policies, opening, state, announced,
                first_response_due, next_response_due, resolution_due, periodic_update_due, agent_work_due,
                ownership_due, breached, wake_at, open, channel, unpromised, first_trace, facts, contact_id,
                organizations)
         ON CONFLICT (ticket_id) DO UPDATE SET
            ticket_version = excluded.ticket_version, policy_id = excluded.policy_id,
            policy_version = excluded.policy_version, policies = excluded.policies, opening = excluded.opening,
            state = excluded.state, announced = excluded.announced, first_response_due = excluded.first_response_due,
            next_response_due = excluded.next_response_due, resolution_due = excluded.resolution_due,
            periodic_update_due = excluded.periodic_update_due, agent_work_due = excluded.agent_work_due,
            ownership_due = excluded.ownership_due, breached = excluded.breached, wake_at = excluded.wake_at,
            open = excluded.open, channel = excluded.channel, unpromised = excluded.unpromised,
            updated_at = excluded.updated_at, facts = excluded.facts, contact_id = excluded.contact_id,
            organization_ids = excluded.organization_ids",
    )
    .bind(tracked().map(|it| it.ticket.as_uuid()).collect::<Vec<_>>())
    .bind(tracked().map(|it| it.version).collect::<Vec<_>>())
    .bind(promises().map(|it| Some(it?.policies.first().id.as_uuid())).collect::<Vec<_>>())
    .bind(promises().map(|it| Some(it?.policies.first().version)).collect::<Vec<_>>())
    .bind(promises().map(policies).collect::<Vec<_>>())
    .bind(promises().map(|it| Some(Json(&it?.start))).collect::<Vec<_>>())
    .bind(promises().map(|it| Some(Json(&it?.clocks))).collect::<Vec<_>>())
    .bind(promises().map(|it| Json(it.map_or(&[][..], |it| &it.announced))).collect::<Vec<_>>())
    .bind(due(|due| due.first_response_due))
    .bind(due(|due| due.next_response_due))
    .bind(due(|due| due.resolution_due))
    .bind(due(|due| due.periodic_update_due))
    .bind(due(|due| due.agent_work_due))
    .bind(due(|due| due.ownership_due))
    .bind(tracked().map(|it| it.decided.breached).collect::<Vec<_>>())
    .bind(rows.iter().map(|(_, wake)| wake.map(Timestamp::to_sqlx)).collect::<Vec<_>>())
    .bind(tracked().map(Tracked::is_open).collect::<Vec<_>>())
    .bind(tracked().map(|it| it.channel.as_str()).collect::<Vec<_>>())
    .bind(now.to_sqlx())
    .bind(tracked().map(|it| Some(Json(it.unpromised.as_ref()?))).collect::<Vec<_>>())
    .bind(tracked().map(|it| it.trace.traceparent.as_str()).collect::<Vec<_>>())
    .bind(tracked().map(|it| Some(Json(it.facts.as_ref()?))).collect::<Vec<_>>())
    .bind(tracked().map(|it| it.facts.as_ref()?.contact).collect::<Vec<_>>())
    .bind(tracked().map(organizations).collect::<Vec<_>>())
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

/// Forgets the policies and calendars that tickets were moved to: their clocks are computed anew without.
pub(crate) async fn event_forget_moves(
    tx: &mut PgConnection,
    tickets: &[TicketId],
) -> Result<(), DbError> {
    if tickets.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = tickets.iter().map(|id| id.as_uuid()).collect();
    sqlx::query(
        "DELETE FROM sla.clock_event WHERE ticket_id = ANY($1) AND event ->> 'type' IN ('policy', 'calendar')",
    )
    .bind(ids)
    .execute(tx)
    .await?;
    Ok(())
}
