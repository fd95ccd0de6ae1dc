//! Mailgun's forms and events.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use solmu_connector::signature::hmac_sha256_hex;
use solmu_proto::types::v1::DeliveryState;

use super::*;

pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// The time of the bench's clock.
const NOW: &str = "1793606400";

/// A signed form.
pub(super) fn signed(fields: &[(&str, &str)], token: &str) -> String {
    signed_at(fields, token, NOW, "key")
}

fn signed_at(fields: &[(&str, &str)], token: &str, at: &str, key: &str) -> String {
    let signature = hmac_sha256_hex(key.as_bytes(), &[at.as_bytes(), token.as_bytes()]);
    let proof = [
        ("timestamp", at),
        ("token", token),
        ("signature", signature.as_str()),
    ];
    let pairs = fields.iter().chain(&proof).map(|(name, value)| {
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        format!("{}={}", encode(name), encode(value))
    });
    pairs.collect::<Vec<_>>().join("&")
}

const ENVELOPE: [(&str, &str); 2] = [
    ("recipient", "support@desk.example"),
    ("sender", "a@c.example"),
];

#[tokio::test]
async fn only_fresh_signatures_count_and_a_token_is_good_for_one_content() {
    let world = world();
    let start: i64 = NOW.parse().unwrap();
    assert_eq!(world.bench.receiver.clock().now().as_second(), start);
    let raw = raw(1);
    let fields = [ENVELOPE[0], ("body-mime", raw.as_str())];
    for wrong in [
        signed_at(&fields, "t", NOW, "other"),
        signed_at(&fields, "t", "1793605499", "key"),
        signed_at(&fields, "t", "1793607301", "key"),
        "recipient=support%40desk.example".to_owned(),
    ] {
        assert_eq!(world.post("mailgun/eu", &[FORM], wrong).await, 401);
    }
    assert!(world.counted("solmu_email_webhook_refused_total{vendor=\"mailgun\",why=\"stale\"} 2"));
    assert_eq!(
        world
            .post("mailgun/us", &[FORM], signed(&fields, "t"))
            .await,
        404
    );
    assert_eq!(world.messages().len(), 0);

    let old_key = signed_at(&fields, "t", NOW, "TEST_WEBHOOK_SIGNING_KEY");
    assert_eq!(world.post("mailgun/eu", &[FORM], old_key).await, 200);
    let forged = [ENVELOPE[0], ("body-mime", "Subject: forged\r\n\r\nx")];
    assert_eq!(
        world
            .post("mailgun/eu", &[FORM], signed(&forged, "t"))
            .await,
        406
    );
    assert!(
        world.counted("solmu_email_webhook_refused_total{vendor=\"mailgun\",why=\"replay\"} 1")
    );
    assert_eq!(world.messages().len(), 1);
}

#[tokio::test]
async fn a_token_is_good_for_one_content_at_all_processes() {
    let one = world();
    let two = world_that_remembers(&config(hooks()), &one.memory);
    let contents = [raw(1), "Subject: forged\r\n\r\nx".to_owned()];
    let posts = contents.iter().zip([&one, &two]).map(|(raw, world)| {
        let form = signed(&[ENVELOPE[0], ("body-mime", raw)], "t");
        async move { world.post("mailgun/eu", &[FORM], form).await }
    });
    let mut answers = futures::future::join_all(posts).await;
    answers.sort_unstable();
    assert_eq!(answers, [200, 406]);
    assert_eq!(one.messages().len() + two.messages().len(), 1);

    // Where nobody knows, nothing is taken; and a request that was not taken may come again.
    one.memory.is_away(true);
    let form = signed(&[ENVELOPE[0], ("body-mime", &raw(2))], "u");
    assert_eq!(one.post("mailgun/eu", &[FORM], form.clone()).await, 503);
    one.memory.is_away(false);
    one.bench.desk.refuse_with(Some(IntakeError::Unavailable));
    assert_eq!(one.post("mailgun/eu", &[FORM], form.clone()).await, 503);
    one.bench.desk.refuse_with(None);
    for world in [&one, &two] {
        assert_eq!(world.post("mailgun/eu", &[FORM], form.clone()).await, 200);
    }
}

