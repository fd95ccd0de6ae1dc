//! Reading WhatsApp webhooks: inputs of our own, one for each type and each rule.

use serde_json::{Value, json};
use solmu_proto::{
    inbound::v1::{ContentKind, MessageReceived},
    types::v1::{Assurance, AutomaticClass, DeliveryState, IdentityKind},
};

use crate::{
    batch::Batch,
    whatsapp::envelope::{self, Route},
};

/// Reads a request; every number is ours.
pub(super) fn read(body: &Value) -> Batch {
    envelope::read(body, |_| Route {
        account: "main".to_owned(),
        known: true,
    })
}

fn envelope_of(value: &Value) -> Value {
    let mut value = value.clone();
    value["metadata"] = json!({"display_phone_number": "358501234567", "phone_number_id": "77"});
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]})
}

/// The message that `fields` of a message element become.
#[expect(
    clippy::needless_pass_by_value,
    reason = "reads better at its many callers"
)]
fn message(fields: Value) -> MessageReceived {
    let mut element = json!({"from": "358401234567", "id": "wamid.1", "timestamp": "1783000000"});
    element
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    let contacts = json!([{"profile": {"name": "Aino"}, "wa_id": "358401234567"}]);
    let batch = read(&envelope_of(
        &json!({"contacts": contacts, "messages": [element]}),
    ));
    assert!(batch.kept.is_empty() && batch.messages.len() == 1);
    batch.messages.into_iter().next().unwrap()
}

#[test]
fn a_text_has_sender_conversation_and_time() {
    let message = message(
        json!({"type": "text", "text": {"body": "Hei,\r\nmissä pakettini on? Tilasin sen viikko sitten."},
        "context": {"from": "358501234567", "id": "wamid.0"}}),
    );
    assert_eq!(
        message.text,
        "Hei,\nmissä pakettini on? Tilasin sen viikko sitten."
    );
    assert_eq!(
        (message.account.as_str(), message.external_id.as_str()),
        ("main", "wamid.1")
    );
    assert_eq!(message.conversation_key, "77:358401234567");
    assert_eq!(message.language, "fi");
    assert_eq!(message.delivered_to, ["+358501234567"]);
    assert_eq!(message.sent_time.unwrap().seconds, 1_783_000_000);
    assert_eq!(message.threading.unwrap().in_reply_to, ["wamid.0"]);
    let sender = message.sender.unwrap();
    assert_eq!(sender.display_name, "Aino");
    let known: Vec<_> = sender
        .identities
        .iter()
        .map(|id| (id.kind(), id.value.as_str(), id.assurance()))
        .collect();
    let proven = Assurance::Proven;
    assert_eq!(
        known,
        [
            (IdentityKind::Whatsapp, "358401234567", proven),
            (IdentityKind::Phone, "+358401234567", proven)
        ]
    );
}

#[test]
fn a_user_id_is_the_key_and_the_number_an_identity_beside_it() {
    let both = json!({"contacts": [{"profile": {"name": "M"}, "wa_id": "358401234567", "user_id": "FI.1349"}],
        "messages": [{"from": "358401234567", "id": "1", "type": "text", "text": {"body": "a"}}]});
    let hidden = json!({"contacts": [{"profile": {"username": "@matti"}, "user_id": "FI.1349"}],
        "messages": [{"from_user_id": "FI.1349", "id": "2", "type": "text", "text": {"body": "b"}}]});
    let in_from = json!({"messages": [{"from": "FI.1349", "id": "3", "type": "text", "text": {"body": "c"}}]});
    for (value, identities, name) in [(both, 2, "M"), (hidden, 1, "@matti"), (in_from, 1, "")] {
        let batch = read(&envelope_of(&value));
        let message = &batch.messages[0];
        assert_eq!(message.conversation_key, "77:FI.1349");
        let sender = message.sender.as_ref().unwrap();
        assert_eq!(
            (sender.identities.len(), sender.display_name.as_str()),
            (identities, name)
        );
        assert_eq!(
            (
                sender.identities[0].value.as_str(),
                sender.identities[0].scope.as_str()
            ),
            ("FI.1349", "main")
        );
    }
}

#[test]
fn ids_of_another_contact_are_never_taken() {
    let value = json!({"contacts": [{"profile": {"name": "Other"}, "wa_id": "111111111", "user_id": "FI.9"}],
        "messages": [{"from": "358401234567", "id": "1", "type": "text", "text": {"body": "a"}}]});
    let batch = read(&envelope_of(&value));
    let identities = &batch.messages[0].sender.as_ref().unwrap().identities;
    assert!(
        identities
            .iter()
            .all(|identity| identity.value.ends_with("358401234567"))
    );
}

