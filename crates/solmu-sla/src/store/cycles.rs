//! Cycles that count for attainment.

use jiff::Timestamp;
use solmu_db::{DbError, ToSqlx as _};
use solmu_domain::{ids::TicketId, sla::Metric};
use sqlx::PgConnection;
use uuid::Uuid;

/// A cycle that was met, in time or late, or that is late and still runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Booking {
    pub(crate) metric: Metric,
    pub(crate) cycle: u32,
    pub(crate) target_s: i64,
    pub(crate) elapsed_s: i64,
    pub(crate) counted_at: Timestamp,
    pub(crate) ended: bool,
    pub(crate) breached: bool,
    /// For the metric of teams: whose part it is.
    pub(crate) team: Option<Uuid>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CycleRow {
    pub(crate) ticket: TicketId,
    pub(crate) policy: Uuid,
    pub(crate) team: Option<Uuid>,
    pub(crate) channel: String,
    pub(crate) priority: String,
    pub(crate) booking: Booking,
}

/// Which cycle of which ticket.
pub(crate) type CycleKey = (TicketId, Metric, u32);

fn number(cycle: u32) -> i32 {
    i32::try_from(cycle).unwrap_or(i32::MAX)
}

/// Adds cycles, and replaces those that are there.
pub(crate) async fn cycle_upsert(tx: &mut PgConnection, rows: &[CycleRow]) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($of:expr) => {
            rows.iter().map($of).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "INSERT INTO sla.cycle (ticket_id, metric, cycle, policy_id, team_id, channel, priority, target_s, elapsed_s,
                                counted_at, ended, breached)
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
             $8::bigint[], $9::bigint[], $10::timestamptz[], $11::boolean[], $12::boolean[])
         ON CONFLICT (ticket_id, metric, cycle) DO UPDATE SET
             policy_id = excluded.policy_id, team_id = excluded.team_id, channel = excluded.channel,
             priority = excluded.priority, target_s = excluded.target_s, elapsed_s = excluded.elapsed_s,
             counted_at = excluded.counted_at, ended = excluded.ended, breached = excluded.breached",
    )
    .bind(column!(|row| row.ticket.as_uuid()))
    .bind(column!(|row| row.booking.metric.as_str()))
    .bind(column!(|row| number(row.booking.cycle)))
    .bind(column!(|row| row.policy))
    .bind(column!(|row| row.team))
    .bind(column!(|row| row.channel.as_str()))
    .bind(column!(|row| row.priority.as_str()))
    .bind(column!(|row| row.booking.target_s))
    .bind(column!(|row| row.booking.elapsed_s))
    .bind(column!(|row| row.booking.counted_at.to_sqlx()))
    .bind(column!(|row| row.booking.ended))
    .bind(column!(|row| row.booking.breached))
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes cycles back that a late event, or a reopening, has made undone.
pub(crate) async fn cycle_delete(tx: &mut PgConnection, keys: &[CycleKey]) -> Result<(), DbError> {
    if keys.is_empty() {
        return Ok(());
    }
    let tickets: Vec<Uuid> = keys.iter().map(|(ticket, ..)| ticket.as_uuid()).collect();
    let metrics: Vec<&str> = keys.iter().map(|(_, metric, _)| metric.as_str()).collect();
    let cycles: Vec<i32> = keys.iter().map(|(.., cycle)| number(*cycle)).collect();
    sqlx::query(
        "DELETE FROM sla.cycle USING unnest($1::uuid[], $2::text[], $3::integer[]) AS gone (ticket_id, metric, cycle)
         WHERE cycle.ticket_id = gone.ticket_id AND cycle.metric = gone.metric AND cycle.cycle = gone.cycle",
    )
    .bind(tickets)
    .bind(metrics)
    .bind(cycles)
    .execute(tx)
    .await?;
    Ok(())
}

/// What attainment is asked for.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one column of the grouping, and they are independent"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttainmentQuery {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) by_policy: bool,
    pub(crate) by_team: bool,
    pub(crate) by_channel: bool,
    pub(crate) by_priority: bool,
    /// `day`, `week` or `month`.
    pub(crate) period: Option<&'static str>,
    pub(crate) zone: String,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttainmentRow {
    pub(crate) metric: String,
    pub(crate) policy: Option<Uuid>,
    pub(crate) team: Option<Uuid>,
    pub(crate) channel: String,
    pub(crate) priority: String,
    pub(crate) period: String,
    pub(crate) met: i64,
    pub(crate) breached: i64,
    pub(crate) mean_s: i64,
    pub(crate) p90_s: i64,
}
solmu_db::from_row!(AttainmentRow {
    metric,
    policy,
    team,
    channel,
    priority,
    period,
    met,
    breached,
    mean_s,
    p90_s
});

/// Groups at most in one answer.
const MAX_GROUPS: i64 = 5_000;

/// Promises that were kept and missed, by group.
pub(crate) async fn attainment(
    tx: &mut PgConnection,
    query: &AttainmentQuery,
) -> Result<Vec<AttainmentRow>, DbError> {
    let rows: Vec<AttainmentRow> = sqlx::query_as(
        "WITH counted AS (
            SELECT metric, elapsed_s, ended, breached,
                   CASE WHEN $3 THEN policy_id END AS policy, CASE WHEN $4 THEN team_id END AS team,
                   CASE WHEN $5 THEN channel ELSE '' END AS channel,
                   CASE WHEN $6 THEN priority ELSE '' END AS priority,
                   CASE WHEN $7 = '' THEN ''
                        ELSE to_char(date_trunc($7, counted_at AT TIME ZONE $8), 'YYYY-MM-DD') END AS period
            FROM sla.cycle WHERE counted_at >= $1 AND counted_at < $2)
         SELECT metric, policy, team, channel, priority, period,
                count(*) FILTER (WHERE NOT breached) AS met, count(*) FILTER (WHERE breached) AS breached,
                coalesce(round(avg(elapsed_s) FILTER (WHERE ended))::bigint, 0) AS mean_s,
                coalesce(round(percentile_cont(0.9) WITHIN GROUP (ORDER BY elapsed_s) FILTER (WHERE ended))::bigint, 0)
                    AS p90_s
         FROM counted GROUP BY metric, policy, team, channel, priority, period
         ORDER BY period, metric, policy, team, channel, priority LIMIT $9",
    )
    .bind(query.from.to_sqlx())
    .bind(query.until.to_sqlx())
    .bind(query.by_policy)
    .bind(query.by_team)
    .bind(query.by_channel)
    .bind(query.by_priority)
    .bind(query.period.unwrap_or_default())
    .bind(&query.zone)
    .bind(MAX_GROUPS)
    .fetch_all(tx)
    .await?;
    Ok(rows)
}
