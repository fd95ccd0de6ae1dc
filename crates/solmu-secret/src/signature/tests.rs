//! Own vectors, and the published ones of the vendors where the samples are on the machine.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::*;

fn secrets(list: &[&str]) -> WebhookSecrets {
    WebhookSecrets::new(list.iter().copied()).unwrap()
}

fn standard_secrets(list: &[&str]) -> WebhookSecrets {
    WebhookSecrets::standard(list.iter().copied()).unwrap()
}

#[test]
fn meta_takes_any_of_the_secrets_and_only_the_signed_bytes() {
    let header = format!("sha256={}", hmac_sha256_hex(b"old", &[b"{\"a\":1}"]));
    let both = secrets(&["new", "old"]);
    assert_eq!(meta(&both, Some(header.as_bytes()), b"{\"a\":1}"), Ok(()));
    assert_eq!(
        meta(&both, Some(header.as_bytes()), b"{\"a\": 1}"),
        Err(SignatureError::Mismatch)
    );
    assert_eq!(
        meta(&secrets(&["new"]), Some(header.as_bytes()), b"{\"a\":1}"),
        Err(SignatureError::Mismatch)
    );
}

#[test]
fn meta_refuses_what_is_no_signature() {
    let some = secrets(&["s"]);
    let bad: [(Option<&[u8]>, SignatureError); 5] = [
        (None, SignatureError::Missing(META_HEADER)),
        (Some(b""), SignatureError::Missing(META_HEADER)),
        (Some(b"sha1=00"), SignatureError::Malformed(META_HEADER)),
        (Some(b"sha256=zz"), SignatureError::Malformed(META_HEADER)),
        (Some(b"sha256="), SignatureError::Mismatch),
    ];
    for (header, expected) in bad {
        assert_eq!(meta(&some, header, b"x"), Err(expected));
    }
}

#[test]
fn no_secret_is_an_error_and_never_an_open_door() {
    assert_eq!(WebhookSecrets::new([]).unwrap_err(), SecretError::None);
    assert_eq!(WebhookSecrets::new([""]).unwrap_err(), SecretError::Empty);
    assert_eq!(
        WebhookSecrets::standard(["whsec_"]).unwrap_err(),
        SecretError::Empty
    );
    assert_eq!(
        WebhookSecrets::standard(["whsec_!"]).unwrap_err(),
        SecretError::NotBase64
    );
    assert_eq!(format!("{:?}", secrets(&["hush"])), "WebhookSecrets(1)");
}

#[test]
fn telegram_token_is_compared_whole() {
    let some = secrets(&["a-Secret_Token1", "b"]);
    assert_eq!(telegram(&some, Some(b"a-Secret_Token1")), Ok(()));
    assert_eq!(telegram(&some, Some(b"b")), Ok(()));
    assert_eq!(
        telegram(&some, Some(b"a-Secret_Token")),
        Err(SignatureError::Mismatch)
    );
    assert_eq!(
        telegram(&some, None),
        Err(SignatureError::Missing(TELEGRAM_HEADER))
    );
}

#[test]
fn standard_webhooks_checks_time_and_every_signature() {
    let some = standard_secrets(&["whsec_c2VjcmV0"]);
    let good = format!(
        "v1a,xx v1,{}",
        hmac_sha256_base64(b"secret", &[b"id.1000.body"])
    );
    let headers = StandardHeaders {
        id: Some(b"id"),
        timestamp: Some(b"1000"),
        signature: Some(good.as_bytes()),
    };
    let at = |second| Timestamp::from_second(second).unwrap();
    assert_eq!(standard_webhooks(&some, headers, b"body", at(1300)), Ok(()));
    assert_eq!(
        standard_webhooks(&some, headers, b"body", at(1301)),
        Err(SignatureError::Stale)
    );
    assert_eq!(
        standard_webhooks(&some, headers, b"body", at(699)),
        Err(SignatureError::Stale)
    );
    assert_eq!(
        standard_webhooks(&some, headers, b"Body", at(1000)),
        Err(SignatureError::Mismatch)
    );
    let only_other = StandardHeaders {
        signature: Some(b"v1a,xx"),
        ..headers
    };
    assert_eq!(
        standard_webhooks(&some, only_other, b"body", at(1000)),
        Err(SignatureError::Mismatch)
    );
    let no_time = StandardHeaders {
        timestamp: Some(b"soon"),
        ..headers
    };
    assert_eq!(
        standard_webhooks(&some, no_time, b"body", at(1000)),
        Err(SignatureError::Malformed("webhook-timestamp"))
    );
}

