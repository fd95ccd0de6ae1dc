//! What became of our messages: reports move the delivery state forward, in whatever order they come.

use solmu_bus::envelope::{from_proto_time, to_proto_time};
use solmu_db::ToSqlx as _;
use solmu_domain::ids::new_uuid;
use solmu_proto::{
    inbound::v1::DeliveryReported,
    ticket::v1::{DeliveryUpdated, TicketMessageAdded},
    types::v1::{AutomaticClass, Channel, DeliveryState, actor::Kind},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    context::Context,
    error::TicketError,
    events::{EventSink, MessageFacts, actor},
    file::{acknowledge::AUTHOR, folded},
    model::{self, Ticket, small, status_to_proto},
    reach,
};

/// Whether a message in state `from` moves to `to`. States only move forward; FAILED wins over what is not delivered.
fn moves(from: DeliveryState, to: DeliveryState) -> bool {
    use DeliveryState::{Delivered, Failed, Read, Unspecified};
    match (from, to) {
        (_, Unspecified) | (Failed | Delivered | Read, Failed) => false,
        (Failed, to) => matches!(to, Delivered | Read),
        (_, Failed) => true,
        (from, to) => (to as i32) > (from as i32),
    }
}

struct Target {
    id: Uuid,
    ticket_id: Uuid,
    delivery_state: i16,
    external_id: String,
    channel: i16,
    account: String,
    /// Where it went, as it was written.
    address: String,
}
solmu_db::from_row!(Target {
    id,
    ticket_id,
    delivery_state,
    external_id,
    channel,
    account,
    address
});

/// Applies a report. One for an id that we do not know yet is kept until we do.
pub(crate) async fn apply(
    tx: &mut PgConnection,
    context: &Context,
    report: &DeliveryReported,
    events: &mut EventSink<'_>,
    trace: TraceContext,
) -> Result<(), TicketError> {
    let Some(target) = find(tx, report).await? else {
        return keep_for_later(tx, report).await;
    };
    if target.external_id.is_empty() && !report.external_id.is_empty() {
        learn_external_id(tx, &target, report).await?;
        for early in take_early(tx, &target, report).await? {
            move_state(tx, context, &target, &early, events, trace.clone()).await?;
        }
    }
    move_state(tx, context, &target, report, events, trace).await
}

async fn find(
    tx: &mut PgConnection,
    report: &DeliveryReported,
) -> Result<Option<Target>, TicketError> {
    let query = match Uuid::parse_str(&report.message_id) {
        Ok(id) => sqlx::query_as(
            "SELECT id, ticket_id, delivery_state, external_id, channel, account, address
             FROM tickets.message
             WHERE id = $1 AND author_kind <> 1 FOR UPDATE",
        )
        .bind(id),
        Err(_) => sqlx::query_as(
            "SELECT id, ticket_id, delivery_state, external_id, channel, account, address
             FROM tickets.message
             WHERE channel = $1 AND account = $2 AND external_id = $3 AND author_kind <> 1 AND external_id <> ''
             FOR UPDATE",
        )
        .bind(small(report.channel))
        .bind(&report.account)
        .bind(&report.external_id),
    };
    Ok(query.fetch_optional(tx).await?)
}

/// Now answers that name this id find their ticket, on the account that sent it.
async fn learn_external_id(
    tx: &mut PgConnection,
    target: &Target,
    report: &DeliveryReported,
) -> Result<(), TicketError> {
    let account = sending_account(target, report);
    sqlx::query("UPDATE tickets.message SET external_id = $2, account = $3 WHERE id = $1")
        .bind(target.id)
        .bind(&report.external_id)
        .bind(account)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "INSERT INTO tickets.thread_key (channel, account, key, ticket_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(target.channel)
    .bind(account)
    .bind(folded(report.external_id.trim_matches(['<', '>'])))
    .bind(target.ticket_id)
    .execute(tx)
    .await?;
    Ok(())
}

/// An answer to a form is queued without an account; the report names the one that sent it.
fn sending_account<'a>(target: &'a Target, report: &'a DeliveryReported) -> &'a str {
    if target.account.is_empty() {
        &report.account
    } else {
        &target.account
    }
}

