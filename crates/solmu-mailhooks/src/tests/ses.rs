//! Amazon SES over SNS, with messages that were signed for these tests.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::{
    ses::{Notice, read},
    testing::own_id,
};

const CERTIFICATE: &[u8] = include_bytes!("../testdata/sns_cert.pem");
const CERTIFICATE_URL: &str =
    "https://sns.eu-north-1.amazonaws.com/SimpleNotificationService-test.pem";

fn message(name: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("../testdata/sns_messages.json")).unwrap();
    all[name].clone()
}

async fn post(world: &World, message: &Value) -> u16 {
    let headers = [("content-type", "text/plain; charset=UTF-8")];
    world.post("ses/aws", &headers, message.to_string()).await
}

fn with_certificate() -> World {
    let world = world();
    let certificate = Bytes::from_static(CERTIFICATE);
    world
        .amazon
        .pages
        .lock()
        .unwrap()
        .insert(CERTIFICATE_URL.to_owned(), certificate);
    world
}

#[tokio::test]
async fn mail_in_a_notification_is_taken_and_the_certificate_fetched_once() {
    let world = with_certificate();
    for name in ["utf8", "base64_v1", "utf8"] {
        assert_eq!(post(&world, &message(name)).await, 200, "{name}");
    }
    let mails = world.mails();
    let words: Vec<_> = mails
        .iter()
        .map(|(_, it)| (it.message_id.as_deref().unwrap(), it.text.trim_end()))
        .collect();
    assert_eq!(
        words,
        [
            ("1@c.example", "hyvää päivää"),
            ("2@c.example", "päivää"),
            ("1@c.example", "hyvää päivää")
        ]
    );
    let to = Address::parse("support@desk.example").unwrap();
    assert_eq!(mails[0].0.recipients, [to]);
    assert_eq!(*world.amazon.asked.lock().unwrap(), [CERTIFICATE_URL]);
}

