//! What leaves us is signed for its From domain, and others can check it.

use solmu_mailauth::{
    Algorithm, DkimConfig, Dns, Settings, Signer as DkimSigner, Submission, Verifier,
    testing::{FakeDns, Zone, ed25519_key},
};
use solmu_mime::authenticity::{ResultWord, Verdict};

use super::{peer::Peer, *};

fn key(domain: &str, folder: &std::path::Path) -> (DkimConfig, String) {
    let (key_file, record) = ed25519_key(folder);
    let config = DkimConfig {
        domain: domain.to_owned(),
        selector: "s1".to_owned(),
        key_file,
        algorithm: Algorithm::Ed25519Sha256,
    };
    (config, record)
}

/// The mail as the relay has it, without the dots that protect its lines.
fn as_taken(peer: &Peer) -> String {
    let lines = peer.seen().mails.remove(0).lines;
    let plain = lines
        .iter()
        .map(|line| line.strip_prefix('.').unwrap_or(line));
    plain.flat_map(|line| [line, "\r\n"]).collect()
}

#[tokio::test]
async fn what_the_relay_takes_is_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (config, record) = key("desk.example", folder.path());
    let peer = Peer::scripted(vec![]).await;
    let (_bench, sender) = sender(Some(peer.address));
    let sender = sender.with_dkim(DkimSigner::new(&[config]).unwrap());
    assert_eq!(summary(&sender.send(&queued()).await), "sent");

    let zone = Zone::default()
        .txt("s1._domainkey.desk.example", &record)
        .txt("_dmarc.desk.example", "v=DMARC1; p=reject");
    let server = FakeDns::start(zone).await;
    let verifier = Verifier::new(Dns::new(&server.config()).unwrap(), Settings::default());
    let found = verifier
        .verify(Submission {
            raw: as_taken(&peer).into(),
            peer: "192.0.2.1".parse().unwrap(),
            helo: "relay.example".to_owned(),
            mail_from: "x@relay.example".to_owned(),
            from_domain: "desk.example".to_owned(),
        })
        .await
        .findings;
    assert_eq!(found.dkim, Some(ResultWord::Pass));
    assert_eq!(found.verdict, Verdict::Verified);
}

#[tokio::test]
async fn mail_of_other_domains_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = key("other.example", folder.path());
    let peer = Peer::scripted(vec![]).await;
    let (_bench, sender) = sender(Some(peer.address));
    let sender = sender.with_dkim(DkimSigner::new(&[config]).unwrap());
    assert_eq!(summary(&sender.send(&queued()).await), "sent");
    assert!(!as_taken(&peer).contains("DKIM-Signature"));
}

#[tokio::test]
async fn a_large_mail_is_signed_on_its_own_thread() {
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = key("desk.example", folder.path());
    let peer = Peer::scripted(vec![]).await;
    let mut account = super::config(Some(peer.address));
    account.accounts[0].relay.as_mut().unwrap().data_timeout_ms = 20_000;
    let (_bench, sender) = sender_with(&account);
    let sender = sender.with_dkim(DkimSigner::new(&[config]).unwrap());
    let mut message = queued();
    message.text = "line of text\n".repeat(85_000);
    assert_eq!(summary(&sender.send(&message).await), "sent");
    assert!(
        as_taken(&peer).starts_with("DKIM-Signature: v=1; a=ed25519-sha256; s=s1; d=desk.example;")
    );
}
