//! Writes what a batch decided, each table in one statement.

use std::collections::BTreeSet;

use jiff::Timestamp;
use solmu_bus::envelope::from_proto_time;
use solmu_contacts::filing;
use solmu_db::ToSqlx as _;
use solmu_proto::{ticket::v1 as proto, types::v1::actor::Kind};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    acknowledge, by_rule,
    plan::Plan,
    work::{Effect, Filed, Quarantined},
    write_originals::write_originals,
    write_threads::write_threads,
};
use crate::{
    attachments::attachments_to_json,
    config::Config,
    error::TicketError,
    events::EventSink,
    fields::of_contacts,
    matters::{self, Found},
    merge,
    model::{self, status_to_proto},
    restrict,
};

/// Writes the plan and collects its events.
pub(crate) async fn write(
    tx: &mut PgConnection,
    plan: &mut Plan<'_>,
    events: &mut EventSink<'_>,
) -> Result<(), TicketError> {
    number_tickets(tx, plan).await?;
    let known = &plan.loaded.identities;
    filing::write(tx, &plan.contacts, &plan.identities, known, plan.now).await?;
    add_organizations(tx, plan).await?;
    // Told after the messages that they are about.
    let context = plan.context;
    let (clock, rng) = (context.clock.as_ref(), context.rng.as_ref());
    let mut restricted = EventSink::new(&context.bus, clock, rng, plan.now);
    by_rule::ask_rules(tx, plan, &mut restricted).await?;
    acknowledge::decide(plan);
    write_tickets(tx, plan).await?;
    let new = plan.opened.iter().filter_map(|id| plan.ticket(*id));
    restrict::follow_up(tx, new, &plan.restricted).await?;
    // What was opened here is inserted in its present state.
    let opened: BTreeSet<Uuid> = plan.opened.iter().copied().collect();
    let changed: Vec<_> = plan
        .changed
        .difference(&opened)
        .filter_map(|id| plan.ticket(*id))
        .collect();
    model::update(tx, &changed).await?;
    write_messages(tx, &plan.filed, plan.now).await?;
    let found: Vec<_> = plan
        .filed
        .iter()
        .filter_map(|it| it.same.as_ref())
        .collect();
    matters::write(tx, &found, plan.now).await?;
    acknowledge::write(tx, &plan.acknowledged, plan.now).await?;
    let moved = merge::write(tx, &plan.merges, plan.now).await?;
    write_threads(tx, plan).await?;
    write_quarantine(tx, &plan.quarantined, plan.now).await?;
    let filed = plan
        .filed
        .iter()
        .map(|filed| (filed.names.id, filed.message));
    write_originals(tx, filed, &plan.quarantined).await?;
    plan.loaded.budgets.write(tx).await?;
    collect_events(plan, events);
    events.append(restricted);
    merge::collect_events(&plan.merges, &moved, |id| plan.ticket(id), plan.now, events);
    acknowledge::collect_events(&plan.acknowledged, plan.now, events);
    Ok(())
}

/// Gives numbers to the tickets that were opened, in order of arrival.
async fn number_tickets(tx: &mut PgConnection, plan: &mut Plan<'_>) -> Result<(), TicketError> {
    if plan.opened.is_empty() {
        return Ok(());
    }
    let count = i32::try_from(plan.opened.len()).unwrap_or(i32::MAX);
    let numbers: Vec<i64> = sqlx::query_scalar(
        "SELECT nextval('tickets.ticket_number') FROM generate_series(1, $1) ORDER BY 1",
    )
    .bind(count)
    .fetch_all(tx)
    .await?;
    for (id, number) in plan.opened.clone().into_iter().zip(numbers) {
        if let Some(ticket) = plan.ticket_mut(id) {
            ticket.number = number;
        }
        for filed in plan.filed.iter_mut().filter(|filed| filed.ticket.id == id) {
            filed.ticket.number = number;
        }
    }
    Ok(())
}

/// Notes the organisations that contacts belong to as their tickets are opened.
async fn add_organizations(tx: &mut PgConnection, plan: &mut Plan<'_>) -> Result<(), TicketError> {
    let opened = plan.opened.iter().filter_map(|id| plan.ticket(*id));
    let contacts: Vec<Uuid> = opened.map(|ticket| ticket.contact_id).collect();
    let mut known = of_contacts(tx, &contacts).await?;
    known.retain(|_, organizations| !organizations.is_empty());
    if known.is_empty() {
        return Ok(());
    }
    for id in plan.opened.clone() {
        let Some(ticket) = plan.ticket_mut(id) else {
            continue;
        };
        if let Some(organizations) = known.get(&ticket.contact_id) {
            ticket.organization_ids.clone_from(organizations);
            for filed in plan.filed.iter_mut().filter(|filed| filed.ticket.id == id) {
                filed.ticket.organization_ids.clone_from(organizations);
            }
        }
    }
    Ok(())
}

