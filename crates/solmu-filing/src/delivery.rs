//! What became of our messages: reports move the delivery state forward, in whatever order they come.

pub mod early;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

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
    events::{EventSink, actor},
    keys::folded,
    model::{self, Ticket, small, status_to_proto},
    reach,
    row::{AUTHOR, NewMessage},
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

/// A message of ours that reports are about, as it stands while they are applied.
struct Target {
    id: Uuid,
    ticket_id: Uuid,
    delivery_state: i16,
    delivery_error: String,
    external_id: String,
    channel: i16,
    account: String,
    /// Where it went, as it was written.
    address: String,
    side_conversation_id: Option<Uuid>,
}
solmu_db::from_row!(Target {
    id,
    ticket_id,
    delivery_state,
    delivery_error,
    external_id,
    channel,
    account,
    address,
    side_conversation_id
});

/// By what a report names a message of ours, besides our own id.
type ExternalKey = (i16, String, String);

/// A report on its way to its message.
struct Told<'a> {
    target: Uuid,
    report: Cow<'a, DeliveryReported>,
    trace: &'a TraceContext,
}

/// Applies reports in order. One for an id that we do not know yet is kept until we do; one for a message that is none
/// of a ticket (a notification) has no effect.
///
/// Every writer locks tickets before it touches their messages, and so do reports: all tickets of a batch are locked in
/// one statement, in order of id, and then what they say is read, decided in memory and written in a few more.
pub(crate) async fn apply(
    tx: &mut PgConnection,
    context: &Context,
    reports: &[(&DeliveryReported, &TraceContext)],
    events: &mut EventSink<'_>,
) -> Result<(), TicketError> {
    if reports.is_empty() {
        return Ok(());
    }
    let found = find(tx, reports).await?;
    let mut told: Vec<Told<'_>> = Vec::with_capacity(reports.len());
    for ((report, trace), target) in reports.iter().zip(found) {
        match target {
            Some(target) => told.push(Told {
                target,
                report: Cow::Borrowed(report),
                trace,
            }),
            None if report.message_id.is_empty() => early::keep(tx, report).await?,
            None => {}
        }
    }
    let (mut tickets, mut targets) = lock(tx, &told).await?;
    let learned = learn_external_ids(tx, &told, &mut targets).await?;
    let early = early::take(tx, &learned).await?;
    told = with_early(told, early);
    let mut changed: BTreeSet<Uuid> = BTreeSet::new();
    let mut news: Vec<(String, bool, usize)> = Vec::new();
    for (index, it) in told.iter().enumerate() {
        let Some(target) = targets.get_mut(&it.target) else {
            continue;
        };
        let from = DeliveryState::try_from(i32::from(target.delivery_state)).unwrap_or_default();
        let is_news = moves(from, it.report.state());
        let is_mail = target.channel == small(Channel::Email.into());
        if let Some(address) = reach::normalised(&target.address).filter(|_| is_mail) {
            news.push((address, is_news, index));
        }
        if !is_news {
            continue;
        }
        target.delivery_state = small(it.report.state);
        target.delivery_error = error_of(&it.report);
        changed.insert(target.id);
        if let Some(ticket) = tickets.get_mut(&target.ticket_id) {
            if is_mail && it.report.state() == DeliveryState::Failed {
                let note = note_of(target, &it.report, &target.delivery_error);
                write_note(tx, context, ticket, &note, events, it.trace.clone()).await?;
            }
            let body = DeliveryUpdated {
                ticket: Some(ticket.state()),
                message_id: target.id.to_string(),
                state: it.report.state,
                update_time: it.report.report_time,
                error_code: it.report.error_code.clone(),
            };
            events.add(&body, it.trace.clone());
        }
    }
    write_states(tx, changed.iter().filter_map(|id| targets.get(id))).await?;
    // In order of address: two replicas that mark the same ones do not wait for each other in a ring.
    news.sort();
    for (address, is_news, index) in news {
        let (report, now) = (&told[index].report, context.clock.now());
        let about = (address.as_str(), is_news);
        reach::note(
            tx,
            &context.config.bounces,
            about,
            report,
            &error_of(report),
            now,
        )
        .await?;
    }
    Ok(())
}

