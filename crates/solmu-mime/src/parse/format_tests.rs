//! Formats within mails: character sets, old and protected containers, calendars, and mails that were broken on the way.

use super::*;
use crate::mail::Protection;

fn mail(text: &str) -> ParsedMail {
    parse(
        text.replace('\n', "\r\n").as_bytes(),
        &ParseLimits::default(),
    )
}

fn names(mail: &ParsedMail) -> Vec<&str> {
    mail.attachments
        .iter()
        .map(|file| file.filename.as_str())
        .collect()
}

/// "Smörgås, péché" or its like in each character set that mail of our customers comes in.
#[test]
fn character_sets() {
    for (charset, bytes, wanted) in [
        ("utf-8", &b"\xc3\xa4\xc3\xb6 \xe2\x82\xac"[..], "äö €"),
        ("UTF8", b"\xc3\xa4", "ä"),
        ("\"utf-8\"", b"\xc3\xa4", "ä"),
        ("iso-8859-1", b"\xe4\xf6", "äö"),
        ("latin1", b"\xe4\xf6 \x80", "äö €"),
        ("iso-8859-15", b"\xe4\xf6 \xa4", "äö €"),
        ("windows-1252", b"\xe4 \x93x\x94 \x80", "ä “x” €"),
        ("cp1252", b"\xe4", "ä"),
        ("windows-1257", b"\xe0", "ą"),
        ("iso-8859-2", b"\xb1\xea", "ąę"),
        ("iso-8859-4", b"\xb9", "š"),
        ("windows-1250", b"\x9a", "š"),
        ("windows-1251", b"\xcf\xf0\xe8\xe2\xe5\xf2", "Привет"),
        ("koi8-r", b"\xf0\xd2\xc9\xd7\xc5\xd4", "Привет"),
        ("iso-8859-5", b"\xbf\xe0\xd8\xd2\xd5\xe2", "Привет"),
        ("iso-8859-7", b"\xe1", "α"),
        ("iso-8859-9", b"\xfe", "ş"),
        ("shift_jis", b"\x82\xb1\x82\xf1", "こん"),
        ("euc-jp", b"\xa4\xb3\xa4\xf3", "こん"),
        ("iso-2022-jp", b"\x1b$B$3$s\x1b(B", "こん"),
        ("gb2312", b"\xc4\xe3\xba\xc3", "你好"),
        ("gbk", b"\xc4\xe3", "你"),
        ("gb18030", b"\xc4\xe3", "你"),
        ("big5", b"\xa7A", "你"),
        ("euc-kr", b"\xbe\xc8", "안"),
        ("utf-16le", b"h\0e\0i\0", "hei"),
        ("utf-7", b"p+AOQ-iv+AOQ-", "päivä"),
        ("macintosh", b"\x8a", "ä"),
        ("ibm850", b"\x84", "ä"),
        ("cp949", b"\xbe\xc8\xb3\xe7", "안녕"),
        ("\"UHC\"", b"\xbe\xc8", "안"),
        (
            "iso-2022-kr",
            b"\x1b$)C\x0e>H3g\x0f, Aino\n\x0e>H\x0f",
            "안녕, Aino\n안",
        ),
        ("iso-2022-cn", b"\x1b$)A\x0eDc\x0f x", "你 x"),
        ("hz-gb-2312", b"a ~{Dc:C~} ~~ b~\nc", "a 你好 ~ bc"),
        ("iso-2022-jp-2", b"\x1b$B$3$s\x1b(B", "こん"),
        ("cp932", b"\x82\xb1", "こ"),
        ("ibm437", b"\x84\x94\x9b \xe1", "äö¢ ß"),
        ("cp-850", b"\x84\xd5", "äı"),
        ("x-unknown", b"\xe4\xf6", "äö"),
        ("unknown-8bit", b"\xc3\xa4", "ä"),
        ("us-ascii", b"\xc3\xa4", "ä"),
        ("", b"\xe4\xf6", "äö"),
    ] {
        let mut raw = format!("Content-Type: text/plain; charset={charset}\r\n\r\n").into_bytes();
        raw.extend(bytes);
        let read = parse(&raw, &ParseLimits::default());
        assert_eq!(read.text, wanted, "{charset}");
        // Of a set that nobody knows only a guess can be had.
        let is_guess = ["x-unknown"].contains(&charset);
        assert_eq!(
            !read.notices.is_empty(),
            is_guess,
            "{charset}: {:?}",
            read.notices
        );
    }
}

