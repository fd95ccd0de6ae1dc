//! Reports that came before we knew the id that they name.
//!
//! They wait under that id, and are applied when it is learned. Two replicas may miss each other: one keeps a report
//! while the other learns the id. So the ids of what waits are looked up again now and then.

use solmu_bus::envelope::{from_proto_time, to_proto_time};
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_proto::inbound::v1::DeliveryReported;
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::ExternalKey;
use crate::{activity, context::Context, error::TicketError, events::EventSink, model::small};

/// Reports that one look applies.
const BATCH: i64 = 200;

/// Keeps a report until the id that it names is known.
pub(super) async fn keep(
    tx: &mut PgConnection,
    report: &DeliveryReported,
) -> Result<(), TicketError> {
    if report.external_id.is_empty() {
        return Err(TicketError::BadEvent("external_id"));
    }
    let at = report
        .report_time
        .as_ref()
        .map(from_proto_time)
        .unwrap_or_default();
    sqlx::query(
        "INSERT INTO tickets.early_report (channel, account, external_id, state, error_code, error_text, reported_at,
            address_invalid, address)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
    )
    .bind(small(report.channel))
    .bind(&report.account)
    .bind(&report.external_id)
    .bind(small(report.state))
    .bind(&report.error_code)
    .bind(&report.error_text)
    .bind(at.to_sqlx())
    .bind(report.address_invalid)
    .bind(&report.address)
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes the reports on ids that are known from now on, with their messages.
pub(super) async fn take(
    tx: &mut PgConnection,
    learned: &[(Uuid, ExternalKey)],
) -> Result<Vec<(Uuid, DeliveryReported)>, TicketError> {
    type Row = (Uuid, i16, String, String, SqlTimestamp, bool, String);
    if learned.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<Row> = sqlx::query_as(
        "DELETE FROM tickets.early_report AS early
         USING unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[]) AS known (id, channel, account, external_id)
         WHERE early.channel = known.channel AND early.account = known.account
            AND early.external_id = known.external_id
         RETURNING known.id, state, error_code, error_text, reported_at, address_invalid, address",
    )
    .bind(learned.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(learned.iter().map(|(_, key)| key.0).collect::<Vec<_>>())
    .bind(learned.iter().map(|(_, key)| key.1.as_str()).collect::<Vec<_>>())
    .bind(learned.iter().map(|(_, key)| key.2.as_str()).collect::<Vec<_>>())
    .fetch_all(tx)
    .await?;
    let reports = rows.into_iter().map(
        |(id, state, error_code, error_text, at, address_invalid, address)| {
            let report = DeliveryReported {
                state: i32::from(state),
                error_code,
                error_text,
                report_time: Some(to_proto_time(at.to_jiff())),
                address_invalid,
                address,
                ..DeliveryReported::default()
            };
            (id, report)
        },
    );
    Ok(reports.collect())
}

/// Applies reports that wait although their id is known; returns how many.
pub async fn sweep(context: &std::sync::Arc<Context>) -> Result<usize, TicketError> {
    let applied = context
        .db
        .tx("ticket.sweep_reports", |tx| {
            let context = context.clone();
            Box::pin(async move {
                let now = context.clock.now();
                let known = take_known(tx).await?;
                let trace = TraceContext::current();
                let reports: Vec<_> = known.iter().map(|report| (report, &trace)).collect();
                let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
                let mut events = EventSink::new(&context.bus, clock, rng, now);
                super::apply(tx, &context, &reports, &mut events).await?;
                activity::commit(tx, events.rows(), context.rng.as_ref(), now).await?;
                Ok::<_, TicketError>(known.len())
            })
        })
        .await?;
    Ok(applied)
}

async fn take_known(tx: &mut PgConnection) -> Result<Vec<DeliveryReported>, TicketError> {
    type Row = (
        Uuid,
        i16,
        String,
        String,
        i16,
        String,
        String,
        SqlTimestamp,
        bool,
        String,
    );
    let rows: Vec<Row> = sqlx::query_as(
        "WITH hit AS (
            SELECT early.ctid AS place, message.id FROM tickets.early_report AS early
            JOIN tickets.message ON message.channel = early.channel AND message.account = early.account
                AND message.external_id = early.external_id
            WHERE message.author_kind <> 1 AND message.external_id <> '' LIMIT $1 FOR UPDATE OF early SKIP LOCKED
         )
         DELETE FROM tickets.early_report AS early USING hit WHERE early.ctid = hit.place
         RETURNING hit.id, early.channel, early.account, early.external_id, early.state, early.error_code,
            early.error_text, early.reported_at, early.address_invalid, early.address",
    )
    .bind(BATCH)
    .fetch_all(tx)
    .await?;
    let mut reports: Vec<DeliveryReported> = rows
        .into_iter()
        .map(
            |(id, channel, account, external_id, state, code, text, at, invalid, address)| {
                DeliveryReported {
                    message_id: id.to_string(),
                    channel: i32::from(channel),
                    account,
                    external_id,
                    state: i32::from(state),
                    error_code: code,
                    error_text: text,
                    report_time: Some(to_proto_time(at.to_jiff())),
                    address_invalid: invalid,
                    address,
                }
            },
        )
        .collect();
    reports.sort_by_key(|report| report.state);
    Ok(reports)
}