#[test]
fn files_are_named_and_left_with_the_vendor() {
    let digest = "A".repeat(43) + "=";
    let document = message(json!({"type": "document", "document":
        {"id": "m1", "mime_type": "application/pdf", "filename": "lasku.pdf", "caption": "tässä", "sha256": digest}}));
    let file = &document.attachments[0];
    assert_eq!(
        (
            file.filename.as_str(),
            file.content_id.as_str(),
            file.object_key.as_str()
        ),
        ("lasku.pdf", "m1", "")
    );
    assert_eq!(
        (document.text.as_str(), file.sha256.as_str()),
        ("tässä", "00".repeat(32).as_str())
    );
    assert_eq!(document.notices.len(), 1);
    for (kind, content_type, text, filename) in [
        ("image", "image/jpeg", "[image]", "image.jpg"),
        ("video", "video/mp4", "[video]", "video.mp4"),
        ("sticker", "image/webp", "[sticker]", "sticker.webp"),
        (
            "audio",
            "audio/ogg; codecs=opus",
            "[voice message]",
            "audio.ogg",
        ),
    ] {
        let message = message(
            json!({"type": kind, kind: {"id": 5, "mime_type": content_type, "voice": true, "sha256": "no"}}),
        );
        assert_eq!(
            (
                message.text.as_str(),
                message.attachments[0].filename.as_str()
            ),
            (text, filename)
        );
        assert_eq!(
            (
                message.attachments[0].content_id.as_str(),
                message.attachments[0].sha256.as_str()
            ),
            ("5", "")
        );
    }
}

