use proptest::prelude::*;

use super::*;
use crate::parse::{ParseLimits, parse};

const OWN: &str = "Authentication-Results: mx.desk.example; spf=pass; dmarc=pass (p=reject) header.from=c.example\r\n";
const OTHER: &str = "Authentication-Results: evil.example; dmarc=pass header.from=c.example\r\n";
const HOP: &str = "Received: from x by y; Mon, 2 Nov 2026 10:00:00 +0200\r\n";

fn judged(mail: &str, authserv_id: Option<&str>, trusted_hops: usize) -> Findings {
    let mail = parse(mail.as_bytes(), &ParseLimits::default());
    judge(
        &mail,
        Trust {
            authserv_id,
            trusted_hops,
        },
    )
}

fn findings(head: &str) -> Findings {
    let mail = format!("{head}From: A <a@c.example>\r\n\r\nx");
    judged(&mail, Some("mx.desk.example"), 1)
}

fn own(results: &str) -> Findings {
    findings(&format!(
        "Authentication-Results: mx.desk.example; {results}\r\n"
    ))
}

#[test]
fn only_our_topmost_results_count() {
    let fail = OWN.replace("dmarc=pass", "dmarc=fail");
    for (head, wanted) in [
        (OWN.to_owned(), Verdict::Verified),
        (format!("{HOP}{OWN}"), Verdict::Verified),
        (format!("{HOP}{HOP}{OWN}"), Verdict::Unverified),
        // Others may write what they like, above and below.
        (format!("{OTHER}{OWN}"), Verdict::Verified),
        (format!("{OWN}{OTHER}"), Verdict::Verified),
        (OTHER.to_owned(), Verdict::Unverified),
        // Forged in our name, below what our exchanger wrote or below a stranger's hop.
        (format!("{HOP}{fail}{OWN}"), Verdict::Unverified),
        (format!("{HOP}{fail}{HOP}{OWN}"), Verdict::Unverified),
        (format!("{HOP}{OTHER}{HOP}{OWN}"), Verdict::Unverified),
        (format!("X-{OWN}"), Verdict::Unverified),
        (format!("ARC-{OWN}"), Verdict::Unverified),
        (String::new(), Verdict::Unverified),
    ] {
        assert_eq!(findings(&head).verdict, wanted, "{head}");
    }
    assert_eq!(findings(OTHER).method, Method::None);
    assert_eq!(findings(OTHER).spf, None);
    assert_eq!(findings(OWN).method, Method::Header);
}

#[test]
fn only_a_pass_for_this_domain_verifies() {
    for (results, wanted) in [
        ("dmarc=pass", Verdict::Verified),
        ("dmarc = pass", Verdict::Verified),
        ("DMARC/1=PASS", Verdict::Verified),
        ("dmarc=pass header.from=\"c.example\"", Verdict::Verified),
        ("dmarc=pass header.from=a@C.example", Verdict::Verified),
        ("dmarc(x)=(;)pass(y)", Verdict::Verified),
        (
            "dmarc=pass reason=\"x; dmarc=fail\" header.from=c.example;",
            Verdict::Verified,
        ),
        ("dmarc=fail (dmarc=pass)", Verdict::Unverified),
        ("none (; dmarc=pass)", Verdict::Unverified),
        ("none", Verdict::Unverified),
        ("x=\"; dmarc=pass\"", Verdict::Unverified),
        ("x=y reason=\"\\\"; dmarc=pass\"", Verdict::Unverified),
        ("x=y (\\) (; dmarc=pass)", Verdict::Unverified),
        ("x=y (open ; dmarc=pass", Verdict::Unverified),
        ("x=y \"open ; dmarc=pass", Verdict::Unverified),
        ("dmarc=pass header.from=d.example", Verdict::Unverified),
        ("dmarc=pass header.from=example", Verdict::Unverified),
        ("dmarc=pass header.from=xc.example", Verdict::Unverified),
        ("dmarc=pass; dmarc=fail", Verdict::Unverified),
        ("dmarc=bestguesspass", Verdict::Unverified),
        ("dmarc=passed", Verdict::Unverified),
        ("dkim.dmarc=pass", Verdict::Unverified),
        ("spf=x dmarc=pass", Verdict::Unverified),
        ("dmarc pass", Verdict::Unverified),
    ] {
        assert_eq!(own(results).verdict, wanted, "{results}");
    }
    let sub = format!("{OWN}From: a@mail.c.example\r\n\r\nx");
    assert_eq!(
        judged(&sub, Some("mx.desk.example"), 1).verdict,
        Verdict::Verified
    );
}

