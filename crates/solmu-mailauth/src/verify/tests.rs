//! Mails of good and bad senders, asked about at a name server on loopback.

use solmu_mime::authenticity::ResultWord::{Fail, None as Nothing, Pass, PermError, TempError};

use super::*;
use crate::testing::{FakeDns, Zone};

fn zone() -> Zone {
    Zone::default()
        .txt("c.example", "unrelated")
        .txt("c.example", "v=spf1 ip4:192.0.2.0/24 mx -all")
        .mx("c.example", "mx.c.example")
        .ip("mx.c.example", "198.51.100.7".parse().expect("an address"))
        .txt("_dmarc.c.example", "v=DMARC1; p=reject")
        .txt("soft.example", "v=spf1 include:spf.soft.example ~all")
        .txt("spf.soft.example", "v=spf1 ip6:2001:db8::/32 ?all")
        .txt("_dmarc.soft.example", "v=DMARC1; p=quarantine; aspf=s")
        .txt("watch.example", "v=spf1 -all")
        .txt("_dmarc.watch.example", "v=DMARC1; p=none; sp=reject")
        .ip(
            "sub.watch.example",
            "192.0.2.9".parse().expect("an address"),
        )
        .txt("test.example", "v=spf1 -all")
        .txt("_dmarc.test.example", "v=DMARC1; p=reject; t=y")
        .txt("nodmarc.example", "v=spf1 ip4:192.0.2.1 -all")
        .txt("relay.example", "v=spf1 a:relay.example -all")
        .ip("relay.example", "192.0.2.1".parse().expect("an address"))
}

/// Limits that a busy machine keeps to.
pub(super) fn patient() -> Limits {
    Limits {
        timeout_ms: 120_000,
        ..Limits::default()
    }
}

async fn verifier(zone: Zone, limits: Limits) -> (FakeDns, Verifier) {
    let server = FakeDns::start(zone).await;
    let dns = Dns::new(&server.config()).expect("a resolver");
    let settings = Settings {
        limits,
        ..Settings::default()
    };
    let verifier = Verifier::new(dns, settings);
    (server, verifier)
}

fn submission(peer: &str, mail_from: &str, from: &str) -> Submission {
    Submission {
        raw: format!("From: <{from}>\r\nTo: support@desk.example\r\nSubject: x\r\n\r\nx\r\n")
            .into(),
        peer: peer.parse().expect("an address"),
        helo: "relay.example".to_owned(),
        mail_from: mail_from.to_owned(),
        from_domain: domain_of(from).to_owned(),
    }
}

/// Client, envelope sender (`<>` for none), From; outcome of SPF and DMARC; verdict.
const SENDERS: &str = "
    192.0.2.1        b@c.example       a@c.example         pass      pass  verified
    198.51.100.7     b@c.example       a@c.example         pass      pass  verified
    ::ffff:192.0.2.1 b@c.example       a@c.example         pass      pass  verified
    # Relaxed: the envelope may be of another name of the same owner.
    192.0.2.1        b@c.example       a@news.c.example    pass      pass  verified
    203.0.113.1      b@c.example       a@c.example         fail      fail  failed
    # SPF passes for somebody else.
    192.0.2.1        b@relay.example   a@c.example         pass      fail  failed
    192.0.2.1        <>                a@c.example         pass      fail  failed
    192.0.2.1        <>                a@relay.example     pass      none  unverified
    192.0.2.1        b@nowhere.example a@c.example         none      fail  failed
    2001:db8::1      b@soft.example    a@soft.example      pass      pass  verified
    192.0.2.1        b@soft.example    a@soft.example      softfail  fail  unverified
    # A policy of its own for subdomains.
    192.0.2.1        b@watch.example   a@watch.example     fail      fail  unverified
    192.0.2.1        b@watch.example   a@sub.watch.example fail      fail  failed
    # The owner is only trying.
    192.0.2.1        b@test.example    a@test.example      fail      fail  unverified
    # Nobody has asked for anything.
    192.0.2.1        b@nodmarc.example a@nodmarc.example   pass      none  unverified
    192.0.2.1        b@unknown.example a@unknown.example   none      none  unverified
";

