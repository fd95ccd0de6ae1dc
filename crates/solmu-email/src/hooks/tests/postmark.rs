//! Postmark's inbound and other webhooks.

use serde_json::{Value, json};
use solmu_proto::types::v1::{AutomaticClass, DeliveryState};

use super::*;

async fn post(world: &World, body: &Value) -> u16 {
    let auth = basic_header("post:secret");
    world
        .post("postmark/pm", &[("authorization", &auth)], body.to_string())
        .await
}

#[tokio::test]
async fn a_mail_is_built_from_fields_where_there_is_no_raw_one() {
    let world = world();
    let body = json!({
        "FromFull": {"Name": "Äiti, \"A\" <x@y.example>", "Email": "a@c.example"},
        "ToFull": [{"Name": "Tuki", "Email": "support@desk.example"}, {"Name": "", "Email": "b@c.example"}],
        "CcFull": [{"Name": "", "Email": "cc@c.example"}],
        "OriginalRecipient": "support+x@desk.example",
        "ReplyTo": "reply@c.example", "Subject": "Hei \u{1f600}", "Date": "Wed, 11 Oct 2017 18:31:04 -0700",
        "MessageID": "22c74902-a0c1-4511-804f2-341342852c90",
        "TextBody": "päivää", "HtmlBody": "<p>päivää</p>",
        "Headers": [
            {"Name": "Return-Path", "Value": "<a@c.example>"},
            {"Name": "Message-ID", "Value": "<m@c.example>"},
            {"Name": "Content-Type", "Value": "multipart/mixed; boundary=old"},
        ],
        "Attachments": [
            {"Name": "a.pdf", "Content": "b25l", "ContentType": "application/pdf", "ContentID": ""},
            {"Name": "b.png", "Content": "iVBORw==", "ContentType": "image/png", "ContentID": "<cid:1>"},
            {"Name": "c", "Content": "no base64!", "ContentType": "multipart/evil"},
        ],
    });
    assert_eq!(post(&world, &body).await, 200);
    let message = world.messages().remove(0);
    assert_eq!(
        (message.account.as_str(), message.external_id.as_str()),
        ("main", "m@c.example")
    );
    assert_eq!(message.delivered_to, ["support+x@desk.example"]);
    let sender = message.sender.unwrap();
    assert_eq!(sender.display_name, "Äiti, \"A\" <x@y.example>");
    assert_eq!(sender.identities[0].value, "a@c.example");
    let to: Vec<_> = message
        .to
        .iter()
        .map(|to| (to.name.as_str(), to.address.as_str()))
        .collect();
    assert_eq!(to, [("Tuki", "support@desk.example"), ("", "b@c.example")]);
    assert_eq!(message.cc[0].address, "cc@c.example");
    assert_eq!(message.reply_to[0].address, "reply@c.example");
    assert_eq!(message.subject, "Hei \u{1f600}");
    assert_eq!(
        (message.text.trim_end(), message.html.trim_end()),
        ("päivää", "<p>päivää</p>")
    );
    assert_eq!(message.sent_time.unwrap().seconds, 1_507_771_864);
    let files: Vec<_> = message
        .attachments
        .iter()
        .map(|file| {
            (
                file.filename.as_str(),
                file.content_type.as_str(),
                file.size_bytes,
            )
        })
        .collect();
    assert_eq!(
        files,
        [
            ("a.pdf", "application/pdf", 3),
            ("b.png", "image/png", 4),
            ("c", "application/octet-stream", 10)
        ]
    );
}

#[tokio::test]
async fn the_raw_mail_wins_and_a_null_return_path_is_a_machine() {
    let world = world();
    let raw = raw(7);
    let body = json!({"RawEmail": raw, "OriginalRecipient": "support@desk.example", "TextBody": "not this",
        "Headers": [{"Name": "Return-Path", "Value": "<>"}], "Attachments": [{"Name": "twice", "Content": "AA=="}]});
    assert_eq!(post(&world, &body).await, 200);
    let message = world.messages().remove(0);
    assert_eq!(
        (message.subject.as_str(), message.attachments.len()),
        ("raw 7", 0)
    );
    assert_ne!(message.automatic_class(), AutomaticClass::Human);
}

#[tokio::test]
async fn only_user_and_password_open_the_door() {
    let world = world();
    let body = json!({"RawEmail": raw(1)}).to_string();
    for (pair, status) in [
        ("post:old", 200),
        ("post:wrong", 401),
        ("other:secret", 401),
    ] {
        let header = basic_header(pair);
        assert_eq!(
            world
                .post("postmark/pm", &[("authorization", &header)], body.clone())
                .await,
            status
        );
    }
    assert_eq!(world.post("postmark/pm", &[], body).await, 401);
    for odd in [json!("x"), json!([])] {
        assert_eq!(post(&world, &odd).await, 403);
    }
    // Half a character does not cost the mail.
    let cut = r#"{"OriginalRecipient": "support@desk.example", "Subject": "cut \ud83d", "TextBody": "x"}"#;
    let auth = basic_header("post:secret");
    assert_eq!(
        world
            .post("postmark/pm", &[("authorization", &auth)], cut)
            .await,
        200
    );
    assert_eq!(world.messages()[1].subject, "cut \u{fffd}");
}

#[tokio::test]
async fn reports_find_our_message_in_metadata_or_the_returned_mail() {
    let world = world();
    let own = own_id();
    let metadata = json!({"solmu-message": own});
    let returned = format!("From: x\r\nMessage-ID: <{own}>\r\n\r\nbody");
    let hard = "smtp;550 5.1.1 The email account does not exist";
    let reports = [
        json!({"RecordType": "Delivery", "Recipient": "A@c.example", "Metadata": metadata, "DeliveredAt": "2026-11-02T07:00:00Z"}),
        json!({"RecordType": "Bounce", "Type": "HardBounce", "Email": "a@c.example", "Details": hard, "Content": returned}),
        json!({"RecordType": "Bounce", "Type": "SoftBounce", "Email": "a@c.example", "Details": "full", "Metadata": metadata}),
        json!({"RecordType": "SpamComplaint", "Type": "SpamComplaint", "Email": "a@c.example", "Metadata": metadata}),
        json!({"RecordType": "Bounce", "Type": "Transient", "Email": "a@c.example", "Metadata": metadata}),
        json!({"RecordType": "Bounce", "Type": "HardBounce", "Email": "a@c.example", "MessageID": "883953f4"}),
        json!({"RecordType": "Open", "Metadata": metadata}),
    ];
    for report in &reports {
        assert_eq!(post(&world, report).await, 200, "{report}");
    }
    let reports = world.reports();
    let states: Vec<_> = reports
        .iter()
        .map(|report| {
            (
                report.state(),
                report.error_code.as_str(),
                report.address_invalid,
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            (DeliveryState::Delivered, "", false),
            (DeliveryState::Failed, "5.1.1", true),
            (DeliveryState::Failed, "SoftBounce", false),
            (DeliveryState::Delivered, "complaint", false),
        ]
    );
    assert!(
        reports
            .iter()
            .all(|report| report.address == "a@c.example" && report.external_id == own)
    );
    assert!(
        world.counted(
            "solmu_email_webhook_reports_total{vendor=\"postmark\",outcome=\"not_ours\"} 1"
        )
    );
}
