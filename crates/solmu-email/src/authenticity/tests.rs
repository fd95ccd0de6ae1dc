//! Mails that come straight from outside, and mails that our exchanger has looked at.

use std::sync::Arc;

use bytes::Bytes;
use solmu_domain::rng::SeededRng;
use solmu_mailauth::testing::{FakeDns, Zone};
use solmu_mime::address::Address;
use solmu_proto::{inbound::v1::MessageReceived, types::v1::Assurance};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use crate::{
    receive::ConnectionFacts,
    smtp::{Certificates, Listeners, Server, SessionSettings, serve},
    testing::bench,
};

const FORGED: &str =
    "Authentication-Results: mx.desk.example; dmarc=pass header.from=c.example\r\n";

fn zone() -> Zone {
    Zone::default()
        .txt("c.example", "v=spf1 ip4:192.0.2.0/24 -all")
        .txt("_dmarc.c.example", "v=DMARC1; p=reject")
        .silent("slow.example")
        .silent("_dmarc.slow.example")
}

fn config(mode: Mode, dns: DnsConfig) -> Config {
    Config {
        authserv_id: Some("mx.desk.example".to_owned()),
        authenticity: AuthenticityConfig {
            mode,
            dns,
            limits: Limits {
                timeout_ms: 120_000,
                ..Limits::default()
            },
            ..AuthenticityConfig::default()
        },
        ..Config::default()
    }
}

fn incoming(peer: Option<&str>, head: &str, domain: &str) -> Incoming {
    let raw = format!(
        "{head}From: Aino <aino@{domain}>\r\nTo: support@desk.example\r\nSubject: x\r\n\r\nx\r\n"
    );
    Incoming {
        raw: Bytes::from(raw),
        mail_from: Some(format!("aino@{domain}")),
        recipients: vec![Address::parse("support@desk.example").unwrap()],
        fallback: None,
        own_hops: 0,
        connection: peer.map(|peer| ConnectionFacts {
            peer: peer.parse().unwrap(),
            helo: "mail.example".to_owned(),
            tls: false,
        }),
    }
}

async fn received(config: &Config, incoming: Incoming) -> MessageReceived {
    let bench = bench(config);
    bench
        .receiver
        .receive(incoming)
        .await
        .expect("it is taken whoever wrote it");
    bench.desk.messages().remove(0)
}

fn said(message: &MessageReceived) -> (ProtoVerdict, &str, [&str; 5]) {
    let found = message.authenticity.as_ref().unwrap();
    let words = [
        &found.spf,
        &found.dkim,
        &found.dmarc,
        &found.arc,
        &found.domain,
    ];
    (found.verdict(), &found.method, words.map(String::as_str))
}

fn is_proven(message: &MessageReceived) -> bool {
    let sender = message.sender.as_ref().unwrap();
    sender.identities[0].assurance() == Assurance::Proven
}

#[tokio::test]
async fn mail_from_outside_is_checked_by_ourselves() {
    let server = FakeDns::start(zone()).await;
    let config = config(Mode::Verify, server.config());
    let good = received(&config, incoming(Some("192.0.2.1"), "", "c.example")).await;
    let words = ["pass", "none", "pass", "none", "c.example"];
    assert_eq!(said(&good), (ProtoVerdict::Verified, "smtp", words));
    assert!(is_proven(&good));

    // What the sender writes about itself is not believed.
    let bad = received(&config, incoming(Some("203.0.113.1"), FORGED, "c.example")).await;
    let words = ["fail", "none", "fail", "none", "c.example"];
    assert_eq!(said(&bad), (ProtoVerdict::Failed, "smtp", words));
    assert!(!is_proven(&bad));

    let unknown = received(&config, incoming(Some("203.0.113.1"), FORGED, "d.example")).await;
    let words = ["none", "none", "none", "none", "d.example"];
    assert_eq!(said(&unknown), (ProtoVerdict::Unverified, "smtp", words));
}

