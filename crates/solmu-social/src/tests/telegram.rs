//! Reading Telegram updates: inputs of our own, one for each kind and each rule.

use serde_json::{Value, json};
use solmu_proto::{
    inbound::v1::{ContentKind, MessageReceived},
    types::v1::{AutomaticClass, IdentityKind},
};

use crate::telegram::update;

fn aino() -> Value {
    json!({"id": 42, "is_bot": false, "first_name": "Aino", "last_name": "M", "language_code": "fi"})
}

/// A message element with `fields`.
fn element(fields: &Value) -> Value {
    let mut element = json!({"message_id": 7, "from": aino(), "chat": {"id": 42, "type": "private"}, "date": 1_783_000_000});
    element
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    element
}

fn one(update: &Value) -> MessageReceived {
    let batch = update::read("bot", update);
    assert!(
        batch.kept.is_empty() && batch.messages.len() == 1,
        "{batch:?}"
    );
    batch.messages.into_iter().next().unwrap()
}

fn message(fields: &Value) -> MessageReceived {
    one(&json!({"update_id": 1, "message": element(fields)}))
}

#[test]
fn a_text_has_sender_conversation_and_time() {
    let message = message(
        &json!({"text": "hei", "reply_to_message": {"message_id": 5}, "quote": {"text": "q"}}),
    );
    assert_eq!(
        (message.text.as_str(), message.external_id.as_str()),
        ("hei", "42:7")
    );
    assert_eq!(
        (message.conversation_key.as_str(), message.language.as_str()),
        ("42", "fi")
    );
    assert_eq!(message.threading.unwrap().in_reply_to, ["42:5"]);
    assert_eq!(message.notices, ["quotes: q"]);
    let sender = message.sender.unwrap();
    assert_eq!(sender.display_name, "Aino M");
    assert_eq!(
        (
            sender.identities[0].kind(),
            sender.identities[0].value.as_str()
        ),
        (IdentityKind::Telegram, "42")
    );
}

#[test]
fn files_are_named_and_left_with_the_vendor() {
    let photo = message(&json!({"caption": "kuva", "media_group_id": "1", "photo": [
        {"file_id": "small", "file_size": 10, "width": 9, "height": 9}, {"file_id": "large", "file_size": 90, "width": 90, "height": 90}]}));
    let file = &photo.attachments[0];
    assert_eq!(
        (
            photo.text.as_str(),
            file.content_id.as_str(),
            file.object_key.as_str()
        ),
        ("kuva", "large", "")
    );
    for (fields, text, name) in [
        (
            json!({"document": {"file_id": "d", "file_name": "lasku.pdf", "mime_type": "application/pdf"}}),
            "[document]",
            "lasku.pdf",
        ),
        (
            json!({"voice": {"file_id": "v"}}),
            "[voice message]",
            "voice.ogg",
        ),
        (
            json!({"video_note": {"file_id": "n"}}),
            "[video message]",
            "video-note.mp4",
        ),
        (
            json!({"animation": {"file_id": "a"}, "document": {"file_id": "b"}}),
            "[animation]",
            "animation.mp4",
        ),
        (
            json!({"sticker": {"file_id": "s", "emoji": "🙂"}}),
            "[sticker 🙂]",
            "sticker.webp",
        ),
    ] {
        let message = message(&fields);
        assert_eq!(
            (
                message.text.as_str(),
                message.attachments[0].filename.as_str()
            ),
            (text, name)
        );
        assert_eq!(message.notices.len(), 1);
    }
}

