//! "We have got your message": sent without a person when a mail by a person opens a ticket.
//!
//! An automatic answer is how two machines begin to talk to each other, and how a forged sender makes us write to
//! somebody who never wrote. So it goes only where a person waits for it, within caps, and repeats nothing that could
//! be an advertisement: a subject or a name with a link in it is left out.

use jiff::{SignedDuration, Timestamp};
use solmu_bus::envelope::{from_proto_time, to_proto_time};
use solmu_contacts::filing::key_of;
use solmu_db::ToSqlx as _;
use solmu_domain::ids::new_uuid;
use solmu_proto::{
    inbound::v1::MessageReceived,
    outbound::v1::{MessageQueued, Purpose},
    ticket::v1 as proto,
    types::v1::{AutomaticClass, Channel, DeliveryState, Identity, IdentityKind, actor::Kind},
};
use solmu_telemetry::TraceContext;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    budget,
    plan::Plan,
    work::{Effect, Filed},
};
use crate::{
    config::{Acknowledgement, Values},
    error::TicketError,
    events::{EventSink, MessageFacts, actor},
    model::{Ticket, class_from_proto, small, status_to_proto},
    recipient::as_recipient,
    row::AUTHOR,
};

/// Longest subject or name of the sender that is repeated, in characters.
const MAX_REPEATED: usize = 120;
/// Ids of earlier mails that the answer names.
const REFERENCES: usize = 20;
/// What stands before the at sign where no person reads.
const MACHINES: [&str; 12] = [
    "mailer-daemon",
    "postmaster",
    "no-reply",
    "noreply",
    "no_reply",
    "do-not-reply",
    "donotreply",
    "bounce",
    "bounces",
    "abuse",
    "hostmaster",
    "daemon",
];

/// An acknowledgement to be written, with the ticket as it is then.
pub(crate) struct Acknowledged {
    id: Uuid,
    ticket: Ticket,
    queued: MessageQueued,
    trace: TraceContext,
}

/// Decides which of the opened tickets are acknowledged. After they have their numbers.
pub(crate) fn decide(plan: &mut Plan<'_>) {
    let config = &plan.config().acknowledgement;
    if !config.enabled || plan.released {
        return;
    }
    for index in 0..plan.filed.len() {
        let filed = &plan.filed[index];
        let Some(recipient) = recipient(plan, filed, config) else {
            continue;
        };
        let (ticket_id, trace) = (filed.ticket.id, filed.trace.clone());
        let name = sender_name(filed.message);
        let values = Values {
            number: filed.ticket.number,
            subject: repeated(&filed.message.subject),
            name: repeated(&name),
        };
        let (subject, text) = match config.render(&values) {
            Ok(rendered) => rendered,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot acknowledge a message"
                );
                return;
            }
        };
        let envelope = envelope(filed, recipient);
        let address = filed.author.address.clone();
        if !spend(plan, &address, ticket_id) {
            continue;
        }
        let id = new_uuid(plan.context.clock.as_ref(), plan.context.rng.as_ref());
        let now = plan.now;
        let Some(ticket) = plan.ticket_mut(ticket_id) else {
            continue;
        };
        ticket.message_count += 1;
        ticket.touch(now, false);
        let acknowledged = Acknowledged {
            id,
            ticket: ticket.clone(),
            queued: MessageQueued {
                message_id: id.to_string(),
                subject,
                text,
                create_time: Some(to_proto_time(now)),
                ..envelope
            },
            trace,
        };
        plan.acknowledged.push(acknowledged);
    }
}

/// Whom the acknowledgement of this message goes to; `None` if it gets none.
fn recipient(plan: &Plan<'_>, filed: &Filed<'_>, config: &Acknowledgement) -> Option<Identity> {
    let message = filed.message;
    let address = filed.author.address.as_str();
    let opened = matches!(filed.effect, Effect::Opened { .. });
    // Human mail with a reason bears a sign of a machine that was not enough to call it one.
    let human = class_from_proto(message.automatic_class()).is_human()
        && message.automatic_reason.is_empty();
    if !opened || !human || message.channel() != Channel::Email || filed.author.failed() {
        return None;
    }
    let (local, _) = address.rsplit_once('@')?;
    let ours = message.delivered_to.iter().any(|own| own == address);
    if ours || MACHINES.contains(&local) || is_old(message, config, plan.now) {
        return None;
    }
    let sender = message.sender.as_ref()?;
    let identities = sender.identities.iter();
    let identity = identities
        .filter(|identity| identity.kind() == IdentityKind::Email)
        .find(|identity| identity.value == address)?;
    let known = plan
        .loaded
        .identities
        .known
        .get(&key_of(&sender.display_name, identity)?);
    (!known.is_some_and(|known| known.undeliverable)).then(|| as_recipient(identity.clone()))
}

/// Whether it was sent too long ago: it was imported, or replayed.
fn is_old(message: &MessageReceived, config: &Acknowledgement, now: Timestamp) -> bool {
    let times = [&message.sent_time, &message.received_time];
    let earliest = times.into_iter().flatten().map(from_proto_time).min();
    let max_age = SignedDuration::from_hours(i64::from(config.max_age_hours));
    earliest.is_some_and(|at| now.duration_since(at) > max_age)
}