#[tokio::test]
async fn what_is_not_signed_or_not_ours_is_refused_before_anything_is_fetched() {
    let world = with_certificate();
    assert_eq!(post(&world, &message("other_topic")).await, 401);
    assert_eq!(post(&world, &message("foreign_certificate")).await, 401);
    assert!(world.amazon.asked.lock().unwrap().is_empty());
    let mut changed = message("utf8");
    changed["MessageId"] = json!("n0");
    assert_eq!(post(&world, &changed).await, 401);
    let mut version = message("utf8");
    version["SignatureVersion"] = json!("1");
    assert_eq!(post(&world, &version).await, 401);
    version["SignatureVersion"] = json!("3");
    assert_eq!(post(&world, &version).await, 401);
    for odd in [json!("x"), json!({})] {
        assert!(matches!(post(&world, &odd).await, 401 | 403), "{odd}");
    }
    assert_eq!(world.post("ses/none", &[], "{}").await, 404);
    assert_eq!(world.mails().len(), 0);
    assert!(world.counted("solmu_email_webhook_refused_total{vendor=\"ses\",why=\"topic\"} 2"));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_had_makes_sns_come_again() {
    let world = world();
    assert_eq!(post(&world, &message("utf8")).await, 503);
    let page = Bytes::from_static(b"<html>busy</html>");
    world
        .amazon
        .pages
        .lock()
        .unwrap()
        .insert(CERTIFICATE_URL.to_owned(), page);
    assert_eq!(post(&world, &message("utf8")).await, 503);
    let page = Bytes::from_static(CERTIFICATE);
    world
        .amazon
        .pages
        .lock()
        .unwrap()
        .insert(CERTIFICATE_URL.to_owned(), page);
    assert_eq!(post(&world, &message("utf8")).await, 200);
}

#[tokio::test]
async fn a_subscription_to_our_topic_is_confirmed_at_amazon_only() {
    let world = with_certificate();
    let subscribe = message("subscribe");
    let url = subscribe["SubscribeURL"].as_str().unwrap();
    assert_eq!(post(&world, &subscribe).await, 503);
    world
        .amazon
        .pages
        .lock()
        .unwrap()
        .insert(url.to_owned(), Bytes::from_static(b"<ok/>"));
    assert_eq!(post(&world, &subscribe).await, 200);
    assert_eq!(post(&world, &message("subscribe_elsewhere")).await, 403);
    assert_eq!(
        *world.amazon.asked.lock().unwrap(),
        [CERTIFICATE_URL, url, url]
    );
}

#[tokio::test]
async fn what_cannot_be_taken_says_why() {
    let world = with_certificate();
    assert_eq!(post(&world, &message("s3")).await, 422);
    assert_eq!(post(&world, &message("stranger")).await, 403);
    assert_eq!(post(&world, &message("words")).await, 200);
    assert_eq!(world.mails().len(), 0);
    for why in ["unsupported", "no_account"] {
        let line = format!("solmu_email_webhook_refused_total{{vendor=\"ses\",why=\"{why}\"}} 1");
        assert!(world.counted(&line), "{why}");
    }
    assert!(
        world.counted("solmu_email_webhook_reports_total{vendor=\"ses\",outcome=\"ignored\"} 1")
    );
}

/// What SES says about the mail that a notice is about.
fn mail() -> Value {
    let own = format!("<{}>", own_id(&signer()));
    json!({"timestamp": "2026-11-02T07:00:00.000Z", "messageId": "x", "headers": [{"name": "Message-ID", "value": own}]})
}

fn reports(notice: &Value) -> Vec<(Outcome, ReportWords)> {
    match read(&notice.to_string()).unwrap() {
        Notice::Reports(reports) => reports,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_recipient_of_a_report_counts() {
    let mail = mail();
    let bounce = |kind: &str, subtype: &str, recipient: Value| {
        json!({"notificationType": "Bounce", "mail": mail, "bounce": {"bounceType": kind, "bounceSubType": subtype,
            "timestamp": "2026-11-02T07:59:00.000Z", "bouncedRecipients": [recipient]}})
    };
    let cases = [
        (
            bounce(
                "Permanent",
                "General",
                json!({"emailAddress": "A@c.example", "status": "5.1.1"}),
            ),
            true,
            "5.1.1",
        ),
        (
            bounce(
                "Permanent",
                "General",
                json!({"emailAddress": "a@c.example"}),
            ),
            true,
            "General",
        ),
        (
            bounce(
                "Permanent",
                "Suppressed",
                json!({"emailAddress": "a@c.example", "status": "5.0.0"}),
            ),
            true,
            "5.0.0",
        ),
        (
            bounce(
                "Permanent",
                "General",
                json!({"emailAddress": "a@c.example", "diagnosticCode": "smtp; 550 5.7.1 no"}),
            ),
            false,
            "5.7.1",
        ),
        (
            bounce(
                "Transient",
                "MailboxFull",
                json!({"emailAddress": "a@c.example", "status": "5.1.1"}),
            ),
            false,
            "5.1.1",
        ),
    ];
    for (notice, address_invalid, code) in cases {
        let reports = reports(&notice);
        assert_eq!(
            reports[0].0,
            Outcome::Failed { address_invalid },
            "{notice}"
        );
        assert_eq!((reports.len(), reports[0].1.code.as_str()), (1, code));
        let hook = report::report(reports[0].0, reports[0].1.clone(), "main", &signer(), now());
        let report = hook.unwrap();
        assert_eq!(
            (report.address.as_str(), report.address_invalid),
            ("a@c.example", address_invalid)
        );
    }
}

#[test]
fn complaints_deliveries_and_rejections() {
    let mail = mail();
    let complaint = json!({"eventType": "Complaint", "mail": mail, "complaint": {"complaintFeedbackType": "abuse",
        "complainedRecipients": [{"emailAddress": "a@c.example"}, {"emailAddress": "b@c.example"}]}});
    assert_eq!(
        reports(&complaint)
            .iter()
            .map(|it| it.0)
            .collect::<Vec<_>>(),
        [Outcome::Complaint; 2]
    );
    let delivery = json!({"notificationType": "Delivery", "mail": mail, "delivery": {"recipients": ["a@c.example"]}});
    assert_eq!(reports(&delivery)[0].0, Outcome::Delivered);
    let reject = json!({"eventType": "Reject", "mail": mail, "reject": {"reason": "Bad content"}});
    assert_eq!(reports(&reject)[0].1.text, "Bad content");
    for other in [
        json!({"eventType": "Open"}),
        json!({"eventType": "DeliveryDelay"}),
        json!([]),
    ] {
        assert!(
            matches!(read(&other.to_string()), Ok(Notice::Other)),
            "{other}"
        );
    }
}

/// Samples of others, which the project does not ship: without them the test says so and passes.
fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = "../../../shared/fixtures/channels/email_inbound_parse/ses_sns";
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = std::fs::read_dir(root) else {
        eprintln!("the samples of ses are not here: this test did not run");
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn ses_over_sns() {
    for (name, bytes) in samples() {
        if name.contains("_ses_event") {
            continue;
        }
        let sample: Value = serde_json::from_slice(&bytes).unwrap();
        let outcome = read(sample["Message"].as_str().unwrap());
        let what = match &outcome {
            Ok(Notice::Mail(mail)) => {
                assert_eq!(
                    mail.mail_from.as_deref(),
                    Some("envelope-from@example.org"),
                    "{name}"
                );
                assert_eq!(mail.recipients, ["inbound@example.com"], "{name}");
                let raw = String::from_utf8(mail.raw.to_vec()).unwrap();
                assert!(
                    raw.contains("Message-ID: <CAEPk3RKsi@mail.example.org>"),
                    "{name}"
                );
                "mail"
            }
            Ok(Notice::Reports(reports)) => {
                assert_eq!(
                    reports.len(),
                    if name.contains("multiple") {
                        2
                    } else {
                        reports.len()
                    },
                    "{name}"
                );
                "report"
            }
            Ok(Notice::Other) => "other",
            Err(Refused::Unsupported(_)) => "unsupported",
            Err(_) => "malformed",
        };
        let expected = match name.trim_start_matches("anymail_") {
            "inbound_sns_base64.json" | "inbound_sns_utf8.json" => "mail",
            "inbound_s3_failure_message.json" => "unsupported",
            "incorrect_received_event.json" => "malformed",
            "click_event.json" | "open_event.json" | "send_event.json" => "other",
            _ => "report",
        };
        assert_eq!(what, expected, "{name}");
    }
}