fn error_of(report: &DeliveryReported) -> String {
    match (report.error_code.as_str(), report.error_text.as_str()) {
        ("", text) => text.to_owned(),
        (code, "") => code.to_owned(),
        (code, text) => format!("{code}: {text}"),
    }
}

fn external_key(report: &DeliveryReported) -> ExternalKey {
    (
        small(report.channel),
        report.account.clone(),
        report.external_id.clone(),
    )
}

/// The message of each report. A report that names our id and the vendor's tells of the latter for the others.
async fn find(
    tx: &mut PgConnection,
    reports: &[(&DeliveryReported, &TraceContext)],
) -> Result<Vec<Option<Uuid>>, TicketError> {
    let own: Vec<Option<Uuid>> = reports
        .iter()
        .map(|(report, _)| Uuid::parse_str(&report.message_id).ok())
        .collect();
    let known: HashSet<Uuid> = sqlx::query_scalar(
        "SELECT id FROM tickets.message WHERE id = ANY($1) AND author_kind <> 1",
    )
    .bind(own.iter().flatten().copied().collect::<Vec<_>>())
    .fetch_all(&mut *tx)
    .await?
    .into_iter()
    .collect();
    let mut external: HashMap<ExternalKey, Uuid> = HashMap::new();
    for ((report, _), id) in reports.iter().zip(&own) {
        if let Some(id) = id.filter(|id| known.contains(id) && !report.external_id.is_empty()) {
            external.entry(external_key(report)).or_insert(id);
        }
    }
    let others = reports.iter().zip(&own);
    let wanted: HashSet<ExternalKey> = others
        .filter(|((report, _), own)| own.is_none() && !report.external_id.is_empty())
        .map(|((report, _), _)| external_key(report))
        .filter(|key| !external.contains_key(key))
        .collect();
    if !wanted.is_empty() {
        let wanted: Vec<_> = wanted.into_iter().collect();
        let rows: Vec<(i16, String, String, Uuid)> = sqlx::query_as(
            "SELECT channel, account, external_id, message.id FROM tickets.message
             JOIN unnest($1::smallint[], $2::text[], $3::text[]) AS wanted (channel, account, external_id)
                USING (channel, account, external_id)
             WHERE author_kind <> 1 AND external_id <> ''",
        )
        .bind(wanted.iter().map(|key| key.0).collect::<Vec<_>>())
        .bind(wanted.iter().map(|key| key.1.as_str()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|key| key.2.as_str()).collect::<Vec<_>>())
        .fetch_all(tx)
        .await?;
        let rows = rows
            .into_iter()
            .map(|(channel, account, id, message)| ((channel, account, id), message));
        external.extend(rows);
    }
    let target = |report: &DeliveryReported, own: Option<Uuid>| match own {
        Some(id) => known.contains(&id).then_some(id),
        None => external.get(&external_key(report)).copied(),
    };
    Ok(reports
        .iter()
        .zip(own)
        .map(|((report, _), own)| target(report, own))
        .collect())
}

