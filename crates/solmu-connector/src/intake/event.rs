//! From what a connector hands in to an event that fits the bus.

use jiff::Timestamp;
use prost::Message as _;
use solmu_bus::{Event, envelope::to_proto_time};
use solmu_domain::ids::{EventId, MessageId};
use solmu_proto::{
    inbound::v1::{DeliveryReported, MessageReceived},
    types::v1::Channel,
};

use super::{InboundEvent, IntakeError};
use crate::names::channel_name;
use solmu_text as text;

/// Largest encoded event: a bus message takes 960 KiB, of which the envelope needs a little.
pub const MAX_EVENT_BYTES: usize = 900 * 1024;

/// What remains of a text that made its event too large, in bytes.
const SHORTENED_TEXT: usize = 200 * 1024;

/// What remains of lists (addresses, references) that made their event too large, in entries.
const SHORTENED_LIST: usize = 200;

impl InboundEvent {
    /// Channel as a metric label.
    pub(super) fn channel_label(&self) -> &'static str {
        channel_name(match self {
            Self::Message(message) => message.channel(),
            Self::Delivery(report) => report.channel(),
        })
    }

    /// Makes the bus event, in the current span.
    pub(super) fn prepare(self, now: Timestamp) -> Result<Event, IntakeError> {
        match self {
            Self::Message(message) => prepare_message(*message, now),
            Self::Delivery(report) => Ok(Event::new(report_id(&report), now, &*report)),
        }
    }
}

fn prepare_message(mut message: MessageReceived, now: Timestamp) -> Result<Event, IntakeError> {
    let channel = channel_name(message.channel());
    let id = message_event_id(channel, &message);
    message.message_id =
        MessageId::of_inbound(channel, &message.account, &message.external_id).to_string();
    message
        .received_time
        .get_or_insert_with(|| to_proto_time(now));
    strip_nul(&mut message);
    shorten(&mut message);
    if message.encoded_len() > MAX_EVENT_BYTES {
        return Err(IntakeError::TooLarge);
    }
    Ok(Event::new(id, now, &message))
}

/// One id however often the message is delivered. The id of a mail is written by its sender, so what it says counts,
/// too: another mail under the same Message-ID reaches the ticket service, which tells the two apart.
fn message_event_id(channel: &str, message: &MessageReceived) -> EventId {
    let mut parts = vec![channel, &message.account, &message.external_id];
    let sent;
    if message.channel() == Channel::Email {
        sent = message
            .sent_time
            .map(|at| at.to_string())
            .unwrap_or_default();
        let identities = message.sender.iter().flat_map(|sender| &sender.identities);
        parts.extend([message.subject.as_str(), &message.text, &sent]);
        parts.extend(message.attachments.iter().map(|it| it.sha256.as_str()));
        parts.extend(identities.map(|it| it.value.as_str()));
    }
    EventId::stable("inbound", &parts)
}

/// Reports are told apart by all that they say: the vendor may send each state once more, or several states at once.
fn report_id(report: &DeliveryReported) -> EventId {
    let state = report.state().as_str_name();
    EventId::stable(
        "delivery",
        &[
            channel_name(report.channel()),
            &report.account,
            &report.message_id,
            &report.external_id,
            state,
            &report.error_code,
            &report.address,
        ],
    )
}

/// PostgreSQL takes no NUL, neither as a character nor as a JSON escape.
fn strip_nul(message: &mut MessageReceived) {
    let sender_name = message
        .sender
        .as_mut()
        .map(|sender| &mut sender.display_name);
    for text in [&mut message.subject, &mut message.text, &mut message.html]
        .into_iter()
        .chain(sender_name)
    {
        text.retain(|char| char != '\0');
    }
    if message.fields_json.contains("\\u0000") {
        message.fields_json = message.fields_json.replace("\\u0000", "");
    }
}

/// Makes an event that is too large small enough. Nothing is lost: the original is kept whole. The reader is told.
fn shorten(message: &mut MessageReceived) {
    if message.encoded_len() <= MAX_EVENT_BYTES {
        return;
    }
    let mut cut = text::shorten(&mut message.text, SHORTENED_TEXT);
    if message.html.len() > SHORTENED_TEXT {
        // Half an HTML document is none: the text stands for it.
        if message.text.is_empty() {
            message.text = text::html_to_text(&message.html);
            text::shorten(&mut message.text, SHORTENED_TEXT);
        }
        message.html.clear();
        cut = true;
    }
    if cut {
        message
            .notices
            .push("the text is too long to be shown whole; the original has all of it".to_owned());
    }
    if message.encoded_len() <= MAX_EVENT_BYTES {
        return;
    }
    text::shorten(&mut message.subject, 8 * 1024);
    message.to.truncate(SHORTENED_LIST);
    message.cc.truncate(SHORTENED_LIST);
    message.reply_to.truncate(SHORTENED_LIST);
    message.delivered_to.truncate(SHORTENED_LIST);
    if let Some(threading) = &mut message.threading {
        threading.references.truncate(SHORTENED_LIST);
        threading.in_reply_to.truncate(SHORTENED_LIST);
    }
    message
        .notices
        .push("long lists of addresses were cut; the original has all of them".to_owned());
}