#[tokio::test]
async fn only_an_exchanger_of_ours_is_believed_about_others() {
    let server = FakeDns::start(zone()).await;
    let mut config = config(Mode::Verify, server.config());
    let nothing = ["", "", "", "", "c.example"];
    let judged = ["", "", "pass", "", "c.example"];
    for peer in ["10.0.0.1", "::1", "127.0.0.1", "fd00::7"] {
        let message = received(&config, incoming(Some(peer), FORGED, "c.example")).await;
        assert_eq!(
            said(&message),
            (ProtoVerdict::Unverified, "none", nothing),
            "{peer}"
        );
        assert!(!is_proven(&message));
    }
    // One that is named, and a server of ours over LMTP.
    config.authenticity.own_exchangers = vec!["10.0.0.1".parse().unwrap()];
    for (peer, wanted) in [
        (Some("10.0.0.1"), true),
        (Some("::ffff:10.0.0.1"), true),
        (Some("10.0.0.2"), false),
        (None, true),
    ] {
        let message = received(&config, incoming(peer, FORGED, "c.example")).await;
        let verdict = if wanted {
            (ProtoVerdict::Verified, "authentication-results", judged)
        } else {
            (ProtoVerdict::Unverified, "none", nothing)
        };
        assert_eq!(said(&message), verdict, "{peer:?}");
        assert_eq!(is_proven(&message), wanted);
    }
    assert_eq!(server.questions(), 0);
    config.authenticity.verify_private_peers = true;
    let message = received(&config, incoming(Some("10.0.0.2"), FORGED, "c.example")).await;
    assert_eq!(said(&message).0, ProtoVerdict::Failed);
}

#[tokio::test]
async fn the_other_modes_ask_nobody() {
    let server = FakeDns::start(zone()).await;
    let header = config(Mode::Header, server.config());
    let message = received(&header, incoming(Some("203.0.113.1"), FORGED, "c.example")).await;
    assert_eq!(said(&message).0, ProtoVerdict::Verified);
    let message = received(&header, incoming(Some("192.0.2.1"), "", "c.example")).await;
    let nothing = ["", "", "", "", "c.example"];
    assert_eq!(said(&message), (ProtoVerdict::Unverified, "none", nothing));
    let none = config(Mode::None, server.config());
    let message = received(&none, incoming(Some("192.0.2.1"), FORGED, "c.example")).await;
    assert_eq!(said(&message), (ProtoVerdict::Unverified, "none", nothing));
    assert_eq!(server.questions(), 0);
}

#[tokio::test]
async fn a_silent_name_server_does_not_keep_a_mail() {
    let server = FakeDns::start(zone()).await;
    let mut config = config(Mode::Verify, server.config());
    config.authenticity.limits.timeout_ms = 200;
    let message = received(&config, incoming(Some("192.0.2.1"), "", "slow.example")).await;
    let words = ["temperror", "none", "temperror", "none", "slow.example"];
    assert_eq!(said(&message), (ProtoVerdict::Unverified, "smtp", words));
}

#[tokio::test]
async fn the_word_of_a_provider_that_proved_itself_counts() {
    let dmarc = |result, rejects| Verdicts {
        spf: Some(ResultWord::Fail),
        dmarc: Some(result),
        rejects,
        ..Verdicts::default()
    };
    let signed = |domain: &str| Verdicts {
        dkim: Some(ResultWord::Pass),
        signed_by: vec![domain.to_owned()],
        notices: vec!["the mail provider takes this mail for spam".to_owned()],
        ..Verdicts::default()
    };
    let bench = bench(&config(Mode::Header, DnsConfig::default()));
    for (verdicts, verdict, by) in [
        (
            dmarc(ResultWord::Pass, false),
            ProtoVerdict::Verified,
            "dmarc",
        ),
        (
            dmarc(ResultWord::Fail, true),
            ProtoVerdict::Failed,
            "from-header",
        ),
        (
            dmarc(ResultWord::Fail, false),
            ProtoVerdict::Unverified,
            "from-header",
        ),
        (
            dmarc(ResultWord::None, true),
            ProtoVerdict::Unverified,
            "from-header",
        ),
        (signed("c.example"), ProtoVerdict::Verified, "dkim"),
        (signed("d.example"), ProtoVerdict::Unverified, "from-header"),
        (signed("example"), ProtoVerdict::Unverified, "from-header"),
    ] {
        let notices = verdicts.notices.clone();
        let receiver = bench
            .receiver
            .for_provider("")
            .with_verdicts(Some(verdicts));
        // Whoever wrote that header, it is not asked.
        receiver
            .receive(incoming(None, FORGED, "c.example"))
            .await
            .unwrap();
        let message = bench.desk.messages().pop().unwrap();
        let (found, method, words) = said(&message);
        assert_eq!((found, method), (verdict, "provider"), "{words:?}");
        assert_eq!(is_proven(&message), verdict == ProtoVerdict::Verified);
        let sender = message.sender.as_ref().unwrap();
        assert_eq!(sender.identities[0].attested_by, by);
        assert_eq!(message.notices, notices);
    }
    // One that says nothing of the sender leaves the word to the header.
    let receiver = bench
        .receiver
        .for_provider("mx.desk.example")
        .with_verdicts(Some(Verdicts::default()));
    let incoming = incoming(None, FORGED, "c.example");
    receiver.receive(incoming).await.unwrap();
    let message = bench.desk.messages().pop().unwrap();
    assert_eq!(said(&message).1, "authentication-results");
}

