//! Amazon SES over SNS, with messages that were signed for these tests.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::{
    ses_notice::{Notice, read},
    testing::own_id,
};
use solmu_mime::authenticity::ResultWord;

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

/// With the bucket of the signed notification.
fn with_bucket(change: impl FnOnce(&mut BucketConfig)) -> World {
    let mut bucket = BucketConfig {
        name: "b".to_owned(),
        region: "eu-north-1".to_owned(),
        ..BucketConfig::default()
    };
    change(&mut bucket);
    let mut config = hooks();
    config.ses[0].bucket = Some(bucket);
    let world = world_with(&config);
    world
        .amazon
        .has(CERTIFICATE_URL, Bytes::from_static(CERTIFICATE));
    world
}

#[tokio::test]
async fn mail_in_our_bucket_is_fetched() {
    let world = with_bucket(|_| ());
    // Not there yet, or Amazon is in trouble.
    assert_eq!(post(&world, &message("s3")).await, 503);
    let mail = raw(9);
    world.amazon.has("size aws k", mail.len().to_string());
    assert_eq!(post(&world, &message("s3")).await, 503);
    world.amazon.has("aws k", mail);
    assert_eq!(post(&world, &message("s3")).await, 200);
    let mails = world.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].1.message_id.as_deref(), Some("9@c.example"));
    assert_eq!(mails[0].0.mail_from.as_deref(), Some("a@c.example"));
    let to = Address::parse("support@desk.example").unwrap();
    assert_eq!(mails[0].0.recipients, [to]);
}

#[tokio::test]
async fn nothing_is_fetched_from_elsewhere() {
    for change in [
        |it: &mut BucketConfig| it.name = "c".to_owned(),
        |it: &mut BucketConfig| it.prefix = "mail/".to_owned(),
    ] {
        let world = with_bucket(change);
        assert_eq!(post(&world, &message("s3")).await, 422);
        assert_eq!(*world.amazon.asked.lock().unwrap(), [CERTIFICATE_URL]);
    }
}

#[tokio::test]
async fn of_a_mail_that_is_too_large_for_us_the_header_is_taken() {
    let world = with_bucket(|it| it.max_object_bytes = 2_048);
    world.amazon.has("size aws k", "2049");
    let notice = read(
        &json!({"notificationType": "Received", "mail": {"source": "a@c.example", "headers": [
            {"name": "From", "value": "Aino <a@c.example>"}, {"name": "Message-ID", "value": "<big@c.example>"},
            {"name": "Content-Type", "value": "multipart/mixed; boundary=x"}]},
            "receipt": {"recipients": ["support@desk.example"],
            "action": {"type": "S3", "bucketName": "b", "objectKey": "k"}}})
        .to_string(),
    );
    let Ok(Notice::Stored(stored)) = notice else {
        panic!("{notice:?}");
    };
    let mail = crate::ses_notice::too_large(*stored, 50 * 1024 * 1024);
    let parsed = parse(&mail.raw, &ParseLimits::default());
    assert_eq!(parsed.message_id.as_deref(), Some("big@c.example"));
    assert!(
        parsed.text.contains("(51200 KiB)") && parsed.text.contains("bucket 'b' under 'k'"),
        "{}",
        parsed.text
    );
    // The signed notification lists no header; it is taken by its envelope.
    assert_eq!(post(&world, &message("s3")).await, 200);
    assert_eq!(world.mails().len(), 1);
    assert!(
        !world
            .amazon
            .asked
            .lock()
            .unwrap()
            .contains(&"aws k".to_owned())
    );
}

#[test]
fn what_ses_found_out_is_told() {
    let received = |receipt: Value| {
        let value = json!({"notificationType": "Received", "content": "x", "receipt": receipt});
        match read(&value.to_string()) {
            Ok(Notice::Mail(mail)) => mail.verdicts.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    let status = |status: &str| json!({ "status": status });
    let good = received(
        json!({"spfVerdict": status("PASS"), "dkimVerdict": status("GRAY"),
        "dmarcVerdict": status("PASS"), "spamVerdict": status("PASS"), "virusVerdict": status("DISABLED")}),
    );
    let wanted = Verdicts {
        spf: Some(ResultWord::Pass),
        dkim: Some(ResultWord::None),
        dmarc: Some(ResultWord::Pass),
        ..Verdicts::default()
    };
    assert_eq!(good, wanted);
    let bad = received(
        json!({"spfVerdict": status("FAIL"), "dkimVerdict": status("PROCESSING_FAILED"),
        "dmarcVerdict": status("FAIL"), "dmarcPolicy": "REJECT", "spamVerdict": status("FAIL"),
        "virusVerdict": status("FAIL")}),
    );
    assert_eq!(bad.dkim, Some(ResultWord::TempError));
    assert!(bad.rejects && bad.dmarc == Some(ResultWord::Fail));
    assert_eq!(bad.notices.len(), 2);
    assert_eq!(received(json!({})), Verdicts::default());
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

/// Kind and subtype of a bounce, what it says of the recipient, whether the address is bad, and the code that stands
/// for it.
type Bounce = (
    &'static str,
    &'static str,
    (&'static str, &'static str),
    bool,
    &'static str,
);

const BOUNCES: [Bounce; 8] = [
    ("Permanent", "General", ("status", "5.1.1"), true, "5.1.1"),
    (
        "Permanent",
        "General",
        ("action", "failed"),
        true,
        "General",
    ),
    (
        "Permanent",
        "Suppressed",
        ("status", "5.0.0"),
        true,
        "5.0.0",
    ),
    (
        "Permanent",
        "General",
        ("diagnosticCode", "smtp; 550 5.7.1 no"),
        false,
        "5.7.1",
    ),
    (
        "Transient",
        "MailboxFull",
        ("status", "5.2.2"),
        false,
        "4.2.2",
    ),
    ("Transient", "General", ("action", "failed"), false, "4.0.0"),
    (
        "Transient",
        "General",
        ("diagnosticCode", "smtp; 554 4.4.7 expired"),
        false,
        "4.4.7",
    ),
    (
        "Transient",
        "ContentRejected",
        ("status", "5.6.1"),
        false,
        "5.6.1",
    ),
];

#[test]
fn each_recipient_of_a_report_counts() {
    for (kind, subtype, (name, value), address_invalid, code) in BOUNCES {
        let recipient = json!({"emailAddress": "A@c.example", name: value});
        let notice = json!({"notificationType": "Bounce", "mail": mail(), "bounce": {
            "bounceType": kind, "bounceSubType": subtype,
            "timestamp": "2026-11-02T07:59:00.000Z", "bouncedRecipients": [recipient]}});
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
            Ok(Notice::Stored(_)) => "stored",
            Err(_) => "malformed",
        };
        let expected = match name.trim_start_matches("anymail_") {
            "inbound_sns_base64.json" | "inbound_sns_utf8.json" => "mail",
            "inbound_s3_failure_message.json" => "stored",
            "incorrect_received_event.json" => "malformed",
            "click_event.json" | "open_event.json" | "send_event.json" => "other",
            _ => "report",
        };
        assert_eq!(what, expected, "{name}");
    }
}