#[test]
fn what_cannot_be_read_is_told_once() {
    for (charset, bytes, wanted) in [
        ("iso-2022-cn", &b"\x1b$)G\x0e!!\x0f x"[..], "\u{fffd} x"),
        ("euc-kr", b"\xbe", "\u{fffd}"),
        ("x-odd", b"\xe4", "ä"),
        ("utf-8", b"p\xc3\xa4\xc3\xa4 \xc3", "pää \u{fffd}"),
    ] {
        let part = [
            format!("--m\r\nContent-Type: text/plain; charset={charset}\r\n\r\n").as_bytes(),
            bytes,
            b"\r\n",
        ]
        .concat();
        let head = b"Content-Type: multipart/mixed; boundary=m\r\n\r\n";
        let raw = [&head[..], &part, &part, b"--m--\r\n"].concat();
        let read = parse(&raw, &ParseLimits::default());
        assert_eq!(read.text, format!("{wanted}\n\n{wanted}"), "{charset}");
        let notice = format!(
            "not every character of the text could be read in its character set '{charset}'; the original has them all"
        );
        assert_eq!(read.notices, [notice], "{charset}");
    }
}

#[test]
fn encoded_words_in_rare_sets_are_read() {
    for (word, wanted) in [
        ("=?iso-2022-kr?B?GyQpQw4+SDNnDw==?= x", "안녕 x"),
        ("=?CP949?Q?=BE=C8_a?= =?cp949?Q?=B3=E7?=", "안 a녕"),
        ("=?hz-gb-2312?Q?~{Dc:C~}?=", "你好"),
        ("=?utf-8?Q?=C3=A4?= =?iso-2022-jp?B?GyRCJDMbKEI=?=", "äこ"),
        ("=?cp949?X?x?= =?cp949", "=?cp949?X?x?= =?cp949"),
    ] {
        let read = mail(&format!("From: a@b.example\nSubject: {word}\n\nx\n"));
        assert_eq!(read.subject, wanted, "{word}");
    }
}

/// Laying out each of many HTML parts would take long, for a text that has room for the first few.
#[test]
fn many_html_parts_are_laid_out_up_to_one_measure() {
    let limits = ParseLimits::default();
    let part = format!(
        "--m\nContent-Type: text/html\n\n{}\n",
        "<p>a b c d</p>".repeat(5_000)
    );
    let raw = |parts: usize| {
        format!(
            "Content-Type: multipart/mixed; boundary=m\n\n{}--m--\n",
            part.repeat(parts)
        )
    };
    let few = parse(raw(12).as_bytes(), &limits);
    let many = parse(raw(400).as_bytes(), &limits);
    assert_eq!(
        (few.text.len(), few.html.len()),
        (many.text.len(), many.html.len())
    );
    assert!(many.text.len() <= limits.text_bytes && many.html.len() <= limits.html_bytes);
    assert!(
        many.notices
            .iter()
            .any(|notice| notice.starts_with("the text is over the limit"))
    );
    // What is laid out is bounded even where nothing of it is text.
    let empty = raw(400).replace("a b c d", "");
    let small = ParseLimits {
        html_bytes: 10,
        ..limits
    };
    assert_eq!(parse(empty.as_bytes(), &small).text, "");
    let plain_after = format!("{}--m\n\nplain\n--m--\n", raw(3).replace("--m--\n", ""));
    let read = parse(
        plain_after.as_bytes(),
        &ParseLimits {
            html_bytes: 20,
            ..small
        },
    );
    assert!(read.text.ends_with("plain"), "{}", read.text);
}

/// The address that everybody takes for the sender's, in forms that people's programs write.
#[test]
fn odd_forms_of_from() {
    for (from, name, address) in [
        ("Virtanen, Aino <aino@x.fi>", "Virtanen, Aino", "aino@x.fi"),
        (
            "\"Virtanen, Aino\" <aino@x.fi>",
            "Virtanen, Aino",
            "aino@x.fi",
        ),
        (
            "Virtanen, Aino, Oy <aino@x.fi>",
            "Virtanen, Aino, Oy",
            "aino@x.fi",
        ),
        ("\"a b\"@x.fi", "", "\"a b\"@x.fi"),
        ("A <\"a b\"@x.fi>", "A", "\"a b\"@x.fi"),
        ("Aino <mailto:aino@x.fi>", "Aino", "aino@x.fi"),
        ("=?utf-8?b?QWlubyA8YWlub0B4LmZpPg==?=", "Aino", "aino@x.fi"),
        (
            "=?utf-8?q?Aino_=3Caino=40y.fi=3E?= <real@x.fi>",
            "Aino <aino@y.fi>",
            "real@x.fi",
        ),
        ("Aino <aino@x.fi>, Eve <eve@e.fi>", "Aino", "aino@x.fi"),
        ("nobody, Eve <eve@e.fi>", "nobody, Eve", "eve@e.fi"),
        ("undisclosed:;", "", ""),
    ] {
        let read = mail(&format!("From: {from}\nSubject: s\n\nx\n"));
        let author = read.author().cloned().unwrap_or_default();
        assert_eq!(
            (author.name.as_str(), author.address.as_str()),
            (name, address),
            "{from}"
        );
        let one = !from.contains(">, ");
        assert_eq!(read.from.len() <= 1, one, "{from}: {:?}", read.from);
    }
    // A second author is not hidden in the name of the first, nor the other way round.
    let two = mail("From: aino@x.fi, Eve <eve@e.fi>\n\nx\n");
    assert_eq!(two.from.len(), 2, "{:?}", two.from);
}

