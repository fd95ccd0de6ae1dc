//! The public ARC test suite (its verification half), and what a sealer's word is worth.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mail_auth::{
    AuthenticationResults, DmarcOutput, DmarcResult,
    arc::ArcSealer,
    common::{crypto::Ed25519Key, headers::HeaderWriter as _},
};

use super::*;
use crate::testing::{FakeDns, Zone};

/// One case of the suite.
#[derive(Debug, Default)]
struct Case {
    name: String,
    mail: String,
    chain: String,
}

/// The suite's file is a few YAML documents of one plain shape: cases by name with literal blocks, then TXT records.
fn read_suite(text: &str) -> Vec<(Vec<Case>, Zone)> {
    text.split("\n---").map(read_document).collect()
}

fn read_document(text: &str) -> (Vec<Case>, Zone) {
    let (mut cases, mut zone): (Vec<Case>, Zone) = Default::default();
    let (mut block, mut record): (bool, Option<(String, String)>) = (false, None);
    let mut records = false;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let word = line.trim();
        if line.starts_with("txt-records:") {
            records = true;
        } else if records {
            match (
                indent,
                word.split_once(": >-").or_else(|| word.split_once(": ")),
            ) {
                (2, Some((name, rest))) => {
                    zone = flush(zone, record.take());
                    record = Some((name.to_owned(), rest.trim_matches('"').to_owned()));
                }
                _ => {
                    if let Some((_, text)) = &mut record {
                        text.push_str(word);
                    }
                }
            }
        } else if block && (indent >= 6 || word.is_empty()) {
            let case = cases.last_mut().expect("a case has begun");
            case.mail.push_str(line.get(6..).unwrap_or_default());
            case.mail.push_str("\r\n");
        } else if indent == 2 && word.ends_with(':') {
            block = false;
            cases.push(Case {
                name: word.trim_end_matches(':').to_owned(),
                ..Case::default()
            });
        } else if let Some(chain) = word.strip_prefix("cv:") {
            block = false;
            if let Some(case) = cases.last_mut() {
                chain
                    .trim()
                    .trim_matches('"')
                    .to_ascii_lowercase()
                    .clone_into(&mut case.chain);
            }
        } else if word.starts_with("message:") {
            block = true;
        }
    }
    (cases, flush(zone, record))
}

fn flush(zone: Zone, record: Option<(String, String)>) -> Zone {
    match record {
        Some((name, text)) => zone.txt(&name, &text),
        None => zone,
    }
}

/// Cases that mail-auth 0.13 sees otherwise. A chain that must fail for its form is taken where it is signed all the
/// same: whoever sealed it has written it so. The other two fail, which trusts nobody.
const KNOWN_DIFFERENCES: [&str; 8] = [
    "ams_fields_a_na",
    "ams_fields_c_na",
    "ams_fields_h_empty",
    "as_fields_a_na",
    "as_format_inv_tag_key",
    "as_format_tags_dup",
    "as_format_tags_key_case",
    "as_format_tags_sc",
];

fn suite() -> Option<String> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(
        "../../../shared/fixtures/channels/email_raw/arc/valimail_arc-draft-validation-tests.yml",
    );
    let text = fs::read_to_string(file).ok();
    if text.is_none() {
        eprintln!("the ARC test suite is not here: this test did not run");
    }
    text
}

fn submission(raw: Vec<u8>, from_domain: &str) -> Submission {
    Submission {
        raw: raw.into(),
        peer: "203.0.113.1".parse().expect("an address"),
        helo: "lists.example".to_owned(),
        mail_from: "bounces@lists.example".to_owned(),
        from_domain: from_domain.to_owned(),
    }
}

fn verifier(server: &FakeDns, trusted: &[&str]) -> Verifier {
    let settings = Settings {
        trusted_sealers: trusted.iter().map(|name| (*name).to_owned()).collect(),
        limits: super::tests::patient(),
        ..Settings::default()
    };
    Verifier::new(Dns::new(&server.config()).expect("a resolver"), settings)
}