async fn write_tickets(tx: &mut PgConnection, plan: &Plan<'_>) -> Result<(), TicketError> {
    let tickets: Vec<_> = plan
        .opened
        .iter()
        .filter_map(|id| plan.ticket(*id))
        .collect();
    if tickets.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        (|$it:ident| $value:expr) => {
            tickets.iter().map(|$it| $value).collect::<Vec<_>>()
        };
    }
    sqlx::query(
        "INSERT INTO tickets.ticket (id, number, subject, status, priority, contact_id, channel, account, recipient,
            conversation_key, language, created_at, updated_at, version, routing_version, message_count, channels,
            previous_ticket_id, next_ticket_id, organization_ids, first_trace)
         SELECT id, number, subject, status, priority, contact_id, channel, account, recipient, conversation_key,
            language, $18, $18, version, routing_version, message_count, channels, previous_ticket_id, next_ticket_id,
            coalesce(string_to_array(nullif(organizations, ''), ','), '{}')::uuid[], first_trace
         FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::smallint[],
            $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[],
            $15::integer[], $16::uuid[], $17::uuid[], $19::text[], $20::text[])
            AS new (id, number, subject, status, priority, contact_id, channel, account, recipient, conversation_key,
            language, version, routing_version, message_count, channels, previous_ticket_id, next_ticket_id,
            organizations, first_trace)",
    )
    .bind(column!(|it| it.id))
    .bind(column!(|it| it.number))
    .bind(column!(|it| it.subject.as_str()))
    .bind(column!(|it| it.status.name()))
    .bind(column!(|it| it.priority.name()))
    .bind(column!(|it| it.contact_id))
    .bind(column!(|it| model::small(it.channel.into())))
    .bind(column!(|it| it.account.as_str()))
    .bind(column!(|it| it.recipient.as_str()))
    .bind(column!(|it| it.conversation_key.as_str()))
    .bind(column!(|it| it.language.as_str()))
    .bind(column!(|it| it.version))
    .bind(column!(|it| it.routing_version))
    .bind(column!(|it| it.message_count))
    .bind(column!(|it| it.channels))
    .bind(column!(|it| it.previous_ticket_id))
    .bind(column!(|it| it.next_ticket_id))
    .bind(plan.now.to_sqlx())
    .bind(column!(|it| it.organization_texts().join(",")))
    .bind(column!(|it| opened_in(plan, it.id)))
    .execute(tx)
    .await?;
    Ok(())
}

/// The trace in which a ticket was opened: timers lead back to it.
fn opened_in<'a>(plan: &'a Plan<'_>, ticket: Uuid) -> &'a str {
    let mut filed = plan.filed.iter();
    let opening =
        filed.find(|it| it.ticket.id == ticket && matches!(it.effect, Effect::Opened { .. }));
    opening.map_or("", |it| it.trace.to_store())
}

async fn write_messages(
    tx: &mut PgConnection,
    filed: &[Filed<'_>],
    now: Timestamp,
) -> Result<(), TicketError> {
    if filed.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        (|$it:ident| $value:expr) => {
            filed.iter().map(|$it| $value).collect::<Vec<_>>()
        };
    }
    let done = sqlx::query(
        "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, external_id, author_kind, author_id,
            author_name, address, public, subject, body_text, body_html, attachments, fields, notices,
            automatic_class, sender_verified, created_at, sent_at, message_id_header, quote_offset, signature_offset,
            sighting_id, reply_to)
         SELECT id, ticket_id, sequence, channel, account, external_id, $19, author_id, author_name, address, true,
            subject, body_text, body_html, attachments::jsonb, nullif(fields, '')::jsonb,
            coalesce(string_to_array(nullif(notices, ''), E'\\x1f'), '{}'), automatic_class, sender_verified,
            created_at, sent_at, message_id_header, quote_offset, signature_offset, sighting_id,
            reply_to
         FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::smallint[], $5::text[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
            $16::smallint[], $17::boolean[], $18::timestamptz[], $20::timestamptz[], $21::text[], $22::integer[],
            $23::integer[], $24::uuid[], $25::text[])
            AS new (id, ticket_id, sequence, channel, account, external_id, author_id, author_name, address, subject,
            body_text, body_html, attachments, fields, notices, automatic_class, sender_verified, created_at, sent_at,
            message_id_header, quote_offset, signature_offset, sighting_id, reply_to)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(column!(|it| it.names.id))
    .bind(column!(|it| it.ticket.id))
    .bind(column!(|it| it.sequence))
    .bind(column!(|it| it.channel_code()))
    .bind(column!(|it| it.message.account.as_str()))
    .bind(column!(|it| it.names.external_id.as_str()))
    .bind(column!(|it| it.contact_id.to_string()))
    .bind(column!(|it| it.message.sender.as_ref().map(|sender| sender.display_name.as_str()).unwrap_or_default()))
    .bind(column!(|it| it.author.address.as_str()))
    .bind(column!(|it| it.message.subject.as_str()))
    .bind(column!(|it| it.message.text.as_str()))
    .bind(column!(|it| it.message.html.as_str()))
    .bind(column!(|it| attachments_to_json(&it.message.attachments)))
    .bind(column!(|it| it.message.fields_json.as_str()))
    .bind(column!(|it| it.all_notices()))
    .bind(column!(|it| model::small(it.message.automatic_class)))
    .bind(column!(|it| it.verified))
    .bind(column!(|_it| now.to_sqlx()))
    .bind(model::small(Kind::Customer.into()))
    .bind(column!(|it| it.message.sent_time.as_ref().map(|at| from_proto_time(at).to_sqlx())))
    .bind(column!(|it| it.names.message_id_header.as_str()))
    .bind(column!(|it| it.message.quote_offset.and_then(|at| i32::try_from(at).ok())))
    .bind(column!(|it| it.message.signature_offset.and_then(|at| i32::try_from(at).ok())))
    .bind(column!(|it| it.sighting))
    .bind(column!(|it| it.reply_to.as_deref().unwrap_or_default()))
    .execute(tx)
    .await?;
    // Another mail under the same Message-ID came to another replica at the same time.
    if done.rows_affected() == filed.len() as u64 {
        Ok(())
    } else {
        Err(TicketError::race())
    }
}