/// Locks the tickets, and reads the messages under those locks. One that moved to another ticket meanwhile means that
/// this batch is decided again.
async fn lock(
    tx: &mut PgConnection,
    told: &[Told<'_>],
) -> Result<(HashMap<Uuid, Ticket>, HashMap<Uuid, Target>), TicketError> {
    let ids: Vec<Uuid> = told.iter().map(|it| it.target).collect();
    let wanted: Vec<Uuid> =
        sqlx::query_scalar("SELECT DISTINCT ticket_id FROM tickets.message WHERE id = ANY($1)")
            .bind(&ids)
            .fetch_all(&mut *tx)
            .await?;
    let tickets: HashMap<Uuid, Ticket> = model::lock(tx, &wanted)
        .await?
        .into_iter()
        .map(|ticket| (ticket.id, ticket))
        .collect();
    let targets: Vec<Target> = sqlx::query_as(
        "SELECT id, ticket_id, delivery_state, delivery_error, external_id, channel, account, address,
            side_conversation_id
         FROM tickets.message WHERE id = ANY($1)",
    )
    .bind(&ids)
    .fetch_all(tx)
    .await?;
    if targets
        .iter()
        .any(|it| !tickets.contains_key(&it.ticket_id))
    {
        return Err(TicketError::race());
    }
    let targets = targets.into_iter().map(|target| (target.id, target));
    Ok((tickets, targets.collect()))
}

/// Notes the vendor's ids of messages that had none: now answers that name them find their ticket, on the account that
/// sent them. Not those of an expert: their way back is the reply address, and nothing else of theirs is let in.
async fn learn_external_ids(
    tx: &mut PgConnection,
    told: &[Told<'_>],
    targets: &mut HashMap<Uuid, Target>,
) -> Result<Vec<(Uuid, ExternalKey)>, TicketError> {
    let mut learned: Vec<(Uuid, ExternalKey)> = Vec::new();
    let mut keys: BTreeMap<ExternalKey, Uuid> = BTreeMap::new();
    for it in told {
        let Some(target) = targets.get_mut(&it.target) else {
            continue;
        };
        if !target.external_id.is_empty() || it.report.external_id.is_empty() {
            continue;
        }
        target.external_id.clone_from(&it.report.external_id);
        // An answer to a form is queued without an account; the report names the one that sent it.
        if target.account.is_empty() {
            target.account.clone_from(&it.report.account);
        }
        let key = |id: String| (target.channel, target.account.clone(), id);
        learned.push((target.id, key(target.external_id.clone())));
        if target.side_conversation_id.is_none() {
            let id = folded(target.external_id.trim_matches(['<', '>']));
            keys.entry(key(id)).or_insert(target.ticket_id);
        }
    }
    if learned.is_empty() {
        return Ok(learned);
    }
    sqlx::query(
        "UPDATE tickets.message SET external_id = new.external_id, account = new.account
         FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (id, external_id, account) WHERE message.id = new.id",
    )
    .bind(learned.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(learned.iter().map(|(_, key)| key.2.as_str()).collect::<Vec<_>>())
    .bind(learned.iter().map(|(_, key)| key.1.as_str()).collect::<Vec<_>>())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO tickets.thread_key (channel, account, key, ticket_id)
         SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::uuid[]) ON CONFLICT DO NOTHING",
    )
    .bind(keys.keys().map(|key| key.0).collect::<Vec<_>>())
    .bind(keys.keys().map(|key| key.1.as_str()).collect::<Vec<_>>())
    .bind(keys.keys().map(|key| key.2.as_str()).collect::<Vec<_>>())
    .bind(keys.values().copied().collect::<Vec<_>>())
    .execute(tx)
    .await?;
    Ok(learned)
}

/// Reports that came before we knew the id that they name come first, in order of state.
fn with_early(told: Vec<Told<'_>>, mut early: Vec<(Uuid, DeliveryReported)>) -> Vec<Told<'_>> {
    early.sort_by_key(|(_, report)| report.state);
    let mut first: HashSet<Uuid> = HashSet::new();
    let mut all = Vec::with_capacity(told.len() + early.len());
    for it in told {
        if first.insert(it.target) {
            let own = early.iter().filter(|(target, _)| *target == it.target);
            all.extend(own.map(|(target, report)| Told {
                target: *target,
                report: Cow::Owned(report.clone()),
                trace: it.trace,
            }));
        }
        all.push(it);
    }
    all
}

async fn write_states(
    tx: &mut PgConnection,
    targets: impl Iterator<Item = &Target> + Clone,
) -> Result<(), TicketError> {
    let ids: Vec<Uuid> = targets.clone().map(|it| it.id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE tickets.message SET delivery_state = new.delivery_state, delivery_error = new.delivery_error
         FROM unnest($1::uuid[], $2::smallint[], $3::text[]) AS new (id, delivery_state, delivery_error)
         WHERE message.id = new.id",
    )
    .bind(ids)
    .bind(targets.clone().map(|it| it.delivery_state).collect::<Vec<_>>())
    .bind(targets.map(|it| it.delivery_error.as_str()).collect::<Vec<_>>())
    .execute(tx)
    .await?;
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
    let note = NewMessage {
        class: AutomaticClass::AutoGenerated,
        ..NewMessage::note(id, ticket, actor(Kind::Service, AUTHOR), text)
    };
    note.insert(tx, ticket, now).await?;
    let body = TicketMessageAdded {
        ticket: Some(ticket.state()),
        message: Some(note.facts(ticket, now).to_proto()),
        previous_status: status_to_proto(ticket.status).into(),
        ..TicketMessageAdded::default()
    };
    events.add(&body, trace);
    model::update(tx, &[ticket]).await
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
