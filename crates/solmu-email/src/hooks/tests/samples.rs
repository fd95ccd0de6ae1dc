//! Samples of others, which the project does not ship: without them each test says so and passes.

use std::path::PathBuf;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;

use super::*;
use crate::testing::fixtures;

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let Some(root) = fixtures("channels/email_inbound_parse") else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(root.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .map(|path| (name(path), std::fs::read(path).unwrap()))
        .collect()
}

/// A form of the samples as the body of a request.
fn form(sample: &Value) -> Vec<u8> {
    let fields = sample.as_object().unwrap();
    let values: Vec<(String, Option<String>, Vec<u8>)> = fields
        .iter()
        .map(|(name, value)| {
            if let Some(text) = value.as_str() {
                return (name.clone(), None, text.as_bytes().to_vec());
            }
            let file = value["filename"].as_str().unwrap().replace('\\', "/");
            let bytes = BASE64.decode(value["base64"].as_str().unwrap()).unwrap();
            (name.clone(), Some(file), bytes)
        })
        .collect();
    let fields: Vec<(&str, Option<&str>, &[u8])> = values
        .iter()
        .map(|(name, file, value)| (name.as_str(), file.as_deref(), value.as_slice()))
        .collect();
    multipart(&fields)
}

/// A world that takes mail to anybody, at the time of Mailgun's samples.
fn open_world() -> World {
    let mut hooks = hooks();
    hooks.mailgun_max_age_seconds = u32::MAX;
    hooks.mailgun[0].account = "main".to_owned();
    hooks.sendgrid[0].account = "main".to_owned();
    hooks.postmark[0].account = "main".to_owned();
    world_with(hooks)
}

#[tokio::test]
async fn mailgun() {
    for (name, bytes) in files("mailgun") {
        let sample: Value = serde_json::from_slice(&bytes).unwrap();
        let world = open_world();
        let is_event = sample.get("event-data").is_some();
        let (headers, body) = if is_event {
            (("content-type", "application/json"), bytes)
        } else {
            (MULTIPART, form(&sample))
        };
        assert_eq!(
            world.post("mailgun/eu", &[headers], body).await,
            200,
            "{name}"
        );
        let messages = world.messages();
        if is_event {
            assert!(messages.is_empty(), "{name}");
            continue;
        }
        let message = &messages[0];
        assert_eq!(message.account, "other", "{name}");
        let (id, subject, text) = if name.contains("mime") {
            (
                "CAEPk3RKEx@mail.example.org",
                "Raw MIME test",
                "It's a body\u{2026}",
            )
        } else {
            (
                "CAEPk3R+4Zr@mail.example.org",
                "Test subject",
                "Test body plain",
            )
        };
        assert_eq!(
            (
                message.external_id.as_str(),
                message.subject.as_str(),
                message.text.trim()
            ),
            (id, subject, text)
        );
        assert!(message.html.contains("<div"), "{name}");
    }
}

#[tokio::test]
async fn sendgrid() {
    let path = format!("sendgrid/parse/{TOKEN}");
    for (name, bytes) in files("sendgrid") {
        let world = open_world();
        if name.ends_with("_events.json") {
            let path = format!("sendgrid/parse/events/{TOKEN}");
            assert_eq!(world.post(&path, &[], bytes).await, 200, "{name}");
            continue;
        }
        if name.contains("multipart") {
            let headers = [("content-type", "multipart/form-data; boundary=xYzZY")];
            assert_eq!(world.post(&path, &headers, bytes).await, 200, "{name}");
            let message = world.messages().remove(0);
            assert_eq!(message.subject, "Como usted pidi\u{f3}");
            assert_eq!(message.to[0].name, "R\u{e9}cipiendaire pr\u{e9}cieux");
            assert_eq!(
                message.sender.unwrap().display_name,
                "Op\u{e9}rateur de test"
            );
            assert_eq!(
                message.text.trim(),
                "Test the ESP\u{2019}s inbound charset handling\u{2026}"
            );
            assert!(
                message.html.contains("\u{bf}Esto se ve como esperabas?"),
                "{}",
                message.html
            );
            continue;
        }
        let sample: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(
            world.post(&path, &[MULTIPART], form(&sample)).await,
            200,
            "{name}"
        );
        let message = world.messages().remove(0);
        if name.contains("mime") {
            assert_eq!(
                (message.account.as_str(), message.subject.as_str()),
                ("other", "Raw MIME test")
            );
        } else {
            let names: Vec<_> = message
                .attachments
                .iter()
                .map(|file| file.filename.as_str())
                .collect();
            assert_eq!(names.len(), 3, "{names:?}");
            assert!(
                names.contains(&"test.txt") && names.contains(&"image.png"),
                "{names:?}"
            );
        }
    }
}

#[tokio::test]
async fn postmark() {
    let auth = basic_header("post:secret");
    for (name, bytes) in files("postmark") {
        let world = open_world();
        let headers = [("authorization", auth.as_str())];
        assert_eq!(
            world.post("postmark/pm", &headers, bytes).await,
            200,
            "{name}"
        );
        let messages = world.messages();
        if name.contains("_event") {
            assert!(messages.is_empty(), "{name}");
            continue;
        }
        let message = &messages[0];
        if name.contains("with_raw_email") {
            assert_eq!(message.html.trim(), "<div>Test body html</div>");
            let names: Vec<_> = message
                .attachments
                .iter()
                .map(|file| file.filename.as_str())
                .collect();
            assert_eq!(names, ["attachment.txt"]);
        }
        if name.contains("inbound_basics") {
            assert_eq!(
                (message.account.as_str(), message.external_id.as_str()),
                ("other", "CAEPk3R+4Zr@mail.example.org")
            );
            assert_eq!(
                message.sender.as_ref().unwrap().display_name,
                "Displayed From"
            );
            assert_eq!(message.cc[0].address, "cc@example.com");
        }
        if name.contains("test-payload") {
            assert_eq!(message.attachments[0].size_bytes, 45);
            assert_eq!(
                message.to[0].address,
                "mailbox+SampleHash@inbound.postmarkapp.com"
            );
        }
        if name.contains("spammy") {
            let sender = message.sender.as_ref().unwrap();
            assert!(
                sender.display_name.contains("Snag Your Free Gift"),
                "{}",
                sender.display_name
            );
        }
    }
}
