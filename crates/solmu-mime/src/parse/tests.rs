//! Mails as they come, whole and broken.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn mail(text: &str) -> ParsedMail {
    parse(
        text.replace('\n', "\r\n").as_bytes(),
        &ParseLimits::default(),
    )
}

#[test]
fn plain_mail() {
    let mail = mail(
        "From: =?iso-8859-1?Q?P=E4ivi_M=E4kinen?= <Paivi@c.example>\nTo: Tuki <support@desk.example>, b@c.example\n\
         Cc: Ryhmä: d@e.example, f@g.example;\nSubject: =?utf-8?B?VGlsYXVzIGVpIG9sZSBzYWFwdW51dA==?=\n\
         Date: Mon, 02 Nov 2026 10:00:00 +0200\nMessage-ID: <1@c.example>\nIn-Reply-To: <0@desk.example>\n\
         References: <root@c.example>\n <0@desk.example>\n\nHei,\nmoi\n",
    );
    assert_eq!(mail.from[0].name, "Päivi Mäkinen");
    assert_eq!(mail.from[0].address, "Paivi@c.example");
    assert_eq!(mail.to.len(), 2);
    assert_eq!(
        mail.cc
            .iter()
            .map(|cc| cc.address.as_str())
            .collect::<Vec<_>>(),
        ["d@e.example", "f@g.example"]
    );
    assert_eq!(mail.subject, "Tilaus ei ole saapunut");
    assert_eq!(mail.date.unwrap().to_string(), "2026-11-02T08:00:00Z");
    assert_eq!(mail.message_id.as_deref(), Some("1@c.example"));
    assert_eq!(mail.in_reply_to, ["0@desk.example"]);
    assert_eq!(mail.references, ["root@c.example", "0@desk.example"]);
    assert_eq!(mail.text, "Hei,\nmoi");
    assert_eq!(mail.html, "");
}

/// mail-parser 0.11 loses the body and the file name of this one (its issue 165).
#[test]
fn parameters_folded_after_their_equals_sign() {
    let mail = mail(
        "From: a@b.example\nContent-Type: multipart/mixed; boundary=\n \"bb\"\n\n--bb\nContent-Type: text/plain;\n\
         \tcharset=\n\tutf-8\n\nteksti\n--bb\nContent-Type: application/pdf\n\
         Content-Disposition: attachment; filename=\n  \"lasku.pdf\"\n\nPDF\n--bb--\n",
    );
    assert_eq!(mail.text, "teksti");
    assert_eq!(mail.attachments.len(), 1);
    assert_eq!(mail.attachments[0].filename, "lasku.pdf");
    assert_eq!(mail.attachments[0].bytes, b"PDF");
}

#[test]
fn encoded_words_keep_their_fold() {
    let mail = mail("Subject: =?utf-8?Q?a=C3=A4?=\n =?utf-8?Q?b?= c\nX-Other: v=\n w\n\n");
    assert_eq!(mail.subject, "aäb c");
    assert_eq!(mail.fields.first("x-other"), Some("v= w"));
}

#[test]
fn alternative_takes_both_versions_once() {
    let mail = mail(
        "Content-Type: multipart/alternative; boundary=x\n\n--x\nContent-Type: text/plain\n\nplain\n--x\n\
         Content-Type: text/html\n\n<p>rich<script>x</script></p>\n--x--\n",
    );
    assert_eq!(mail.text, "plain");
    assert_eq!(mail.html, "<p>rich</p>");
    assert!(mail.attachments.is_empty());
}

#[test]
fn html_alone_or_beside_a_blank_text_makes_the_text() {
    let alone = mail("Content-Type: text/html; charset=utf-8\n\n<p>Hei <b>Aino</b></p>");
    assert_eq!(
        (alone.text.as_str(), alone.html.as_str()),
        ("Hei Aino", "<p>Hei <b>Aino</b></p>")
    );
    let blank = mail(
        "Content-Type: multipart/alternative; boundary=x\n\n--x\n\n \n--x\nContent-Type: text/html\n\n<p>a</p>\n--x--",
    );
    assert_eq!(blank.text, "a");
}

