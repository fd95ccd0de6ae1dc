//! SendGrid's Inbound Parse and event webhook.

use serde_json::json;
use solmu_proto::types::v1::DeliveryState;

use super::*;

/// A published example of SendGrid's library: key, signature, time and body.
const KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==";
const SIGNATURE: &str = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=";
const SIGNED: &str = "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n";

#[tokio::test]
async fn path_token_or_basic_authentication_is_the_proof() {
    let world = world();
    let raw = raw(1);
    let body = multipart(&[
        ("email", None, raw.as_bytes()),
        (
            "envelope",
            None,
            br#"{"to":["support@desk.example"],"from":"a@c.example"}"#,
        ),
    ]);
    let good = basic_header("post:secret");
    let bad = basic_header("post:other");
    let tries: [(&str, Option<&str>, u16); 8] = [
        ("sendgrid/parse", None, 401),
        ("sendgrid/parse", Some(&good), 401),
        ("sendgrid/parse/0123456789abcdefghiX", None, 401),
        ("sendgrid/none/0123456789abcdefghij", None, 404),
        ("sendgrid/basic", Some(&bad), 401),
        ("sendgrid/basic/0123456789abcdefghij", None, 401),
        ("sendgrid/basic", Some(&good), 200),
        ("sendgrid/parse/0123456789abcdefghij", None, 200),
    ];
    for (path, authorization, status) in tries {
        let mut headers = vec![MULTIPART];
        headers.extend(authorization.map(|value| ("authorization", value)));
        assert_eq!(
            world.post(path, &headers, body.clone()).await,
            status,
            "{path}"
        );
    }
    let messages = world.messages();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0].message_id, messages[1].message_id);
    assert_eq!(messages[0].delivered_to, ["support@desk.example"]);
    assert!(
        world.counted("solmu_email_webhook_refused_total{vendor=\"sendgrid\",why=\"signature\"} 5")
    );
}

#[tokio::test]
async fn parsed_fields_keep_their_charsets_and_files() {
    let world = world();
    let fields: [(&str, Option<&str>, &[u8]); 12] = [
        ("headers", None, b""),
        ("from", None, b"\xc4iti <a@c.example>"),
        ("to", None, b"support@desk.example"),
        ("subject", None, b"P\xe4iv\xe4\xe4"),
        ("text", None, b"maksaa 5 \x80"),
        ("html", None, b"<p>p\xe4iv\xe4\xe4</p>"),
        ("charsets", None, br#"{"from":"iso-8859-1","subject":"iso-8859-1","text":"windows-1252","html":"iso-8859-1"}"#),
        ("envelope", None, br#"{"to":["support@desk.example"],"from":""}"#),
        ("attachments", None, b"2"),
        ("attachment-info", None, br#"{"attachment1":{"filename":"a.txt","type":"text/plain"},"attachment2":{"filename":"b.png","type":"image/png"}}"#),
        ("content-ids", None, br#"{"img":"attachment2"}"#),
        ("attachment1", Some("x"), b"one"),
    ];
    let mut fields = fields.to_vec();
    fields.push(("attachment2", Some("y"), b"\x89PNG"));
    let path = format!("sendgrid/parse/{TOKEN}");
    assert_eq!(
        world.post(&path, &[MULTIPART], multipart(&fields)).await,
        200
    );
    let message = world.messages().remove(0);
    assert_eq!(message.sender.unwrap().display_name, "Äiti");
    assert_eq!(message.subject, "Päivää");
    assert_eq!(
        (message.text.trim_end(), message.html.trim_end()),
        ("maksaa 5 €", "<p>päivää</p>")
    );
    let files: Vec<_> = message
        .attachments
        .iter()
        .map(|file| (file.filename.as_str(), file.content_id.as_str()))
        .collect();
    assert_eq!(files, [("a.txt", ""), ("b.png", "img")]);
    // The same fields once more are the same message, although no Message-ID came with them.
    assert_eq!(
        world.post(&path, &[MULTIPART], multipart(&fields)).await,
        200
    );
    let messages = world.messages();
    assert_eq!(messages[0].message_id, messages[1].message_id);
}

#[tokio::test]
async fn strangers_go_to_the_named_account_or_are_refused() {
    let world = world();
    let raw = raw(1).replace("support@desk.example", "who@else.example");
    let body = multipart(&[("email", None, raw.as_bytes())]);
    let path = format!("sendgrid/parse/{TOKEN}");
    assert_eq!(world.post(&path, &[MULTIPART], body.clone()).await, 403);
    let good = basic_header("post:secret");
    let headers = [MULTIPART, ("authorization", good.as_str())];
    assert_eq!(world.post("sendgrid/basic", &headers, body).await, 200);
    assert_eq!(world.messages()[0].account, "main");
    assert_eq!(world.post(&path, &[MULTIPART], "cut").await, 403);
}

#[tokio::test]
async fn events_count_with_the_key_or_the_token() {
    let mut hooks = hooks();
    hooks.sendgrid[1].event_public_key = KEY.to_owned();
    let world = world_with(hooks);
    let signed = |at: &'static str| {
        [
            ("x-twilio-email-event-webhook-signature", SIGNATURE),
            ("x-twilio-email-event-webhook-timestamp", at),
        ]
    };
    let path = "sendgrid/basic/events";
    assert_eq!(world.post(path, &signed("1600112502"), SIGNED).await, 200);
    assert_eq!(world.post(path, &signed("1600112503"), SIGNED).await, 401);
    assert_eq!(
        world.post(path, &signed("1600112502"), SIGNED.trim()).await,
        401
    );
    let basic = basic_header("post:secret");
    assert_eq!(
        world.post(path, &[("authorization", &basic)], "[]").await,
        401
    );
    assert_eq!(world.reports().len(), 0);

    let own = format!("<{}>", own_id());
    let event = |event: &str, kind: &str, status: &str, reason: &str| {
        json!({"event": event, "type": kind, "status": status, "reason": reason, "email": "Gone@c.example",
            "smtp-id": own, "timestamp": 1_600_112_492})
    };
    let events = json!([
        event("delivered", "", "", ""),
        event("bounce", "bounce", "5.1.1", "550 5.1.1 unknown"),
        event("bounce", "blocked", "5.7.1", "550 5.7.1 policy"),
        event("dropped", "", "", "Bounced Address"),
        event("dropped", "", "", "Unsubscribed Address"),
        event("spamreport", "", "", ""),
        event("deferred", "", "", "later"),
        event("open", "", "", ""),
    ]);
    let path = format!("sendgrid/parse/events/{TOKEN}");
    assert_eq!(world.post(&path, &[], events.to_string()).await, 200);
    assert_eq!(
        world
            .post("sendgrid/parse/events", &[], events.to_string())
            .await,
        401
    );
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
            (DeliveryState::Failed, "5.7.1", false),
            (DeliveryState::Failed, "dropped", true),
            (DeliveryState::Failed, "dropped", false),
            (DeliveryState::Delivered, "complaint", false),
        ]
    );
    assert!(
        reports
            .iter()
            .all(|report| report.address == "gone@c.example")
    );
}
