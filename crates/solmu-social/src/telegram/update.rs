//! One update of the Bot API: which kind it is, and what it amounts to (Bot API 10.1, `Update`).

use serde_json::Value;
use solmu_bus::envelope::to_proto_time;
use solmu_proto::{
    inbound::v1::{ContentKind, MessageReceived, Threading},
    types::v1::Channel,
};

use super::message::{self, Place};
use crate::{
    batch::{Batch, new_message},
    json,
};

/// Reads an update that came for the bot `account`.
pub(crate) fn read(account: &str, update: &Value) -> Batch {
    let mut batch = Batch::default();
    let Some((kind, value)) = kind_of(update) else {
        batch.ignored.push("other_update");
        return batch;
    };
    let messages = match kind {
        "message" | "business_message" => match message::read(account, value) {
            message::Read::Message(message) => Some(vec![*message]),
            message::Read::Service => {
                batch.ignored.push("service_message");
                return batch;
            }
            message::Read::Unreadable => None,
        },
        "edited_message" | "edited_business_message" => {
            edited(account, value).map(|message| vec![message])
        }
        "deleted_business_messages" => deleted(account, value),
        "callback_query" => button(account, value).map(|message| vec![message]),
        "message_reaction" => reaction(account, value).map(|message| vec![message]),
        _ => {
            // The bot was blocked, added, connected: says nothing that an agent could answer.
            batch.ignored.push(kind);
            return batch;
        }
    };
    match messages {
        Some(messages) => batch.messages = messages,
        None => batch.kept.push(kind),
    }
    batch
}

/// The kinds that are looked at.
fn kind_of(update: &Value) -> Option<(&'static str, &Value)> {
    const KINDS: [&str; 9] = [
        "message",
        "edited_message",
        "business_message",
        "edited_business_message",
        "deleted_business_messages",
        "callback_query",
        "message_reaction",
        "my_chat_member",
        "business_connection",
    ];
    KINDS
        .into_iter()
        .find_map(|kind| json::object(update, kind).map(|value| (kind, value)))
}

/// A new text of an earlier message. Its id ends in the time of the edit: there may be several.
fn edited(account: &str, value: &Value) -> Option<MessageReceived> {
    let message::Read::Message(message) = message::read(account, value) else {
        return None;
    };
    let edited_at = json::text(value, "edit_date").or_else(|| json::text(value, "date"))?;
    Some(MessageReceived {
        content_kind: ContentKind::Edit.into(),
        threading: Some(answers(message.external_id.clone())),
        external_id: format!("{}:edit:{edited_at}", message.external_id),
        sent_time: json::instant(value, "edit_date")
            .map(to_proto_time)
            .or(message.sent_time),
        ..*message
    })
}

fn deleted(account: &str, value: &Value) -> Option<Vec<MessageReceived>> {
    let place = Place::of(value)?;
    let sender = message::sender_of(json::object(value, "chat")?)?;
    let ids = json::list(value, "message_ids")
        .iter()
        .filter_map(Value::as_i64);
    Some(
        ids.map(|id| MessageReceived {
            external_id: format!("{}:deleted", place.message(id)),
            conversation_key: place.conversation(),
            sender: Some(sender.clone()),
            content_kind: ContentKind::Deletion.into(),
            threading: Some(answers(place.message(id))),
            ..new_message(Channel::Telegram, account)
        })
        .collect(),
    )
}

/// A press on a button below a message of ours: what the button stands for is the text.
fn button(account: &str, value: &Value) -> Option<MessageReceived> {
    let sender = message::sender_of(json::object(value, "from")?)?;
    let below = json::object(value, "message");
    let place = below.and_then(Place::of);
    let conversation = place.as_ref().map_or_else(
        || json::text(value, "from.id"),
        |place| Some(place.conversation()),
    )?;
    let pressed = below.and_then(|below| json::integer(below, "message_id"));
    Some(MessageReceived {
        external_id: format!("callback:{}", json::text(value, "id")?),
        conversation_key: conversation,
        sender: Some(sender),
        text: json::text(value, "data").or_else(|| json::text(value, "game_short_name"))?,
        threading: place
            .zip(pressed)
            .map(|(place, id)| answers(place.message(id))),
        ..new_message(Channel::Telegram, account)
    })
}

/// A reaction to a message: its text is the emojis that are there now, none if they were taken away.
fn reaction(account: &str, value: &Value) -> Option<MessageReceived> {
    let place = Place::of(value)?;
    // In groups an admin may react in the name of the group, without a person.
    let sender = message::sender_of(
        json::object(value, "user").or_else(|| json::object(value, "actor_chat"))?,
    )?;
    let target = place.message(json::integer(value, "message_id")?);
    let emojis: Vec<String> = json::list(value, "new_reaction")
        .iter()
        .map(|reaction| {
            json::text(reaction, "emoji").unwrap_or_else(|| "[custom emoji]".to_owned())
        })
        .collect();
    let who = sender
        .identities
        .first()
        .map(|identity| identity.value.clone())
        .unwrap_or_default();
    Some(MessageReceived {
        external_id: format!(
            "{target}:reaction:{who}:{}:{}",
            json::text(value, "date")?,
            emojis.concat()
        ),
        conversation_key: place.conversation(),
        sender: Some(sender),
        text: emojis.concat(),
        content_kind: ContentKind::Reaction.into(),
        sent_time: json::instant(value, "date").map(to_proto_time),
        threading: Some(answers(target)),
        ..new_message(Channel::Telegram, account)
    })
}

fn answers(id: String) -> Threading {
    Threading {
        in_reply_to: vec![id],
        ..Threading::default()
    }
}