#[test]
fn every_other_type_becomes_readable_text() {
    for (fields, text) in [
        (
            json!({"type": "location", "location": {"latitude": 60.17, "longitude": 24.94, "name": "Asema"}}),
            "[location]\nAsema\n60.17, 24.94",
        ),
        (
            json!({"type": "contacts", "contacts": [{"name": {"formatted_name": "Liisa"}, "phones": [{"phone": "+358 1"}],
                "emails": [{"email": "l@example.com"}], "org": {"company": "Oy"}}]}),
            "[contacts]\nLiisa, Oy, +358 1, l@example.com",
        ),
        (
            json!({"type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "y", "title": "Kyllä"}}}),
            "Kyllä",
        ),
        (
            json!({"type": "interactive", "interactive":
                {"type": "list_reply", "list_reply": {"id": "x", "title": "Nouto", "description": "myymälästä"}}}),
            "Nouto\nmyymälästä",
        ),
        (
            json!({"type": "button", "button": {"payload": "p", "text": "Peru"}}),
            "Peru",
        ),
        (
            json!({"type": "order", "order": {"catalog_id": "c", "text": "kiitos", "product_items":
                [{"product_retailer_id": "A1", "quantity": 2, "item_price": "9.90", "currency": "EUR"}]}}),
            "[order]\n2 x A1 at 9.90 EUR\nkiitos",
        ),
    ] {
        let message = message(fields);
        assert_eq!(
            (message.text.as_str(), message.content_kind()),
            (text, ContentKind::Message)
        );
    }
}

#[test]
fn a_form_keeps_its_fields() {
    let fields = json!({"comment": "hyvä", "stars": 5, "flow_token": "secret"}).to_string();
    let message = message(json!({"type": "interactive", "interactive":
        {"type": "nfm_reply", "nfm_reply": {"response_json": fields, "body": "Sent", "name": "flow"}}}));
    assert_eq!(message.text, "comment: hyvä\nstars: 5");
    assert_eq!(message.fields_json, fields);
}

#[test]
fn edits_deletions_and_reactions_name_what_they_are_about() {
    let edit = message(
        json!({"type": "edit", "edit": {"original_message_id": "wamid.0",
        "message": {"type": "text", "text": {"body": "korjattu"}, "context": {"id": "M0"}}}}),
    );
    assert_eq!(
        (edit.content_kind(), edit.text.as_str()),
        (ContentKind::Edit, "korjattu")
    );
    let nested = json!({"type": "edit", "edit": {"original_message_id": "wamid.0", "message": {"type": "edit", "edit": {}}}});
    assert_eq!(message(nested).content_kind(), ContentKind::Edit);
    let revoke = message(json!({"type": "revoke", "revoke": {"original_message_id": "wamid.0"}}));
    assert_eq!(revoke.content_kind(), ContentKind::Deletion);
    let reaction =
        message(json!({"type": "reaction", "reaction": {"message_id": "wamid.0", "emoji": "👍"}}));
    assert_eq!(
        (reaction.content_kind(), reaction.text.as_str()),
        (ContentKind::Reaction, "👍")
    );
    let taken_back = message(json!({"type": "reaction", "reaction": {"message_id": "wamid.0"}}));
    assert_eq!(
        (taken_back.content_kind(), taken_back.text.as_str()),
        (ContentKind::Reaction, "")
    );
    for message in [edit, revoke, reaction, taken_back] {
        assert_eq!(message.threading.unwrap().in_reply_to, ["wamid.0"]);
    }
}

#[test]
fn a_changed_number_brings_both_identities_and_opens_no_ticket() {
    let message = message(json!({"type": "system", "system":
        {"type": "user_changed_number", "wa_id": "358407777777", "body": "Aino changed number"}}));
    assert_eq!(message.automatic_class(), AutomaticClass::Report);
    assert_eq!(message.automatic_reason, "user_changed_number");
    let values: Vec<_> = message
        .sender
        .unwrap()
        .identities
        .into_iter()
        .map(|identity| identity.value)
        .collect();
    assert_eq!(
        values,
        [
            "358401234567",
            "+358401234567",
            "358407777777",
            "+358407777777"
        ]
    );
}

#[test]
fn what_is_unknown_is_shown_as_such() {
    for fields in [
        json!({"type": "poll", "poll": {"q": 1}}),
        json!({"type": "unsupported", "errors": [{"code": 131_051, "title": "Unsupported"}]}),
        json!({"type": "text", "text": "not an object"}),
        json!({}),
    ] {
        let message = message(fields);
        assert_eq!(message.content_kind(), ContentKind::Unsupported);
        assert!(message.text.contains("see it in WhatsApp"));
    }
    let told = message(
        json!({"type": "unsupported", "errors": [{"code": 131_051, "title": "Unsupported"}]}),
    );
    assert_eq!(told.notices, ["WhatsApp says: Unsupported (131051)"]);
}

#[test]
fn the_way_of_a_message_is_told() {
    let message = message(
        json!({"type": "text", "text": {"body": "a"}, "context": {"forwarded": true},
        "referral": {"headline": "Ale!"}, "group_id": "G1"}),
    );
    assert_eq!(
        message.notices,
        ["forwarded", "came from an advertisement: Ale!"]
    );
    assert_eq!(message.conversation_key, "77:group:G1");
}

#[test]
fn a_bad_element_leaves_its_neighbours_alone() {
    let text =
        |id: &str| json!({"from": "358401234567", "id": id, "type": "text", "text": {"body": id}});
    let value =
        |messages: Value| json!({"metadata": {"phone_number_id": "77"}, "messages": messages});
    let body = json!({"entry": [
        "nonsense",
        {"changes": [{"field": "messages", "value": null}, {"field": "messages", "value": value(json!([5, text("a"), {"id": "x"}]))}]},
        {"changes": [{"field": "account_update", "value": {}}, {"field": "messages", "value": value(json!([text("b")]))}]},
        {"changes": [{"field": "messages", "value": {"statuses": [{"id": "s"}, {"id": "s", "status": "read"}, {"id": "s", "status": "warning"}]}}]},
    ]});
    let batch = read(&body);
    let ids: Vec<_> = batch
        .messages
        .iter()
        .map(|message| message.external_id.as_str())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(batch.reports.len(), 1);
    assert_eq!(
        batch.kept,
        [
            "change_without_value",
            "message_without_sender",
            "message_without_sender",
            "status_without_id"
        ]
    );
    assert_eq!(
        batch.ignored,
        ["entry_without_changes", "account_update", "status"]
    );
    assert_eq!(read(&json!([])).kept, ["no_entry"]);
}

#[test]
fn statuses_name_our_message_where_it_travelled_along() {
    let ours = "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e5f";
    let statuses = json!([
        {"id": "wamid.9", "status": "failed", "timestamp": 1_783_000_003, "biz_opaque_callback_data": ours,
         "errors": [{"code": 131_047, "title": "Re-engagement message"}]},
        {"id": "wamid.8", "status": "played", "biz_opaque_callback_data": "ticket=42"},
        {"id": "wamid.7", "status": "failed", "errors": [{"code": 7, "title": "Odd"}]},
    ]);
    let reports = read(&envelope_of(&json!({"statuses": statuses}))).reports;
    assert_eq!(
        (
            reports[0].message_id.as_str(),
            reports[0].external_id.as_str()
        ),
        (ours, "wamid.9")
    );
    assert_eq!(
        (reports[0].state(), reports[0].error_code.as_str()),
        (DeliveryState::Failed, "131047")
    );
    assert!(reports[0].error_text.contains("24 hours"));
    assert_eq!(
        (reports[1].message_id.as_str(), reports[1].state()),
        ("", DeliveryState::Read)
    );
    assert_eq!(reports[2].error_text, "Odd");
}

#[test]
fn a_message_without_an_id_gets_a_stable_one() {
    let value = envelope_of(
        &json!({"messages": [{"from": "358401234567", "type": "text", "text": {"body": "a"}}]}),
    );
    let id = read(&value).messages[0].external_id.clone();
    assert!(id.starts_with("sha256:"));
    assert_eq!(id, read(&value).messages[0].external_id);
}