#[test]
fn the_name_and_the_version_must_be_ours() {
    for (head, wanted) in [
        ("MX.desk.example 1;\r\n dmarc=pass", Verdict::Verified),
        ("\"mx.desk.example\"; dmarc=pass", Verdict::Verified),
        ("(evil) mx.desk.example (x); dmarc=pass", Verdict::Verified),
        ("mx.desk.example 2; dmarc=pass", Verdict::Unverified),
        ("mx.desk.example x; dmarc=pass", Verdict::Unverified),
        (
            "(mx.desk.example) evil.example; dmarc=pass",
            Verdict::Unverified,
        ),
        ("xmx.desk.example; dmarc=pass", Verdict::Unverified),
        ("; dmarc=pass", Verdict::Unverified),
        ("dmarc=pass", Verdict::Unverified),
    ] {
        let head = format!("Authentication-Results: {head}\r\n");
        assert_eq!(findings(&head).verdict, wanted, "{head}");
    }
}

#[test]
fn two_authors_are_nobody() {
    for from in [
        "From: a@c.example, b@c.example",
        "From: a@c.example\r\nFrom: b@c.example",
        "From: nobody",
        "To: a@c.example",
    ] {
        let mail = format!("{OWN}{from}\r\n\r\nx");
        let found = judged(&mail, Some("mx.desk.example"), 1);
        assert_eq!(found.verdict, Verdict::Unverified, "{from}");
        assert_eq!(found.domain, "", "{from}");
    }
    let mail = format!("{OWN}From: a@c.example\r\n\r\nx");
    let nobody = judged(&mail, None, 9);
    assert_eq!(nobody.verdict, Verdict::Unverified);
    assert_eq!(nobody.domain, "c.example");
}

#[test]
fn all_words_are_read() {
    let found = own(
        "spf=softfail smtp.mailfrom=x@d.example; dkim=fail header.d=list.example; \
         dkim=pass header.i=@c.example; dkim=temperror header.d=e.example; dmarc=permerror; arc=pass (i=2)",
    );
    let words =
        [found.spf, found.dkim, found.dmarc, found.arc].map(|word| word.map(ResultWord::as_str));
    assert_eq!(
        words,
        [
            Some("softfail"),
            Some("pass"),
            Some("permerror"),
            Some("pass")
        ]
    );
    for (results, wanted) in [
        (
            "dkim=fail header.d=c.example; dkim=pass header.d=l.example",
            Some(ResultWord::Fail),
        ),
        (
            "dkim=fail header.d=l.example; dkim=pass header.d=k.example",
            Some(ResultWord::Pass),
        ),
        ("dkim=neutral; dkim=fail", Some(ResultWord::Neutral)),
        ("dkim=hardfail", Some(ResultWord::Fail)),
        ("spf=pass", None),
    ] {
        assert_eq!(own(results).dkim, wanted, "{results}");
    }
    for word in [
        "none",
        "pass",
        "fail",
        "softfail",
        "neutral",
        "policy",
        "temperror",
        "permerror",
    ] {
        assert_eq!(ResultWord::parse(word).map(ResultWord::as_str), Some(word));
    }
}