#[test]
fn handshake_token_must_be_set_and_equal() {
    assert!(tokens_equal("t", "t"));
    assert!(!tokens_equal("u", "t"));
    assert!(!tokens_equal("", ""));
}

/// Vectors of others are not shipped with the project: without them the test says so and passes.
#[test]
fn published_vectors_hold() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures/channels/signatures/vectors.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!("signature vectors did not run: the samples are not on this machine");
        return;
    };
    let vectors: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut seen = BTreeMap::<String, u32>::new();
    for vector in &vectors {
        if check(vector) {
            *seen
                .entry(vector["scheme"].as_str().unwrap().to_owned())
                .or_default() += 1;
        }
    }
    let schemes: Vec<_> = seen
        .iter()
        .map(|(scheme, count)| (scheme.as_str(), *count))
        .collect();
    let expected = [
        ("aws_sns_v1", 1),
        ("aws_sns_v2", 2),
        ("line_x_line_signature", 1),
        ("mailgun_form", 1),
        ("meta_appsecret_proof", 1),
        ("meta_verify_challenge", 1),
        ("meta_x_hub_signature_256", 3),
        ("sendgrid_event_webhook_ecdsa", 1),
        ("slack_v0", 1),
        ("standard_webhooks_v1", 1),
        ("telegram_secret_token", 1),
        ("viber_content_signature", 1),
        ("x_crc", 1),
    ];
    assert_eq!(schemes, expected);
}

/// Checks one vector; false for a scheme that is not ours.
fn check(vector: &Value) -> bool {
    let text = |name: &str| vector[name].as_str().unwrap_or_default().to_owned();
    let header = |name: &str| vector["header"][name].as_str().unwrap().as_bytes().to_vec();
    let (secret, body) = (text("secret"), text("body"));
    match vector["scheme"].as_str().unwrap() {
        "meta_x_hub_signature_256" => {
            let some = secrets(&["other", &secret]);
            let signature = header("X-Hub-Signature-256");
            assert_eq!(
                meta(&some, Some(&signature), body.as_bytes()).is_ok(),
                vector["valid"].as_bool().unwrap()
            );
            if let Some(again) = vector["body_reserialised_must_fail"].as_str() {
                assert!(meta(&some, Some(&signature), again.as_bytes()).is_err());
            }
        }
        "meta_verify_challenge" => {
            let configured = vector["config"]["verify_token"].as_str().unwrap();
            assert!(
                vector["request"]
                    .as_str()
                    .unwrap()
                    .ends_with("hub.verify_token=meatyhamhock")
            );
            assert!(tokens_equal("meatyhamhock", configured));
            assert!(!tokens_equal(
                vector["negative"]["verify_token"].as_str().unwrap(),
                configured
            ));
        }
        "telegram_secret_token" => {
            assert!(
                telegram(
                    &secrets(&[&secret]),
                    Some(&header("X-Telegram-Bot-Api-Secret-Token"))
                )
                .is_ok()
            );
        }
        "standard_webhooks_v1" => {
            let (id, at, signature) = (
                header("webhook-id"),
                header("webhook-timestamp"),
                header("webhook-signature"),
            );
            let headers = StandardHeaders {
                id: Some(&id),
                timestamp: Some(&at),
                signature: Some(&signature),
            };
            let now = Timestamp::from_second(1_649_367_560).unwrap();
            assert!(
                standard_webhooks(&standard_secrets(&[&secret]), headers, body.as_bytes(), now)
                    .is_ok()
            );
        }
        scheme => return check_hmac(scheme, vector),
    }
    true
}