#[test]
fn every_other_kind_becomes_readable_text() {
    for (fields, text) in [
        (
            json!({"location": {"latitude": 60.5, "longitude": 25}}),
            "[location]\n60.5, 25",
        ),
        (
            json!({"venue": {"title": "Asema", "address": "Katu 1", "location": {"latitude": 1, "longitude": 2}}}),
            "[location]\nAsema\nKatu 1\n1, 2",
        ),
        (
            json!({"contact": {"first_name": "Liisa", "phone_number": "+3581"}}),
            "[contact]\nLiisa +3581",
        ),
        (
            json!({"poll": {"question": "Mitä?", "options": [{"text": "A"}]}}),
            "[poll] Mitä?\n- A",
        ),
        (json!({"dice": {"emoji": "🎲", "value": 2}}), "[🎲 2]"),
    ] {
        assert_eq!(message(&fields).text, text);
    }
    let unknown = message(&json!({"hologram": {}}));
    assert_eq!(unknown.content_kind(), ContentKind::Unsupported);
}

#[test]
fn edits_have_their_own_id_and_name_what_they_change() {
    let edit = one(
        &json!({"edited_message": element(&json!({"text": "uusi", "edit_date": 1_783_000_009}))}),
    );
    assert_eq!(
        (edit.content_kind(), edit.text.as_str()),
        (ContentKind::Edit, "uusi")
    );
    assert_eq!(edit.external_id, "42:7:edit:1783000009");
    assert_eq!(edit.threading.unwrap().in_reply_to, ["42:7"]);
}

#[test]
fn a_business_account_is_answered_through_its_connection() {
    let fields = json!({"text": "a", "business_connection_id": "BC"});
    let message = one(&json!({"business_message": element(&fields)}));
    assert_eq!(
        (
            message.conversation_key.as_str(),
            message.external_id.as_str()
        ),
        ("business:BC:42", "BC:42:7")
    );
    let chat = json!({"id": 42, "first_name": "Aino", "type": "private"});
    let deleted = json!({"deleted_business_messages": {"business_connection_id": "BC", "chat": chat, "message_ids": [7, 8]}});
    let batch = update::read("bot", &deleted);
    assert_eq!(batch.messages.len(), 2);
    assert_eq!(batch.messages[0].content_kind(), ContentKind::Deletion);
    assert_eq!(
        batch.messages[0].threading.as_ref().unwrap().in_reply_to,
        ["BC:42:7"]
    );
}

#[test]
fn buttons_and_reactions_are_about_a_message() {
    let pressed = json!({"callback_query": {"id": "c1", "from": aino(), "data": "peru",
        "message": {"message_id": 3, "chat": {"id": 42}}}});
    let button = one(&pressed);
    assert_eq!(
        (button.text.as_str(), button.external_id.as_str()),
        ("peru", "callback:c1")
    );
    assert_eq!(button.threading.unwrap().in_reply_to, ["42:3"]);
    let reaction = |emojis: Value| {
        one(
            &json!({"message_reaction": {"chat": {"id": 42}, "message_id": 3, "user": aino(), "date": 9, "new_reaction": emojis}}),
        )
    };
    let (put, taken) = (
        reaction(json!([{"type": "emoji", "emoji": "👍"}])),
        reaction(json!([])),
    );
    assert_eq!(
        (put.content_kind(), put.text.as_str(), taken.text.as_str()),
        (ContentKind::Reaction, "👍", "")
    );
    assert_ne!(put.external_id, taken.external_id);
}

#[test]
fn what_no_agent_can_answer_is_counted() {
    for (update, ignored) in [
        (
            json!({"update_id": 1, "channel_post": {"message_id": 1}}),
            "other_update",
        ),
        (
            json!({"my_chat_member": {"chat": {"id": 1}}}),
            "my_chat_member",
        ),
        (
            json!({"message": element(&json!({"new_chat_title": "x"}))}),
            "service_message",
        ),
    ] {
        let batch = update::read("bot", &update);
        assert_eq!((batch.ignored, batch.messages.len()), (vec![ignored], 0));
    }
    for broken in [
        json!({"message": {"text": "a"}}),
        json!({"callback_query": {"id": "1"}}),
    ] {
        assert_eq!(update::read("bot", &broken).kept.len(), 1);
    }
    let robot =
        message(&json!({"text": "a", "from": {"id": 1, "is_bot": true, "first_name": "R"}}));
    assert_eq!(robot.automatic_class(), AutomaticClass::AutoGenerated);
}