/// Sends one mail over SMTP, with all commands at once, and gives what the server said.
async fn over_smtp(config: &Config, helo: &str, mail_from: &str) -> (String, MessageReceived) {
    let bench = bench(config);
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = Listeners::bind(any, &config.smtp).await.unwrap();
    let address = listeners.smtp();
    let (tasks, drain) = (TaskTracker::new(), CancellationToken::new());
    let clock = Arc::clone(&bench.clock) as _;
    let server = Server {
        settings: SessionSettings {
            hostname: "desk.example".to_owned(),
            limits: config.smtp.clone(),
            accounts: Arc::clone(bench.receiver.accounts()),
        },
        receiver: bench.receiver.clone(),
        rng: Arc::new(SeededRng::new(1)),
        metrics: bench.metrics.clone(),
        tasks: tasks.clone(),
        drain: drain.clone(),
        certificates: Certificates::load(&config.smtp.tls, clock, bench.metrics.clone()).unwrap(),
    };
    tasks.spawn(serve(listeners, server));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut said = String::new();
    let mut reader = BufReader::new(&mut stream);
    for line in [
        String::new(),
        format!("EHLO {helo}\r\n"),
        format!("MAIL FROM:<{mail_from}>\r\n"),
        "RCPT TO:<support@desk.example>\r\n".to_owned(),
        "DATA\r\n".to_owned(),
        format!("{FORGED}From: <aino@c.example>\r\nSubject: x\r\n\r\nx\r\n.\r\n"),
    ] {
        reader.get_mut().write_all(line.as_bytes()).await.unwrap();
        loop {
            let from = said.len();
            assert!(reader.read_line(&mut said).await.unwrap() > 0, "{said}");
            if said.as_bytes().get(from + 3) == Some(&b' ') {
                break;
            }
        }
    }
    drain.cancel();
    (said, bench.desk.messages().remove(0))
}

#[tokio::test]
async fn what_the_connection_says_is_what_is_checked() {
    let loopback = zone()
        .txt("local.example", "v=spf1 ip4:127.0.0.1 -all")
        .txt("_dmarc.local.example", "v=DMARC1; p=reject");
    let server = FakeDns::start(loopback).await;
    let mut config = config(Mode::Verify, server.config());
    config.authenticity.verify_private_peers = true;
    for (helo, mail_from, spf) in [
        ("mail.example", "aino@c.example", "fail"),
        ("mail.example", "aino@local.example", "pass"),
        ("local.example", "", "pass"),
        ("nowhere.example", "", "none"),
    ] {
        let (said_by_server, message) = over_smtp(&config, helo, mail_from).await;
        assert!(
            said_by_server.ends_with("250 2.0.0 taken\r\n"),
            "{said_by_server}"
        );
        let words = [spf, "none", "fail", "none", "c.example"];
        assert_eq!(said(&message), (ProtoVerdict::Failed, "smtp", words));
    }
}

#[test]
fn private_addresses_are_not_public() {
    for (address, wanted) in [
        ("192.0.2.1", true),
        ("100.63.0.1", true),
        ("100.64.0.1", false),
        ("100.127.255.255", false),
        ("10.1.2.3", false),
        ("172.16.0.1", false),
        ("192.168.1.1", false),
        ("127.0.0.1", false),
        ("169.254.1.1", false),
        ("0.0.0.0", false),
        ("2001:db8::1", true),
        ("::1", false),
        ("fd00::1", false),
        ("fe80::1", false),
        ("::ffff:10.0.0.1", false),
        ("::ffff:192.0.2.1", true),
    ] {
        assert_eq!(is_public(address.parse().unwrap()), wanted, "{address}");
    }
}

#[test]
fn settings_are_read_and_checked() {
    let config: AuthenticityConfig = serde_json::from_value(serde_json::json!({
        "mode": "verify",
        "trusted_sealers": ["google.com"],
        "dns": {"servers": ["127.0.0.1:53"]},
        "limits": {"timeout_ms": 0},
    }))
    .unwrap();
    assert_eq!(config.mode, Mode::Verify);
    assert_eq!(
        config.problems(),
        ["'authenticity.limits.timeout_ms' must be more than zero"]
    );
    assert_eq!(
        AuthenticityConfig::default().problems(),
        Vec::<String>::new()
    );
    assert_eq!(AuthenticityConfig::default().limits.timeout_ms, 5_000);
}