#[test]
fn related_images_are_inline_and_text_goes_on_after_a_file() {
    let mail = mail(
        "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/related; boundary=r\n\n--r\n\
         Content-Type: text/html\n\n<img src=\"cid:1@x\">\n--r\nContent-Type: image/png; name=a.png\n\
         Content-ID: <1@x>\nContent-Transfer-Encoding: base64\n\niVBORw==\n--r--\n--m\nContent-Type: text/plain\n\nafter\n--m--\n",
    );
    assert_eq!(mail.attachments.len(), 1);
    let image = &mail.attachments[0];
    assert!(image.inline);
    assert_eq!(
        (image.content_id.as_str(), image.filename.as_str()),
        ("1@x", "a.png")
    );
    assert_eq!(image.bytes, b"\x89PNG");
    assert!(mail.text.ends_with("after"), "{}", mail.text);
    assert!(mail.html.contains("<pre>after</pre>"), "{}", mail.html);
}

#[test]
fn nested_messages_are_kept_whole_and_not_read() {
    let mail = mail(
        "Content-Type: multipart/mixed; boundary=m\n\n--m\n\nsee below\n--m\nContent-Type: message/rfc822\n\n\
         Subject: inner\nContent-Type: multipart/mixed; boundary=m2\n\n--m2\n\ninner text\n--m2--\n\n--m--\n",
    );
    assert_eq!(mail.text, "see below");
    assert_eq!(mail.attachments.len(), 1);
    assert_eq!(mail.attachments[0].filename, "message.eml");
    assert!(mail.attachments[0].bytes.starts_with(b"Subject: inner"));
}

#[test]
fn file_names_of_all_kinds() {
    for (header, wanted) in [
        ("attachment; filename=\"a b.pdf\"", "a b.pdf"),
        ("attachment; filename*=UTF-8''l%C3%A4hete.pdf", "lähete.pdf"),
        (
            "attachment; filename*0*=UTF-8''p%C3%A4; filename*1=iv%C3%A4.txt",
            "päiv%C3%A4.txt",
        ),
        ("attachment; filename=\"=?utf-8?B?w6Q=?=.pdf\"", "ä.pdf"),
        ("attachment; filename=\"..\\..\\evil.exe\"", "evil.exe"),
        ("attachment; filename=\"/etc/passwd\"", "passwd"),
        ("attachment; filename=\".htaccess\"", "htaccess"),
        ("attachment; filename=\"exe.\u{202e}fdp\"", "exe.fdp"),
        ("attachment", ""),
    ] {
        let mail = mail(&format!(
            "Content-Type: application/x\nContent-Disposition: {header}\n\nx"
        ));
        assert_eq!(mail.attachments.len(), 1, "{header}");
        assert_eq!(mail.attachments[0].filename, wanted, "{header}");
    }
}

#[test]
fn headers_of_broken_clients() {
    let mail = mail(
        "\n\nSubject : spaced\nMessage-ID: bare@c.example\nIn-Reply-To: <a@b.example> <c@d.example>\n\
         References: <a@b.example>, <c@d.example>\nDate: yesterday\nFrom: broken\nthis is no header\nX-A: 1\n\nbody",
    );
    assert_eq!(mail.subject, "spaced");
    assert_eq!(mail.message_id.as_deref(), Some("bare@c.example"));
    assert_eq!(mail.in_reply_to, ["a@b.example", "c@d.example"]);
    assert_eq!(mail.references, ["a@b.example", "c@d.example"]);
    assert_eq!(mail.date, None);
    assert_eq!(mail.fields.first("x-a"), Some("1"));
    assert_eq!(mail.text, "body");
}

#[test]
fn bytes_outside_ascii_in_headers_and_text() {
    let latin = parse(
        b"From: P\xe4ivi <p@c.example>\r\nSubject: \xe4\xe4ni\r\n\r\np\xe4iv\xe4\xe4\r\n",
        &ParseLimits::default(),
    );
    assert_eq!(
        (
            latin.from[0].name.as_str(),
            latin.subject.as_str(),
            latin.text.as_str()
        ),
        ("Päivi", "ääni", "päivää")
    );
    let utf8 = mail("Subject: ääni\n\npäivää");
    assert_eq!(
        (utf8.subject.as_str(), utf8.text.as_str()),
        ("ääni", "päivää")
    );
}

