//! What we sign, others can check; and what is changed on the way, they see.

use std::path::Path;

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use solmu_mime::authenticity::{ResultWord, Verdict};

use super::*;
use crate::{
    Dns, Settings, Submission, Verifier,
    testing::{FakeDns, Zone, ed25519_key, write_pem},
};

const MAIL: &str = "From: Support <support@desk.example>\r\nTo: a@c.example\r\nSubject: Re:  Lamp\r\n\
                    Date: Mon, 2 Nov 2026 10:00:00 +0200\r\nMessage-ID: <1@desk.example>\r\n\
                    X-Loop: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nIt is on its way. \r\n\r\n";

/// A key and the record that publishes it.
fn rsa_key(folder: &Path) -> (PathBuf, String) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    let path = write_pem(folder, "rsa.pem", der.as_ref());
    let key = RsaKey::<Sha256>::from_key_der(PrivateKeyDer::Pkcs8(der.as_ref().into())).unwrap();
    let record = format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(key.public_key()));
    (path, record)
}

fn config(domain: &str, selector: &str, key_file: &Path, algorithm: Algorithm) -> DkimConfig {
    DkimConfig {
        domain: domain.to_owned(),
        selector: selector.to_owned(),
        key_file: key_file.to_owned(),
        algorithm,
    }
}

fn now() -> Timestamp {
    "2026-11-02T08:00:00Z".parse().unwrap()
}

fn signed(signer: &Signer, mail: &str) -> (String, usize) {
    let mut bytes = mail.as_bytes().to_vec();
    let count = signer.sign(&mut bytes, now()).unwrap();
    (String::from_utf8(bytes).unwrap(), count)
}

#[tokio::test]
async fn both_kinds_of_key_sign_what_others_verify() {
    let folder = tempfile::tempdir().unwrap();
    let (rsa, rsa_record) = rsa_key(folder.path());
    let (ed, ed_record) = ed25519_key(folder.path());
    let zone = Zone::default()
        .txt("r1._domainkey.desk.example", &rsa_record)
        .txt("e1._domainkey.desk.example", &ed_record)
        .txt("_dmarc.desk.example", "v=DMARC1; p=reject");
    let server = FakeDns::start(zone).await;
    let mut settings = Settings::default();
    // A busy machine is no failure.
    settings.limits.timeout_ms = 120_000;
    let verifier = Verifier::new(Dns::new(&server.config()).unwrap(), settings);
    let check = async |mail: &str| {
        let submission = Submission {
            raw: Bytes::copy_from_slice(mail.as_bytes()),
            peer: "192.0.2.1".parse().unwrap(),
            helo: "relay.other.example".to_owned(),
            mail_from: "x@other.example".to_owned(),
            from_domain: "desk.example".to_owned(),
        };
        let findings = verifier.verify(submission).await.findings;
        (findings.dkim, findings.verdict)
    };
    let passed = (Some(ResultWord::Pass), Verdict::Verified);
    let failed = (Some(ResultWord::Fail), Verdict::Failed);
    let rsa_config = config("desk.example", "r1", &rsa, Algorithm::RsaSha256);
    let ed_config = config("desk.example", "e1", &ed, Algorithm::Ed25519Sha256);
    for keys in [
        vec![rsa_config.clone()],
        vec![ed_config.clone()],
        vec![rsa_config, ed_config],
    ] {
        let signer = Signer::new(&keys).unwrap();
        let (mail, count) = signed(&signer, MAIL);
        assert_eq!(count, keys.len());
        assert_eq!(mail.matches("DKIM-Signature:").count(), keys.len());
        assert!(mail.ends_with(MAIL));
        assert_eq!(check(&mail).await, passed);
        // The same at the same time.
        if keys.len() == 1 {
            assert_eq!(signed(&signer, MAIL).0, mail);
        }
        // What relays and lists may do.
        assert_eq!(
            check(&mail.replace("Re:  Lamp", "Re:\r\n  Lamp")).await,
            passed
        );
        assert_eq!(check(&mail.replace("X-Loop: x", "X-Loop: y")).await, passed);
        let listed = mail.replace(
            "X-Loop: x",
            "List-Unsubscribe: <https://l.example>\r\nCc: b@c.example",
        );
        assert_eq!(check(&listed).await, passed);
        // What nobody may.
        assert_eq!(check(&mail.replace("on its way", "lost")).await, failed);
        assert_eq!(check(&mail.replace("Lamp", "Chair")).await, failed);
        let doubled = mail.replace("X-Loop: x", "From: support@desk.example");
        assert_eq!(check(&doubled).await.1, Verdict::Unverified);
        assert_eq!(check(&doubled).await.0, Some(ResultWord::Fail));
    }
}