#[tokio::test]
async fn a_parsed_form_becomes_the_mail_that_it_was() {
    let world = world();
    let headers = json!([
        ["Received", "from c.example by mxa.mailgun.org"],
        ["From", "Äiti <a@c.example>"],
        ["To", "support@desk.example"],
        ["Subject", "Hyvää\r\nX-Forged: yes"],
        ["Message-Id", "<m@c.example>"],
        ["References", "<r1@c.example>\r\n <r2@c.example>"],
        ["Content-Type", "multipart/mixed; boundary=old"],
        ["Bad Name", "x"],
    ]);
    let headers = headers.to_string();
    let fields: [(&str, Option<&str>, &[u8]); 9] = [
        ("recipient", None, b"support@desk.example"),
        ("sender", None, b"a@c.example"),
        ("message-headers", None, headers.as_bytes()),
        ("body-plain", None, "päivää".as_bytes()),
        ("body-html", None, "<p>päivää</p>".as_bytes()),
        ("content-id-map", None, br#"{"<logo>": "attachment-2"}"#),
        ("attachment-count", None, b"2"),
        ("attachment-1", Some("l\u{e4}sk\u{e4}ri.txt"), b"one"),
        ("attachment-2", Some("logo.png"), b"\x89PNG"),
    ];
    let signature = hmac_sha256_hex(b"key", &[NOW.as_bytes(), b"tok"]);
    let proof: [(&str, Option<&str>, &[u8]); 3] = [
        ("timestamp", None, NOW.as_bytes()),
        ("token", None, b"tok"),
        ("signature", None, signature.as_bytes()),
    ];
    let body = multipart(&[&fields[..], &proof[..]].concat());
    assert_eq!(world.post("mailgun/eu", &[MULTIPART], body).await, 200);
    let message = world.messages().remove(0);
    assert_eq!(
        (message.account.as_str(), message.external_id.as_str()),
        ("main", "m@c.example")
    );
    assert_eq!(message.delivered_to, ["support@desk.example"]);
    assert_eq!(message.sender.unwrap().display_name, "Äiti");
    assert_eq!(message.subject, "Hyvää X-Forged: yes");
    assert_eq!(
        (message.text.trim_end(), message.html.trim_end()),
        ("päivää", "<p>päivää</p>")
    );
    assert_eq!(
        message.threading.unwrap().references,
        ["r2@c.example", "r1@c.example"]
    );
    let files: Vec<_> = message
        .attachments
        .iter()
        .map(|file| {
            (
                file.filename.as_str(),
                file.size_bytes,
                file.content_id.as_str(),
                file.inline,
            )
        })
        .collect();
    assert_eq!(
        files,
        [("läskäri.txt", 3, "", false), ("logo.png", 4, "logo", true)]
    );
}

#[tokio::test]
async fn what_mailgun_need_not_send_again_is_answered_with_406() {
    let world = world();
    let raw = raw(1).replace("support@desk.example", "who@else.example");
    let stranger = [
        ("recipient", "who@else.example"),
        ("body-mime", raw.as_str()),
    ];
    assert_eq!(
        world
            .post("mailgun/eu", &[FORM], signed(&stranger, "1"))
            .await,
        406
    );
    let looping = format!("{}{raw}", "Received: by x\r\n".repeat(51));
    let looping = [ENVELOPE[0], ("body-mime", looping.as_str())];
    assert_eq!(
        world
            .post("mailgun/eu", &[FORM], signed(&looping, "2"))
            .await,
        406
    );
    assert_eq!(
        world
            .post("mailgun/eu", &[("content-type", "text/plain")], "x")
            .await,
        406
    );
    let stored = [
        ENVELOPE[0],
        (
            "attachments",
            r#"[{"url": "https://sw.api.mailgun.net/x"}]"#,
        ),
    ];
    assert_eq!(
        world
            .post("mailgun/eu", &[FORM], signed(&stored, "3"))
            .await,
        422
    );
    for why in ["no_account", "loop", "malformed", "unsupported"] {
        let line =
            format!("solmu_email_webhook_refused_total{{vendor=\"mailgun\",why=\"{why}\"}} 1");
        assert!(world.counted(&line), "{why}");
    }
    let mut hooks = hooks();
    hooks.mailgun[0].account = "other".to_owned();
    let catching = world_with(hooks);
    assert_eq!(
        catching
            .post("mailgun/eu", &[FORM], signed(&stranger, "1"))
            .await,
        200
    );
    assert_eq!(catching.messages()[0].account, "other");
    // A null reverse-path is a bounce's.
    let bounce = [
        ENVELOPE[0],
        ("sender", "<>"),
        ("body-mime", "Subject: x\r\n\r\nx"),
    ];
    assert_eq!(
        catching
            .post("mailgun/eu", &[FORM], signed(&bounce, "2"))
            .await,
        200
    );
    assert_ne!(
        catching.messages()[1].automatic_class,
        catching.messages()[0].automatic_class
    );
}

fn event(data: &Value, token: &str) -> String {
    let signature = hmac_sha256_hex(b"key", &[NOW.as_bytes(), token.as_bytes()]);
    json!({"signature": {"timestamp": NOW, "token": token, "signature": signature}, "event-data": data}).to_string()
}

#[tokio::test]
async fn events_become_reports_on_messages_of_ours() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let world = world();
    let data = |event: &str, severity: &str, code: i64, said: &str, id: &str| {
        json!({"event": event, "severity": severity, "recipient": "Gone@C.example", "timestamp": 1_793_606_000.5,
            "message": {"headers": {"message-id": id}}, "delivery-status": {"code": code, "message": said}})
    };
    let own = own_id();
    let events = [
        data("delivered", "", 250, "OK", &own),
        data("failed", "permanent", 550, "5.1.1 no such user", &own),
        data("failed", "permanent", 552, "5.2.2 mailbox full", &own),
        data("failed", "temporary", 451, "4.3.0 later", &own),
        data("complained", "", 0, "", &own),
        data(
            "failed",
            "permanent",
            550,
            "5.1.1 no such user",
            "other@c.example",
        ),
        data("opened", "", 0, "", &own),
    ];
    for (number, data) in events.iter().enumerate() {
        let body = event(data, &number.to_string());
        assert_eq!(world.post("mailgun/eu", &[JSON], body).await, 200, "{data}");
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
            (DeliveryState::Failed, "5.2.2", false),
            (DeliveryState::Delivered, "complaint", false),
        ]
    );
    for report in &reports {
        assert_eq!(report.message_id, "0192f0c1-2e5a-7c3e-9d42-0a1b2c3d4e60");
        assert_eq!(
            (report.address.as_str(), report.account.as_str()),
            ("gone@c.example", "main")
        );
        assert_eq!(report.report_time.as_ref().unwrap().seconds, 1_793_606_000);
    }
    let unsigned = json!({"signature": {}, "event-data": events[0]}).to_string();
    assert_eq!(world.post("mailgun/eu", &[JSON], unsigned).await, 401);
    assert_eq!(world.post("mailgun/eu", &[JSON], "no json").await, 406);
    for (outcome, count) in [
        ("delivered", 1),
        ("address_invalid", 1),
        ("failed", 1),
        ("complaint", 1),
        ("not_ours", 1),
        ("ignored", 2),
    ] {
        let line = format!(
            "solmu_email_webhook_reports_total{{vendor=\"mailgun\",outcome=\"{outcome}\"}} {count}"
        );
        assert!(world.counted(&line), "{line}");
    }
}