async fn move_state(
    tx: &mut PgConnection,
    context: &Context,
    target: &Target,
    report: &DeliveryReported,
    events: &mut EventSink<'_>,
    trace: TraceContext,
) -> Result<(), TicketError> {
    let current: i16 =
        sqlx::query_scalar("SELECT delivery_state FROM tickets.message WHERE id = $1")
            .bind(target.id)
            .fetch_one(&mut *tx)
            .await
            .unwrap_or(target.delivery_state);
    let from = DeliveryState::try_from(i32::from(current)).unwrap_or_default();
    let error = match (report.error_code.as_str(), report.error_text.as_str()) {
        ("", text) => text.to_owned(),
        (code, "") => code.to_owned(),
        (code, text) => format!("{code}: {text}"),
    };
    let is_mail = target.channel == small(Channel::Email.into());
    if let Some(address) = reach::normalised(&target.address).filter(|_| is_mail) {
        let (bounces, now) = (&context.config.bounces, context.clock.now());
        reach::note(tx, bounces, &address, report, &error, now).await?;
    }
    if !moves(from, report.state()) {
        return Ok(());
    }
    sqlx::query(
        "UPDATE tickets.message SET delivery_state = $2, delivery_error = $3 WHERE id = $1",
    )
    .bind(target.id)
    .bind(small(report.state))
    .bind(&error)
    .execute(&mut *tx)
    .await?;
    if let Some(ticket) = model::lock(tx, &[target.ticket_id]).await?.first_mut() {
        if is_mail && report.state() == DeliveryState::Failed {
            write_note(
                tx,
                context,
                ticket,
                &note_of(target, report, &error),
                events,
                trace.clone(),
            )
            .await?;
        }
        let body = DeliveryUpdated {
            ticket: Some(ticket.state()),
            message_id: target.id.to_string(),
            state: report.state,
            update_time: report.report_time,
            error_code: report.error_code.clone(),
        };
        events.add(&body, trace);
    }
    Ok(())
}

/// What agents read on the ticket.
fn note_of(target: &Target, report: &DeliveryReported, error: &str) -> String {
    let address = if report.address.is_empty() {
        &target.address
    } else {
        &report.address
    };
    let cause = if error.is_empty() {
        "no cause given"
    } else {
        error
    };
    let mut note = format!("The message to {address} was not delivered: {cause}.");
    if report.address_invalid {
        note.push_str(" This address takes no mail.");
    }
    note
}

/// Adds an internal note that no person wrote.
async fn write_note(
    tx: &mut PgConnection,
    context: &Context,
    ticket: &mut Ticket,
    text: &str,
    events: &mut EventSink<'_>,
    trace: TraceContext,
) -> Result<(), TicketError> {
    let now = context.clock.now();
    let id = new_uuid(context.clock.as_ref(), context.rng.as_ref());
    ticket.message_count += 1;
    ticket.touch(now, false);
    let class = AutomaticClass::AutoGenerated;
    sqlx::query(
        "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, author_kind, author_id, public,
            body_text, automatic_class, sender_verified, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, false, $8, $9, true, $10)",
    )
    .bind(id)
    .bind(ticket.id)
    .bind(ticket.message_count)
    .bind(small(ticket.channel.into()))
    .bind(&ticket.account)
    .bind(small(Kind::Service.into()))
    .bind(AUTHOR)
    .bind(text)
    .bind(small(class.into()))
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    let facts = MessageFacts {
        message_id: id,
        author: actor(Kind::Service, AUTHOR),
        public: false,
        class,
        at: now,
        sequence: ticket.message_count,
        channel: ticket.channel,
    };
    let body = TicketMessageAdded {
        ticket: Some(ticket.state()),
        message: Some(facts.to_proto()),
        previous_status: status_to_proto(ticket.status).into(),
    };
    events.add(&body, trace);
    model::update(tx, &[ticket]).await
}

async fn keep_for_later(
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

async fn take_early(
    tx: &mut PgConnection,
    target: &Target,
    report: &DeliveryReported,
) -> Result<Vec<DeliveryReported>, TicketError> {
    let rows: Vec<(i16, String, String, solmu_db::SqlTimestamp, bool, String)> = sqlx::query_as(
        "DELETE FROM tickets.early_report WHERE channel = $1 AND account = $2 AND external_id = $3
         RETURNING state, error_code, error_text, reported_at, address_invalid, address",
    )
    .bind(target.channel)
    .bind(sending_account(target, report))
    .bind(&report.external_id)
    .fetch_all(tx)
    .await?;
    let mut reports: Vec<_> = rows
        .into_iter()
        .map(
            |(state, error_code, error_text, at, address_invalid, address)| DeliveryReported {
                state: i32::from(state),
                error_code,
                error_text,
                report_time: Some(to_proto_time(at.to_jiff())),
                address_invalid,
                address,
                ..DeliveryReported::default()
            },
        )
        .collect();
    reports.sort_by_key(|report| report.state);
    Ok(reports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_only_move_forward() {
        use DeliveryState::{Delivered, Failed, Queued, Read, Sent, Unknown};
        assert!(
            moves(Queued, Sent)
                && moves(Sent, Delivered)
                && moves(Unknown, Sent)
                && moves(Sent, Failed)
        );
        assert!(
            !moves(Delivered, Sent)
                && !moves(Read, Delivered)
                && !moves(Delivered, Failed)
                && !moves(Failed, Sent)
        );
        assert!(
            moves(Failed, Delivered),
            "a vendor that says delivered after failing has the last word"
        );
    }
}