#[tokio::test]
async fn dmarc_decides() {
    let (_server, verifier) = verifier(zone(), patient()).await;
    let rows = SENDERS.lines().map(str::trim);
    for row in rows.filter(|row| !row.is_empty() && !row.starts_with('#')) {
        let words: Vec<&str> = row.split_whitespace().collect();
        let [peer, mail_from, from, spf, dmarc, verdict] = words.as_slice() else {
            panic!("six words: {row}");
        };
        let mail_from = mail_from.trim_matches(['<', '>']);
        let found = verifier
            .verify(submission(peer, mail_from, from))
            .await
            .findings;
        let got = [found.spf, found.dmarc].map(|word| word.map(ResultWord::as_str));
        assert_eq!(got, [Some(*spf), Some(*dmarc)], "{row}");
        let said = format!("{:?}", found.verdict).to_lowercase();
        assert_eq!(said, *verdict, "{row}");
        assert_eq!((found.dkim, found.arc), (Some(Nothing), Some(Nothing)));
        assert_eq!(found.method, Method::Smtp);
        assert_eq!(found.domain, domain_of(from));
    }
}

#[tokio::test]
async fn two_authors_are_nobody() {
    let (_server, verifier) = verifier(zone(), patient()).await;
    for (header, domain) in [
        ("From: a@c.example, b@c.example", ""),
        ("From: a@c.example\r\nFrom: b@c.example", ""),
        ("From: a@c.example\r\nFrom: b@c.example", "c.example"),
        ("From: a@c.example, b@other.example", "c.example"),
        ("From: a@other.example", "c.example"),
        ("To: a@c.example", "c.example"),
        ("From: group: a@c.example, b@c.example;", "c.example"),
    ] {
        let mut mail = submission("192.0.2.1", "b@c.example", "a@c.example");
        mail.raw = format!("{header}\r\nSubject: x\r\n\r\nx\r\n").into();
        domain.clone_into(&mut mail.from_domain);
        let found = verifier.verify(mail).await.findings;
        assert_eq!(found.verdict, Verdict::Unverified, "{header}");
        assert_eq!(
            (found.spf, found.dmarc),
            (Some(Pass), Some(PermError)),
            "{header}"
        );
    }
}

#[tokio::test]
async fn a_name_server_that_fails_verifies_nobody_and_fails_nobody() {
    let broken = zone()
        .broken("_dmarc.c.example")
        .broken("soft.example")
        .broken("k._domainkey.watch.example");
    let (_server, verifier) = verifier(broken, patient()).await;
    let found = verifier
        .verify(submission("203.0.113.1", "b@c.example", "a@c.example"))
        .await
        .findings;
    assert_eq!((found.spf, found.dmarc), (Some(Fail), Some(TempError)));
    assert_eq!(found.verdict, Verdict::Unverified);
    let found = verifier
        .verify(submission("192.0.2.1", "b@soft.example", "a@soft.example"))
        .await
        .findings;
    assert_eq!((found.spf, found.dmarc), (Some(TempError), Some(TempError)));
    // A key that cannot be fetched now might have made it pass.
    let mut mail = submission("192.0.2.1", "b@other.example", "a@sub.watch.example");
    mail.raw = [SIGNATURE.as_bytes(), &mail.raw].concat().into();
    let found = verifier.verify(mail).await.findings;
    assert_eq!(
        (found.dkim, found.dmarc),
        (Some(TempError), Some(TempError)),
        "{found:?}"
    );
    assert_eq!(found.verdict, Verdict::Unverified);
}

#[tokio::test]
async fn signatures_that_prove_nothing_are_left_out() {
    let (server, verifier) = verifier(zone(), patient()).await;
    for (old, new) in [("a=rsa-sha256", "a=rsa-sha1"), ("h=From", "h=Subject")] {
        let mut mail = submission("192.0.2.1", "b@c.example", "a@c.example");
        mail.raw = [SIGNATURE.replace(old, new).as_bytes(), &mail.raw]
            .concat()
            .into();
        let found = verifier.verify(mail).await.findings;
        assert_eq!(found.dkim, Some(ResultWord::Policy), "{new}");
        assert_eq!(found.verdict, Verdict::Verified, "by SPF");
    }
    let mut mail = submission("192.0.2.1", "b@c.example", "a@c.example");
    mail.raw = ["DKIM-Signature: v=2; nonsense\r\n".as_bytes(), &mail.raw]
        .concat()
        .into();
    assert_eq!(
        verifier.verify(mail).await.findings.dkim,
        Some(ResultWord::Neutral)
    );
    assert!(server.questions() > 0);
}

/// Of the body `x`, by nobody.
const SIGNATURE: &str = "DKIM-Signature: v=1; a=rsa-sha256; s=k; d=watch.example; c=relaxed/relaxed; h=From; \
                         bh=s14J+iztnrytnRYzb7lhFG/jS/vrxWJnnahfijFMnco=; b=AAAA\r\n";

