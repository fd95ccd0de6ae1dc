//! Samples of others, which the project does not ship: without them each test says so and passes.

use std::path::{Path, PathBuf};

use serde_json::Value;
use solmu_proto::{
    inbound::v1::ContentKind,
    types::v1::{DeliveryState, IdentityKind},
};

use super::whatsapp::read as read_whatsapp;
use crate::{batch::Batch, telegram::update};

/// Every JSON file below `folder` of the samples, by name.
fn samples(folder: &str) -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures/channels")
        .join(folder);
    let mut files = Vec::new();
    collect(&root, &mut files);
    if files.is_empty() {
        eprintln!("samples of {folder} did not run: they are not on this machine");
    }
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            (
                name,
                serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap(),
            )
        })
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), files);
        } else if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            files.push(entry.path());
        }
    }
}

/// Messages, reports, kept and ignored elements.
fn counts(batch: &Batch) -> [usize; 4] {
    [
        batch.messages.len(),
        batch.reports.len(),
        batch.kept.len(),
        batch.ignored.len(),
    ]
}

#[test]
fn every_whatsapp_sample_becomes_something() {
    for (name, body) in samples("whatsapp/webhook") {
        let batch = read_whatsapp(&body);
        let field = body["entry"][0]["changes"][0]["field"]
            .as_str()
            .unwrap_or_default();
        let expected = match name.as_str() {
            "shape_batch_two_messages_one_status" => [2, 1, 0, 0],
            "shape_value_level_errors" => [0, 0, 0, 1],
            name if name.contains("_status_") && field == "messages" => [0, 1, 0, 0],
            _ if field == "messages" => [1, 0, 0, 0],
            _ => [0, 0, 0, 1],
        };
        assert_eq!(counts(&batch), expected, "{name}");
        for message in &batch.messages {
            assert!(
                !message.external_id.is_empty() && message.conversation_key.contains(':'),
                "{name}"
            );
            assert!(
                !message.sender.as_ref().unwrap().identities.is_empty(),
                "{name}"
            );
            let has_text = !message.text.is_empty();
            let may_be_silent = matches!(
                message.content_kind(),
                ContentKind::Reaction | ContentKind::Deletion
            );
            assert!(has_text || may_be_silent, "{name}");
            assert_eq!(
                message.content_kind() == ContentKind::Unsupported,
                name.contains("unsupported"),
                "{name}"
            );
        }
        for report in &batch.reports {
            assert_eq!(
                report.state() == DeliveryState::Failed,
                !report.error_code.is_empty(),
                "{name}"
            );
        }
        if name == "shape_text_bsuid_only_no_phone" {
            let identities = &batch.messages[0].sender.as_ref().unwrap().identities;
            assert_eq!(identities.len(), 1);
            assert_eq!(identities[0].kind(), IdentityKind::Whatsapp);
        }
    }
}

#[test]
fn every_telegram_sample_becomes_something() {
    const IGNORED: [&str; 11] = [
        "bottender_channel_post",
        "bottender_edited_channel_post",
        "bottender_chosen_inline_result",
        "bottender_inline_query",
        "bottender_poll",
        "shape_my_chat_member_blocked",
        "teloxide_chat_boost_removed",
        "teloxide_message_reaction_count_updated",
        "teloxide_new_update_kind_error",
        "teloxide_paid_media_purchased_de",
        "",
    ];
    for (name, update) in samples("telegram/update") {
        let batch = update::read("bot", &update);
        let expected = if IGNORED.contains(&name.as_str()) {
            [0, 0, 0, 1]
        } else {
            [1, 0, 0, 0]
        };
        assert_eq!(counts(&batch), expected, "{name}");
        for message in &batch.messages {
            assert!(
                !message.text.is_empty() && !message.external_id.is_empty(),
                "{name}"
            );
            // A forwarded story is the one sample that the Bot API itself describes only by its place.
            assert_eq!(
                message.content_kind() == ContentKind::Unsupported,
                name == "teloxide_issue_1107",
                "{name}"
            );
        }
    }
}

#[test]
fn every_polled_update_is_read_alike() {
    for (_, answer) in samples("telegram/api")
        .into_iter()
        .filter(|(name, _)| name == "shape_getUpdates_two")
    {
        for update in answer["result"].as_array().unwrap() {
            assert_eq!(counts(&update::read("bot", update)), [1, 0, 0, 0]);
        }
    }
}
