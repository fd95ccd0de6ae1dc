//! Inbound Parse under a security policy.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use solmu_mime::authenticity::ResultWord;

use super::*;

/// What goes before the point of a P-256 key (RFC 5480 section 2).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

fn form(raw: &str) -> Vec<u8> {
    multipart(&[
        ("email", None, raw.as_bytes()),
        ("SPF", None, b"softfail"),
        ("dkim", None, b"{@other.example : fail, @C.example : pass}"),
        ("spam_score", None, b"7.31"),
    ])
}

#[tokio::test]
async fn the_word_of_sendgrid_counts_only_with_its_signature() {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let public = [&SPKI[..], key.public_key().as_ref()].concat();
    let mut config = hooks();
    config.sendgrid[1].parse_public_key = BASE64.encode(public);
    let world = world_with(&config);

    // By path token alone.
    let path = format!("sendgrid/parse/{TOKEN}");
    assert_eq!(world.post(&path, &[MULTIPART], form(&raw(1))).await, 200);

    let at = "1793606400";
    let signed = |body: &[u8]| {
        let bytes = [at.as_bytes(), body].concat();
        BASE64.encode(key.sign(&random, &bytes).unwrap())
    };
    let body = form(&raw(2));
    let (good, other) = (signed(&body), signed(b"other"));
    let basic = basic_header("post:secret");
    for (signature, wanted) in [(&good, 200), (&other, 401), (&String::new(), 401)] {
        let headers = [
            MULTIPART,
            ("authorization", basic.as_str()),
            ("x-twilio-email-event-webhook-timestamp", at),
            ("x-twilio-email-event-webhook-signature", signature.as_str()),
        ];
        let status = world.post("sendgrid/basic", &headers, body.clone()).await;
        assert_eq!(status, wanted);
    }

    let mails = world.mails();
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].0.verdicts, None);
    let wanted = Verdicts {
        spf: Some(ResultWord::SoftFail),
        dkim: Some(ResultWord::Pass),
        signed_by: vec!["c.example".to_owned()],
        notices: vec!["the mail provider takes this mail for spam".to_owned()],
        ..Verdicts::default()
    };
    assert_eq!(mails[1].0.verdicts, Some(wanted));
}