#[test]
fn winmail_gives_its_files_and_its_text() {
    let tnef = crate::testing::MAILS[5];
    let alone = mail(tnef);
    assert_eq!(alone.text, "Hello");
    assert_eq!(names(&alone), ["a.txt"]);
    assert_eq!(alone.attachments[0].content_type, "text/plain");
    assert_eq!(alone.attachments[0].bytes, b"abc");
    let beside = mail(&tnef.replacen("--t\n", "--t\n\nthe text\n--t\n", 1));
    assert_eq!(beside.text, "the text");
    let cut = mail(&tnef.replace("AAABhYmM", "AAABh").replace("mAQ==", ""));
    assert!(
        cut.notices.iter().any(|notice| notice.contains("in part")),
        "{cut:?}"
    );
    assert!(names(&cut).contains(&"winmail.dat"), "{cut:?}");
    let none = mail("Content-Type: application/ms-tnef\n\nthis is none");
    assert_eq!(names(&none), ["winmail.dat"]);
}

#[test]
fn uuencoded_files_leave_the_text() {
    let read = mail(crate::testing::MAILS[4]);
    assert_eq!(read.text, "Hello\n\n\nbye");
    assert_eq!(names(&read), ["cat.txt"]);
    assert_eq!(read.attachments[0].bytes, b"Cat");
    let part = mail(
        "Content-Type: application/x; name=c.bin\nContent-Disposition: attachment\nContent-Transfer-Encoding: x-uuencode\n\n\
         begin 644 cat.txt\n#0V%T\n`\nend\n",
    );
    assert_eq!(part.attachments[0].bytes, b"Cat");
    let prose = mail("Subject: s\n\nbegin 644 reasons\nto write this\nend\n");
    assert_eq!(prose.text, "begin 644 reasons\nto write this\nend");
}

#[test]
fn invitations_are_files_and_a_line() {
    let event = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nSUMMARY:Tapaaminen\nDTSTART:20261102T080000Z\nEND:VEVENT\nEND:VCALENDAR\n";
    let read = mail(&format!(
        "Content-Type: multipart/alternative; boundary=x\n\n--x\n\ntule\n--x\nContent-Type: text/html\n\n<p>tule</p>\n--x\n\
         Content-Type: text/calendar; method=REQUEST; charset=utf-8\n\n{event}\n--x--\n"
    ));
    assert_eq!(read.text, "tule");
    assert_eq!(names(&read), ["invite.ics"]);
    assert_eq!(
        read.notices,
        ["calendar request: Tapaaminen, 2026-11-02 08:00 UTC"]
    );
    let alone = mail(crate::testing::MAILS[7]);
    assert_eq!(
        alone.text,
        "calendar request: Meeting, 2026-11-02 08:00 UTC"
    );
    let twice = mail(&format!(
        "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/calendar\n\n{event}\n--x\n\
         Content-Type: text/calendar; name=a.ics\n\n{event}\n--x--\n"
    ));
    assert_eq!(
        (twice.notices.len(), names(&twice)),
        (1, vec!["invite.ics", "a.ics"])
    );
}