#[test]
fn nul_goes_and_a_mail_without_header_is_text() {
    let parsed = mail("Subject: a\0b\n\nc\0d");
    assert_eq!(
        (parsed.subject.as_str(), parsed.text.as_str()),
        ("ab", "cd")
    );
    assert_eq!(
        mail("just a line\nand another").text,
        "just a line\nand another"
    );
    assert_eq!(mail("").text, "");
    let envelope = mail("From a@b.example Mon Nov  2 00:00:00 2026\nSubject: x\n\ny");
    assert_eq!(
        (envelope.subject.as_str(), envelope.text.as_str()),
        ("x", "y")
    );
}

#[test]
fn multiparts_without_boundary_or_end() {
    assert_eq!(mail("Content-Type: multipart/mixed\n\ntext").text, "text");
    assert_eq!(
        mail("Content-Type: multipart/mixed; boundary=x\n\nno line").text,
        "no line"
    );
    assert_eq!(
        mail("Content-Type: multipart/mixed; boundary=x\n\n--x\n\ncut off").text,
        "cut off"
    );
    let prefix = mail("Content-Type: multipart/mixed; boundary=x\n\n--x\n\n--xy is text\n--x--\n");
    assert_eq!(prefix.text, "--xy is text");
}

#[test]
fn text_files_are_files() {
    let mail = mail(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\n\nbody\n--x\nContent-Type: text/plain; name=log.txt\n\nlog\n--x\n\
         Content-Type: text/csv\n\na;b\n--x\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n--x--\n",
    );
    assert_eq!(mail.text, "body");
    let kinds: Vec<&str> = mail
        .attachments
        .iter()
        .map(|file| file.content_type.as_str())
        .collect();
    assert_eq!(kinds, ["text/plain", "text/csv", "text/calendar"]);
}