fn spend(plan: &mut Plan<'_>, address: &str, ticket: Uuid) -> bool {
    use budget::{
        ANYBODY,
        Kind::{Acknowledgement, AcknowledgementTotal, AutomaticOut},
    };
    let (loops, now) = (&plan.config().loops, plan.now);
    let budgets = &mut plan.loaded.budgets;
    budgets.has(AutomaticOut, address, Uuid::nil(), loops, now)
        && budgets.has(AcknowledgementTotal, ANYBODY, Uuid::nil(), loops, now)
        && budgets.spend(Acknowledgement, address, ticket, loops, now)
        && budgets.spend(AcknowledgementTotal, ANYBODY, Uuid::nil(), loops, now)
        && budgets.spend(AutomaticOut, address, Uuid::nil(), loops, now)
}

fn sender_name(message: &MessageReceived) -> String {
    let sender = message.sender.as_ref();
    sender
        .map(|sender| sender.display_name.clone())
        .unwrap_or_default()
}

/// What a stranger wrote, if it may be repeated to somebody who perhaps never wrote.
fn repeated(text: &str) -> &str {
    let text = text.trim();
    let lower = text.to_lowercase();
    let link = ["://", "www.", "@"].iter().any(|mark| lower.contains(mark));
    let odd = text.chars().any(char::is_control) || text.chars().count() > MAX_REPEATED;
    if link || odd { "" } else { text }
}

fn envelope(filed: &Filed<'_>, recipient: Identity) -> MessageQueued {
    let threading = filed.message.threading.clone().unwrap_or_default();
    let mut references: Vec<String> = std::iter::once(threading.message_id_header.clone())
        .chain(threading.references)
        .filter(|id| !id.is_empty())
        .take(REFERENCES)
        .collect();
    references.reverse();
    MessageQueued {
        ticket_id: filed.ticket.id.to_string(),
        ticket_number: filed.ticket.number,
        channel: Channel::Email.into(),
        account: filed.message.account.clone(),
        // Not the mail's: strangers choose that one, and a mailbox that does not answer would hold up others.
        conversation_key: filed.ticket.id.to_string(),
        recipient: Some(recipient),
        recipient_name: sender_name(filed.message),
        in_reply_to: threading.message_id_header,
        references,
        from_address: filed.ticket.recipient.clone(),
        automatic: true,
        purpose: Purpose::Acknowledgement.into(),
        ..MessageQueued::default()
    }
}

/// Stores the acknowledgements, in one statement.
pub(crate) async fn write(
    tx: &mut PgConnection,
    acknowledged: &[Acknowledged],
    now: Timestamp,
) -> Result<(), TicketError> {
    if acknowledged.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        (|$it:ident| $value:expr) => {
            acknowledged.iter().map(|$it| $value).collect::<Vec<_>>()
        };
    }
    let raw = |it: &Acknowledged| it.queued.recipient.as_ref().map(|to| to.raw.clone());
    sqlx::query(
        "INSERT INTO tickets.message (id, ticket_id, sequence, channel, account, author_kind, author_id, address,
            public, subject, body_text, automatic_class, sender_verified, created_at, delivery_state)
         SELECT id, ticket_id, sequence, $8, account, $9, $10, address, true, subject, body_text, $11, true, $12, $13
         FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
            AS new (id, ticket_id, sequence, account, address, subject, body_text)",
    )
    .bind(column!(|it| it.id))
    .bind(column!(|it| it.ticket.id))
    .bind(column!(|it| it.ticket.message_count))
    .bind(column!(|it| it.queued.account.as_str()))
    .bind(column!(|it| raw(it).unwrap_or_default()))
    .bind(column!(|it| it.queued.subject.as_str()))
    .bind(column!(|it| it.queued.text.as_str()))
    .bind(small(Channel::Email.into()))
    .bind(small(Kind::Service.into()))
    .bind(AUTHOR)
    .bind(small(AutomaticClass::AutoReply.into()))
    .bind(now.to_sqlx())
    .bind(small(DeliveryState::Queued.into()))
    .execute(tx)
    .await?;
    Ok(())
}

/// Queues the acknowledgements, and tells of them as messages that no person wrote.
pub(crate) fn collect_events(
    acknowledged: &[Acknowledged],
    now: Timestamp,
    events: &mut EventSink<'_>,
) {
    for it in acknowledged {
        events.add(&it.queued, it.trace.clone());
        let facts = MessageFacts {
            message_id: it.id,
            author: actor(Kind::Service, AUTHOR),
            public: true,
            class: AutomaticClass::AutoReply,
            at: now,
            sequence: it.ticket.message_count,
            channel: Channel::Email,
        };
        let body = proto::TicketMessageAdded {
            ticket: Some(it.ticket.state()),
            message: Some(facts.to_proto()),
            previous_status: status_to_proto(it.ticket.status).into(),
            ..proto::TicketMessageAdded::default()
        };
        events.add(&body, it.trace.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_repeated() {
        let values = Values {
            number: 1007,
            subject: repeated("Invoice"),
            name: repeated("Buy at www.evil.example"),
        };
        let (subject, text) = Acknowledgement::default().render(&values).unwrap();
        assert_eq!(subject, "[#1007] We have got your message: Invoice");
        assert!(text.starts_with("Hello,\n\nwe have") && text.contains("#1007"));
        assert_eq!(repeated("see http://x"), "");
        assert_eq!(repeated(&"x".repeat(MAX_REPEATED + 1)), "");
    }
}