#[test]
fn signed_and_encrypted_mail_is_told() {
    let signed = |protocol: &str| {
        format!(
            "Content-Type: multipart/signed; protocol=\"{protocol}\"; micalg=x; boundary=s\n\n--s\n\ntext\n--s\n\
             Content-Type: {protocol}\n\nsignature\n--s--\n"
        )
    };
    let part = |kind: &str| format!("Content-Type: {kind}\n\n\u{1}");
    let der = "Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\n";
    for (text, wanted, files) in [
        ("Subject: s\n\njust text".to_owned(), Protection::None, vec![]),
        (signed("application/pgp-signature"), Protection::PgpSigned, vec!["signature.asc"]),
        (signed("application/pkcs7-signature"), Protection::SmimeSigned, vec!["smime.p7s"]),
        (signed("application/x-pkcs7-signature"), Protection::SmimeSigned, vec!["smime.p7s"]),
        (
            "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=e\n\n--e\n\
             Content-Type: application/pgp-encrypted\n\nVersion: 1\n--e\nContent-Type: application/octet-stream; name=encrypted.asc\n\n\
             -----BEGIN PGP MESSAGE-----\n--e--\n"
                .to_owned(),
            Protection::PgpEncrypted,
            vec!["", "encrypted.asc"],
        ),
        (part("application/pkcs7-mime; smime-type=enveloped-data"), Protection::SmimeEncrypted, vec!["smime.p7m"]),
        (part("application/x-pkcs7-mime; smime-type=signed-data; name=smime.p7m"), Protection::SmimeSigned, vec!["smime.p7m"]),
        (format!("{der}MIAGCSqGSIb3DQEHAqCA\n"), Protection::SmimeSigned, vec!["smime.p7m"]),
        (format!("{der}MIAGCSqGSIb3DQEHA6CA\n"), Protection::SmimeEncrypted, vec!["smime.p7m"]),
        ("Subject: s\n\n-----BEGIN PGP MESSAGE-----\n\nabc\n-----END PGP MESSAGE-----\n".to_owned(), Protection::PgpEncrypted, vec![]),
        ("Subject: s\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nhi\n".to_owned(), Protection::PgpSigned, vec![]),
        ("Subject: s\n\nlook:\n> -----BEGIN PGP MESSAGE-----\n".to_owned(), Protection::None, vec![]),
    ] {
        let read = mail(&text);
        assert_eq!(read.protection, wanted, "{text}");
        assert_eq!(names(&read), files, "{text}");
        let told = read.notices.iter().any(|notice| notice.contains("encrypted"));
        assert_eq!(told, wanted.is_encrypted(), "{text}");
    }
    let both = mail(
        &signed("application/pgp-signature").replace("text\n", "-----BEGIN PGP MESSAGE-----\n"),
    );
    assert_eq!(both.protection, Protection::PgpEncrypted);
}

#[test]
fn mails_within_mails_are_named_as_such() {
    let read = mail(
        "Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: message/rfc822\n\nSubject: a\n\n1\n--m\n\
         Content-Type: message/rfc822; name=\"Re: Tilaus\"\n\nSubject: b\n\n2\n--m\n\
         Content-Type: message/rfc822\nContent-Disposition: attachment; filename=\"c.EML\"\n\nSubject: c\n\n3\n--m--\n",
    );
    assert_eq!(names(&read), ["message.eml", "Re: Tilaus.eml", "c.EML"]);
}

/// A forgotten empty line, an address written twice, a file name in the wrong place.
#[test]
fn what_senders_break_is_mended() {
    let read = mail(
        "From: a@b.example\nTo: <c@d.example>c@d.example, e@f.example www.f.example\n\
         Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/plain\nContent-Transfer-Encoding: 7bit\n\
         Hei kaikki!\n\nViesti: tässä\n--m\nContent-Type: text/plain\nImportance: high\n\ntoinen\n--m\n\
         Content-Type: image/png; filename=\"a.png\"\n\nx\n--m--\n",
    );
    assert_eq!(read.text, "Hei kaikki!\n\nViesti: tässä\n\ntoinen");
    let to: Vec<&str> = read.to.iter().map(|to| to.address.as_str()).collect();
    assert_eq!(to, ["c@d.example", "e@f.example"]);
    assert_eq!(names(&read), ["a.png"]);
    let fold = mail(
        "From: a@b.example\nContent-Type: multipart/mixed;\nboundary=\"b\"\n\n--b\nContent-Type: multipart/alternative;\n\
         boundary=\"c\"\n\n--c\n\ninner\n--c--\n--b--\n",
    );
    assert_eq!(fold.text, "inner");
    let mac = parse(
        crate::testing::MAILS[1].replace('\n', "\r").as_bytes(),
        &ParseLimits::default(),
    );
    assert_eq!(
        (mac.text.as_str(), names(&mac)),
        ("plain", vec!["ä.png", "message.eml"])
    );
    let root = mail("From: a@b.example\nSubject: s\nno empty line\n\nmore");
    assert_eq!(
        (root.subject.as_str(), root.text.as_str()),
        ("s", "no empty line\n\nmore")
    );
}
