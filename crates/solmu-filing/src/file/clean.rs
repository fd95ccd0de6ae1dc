//! Makes a message fit to be stored.
//!
//! Connectors normalise what they receive, but nothing that a customer sends may block a conversation: PostgreSQL takes
//! no NUL in text, no JSON that is none, no time before its calendar, and no index entry above a third of a page. What
//! does not fit is left out with a notice to the reader; the raw original is kept beside it.

use solmu_bus::envelope::from_proto_time;
use solmu_proto::{
    inbound::v1::{DeliveryReported, MessageReceived, raw_original::Place},
    types::v1::{Attachment, Identity},
};

use crate::keys::fold;

/// Longest subject and name, in bytes. A header has no limit of its own.
const LINE_MAX: usize = 2_000;

/// Strips, cuts and folds what cannot be stored.
pub(crate) fn clean(message: &mut MessageReceived) {
    let mut lines = vec![
        &mut message.account,
        &mut message.conversation_key,
        &mut message.external_id,
        &mut message.text,
        &mut message.html,
        &mut message.language,
    ];
    lines.extend(&mut message.notices);
    lines.extend(&mut message.delivered_to);
    if let Some(threading) = &mut message.threading {
        lines.push(&mut threading.message_id_header);
        lines.push(&mut threading.bounced_message_id);
        lines.extend(&mut threading.in_reply_to);
        lines.extend(&mut threading.references);
    }
    if let Some(raw) = &mut message.raw {
        lines.push(&mut raw.content_type);
        lines.push(&mut raw.sha256);
        if let Some(Place::ObjectKey(key)) = &mut raw.place {
            lines.push(key);
        }
    }
    lines.into_iter().for_each(strip);
    line(&mut message.subject);
    fold(&mut message.external_id);
    fold(&mut message.account);
    if let Some(sender) = &mut message.sender {
        line(&mut sender.display_name);
        sender.identities.iter_mut().for_each(clean_identity);
    }
    let copied = message.to.iter_mut().chain(&mut message.cc);
    copied.for_each(|mailbox| {
        strip(&mut mailbox.address);
        fold(&mut mailbox.address);
    });
    message.attachments.iter_mut().for_each(clean_attachment);
    clean_fields(message);
    let storable = |at: &prost_types::Timestamp| from_proto_time(at) >= jiff::Timestamp::UNIX_EPOCH;
    message.sent_time = message.sent_time.filter(storable);
}

/// As [`clean`], for a delivery report.
pub(crate) fn clean_report(report: &mut DeliveryReported) {
    strip(&mut report.account);
    strip(&mut report.external_id);
    fold(&mut report.account);
    fold(&mut report.external_id);
    strip(&mut report.address);
    fold(&mut report.address);
    line(&mut report.error_code);
    line(&mut report.error_text);
}

fn strip(text: &mut String) {
    if text.contains('\0') {
        text.retain(|c| c != '\0');
    }
}

fn line(text: &mut String) {
    strip(text);
    if text.len() > LINE_MAX {
        text.truncate(text.floor_char_boundary(LINE_MAX));
    }
}

fn clean_identity(identity: &mut Identity) {
    strip(&mut identity.value);
    strip(&mut identity.scope);
    line(&mut identity.raw);
    line(&mut identity.attested_by);
    fold(&mut identity.value);
    fold(&mut identity.scope);
}

fn clean_attachment(attachment: &mut Attachment) {
    strip(&mut attachment.object_key);
    strip(&mut attachment.sha256);
    line(&mut attachment.filename);
    line(&mut attachment.content_type);
    line(&mut attachment.content_id);
}

/// The fields of a form as JSON that PostgreSQL takes: an object, without NUL.
fn clean_fields(message: &mut MessageReceived) {
    if message.fields_json.is_empty() {
        return;
    }
    match serde_json::from_str::<serde_json::Value>(&message.fields_json) {
        Ok(mut fields) if fields.is_object() => {
            if message.fields_json.contains("\\u0000") {
                strip_json(&mut fields);
                message.fields_json = fields.to_string();
            }
        }
        _ => {
            message.fields_json.clear();
            message
                .notices
                .push("the fields of the form could not be read; see the original".to_owned());
        }
    }
}

fn strip_json(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => strip(text),
        serde_json::Value::Array(list) => list.iter_mut().for_each(strip_json),
        serde_json::Value::Object(map) => {
            *map = std::mem::take(map)
                .into_iter()
                .map(|(mut key, mut value)| {
                    strip(&mut key);
                    strip_json(&mut value);
                    (key, value)
                })
                .collect();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KEY_MAX, folded};

    #[test]
    fn what_postgresql_refuses_is_taken_out() {
        let mut message = MessageReceived {
            subject: format!("a\0{}", "ä".repeat(2_000)),
            text: "b\0c".to_owned(),
            fields_json: r#"{"k\u0000":["x\u0000y", {"z": 1}]}"#.to_owned(),
            external_id: "e".repeat(5_000),
            sent_time: Some(prost_types::Timestamp {
                seconds: -60_000_000_000,
                nanos: 0,
            }),
            ..MessageReceived::default()
        };
        clean(&mut message);
        assert!(message.subject.starts_with("aä") && message.subject.len() <= LINE_MAX);
        assert_eq!(message.text, "bc");
        assert_eq!(message.fields_json, r#"{"k":["xy",{"z":1}]}"#);
        assert_eq!(message.external_id, folded(&"e".repeat(5_000)));
        assert!(message.external_id.len() < KEY_MAX && message.sent_time.is_none());
    }

    #[test]
    fn fields_that_are_no_object_are_left_out_with_a_notice() {
        for bad in ["{", "[1]", "\"\\ud800\"", "1e999999"] {
            let mut message = MessageReceived {
                fields_json: bad.to_owned(),
                ..MessageReceived::default()
            };
            clean(&mut message);
            assert_eq!(
                (message.fields_json.as_str(), message.notices.len()),
                ("", 1),
                "{bad}"
            );
        }
    }
}