#[test]
fn a_signature_names_what_it_covers() {
    let folder = tempfile::tempdir().unwrap();
    let (ed, _) = ed25519_key(folder.path());
    let signer =
        Signer::new(&[config("Desk.example", "e1", &ed, Algorithm::Ed25519Sha256)]).unwrap();
    let (mail, _) = signed(&signer, MAIL);
    let header = mail
        .split("\r\nFrom:")
        .next()
        .unwrap()
        .replace("\r\n\t", "");
    assert!(
        header.contains("v=1; a=ed25519-sha256; s=e1; d=desk.example; c=relaxed/relaxed;"),
        "{header}"
    );
    assert!(header.contains("t=1793606400;"), "{header}");
    let names = header
        .split("h=")
        .nth(1)
        .unwrap()
        .split(';')
        .next()
        .unwrap();
    let mut names: Vec<&str> = names.split(':').collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "Content-Type",
            "Date",
            "From",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To"
        ]
    );
    assert!(mail.lines().all(|line| line.len() < 100), "{mail}");
}

#[test]
fn the_nearest_domain_signs() {
    let folder = tempfile::tempdir().unwrap();
    let (ed, _) = ed25519_key(folder.path());
    let key =
        |domain: &str, selector: &str| config(domain, selector, &ed, Algorithm::Ed25519Sha256);
    let keys = [key("desk.example", "wide"), key("fi.desk.example", "near")];
    let signer = Signer::new(&keys).unwrap();
    for (from, wanted) in [
        ("desk.example", Some("s=wide; d=desk.example;")),
        ("se.desk.example", Some("s=wide; d=desk.example;")),
        ("a.FI.desk.example", Some("s=near; d=fi.desk.example;")),
        ("otherdesk.example", None),
        ("example", None),
        ("desk.example>, <b@desk.example", None),
        ("", None),
    ] {
        let (mail, count) = signed(
            &signer,
            &MAIL.replace("desk.example>\r\nTo", &format!("{from}>\r\nTo")),
        );
        assert_eq!(count, usize::from(wanted.is_some()), "{from}");
        assert!(
            wanted.is_none_or(|wanted| mail.contains(wanted)),
            "{from}: {mail}"
        );
    }
    let none = Signer::default();
    assert!(none.is_empty());
    assert_eq!(signed(&none, MAIL), (MAIL.to_owned(), 0));
}

/// The key of RFC 8410 section 10.3, as the usual tools write one: without its public half.
const RFC_8410_KEY: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";

#[test]
fn a_key_without_its_public_half_signs() {
    let folder = tempfile::tempdir().unwrap();
    let der = STANDARD.decode(RFC_8410_KEY).unwrap();
    let path = write_pem(folder.path(), "v1.pem", &der);
    let signer = Signer::new(&[config("desk.example", "s", &path, Algorithm::Ed25519Sha256)]);
    assert_eq!(signed(&signer.unwrap(), MAIL).1, 1);
}

#[test]
fn a_key_that_cannot_sign_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ed, _) = ed25519_key(folder.path());
    let broken = folder.path().join("broken.pem");
    std::fs::write(&broken, "no key").unwrap();
    let error = |config: DkimConfig| Signer::new(&[config]).unwrap_err();
    let name = error(config("desk example", "s", &ed, Algorithm::Ed25519Sha256));
    assert!(matches!(name, SignError::Name), "{name}");
    let name = error(config("desk.example", "", &ed, Algorithm::Ed25519Sha256));
    assert!(matches!(name, SignError::Name), "{name}");
    let file = error(config(
        "d.example",
        "s",
        &folder.path().join("none"),
        Algorithm::RsaSha256,
    ));
    assert!(matches!(file, SignError::File { .. }), "{file}");
    let pem = error(config("d.example", "s", &broken, Algorithm::RsaSha256));
    assert!(matches!(pem, SignError::Pem { .. }), "{pem}");
    let kind = error(config("d.example", "s", &ed, Algorithm::RsaSha256));
    assert!(
        matches!(
            kind,
            SignError::Key {
                algorithm: "rsa-sha256",
                ..
            }
        ),
        "{kind}"
    );
}