/// The database refuses a NUL, and the mail would end as a dead letter.
#[test]
fn no_control_character_comes_through_a_type() {
    let mail = mail(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: Te\0xt/\u{1}csv; name=\"a\0b\"\n\
         Content-ID: <a\0b>\n\nx\n--x--\n",
    );
    let file = &mail.attachments[0];
    for text in [&file.content_type, &file.filename, &file.content_id] {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    let long = format!("a/{}", "b".repeat(70_000));
    assert_eq!(super::header::media_type(&long).len(), 255);
}

#[test]
fn over_each_limit_there_is_a_mail_and_a_notice() {
    let limits = ParseLimits {
        attached_text_bytes: 50,
        parts: 4,
        depth: 2,
        header_bytes: 300,
        references: 3,
        mailboxes: 2,
        text_bytes: 10,
        html_bytes: 40,
        attachments: 1,
    };
    let parse = |text: String| parse(text.replace('\n', "\r\n").as_bytes(), &limits);

    let many = parse(format!(
        "Content-Type: multipart/mixed; boundary=x\n\n{}--x--",
        "--x\n\na\n".repeat(9)
    ));
    assert_eq!(
        many.notices,
        ["6 parts over the limit were kept in the original only"]
    );

    let files = "--x\nContent-Type: a/b\n\nz\n".repeat(2);
    let files = parse(format!(
        "Content-Type: multipart/mixed; boundary=x\n\n{files}--x--"
    ));
    assert_eq!((files.attachments.len(), files.notices.len()), (1, 1));

    let mut deep = String::new();
    for level in 0..5 {
        let _ = write!(
            deep,
            "Content-Type: multipart/mixed; boundary=b{level}\n\n--b{level}\n"
        );
    }
    assert_eq!(
        parse(deep).notices,
        ["parts nested too deeply are kept as one attachment"]
    );

    let long = parse(format!("Subject: s\nX-Long: {}\n\nbody", "y".repeat(500)));
    assert_eq!(
        (
            long.subject.as_str(),
            long.text.as_str(),
            long.notices.len()
        ),
        ("s", "body", 1)
    );

    let listed = parse(
        "To: a@b.c, d@e.f, g@h.i\nReferences: <1@x> <2@x> <3@x> <4@x> <5@x>\n\nä123456789"
            .to_owned(),
    );
    assert_eq!(listed.references, ["1@x", "4@x", "5@x"]);
    assert_eq!(listed.to.len(), 2);
    assert_eq!(listed.text, "ä12345678");
    assert_eq!(listed.notices.len(), 2);

    // Line ends shrink when they are cleaned; what was cut before that is cut all the same.
    let lines = parse("Subject: s\n\na\nb\nc\nd\ne\nf\ng\nh\n".to_owned());
    assert_eq!(
        (lines.text.as_str(), lines.notices.len()),
        ("a\nb\nc\nd", 1)
    );

    let html = parse(format!(
        "Content-Type: text/html\n\n<p>{}</p>",
        "z".repeat(100)
    ));
    assert!(
        html.html.len() < 60 && html.html.ends_with("</p>"),
        "{}",
        html.html
    );
}

/// Thousands of messages within each other overflow the stack of a recursive reader.
#[test]
fn endless_nesting_is_harmless() {
    let limits = ParseLimits::default();
    let chain = "Content-Type: message/rfc822\r\n\r\n".repeat(50_000);
    assert_eq!(parse(chain.as_bytes(), &limits).attachments.len(), 1);
    let digest = "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\n".repeat(20_000);
    drop(parse(digest.as_bytes(), &limits));
    let divs = format!("Content-Type: text/html\r\n\r\n{}", "<div>".repeat(60_000));
    drop(parse(divs.as_bytes(), &limits));
    let quotes = format!(
        "Content-Type: text/html\r\n\r\n{}",
        "<blockquote><table><tr><td>".repeat(9_000)
    );
    drop(parse(quotes.as_bytes(), &limits));
}

#[test]
fn reports_are_told_from_files() {
    let mail = mail(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n--x\n\nsorry\n--x\n\
         Content-Type: message/delivery-status\n\nReporting-MTA: dns; a\n\nAction: failed\nStatus: 5.1.1\n--x\n\
         Content-Type: text/rfc822-headers\n\nMessage-ID: <lost@desk.example>\nSubject: s\n\n--x--\n",
    );
    assert_eq!(mail.report_type, "delivery-status");
    assert_eq!(mail.reports.len(), 1);
    assert_eq!(
        mail.returned.unwrap().first("message-id"),
        Some("<lost@desk.example>")
    );
}

#[test]
fn every_sample_of_others_is_read() {
    for folder in ["mail", "channels/email_raw", "channels/email_inbound_parse"] {
        let Some(root) = crate::testing::fixtures(folder) else {
            return;
        };
        for entry in walkdir::WalkDir::new(root) {
            let entry = entry.unwrap();
            if entry
                .path()
                .extension()
                .is_none_or(|extension| extension != "eml")
            {
                continue;
            }
            let raw = std::fs::read(entry.path()).unwrap();
            let mail = parse(&raw, &ParseLimits::default());
            let place = entry.path().display();
            assert!(!mail.fields.0.is_empty(), "{place}");
            assert!(
                !mail.text.contains('\0') && !mail.html.contains('\0'),
                "{place}"
            );
            let empty = mail.text.is_empty()
                && mail.html.is_empty()
                && mail.attachments.is_empty()
                && mail.reports.is_empty();
            assert!(!empty, "{place} lost everything");
            assert_eq!(mail.notices, Vec::<String>::new(), "{place}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        drop(parse(&bytes, &ParseLimits::default()));
    }

    #[test]
    fn no_pieces_of_mime_panic(pieces in proptest::collection::vec(piece(), 0..30)) {
        let limits = ParseLimits { attached_text_bytes: 50, parts: 6, depth: 3, header_bytes: 200, references: 2, mailboxes: 2, text_bytes: 50, html_bytes: 50, attachments: 2 };
        let raw = pieces.concat();
        for end in 0..raw.len().min(120) {
            drop(parse(&raw.as_bytes()[..end], &limits));
        }
        drop(parse(raw.as_bytes(), &limits));
    }
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Content-Type: multipart/alternative; boundary=x\r\n".to_owned()),
        Just("Content-Type: multipart/report; boundary=\r\n \"y\"\r\n".to_owned()),
        Just("Content-Type: text/html; charset=utf-16\n".to_owned()),
        Just("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n".to_owned()),
        Just("Content-Transfer-Encoding: quoted-printable\r\n".to_owned()),
        Just("Content-Disposition: attachment; filename*0*=utf-8''%e4; filename*1=\"".to_owned()),
        Just("References: <a@b> <c".to_owned()),
        Just("From: \"a\\\" <b@c>, g: d@e;;\r\n".to_owned()),
        Just("Subject: =?utf-8?Q?=C3?= =?x?B?*?=\r\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("--x\r\n".to_owned()),
        Just("--x--\r\n".to_owned()),
        Just("--y\n".to_owned()),
        Just("<p>ä &amp; <img src=cid:1>=\r\n".to_owned()),
        "\\PC{0,20}",
    ]
}