/// Checks a vector of a scheme that is nothing but an HMAC.
fn check_hmac(scheme: &str, vector: &Value) -> bool {
    let text = |name: &str| vector[name].as_str().unwrap_or_default().to_owned();
    let header = |name: &str| vector["header"][name].as_str().unwrap().as_bytes().to_vec();
    let (secret, body) = (text("secret"), text("body"));
    let key = secret.as_bytes();
    match scheme {
        "meta_appsecret_proof" => {
            let proof = hmac_sha256_hex(key, &[text("access_token").as_bytes()]);
            assert_eq!(proof, text("appsecret_proof"));
        }
        "slack_v0" => {
            let at = header("X-Slack-Request-Timestamp");
            let signature = format!(
                "v0={}",
                hmac_sha256_hex(key, &[b"v0:", &at, b":", body.as_bytes()])
            );
            assert_eq!(signature.as_bytes(), header("X-Slack-Signature"));
        }
        "line_x_line_signature" => {
            assert_eq!(
                hmac_sha256_base64(key, &[body.as_bytes()]).as_bytes(),
                header("x-line-signature")
            );
        }
        "viber_content_signature" => {
            assert_eq!(
                hmac_sha256_hex(key, &[body.as_bytes()]).as_bytes(),
                header("X-Viber-Content-Signature")
            );
        }
        "x_crc" => {
            let answer = format!("sha256={}", hmac_sha256_base64(key, &[b"challenge_string"]));
            assert_eq!(
                answer,
                vector["expect_json"]["response_token"].as_str().unwrap()
            );
        }
        _ => return check_mail(scheme, vector),
    }
    true
}

/// Checks a vector of a mail provider.
fn check_mail(scheme: &str, vector: &Value) -> bool {
    let text = |name: &str| vector[name].as_str().unwrap_or_default().to_owned();
    match scheme {
        "mailgun_form" => {
            let field = |name: &str| vector["form"][name].as_str().map(str::as_bytes);
            let fields = MailgunFields {
                timestamp: field("timestamp"),
                token: field("token"),
                signature: field("signature"),
            };
            let now = Timestamp::from_second(1_539_112_500).unwrap();
            let age = SignedDuration::from_mins(15);
            assert_eq!(
                mailgun(&secrets(&[&text("secret")]), fields, now, age),
                Ok(())
            );
        }
        "sendgrid_event_webhook_ecdsa" => {
            let key = SendgridKey::parse(&text("public_key")).unwrap();
            let header = |name: &str| vector["header"][name].as_str().map(str::as_bytes);
            let signature = header("X-Twilio-Email-Event-Webhook-Signature");
            let time = header("X-Twilio-Email-Event-Webhook-Timestamp");
            let body = text("body");
            assert_eq!(key.verify(signature, time, body.as_bytes()), Ok(()));
            let trimmed = body.trim_end().as_bytes();
            let mismatch = Err(SignatureError::Mismatch);
            assert_eq!(key.verify(signature, time, trimmed), mismatch);
            assert_eq!(key.verify(signature, Some(b"1"), body.as_bytes()), mismatch);
        }
        "aws_sns_v1" | "aws_sns_v2" => {
            let file = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../../shared/fixtures/channels/signatures/sns_test_cert.pem");
            let certificate = sns::SnsCertificate::from_pem(&std::fs::read(file).unwrap()).unwrap();
            let message: sns::SnsMessage = serde_json::from_value(vector["body"].clone()).unwrap();
            assert_eq!(message.canonical(), text("canonical_string"));
            assert_eq!(message.verify(&certificate), Ok(()));
            let other = sns::SnsMessage {
                message: "{}".to_owned(),
                ..message
            };
            assert_eq!(other.verify(&certificate), Err(SignatureError::Mismatch));
        }
        _ => return false,
    }
    true
}
