//! An agent's mail to the reply address of a ticket: an answer to the customer.
//!
//! What goes out is what the agent wrote anew: an agent's mail quotes what they were told, which may be more than the
//! customer may see, and ends with a signature of the house. What is stored is the whole. A mail that cannot go out, or
//! of which it is not certain that it should, becomes a note that says why: nothing is sent on a guess, nothing is lost.

use solmu_bus::envelope::to_proto_time;
use solmu_domain::ticket::Status;
use solmu_proto::{
    inbound::v1::MessageReceived,
    outbound::v1::{MessageQueued, Purpose},
    ticket::v1 as proto,
    types::v1::{Channel, DeliveryState, actor::Kind},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Agent;
use crate::{
    command::move_status,
    error::TicketError,
    events::actor,
    file::{Work, attachments_to_json, visible},
    model::{self, Ticket, status_to_proto},
    recipient,
    row::NewMessage,
};

/// Why it was not sent.
mod why {
    pub(super) const AUTOMATIC: &str = "an automatic mail of an agent: not sent to the customer";
    pub(super) const NOT_ADDRESSED: &str = "an agent's mail that was not sent to the reply address of this ticket: not sent to the customer";
    pub(super) const EMPTY: &str =
        "an agent's mail in which nothing new was found: not sent to the customer";
}

/// Files it on `ticket`.
pub(crate) async fn file(
    work: &mut Work<'_, '_>,
    tx: &mut PgConnection,
    agent: &Agent,
    ticket: &mut Ticket,
    addressed: bool,
    id: Uuid,
) -> Result<(), TicketError> {
    let (message, now) = (work.message, work.now);
    let text = visible(message);
    let why = if !work.class().is_human() {
        Some(why::AUTOMATIC)
    } else if !addressed {
        Some(why::NOT_ADDRESSED)
    } else if text.is_empty() {
        Some(why::EMPTY)
    } else {
        None
    };
    let status_before = ticket.status;
    let envelope = match why {
        Some(why) => Err(why.to_owned()),
        None => envelope(work, tx, ticket).await?,
    };
    ticket.message_count += 1;
    ticket.touched = true;
    ticket.touch(now, ticket.status != status_before);
    let mut notices = Vec::new();
    let queued = match envelope {
        Ok(envelope) => Some(queued(envelope, message, &text, id, now)),
        Err(why) => {
            notices.push(why);
            None
        }
    };
    notices.extend(message.notices.iter().cloned());
    if let Some(queued) = &queued {
        ticket.add_channel(queued.channel());
        work.events.add(queued, work.trace.clone());
    }
    let stored = stored(work, agent, ticket, queued.as_ref(), &notices, id);
    stored.insert(tx, ticket, now).await?;
    let body = proto::TicketMessageAdded {
        ticket: Some(ticket.state()),
        message: Some(stored.facts(ticket, now).to_proto()),
        previous_status: status_to_proto(status_before).into(),
        ..proto::TicketMessageAdded::default()
    };
    work.events.add(&body, work.trace.clone());
    drop(stored);
    model::update(tx, &[ticket]).await?;
    if queued.is_some() {
        work.add_own_key(tx, ticket).await?;
    }
    work.keep(tx, id, "agent").await
}

/// The envelope of the answer, with the ticket in its status after it; or why there is none.
async fn envelope(
    work: &Work<'_, '_>,
    tx: &mut PgConnection,
    ticket: &mut Ticket,
) -> Result<Result<MessageQueued, String>, TicketError> {
    let config = &work.context.config;
    let envelope = match recipient::address(tx, ticket, false, &config.quoting).await {
        Ok(envelope) => envelope,
        Err(error @ (TicketError::NoRecipient(_) | TicketError::Undeliverable { .. })) => {
            return Ok(Err(format!("not sent to the customer: {error}")));
        }
        Err(error) => return Err(error),
    };
    let to = envelope
        .recipient
        .as_ref()
        .map_or("", |it| it.value.as_str());
    let mut named = work.message.to.iter().chain(&work.message.cc);
    if envelope.channel() == Channel::Email
        && named.any(|it| it.address.trim().eq_ignore_ascii_case(to))
    {
        // An illegal move leaves the status.
        drop(
            move_status(
                tx,
                ticket,
                Some(Status::WaitingOnCustomer),
                work.now,
                config,
            )
            .await,
        );
        return Ok(Err(
            "the agent wrote to the customer directly: not sent again".to_owned(),
        ));
    }
    match move_status(
        tx,
        ticket,
        Some(Status::WaitingOnCustomer),
        work.now,
        config,
    )
    .await
    {
        Ok(()) => Ok(Ok(envelope)),
        Err(error) => Ok(Err(format!("not sent to the customer: {error}"))),
    }
}

fn queued(
    envelope: MessageQueued,
    message: &MessageReceived,
    text: &str,
    id: Uuid,
    now: jiff::Timestamp,
) -> MessageQueued {
    let files = message.attachments.iter().filter(|file| !file.inline);
    let by_mail = envelope.channel() == Channel::Email;
    MessageQueued {
        message_id: id.to_string(),
        text: text.to_owned(),
        attachments: files.filter(|_| by_mail).cloned().collect(),
        create_time: Some(to_proto_time(now)),
        purpose: Purpose::Reply.into(),
        ..envelope
    }
}

fn stored<'a>(
    work: &Work<'a, '_>,
    agent: &'a Agent,
    ticket: &'a Ticket,
    queued: Option<&'a MessageQueued>,
    notices: &'a [String],
    id: Uuid,
) -> NewMessage<'a> {
    let message = work.message;
    let recipient = queued.and_then(|queued| queued.recipient.as_ref());
    NewMessage {
        channel: queued.map_or(Channel::Email, MessageQueued::channel),
        account: queued.map_or(&message.account, |queued| &queued.account),
        author_name: &agent.name,
        author_address: &agent.address,
        address: recipient.map_or("", |recipient| recipient.raw.as_str()),
        public: queued.is_some(),
        subject: &message.subject,
        html: &message.html,
        attachments: attachments_to_json(&message.attachments),
        notices,
        class: message.automatic_class(),
        state: queued.map_or(DeliveryState::Unspecified, |_| DeliveryState::Queued),
        offsets: (message.quote_offset, message.signature_offset),
        sent_at: work.sent_at(),
        ..NewMessage::note(id, ticket, actor(Kind::Agent, agent.id), &message.text)
    }
}