#[tokio::test]
async fn chains_of_the_public_suite() {
    let Some(text) = suite() else { return };
    let (mut checked, mut wrong) = (0, Vec::new());
    for (cases, zone) in read_suite(&text) {
        let server = FakeDns::start(zone).await;
        let verifier = verifier(&server, &[]);
        for case in cases {
            // The suite leaves open what a chain is whose last sealer says that it is broken.
            if !matches!(case.chain.as_str(), "pass" | "fail" | "none")
                || case.mail.trim().is_empty()
            {
                continue;
            }
            let outcome = verifier
                .verify(submission(case.mail.into_bytes(), ""))
                .await;
            checked += 1;
            let passed = outcome.findings.arc == Some(ResultWord::Pass);
            let differs = KNOWN_DIFFERENCES.contains(&case.name.as_str());
            if (passed != (case.chain == "pass")) != differs {
                wrong.push(format!("{}: {:?}", case.name, outcome.findings.arc));
            }
            assert_eq!(outcome.findings.verdict, Verdict::Unverified);
        }
    }
    assert!(checked > 140, "{checked}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Seals `mail` as `domain`, as one who found that DMARC `result` for c.example.
async fn sealed(dns: &Dns, key: &[u8], domain: &str, result: DmarcResult, mail: &[u8]) -> Vec<u8> {
    let key = Ed25519Key::from_pkcs8_der(key).expect("a key");
    let message = AuthenticatedMessage::parse(mail).expect("a mail");
    let chain = dns.0.verify_arc(&message).await;
    let found = DmarcOutput::default()
        .with_domain("c.example")
        .with_spf_result(result);
    let results = AuthenticationResults::new(domain).with_dmarc_result(&found);
    let set = ArcSealer::from_key(key)
        .domain(domain)
        .selector("s")
        .headers(["From", "Subject"])
        .seal(&message, &results, &chain)
        .expect("it can be sealed");
    [set.to_header().as_bytes(), mail].concat()
}

#[tokio::test]
async fn only_an_unbroken_line_of_trusted_sealers_vouches() {
    let der = Ed25519Key::generate_pkcs8().expect("a key");
    let public = Ed25519Key::from_pkcs8_der(&der)
        .expect("a key")
        .public_key();
    let record = format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(public));
    let zone = Zone::default()
        .txt("_dmarc.c.example", "v=DMARC1; p=reject")
        .txt("s._domainkey.good.example", &record)
        .txt("s._domainkey.near.example", &record)
        .txt("s._domainkey.evil.example", &record);
    let server = FakeDns::start(zone).await;
    let dns = Dns::new(&server.config()).expect("a resolver");
    let trusting = verifier(&server, &["Good.example", "near.example"]);
    let (pass, fail) = (DmarcResult::Pass, DmarcResult::Fail(Error::NotAligned));
    let (good, near, evil) = ("good.example", "near.example", "evil.example");
    for (chain, wanted) in [
        (vec![(good, pass.clone())], true),
        (vec![(good, pass.clone()), (near, fail.clone())], true),
        (vec![(evil, fail.clone()), (good, pass.clone())], true),
        (vec![], false),
        (vec![(good, fail.clone())], false),
        (vec![(evil, pass.clone())], false),
        // The last one could have put an old chain on a mail of its own.
        (vec![(good, pass.clone()), (evil, pass.clone())], false),
        (vec![(evil, pass.clone()), (good, fail.clone())], false),
    ] {
        let mut mail = b"From: a@c.example\r\nSubject: x\r\n\r\nx\r\n".to_vec();
        for (sealer, result) in &chain {
            mail = sealed(&dns, &der, sealer, result.clone(), &mail).await;
        }
        let outcome = trusting.verify(submission(mail.clone(), "c.example")).await;
        let verdict = if wanted {
            Verdict::Unverified
        } else {
            Verdict::Failed
        };
        assert_eq!(
            (outcome.vouched, outcome.findings.verdict),
            (wanted, verdict),
            "{chain:?} {outcome:?}"
        );
        assert_eq!(outcome.policy, Policy::Reject);
        assert_eq!(outcome.findings.dmarc, Some(ResultWord::Fail));
        // A body that was changed after the last seal breaks the chain.
        mail.extend_from_slice(b"more\r\n");
        let outcome = trusting.verify(submission(mail, "c.example")).await;
        assert!(!outcome.vouched);
        assert_eq!(outcome.findings.verdict, Verdict::Failed);
    }
}