#[tokio::test]
async fn a_silent_name_server_costs_a_bounded_wait() {
    let limits = Limits {
        timeout_ms: 300,
        ..patient()
    };
    let (_server, verifier) = verifier(
        zone().silent("_dmarc.c.example").silent("slow.example"),
        limits,
    )
    .await;
    let found = verifier
        .verify(submission("203.0.113.1", "b@c.example", "a@c.example"))
        .await
        .findings;
    // The first answer comes in time, unless this machine is busy.
    assert!(matches!(found.spf, Some(Fail | TempError)), "{found:?}");
    assert_eq!(found.dmarc, Some(TempError));
    let found = verifier
        .verify(submission("203.0.113.1", "b@slow.example", "a@c.example"))
        .await
        .findings;
    assert_eq!((found.spf, found.dmarc), (Some(TempError), Some(TempError)));
    assert_eq!(found.verdict, Verdict::Unverified);
}

#[tokio::test]
async fn questions_are_counted_and_answers_are_kept() {
    // Each name leads to ten others.
    let tree = (0..40).fold(zone(), |zone, n| {
        zone.txt(&format!("{n}.tree.example"), "v=spf1 -all")
    });
    let includes = (0..9)
        .map(|n| format!("include:{n}.tree.example"))
        .collect::<Vec<_>>()
        .join(" ");
    let tree = tree
        .txt(
            "tree.example",
            &format!("v=spf1 {includes} exists:victim.example -all"),
        )
        .txt("_dmarc.tree.example", "v=DMARC1; p=reject");
    let (server, verifier) = verifier(
        tree,
        Limits {
            dns_lookups: 5,
            ..patient()
        },
    )
    .await;
    let mail = submission("203.0.113.1", "b@tree.example", "a@tree.example");
    let found = verifier.verify(mail.clone()).await.findings;
    assert_eq!(
        (found.spf, found.dmarc),
        (Some(TempError), Some(TempError)),
        "{found:?}"
    );
    let asked = server.questions();
    assert!(asked <= 10, "{asked}");
    verifier.verify(mail).await;
    assert_eq!(server.questions(), asked, "answers are kept");
}

#[tokio::test]
async fn hostile_headers_cost_little() {
    let limits = Limits {
        header_bytes: 4_000,
        header_fields: 50,
        signatures: 2,
        ..patient()
    };
    let (server, verifier) = verifier(zone(), limits).await;
    for head in [
        "X-A: b\r\n".repeat(51),
        format!("X-A: {}\r\n", "b".repeat(4_000)),
    ] {
        let mut mail = submission("203.0.113.1", "b@c.example", "a@c.example");
        mail.raw = [head.as_bytes(), &mail.raw].concat().into();
        let found = verifier.verify(mail).await.findings;
        assert_eq!(found.dmarc, Some(PermError));
        assert_eq!(found.verdict, Verdict::Unverified);
    }
    assert_eq!(server.questions(), 0);
    // Only the first two of many signatures are asked for, that of From's domain among them.
    let others: String = (0..6)
        .map(|n| SIGNATURE.replace("watch.example", &format!("d{n}.example")))
        .collect();
    let mut mail = submission("192.0.2.1", "", "a@sub.watch.example");
    mail.raw = [others.as_bytes(), SIGNATURE.as_bytes(), &mail.raw]
        .concat()
        .into();
    let found = verifier.verify(mail).await.findings;
    assert_eq!(found.dkim, Some(PermError), "{found:?}");
    // The client's name, its address, two keys, and the policies of the author's names.
    assert!(server.questions() <= 8, "{}", server.questions());
}

#[tokio::test]
async fn a_large_mail_is_checked_on_its_own_thread() {
    let (_server, verifier) = verifier(zone(), patient()).await;
    let mut mail = submission("192.0.2.1", "b@c.example", "a@c.example");
    mail.raw = [mail.raw.as_ref(), "line\r\n".repeat(300_000).as_bytes()]
        .concat()
        .into();
    assert!(mail.raw.len() > OWN_THREAD_BYTES);
    assert_eq!(
        verifier.verify(mail).await.findings.verdict,
        Verdict::Verified
    );
}

#[test]
fn the_end_of_a_header_is_found() {
    for (mail, wanted) in [
        ("A: b\r\n\r\nx", 5),
        ("A: b\n\nx", 4),
        ("A: b\n\r\n\n", 4),
        ("A: b", 4),
        ("", 0),
    ] {
        assert_eq!(header_length(mail.as_bytes(), 100), wanted, "{mail:?}");
    }
    assert_eq!(header_length(&[b'a'; 500], 100), 104);
}
