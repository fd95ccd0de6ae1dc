//! An agent's mail to the reply address of a ticket: an answer to the customer.
//!
//! What goes out is what the agent wrote anew: an agent's mail quotes what they were told, which may be more than the
//! customer may see, and ends with a signature of the house. So it is read more strictly than a customer's
//! ([`solmu_mime::quotes::answer`]). What is stored is the whole, with offsets that say what was sent. A mail that cannot
//! go out, or of which it is not certain what should, becomes a note that says why: nothing is sent on a guess, nothing
//! is lost.

use solmu_bus::envelope::to_proto_time;
use solmu_domain::ticket::Status;
use solmu_mime::quotes::{Answer, Doubt, answer};
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
    attachments::attachments_to_json,
    change::move_status,
    error::TicketError,
    events::actor,
    file::Work,
    model::{self, Ticket, status_to_proto},
    recipient,
    row::NewMessage,
};

/// Why it was not sent.
mod why {
    pub(super) const AUTOMATIC: &str = "an automatic mail of an agent: not sent to the customer";
    pub(super) const NOT_ADDRESSED: &str = "an agent's mail that was not sent to the reply address of this ticket (in To or Cc): not sent to the customer";
    pub(super) const EMPTY: &str = "an agent's mail with nothing new above what it quotes: not sent to the customer. Write the answer at the top of a reply to the same address";
    pub(super) const BETWEEN: &str = "an agent's mail with lines between or below quoted ones: not sent to the customer, since what is quoted must not go out. Write the answer at the top of a reply to the same address, and leave the quote whole";
    pub(super) const INTRODUCED: &str = "an agent's mail in which a line may introduce a quoted mail that has no marks: not sent to the customer. Send the answer to the same address without that line and what follows it";
}

/// What of the text is not sent, for the readers of the message; `None` if all of it is, but for what is marked as quoted.
fn left_out(read: &Answer) -> Option<String> {
    let lines = |count: usize| match count {
        1 => "1 line".to_owned(),
        count => format!("{count} lines"),
    };
    let left_out = read.left_out;
    let signature =
        (left_out.signature > 0).then(|| format!("the signature ({})", lines(left_out.signature)));
    let below = (left_out.below > 0).then(|| {
        let from = left_out.from_line;
        format!(
            "what stands from line {from} on ({} without a mark of quoting)",
            lines(left_out.below)
        )
    });
    let parts: Vec<String> = [signature, below].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("not sent to the customer: {}", parts.join(", and ")))
}

/// Why a mail with this text is not sent, whatever else holds.
fn unclear(read: &Answer) -> Option<&'static str> {
    match read.doubt {
        Some(Doubt::Between) => Some(why::BETWEEN),
        Some(Doubt::Introduced) => Some(why::INTRODUCED),
        None => (!read.written).then_some(why::EMPTY),
    }
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
    let read = answer(&message.text);
    let text = read.sent(&message.text);
    let why = if !work.class().is_human() {
        Some(why::AUTOMATIC)
    } else if !addressed {
        Some(why::NOT_ADDRESSED)
    } else {
        unclear(&read)
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
        Ok(envelope) => {
            notices.extend(left_out(&read));
            Some(queued(envelope, message, text, id, now))
        }
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
    let stored = NewMessage {
        // What others are shown of a message that went out is what went out.
        offsets: queued
            .as_ref()
            .map_or((message.quote_offset, message.signature_offset), |_| {
                offsets(&read, &message.text)
            }),
        ..stored(work, agent, ticket, queued.as_ref(), &notices, id)
    };
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

/// In characters. A text is far shorter than what a 32-bit number counts.
fn offsets(read: &Answer, text: &str) -> (Option<u32>, Option<u32>) {
    let count = |at: usize| {
        let characters = text.get(..at)?.chars().count();
        u32::try_from(characters).ok()
    };
    (read.quote.and_then(count), read.signature.and_then(count))
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