/// Lets messages wait. One that waits or was rejected under the same id came from another replica meanwhile: what the
/// two have to do with each other is decided again.
pub(super) async fn write_quarantine(
    tx: &mut PgConnection,
    waiting: &[Quarantined<'_>],
    now: Timestamp,
) -> Result<(), TicketError> {
    if waiting.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        (|$it:ident| $value:expr) => {
            waiting.iter().map(|$it| $value).collect::<Vec<_>>()
        };
    }
    let done = sqlx::query(
        "INSERT INTO tickets.quarantine AS known (message_id, channel, account, sender, subject, cause_code,
            automatic_class, message, sweep_at, object_keys, quarantined_at)
         SELECT *, $11 FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::smallint[], $8::bytea[], $9::timestamptz[], $10::jsonb[])
         ON CONFLICT (message_id) DO UPDATE SET released_at = NULL, rejected_at = NULL,
            cause_code = excluded.cause_code, sweep_at = excluded.sweep_at
                + greatest(least((excluded.quarantined_at - known.quarantined_at) / 2, interval '1 hour'), interval '0')
         WHERE known.released_at IS NOT NULL",
    )
    .bind(column!(|it| it.id))
    .bind(column!(|it| model::small(it.message.channel)))
    .bind(column!(|it| it.message.account.as_str()))
    .bind(column!(|it| it.sender.as_str()))
    .bind(column!(|it| it.message.subject.as_str()))
    .bind(column!(|it| it.cause))
    .bind(column!(|it| model::small(it.message.automatic_class)))
    .bind(column!(|it| prost::Message::encode_to_vec(it.message)))
    .bind(column!(|it| it.awaits.then(|| now.to_sqlx())))
    .bind(column!(|it| serde_json::json!(filing::object_keys(it.message))))
    .bind(now.to_sqlx())
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() != waiting.len() as u64 {
        return Err(TicketError::race());
    }
    super::awaited::write_keys(tx, waiting).await
}

/// That messages wait.
pub(super) fn tell_quarantined(
    waiting: &[Quarantined<'_>],
    config: &Config,
    now: Timestamp,
    events: &mut EventSink<'_>,
) {
    for it in waiting {
        let body = proto::MessageQuarantined {
            message_id: it.id.to_string(),
            channel: it.message.channel,
            account: it.message.account.clone(),
            cause_code: it.cause.to_owned(),
            quarantine_time: Some(solmu_bus::envelope::to_proto_time(now)),
            team_id: config.quarantine.team_id.clone(),
        };
        events.add(&body, it.trace.clone());
    }
}

fn collect_events(plan: &Plan<'_>, events: &mut EventSink<'_>) {
    for filed in &plan.filed {
        let (ticket, message) = (Some(filed.ticket.state()), Some(filed.facts().to_proto()));
        let same_matter = filed.same.as_ref().map(Found::told);
        match filed.effect {
            Effect::Opened { previous } => {
                let previous_ticket_id = previous.map(|id| id.to_string()).unwrap_or_default();
                events.add(
                    &proto::TicketOpened {
                        ticket,
                        message,
                        previous_ticket_id,
                        same_matter,
                        restricted_by: plan.restricted_by(filed.ticket.id),
                    },
                    filed.trace.clone(),
                );
            }
            Effect::Joined { status_before } => {
                let previous_status = status_to_proto(status_before).into();
                events.add(
                    &proto::TicketMessageAdded {
                        ticket,
                        message,
                        previous_status,
                        same_matter,
                    },
                    filed.trace.clone(),
                );
            }
        }
    }
    tell_quarantined(&plan.quarantined, plan.config(), plan.now, events);
}