#[test]
fn what_large_exchangers_write_is_read() {
    let google = "Authentication-Results: mx.google.com;\r\n       dkim=pass header.i=@c.example header.s=s1 \
                  header.b=\"Ab/+c=\";\r\n       dkim=pass header.i=@esp.example header.s=s2 header.b=Zz/9=x;\r\n       \
                  spf=pass (google.com: domain of b+a=d.example@bounce.c.example designates 192.0.2.1 as permitted \
                  sender) smtp.mailfrom=\"b+a=d.example@bounce.c.example\";\r\n       dmarc=pass (p=REJECT sp=REJECT \
                  dis=NONE) header.from=c.example\r\n";
    let mail = format!("{google}From: a@c.example\r\n\r\nx");
    let found = judged(&mail, Some("mx.google.com"), 0);
    assert_eq!(found.verdict, Verdict::Verified);
    assert_eq!(
        (found.spf, found.dkim),
        (Some(ResultWord::Pass), Some(ResultWord::Pass))
    );

    // Microsoft 365 names nobody, and glues its results together.
    let microsoft = "Authentication-Results: spf=pass (sender IP is 192.0.2.1)\r\n smtp.mailfrom=c.example; dkim=pass \
                     (signature was verified)\r\n header.d=c.example;dmarc=pass action=none\r\n \
                     header.from=c.example;compauth=pass reason=100\r\n";
    let mail = format!("{HOP}{microsoft}From: a@c.example\r\n\r\nx");
    assert_eq!(judged(&mail, Some(""), 1).verdict, Verdict::Verified);
    assert_eq!(judged(&mail, Some(""), 0).verdict, Verdict::Unverified);
    assert_eq!(
        judged(&mail, Some("mx.google.com"), 1).verdict,
        Verdict::Unverified
    );
    let named = format!("{HOP}{OWN}From: a@c.example\r\n\r\nx");
    assert_eq!(judged(&named, Some(""), 1).verdict, Verdict::Unverified);
}

#[test]
fn results_are_taken_apart() {
    let results = Results::parse(
        "mx.example 1 ; dkim/2 = fail reason=\"bad; (b)=\" header.d = x.example header.b=a=b/c== (c) ; \
         smtp.x=\"a b\"@c.example; odd; =; none",
    );
    assert_eq!(
        (results.authserv_id.as_str(), results.version),
        ("mx.example", 1)
    );
    assert_eq!(results.methods.len(), 2);
    let dkim = &results.methods[0];
    assert_eq!(
        (dkim.method.as_str(), dkim.result),
        ("dkim", Some(ResultWord::Fail))
    );
    assert_eq!(dkim.reason, "bad; (b)=");
    assert_eq!(dkim.property("header.d"), Some("x.example"));
    assert_eq!(dkim.property("header.b"), Some("a=b/c=="));
    assert_eq!(results.methods[1].result, None);

    let many = format!("mx.example{}", "; dkim=pass a.b=c".repeat(10_000));
    assert_eq!(Results::parse(&many).methods.len(), 64);
    let wide = format!("mx.example; dkim=pass{}", " a.b=c".repeat(10_000));
    assert_eq!(Results::parse(&wide).methods[0].properties.len(), 32);
    for broken in ["", ";", "(", "\"", "\\", "=", "==", "a=", "=a", ";=;(;"] {
        assert!(
            Results::parse(broken).of("dmarc").next().is_none(),
            "{broken}"
        );
    }
}

#[test]
fn sealed_results_speak_of_their_own_domain() {
    for (value, wanted) in [
        (
            "i=1; lists.example; spf=pass; dmarc=pass header.from=c.example",
            true,
        ),
        (" i=2 ; lists.example 1; dmarc=pass", true),
        (
            "i=1; lists.example; dmarc=pass header.from=d.example",
            false,
        ),
        ("i=1; lists.example; dmarc=fail", false),
        ("i=1; lists.example; spf=pass", false),
        ("dmarc=pass", false),
        ("", false),
    ] {
        assert_eq!(arc_says_pass(value, "c.example"), wanted, "{value}");
    }
}

proptest! {
    #[test]
    fn what_is_hidden_never_counts(comment in "[a-z=;. ]{0,20}", quoted in "[a-z=;.() ]{0,20}") {
        let hidden = format!("({comment}; dmarc=pass ) x=y z.z=\"{quoted}; dmarc=pass \"");
        prop_assert_eq!(own(&hidden).verdict, Verdict::Unverified);
        let verified = own(&format!("{hidden}; dmarc=pass"));
        prop_assert_eq!(verified.verdict, Verdict::Verified);
    }

    #[test]
    fn anything_can_be_read(value in "[a-z=;()\"\\\\ ./]{0,60}") {
        let results = Results::parse(&value);
        prop_assert!(results.methods.len() <= value.matches('=').count());
    }
}
