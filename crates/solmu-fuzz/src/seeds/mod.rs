//! Inputs and words to begin with, written by hand. Mails of others are added from a folder where there is one.

mod mails;
pub(crate) mod tnef;
mod words;

use std::{fs, path::Path};

pub(crate) use mails::{MAILS, SAID};
pub(crate) use words::{
    ADDRESS_WORDS, ANSWER_WORDS, CALENDAR_WORDS, DIALOGUE_WORDS, HTML_WORDS, IMAP_WORDS,
    MAIL_WORDS, REPORT_WORDS, RESULT_WORDS, TEXT_WORDS, UUENCODE_WORDS,
};

/// Bytes of the largest sample of others that is taken.
const SAMPLE_MAX: u64 = 48 * 1024;

fn crlf(texts: &[&str]) -> Vec<Vec<u8>> {
    texts
        .iter()
        .map(|text| text.replace('\n', "\r\n").into_bytes())
        .collect()
}

fn plain(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The .eml files below a folder, in the order of their names.
pub(crate) fn samples(folder: &Path) -> Vec<Vec<u8>> {
    let files = walkdir::WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "eml"))
        .filter(|entry| {
            entry
                .metadata()
                .is_ok_and(|facts| facts.len() <= SAMPLE_MAX)
        });
    files
        .filter_map(|entry| fs::read(entry.path()).ok())
        .collect()
}

pub(crate) fn mails() -> Vec<Vec<u8>> {
    crlf(&MAILS)
}

pub(crate) fn dialogues() -> Vec<Vec<u8>> {
    // The first byte chooses the server: each dialogue is said to each.
    let doors = [b'0', b'1', b'2', b'3'];
    let said = crlf(&SAID);
    doors
        .iter()
        .flat_map(|door| said.iter().map(|said| [&[*door][..], said].concat()))
        .collect()
}

pub(crate) fn texts() -> Vec<Vec<u8>> {
    plain(&[
        "Kiitos!\n\n-- \nAino\n\nma 2. marrask. 2026 klo 10.00 Tuki <s@desk.example>\nkirjoitti:\n\n> Hei\n>\n> > vanha\n",
        "Ok\n\nOn Mon, 2 Nov 2026 at 10:00, A <a@c.example> wrote:\n\n> old\n\nanswer\n\n> older\n",
        "Ok\n\n-----Original Message-----\nFrom: A\nSent: Monday\nTo: B\nSubject: x\n\nold\n",
        "Tack\n\n________________________________\nFr\u{e5}n: A\nSkickat: den 2 november 2026\nTill: B\n\u{c4}mne: x\n\ngammalt\n",
        "Danke\n\nAm 02.11.2026 um 10:00 schrieb A <a@c.example>:\n> alt\n",
        "Hei\n\nLähetetty iPhonesta\n\n> vanha\n",
        "[#12] Re: [Ticket #34] x #56\n",
    ])
}

pub(crate) fn addresses() -> Vec<Vec<u8>> {
    plain(&[
        "a@b.example",
        "<A.B+tag@Example.FI>",
        "\"x y\"@c.example",
        "\"a\\\"b\"@c.example",
        "p\u{e4}ivi@p\u{e4}iv\u{e4}.fi",
        "a@[192.0.2.1]",
        "a@[IPv6:2001:db8::1]",
        "a@xn--piv-qlaaa.fi",
        "Aino <a@b.example>, \"B, C\" <b@c.example>; g: d@e.example;",
        "<a@b.example>a@b.example",
        "a@b@c.example",
    ])
}

pub(crate) fn results() -> Vec<Vec<u8>> {
    crlf(&[
        "Received: from a by mx.desk.example; x\nAuthentication-Results: mx.desk.example; spf=pass smtp.mailfrom=c.example;\n dkim=pass header.d=c.example header.s=s; dmarc=pass (p=reject) header.from=c.example\nReceived: from b by a; y\nFrom: A <a@c.example>\n\nx",
        "Authentication-Results: other.example; dmarc=pass header.from=c.example\nFrom: a@c.example\n\nx",
        "Authentication-Results: mx.desk.example 1; none\nAuthentication-Results: mx.desk.example; dmarc=fail\nFrom: a@c.example, b@d.example\n\nx",
        "ARC-Authentication-Results: i=1; mx.desk.example; dmarc=pass header.from=c.example\nARC-Seal: i=1; cv=none; d=s.example\nFrom: a@c.example\n\nx",
        "authentication-results: \"mx.desk.example\" (comment \\) ) ; dmarc = pass reason=\"a;b\"\nFrom: a@c.example\n\nx",
        "Authentication-Results: spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=c.example; dmarc=bestguesspass action=none header.from=c.example;compauth=pass\nFrom: a@c.example\n\nx",
    ])
}

pub(crate) fn imap() -> Vec<Vec<u8>> {
    crlf(&[
        "* OK [CAPABILITY IMAP4rev1 IDLE] ready\na1 OK done\n",
        "* 3 EXISTS\n* OK [UIDVALIDITY 17] fine\n* OK [UIDNEXT 4] x\na2 OK [READ-WRITE] selected\n",
        "* 1 FETCH (UID 7 RFC822.SIZE 12 BODY[] {10}\nSubject: x)\na3 OK\n",
        "* 1 FETCH (UID 7 BODY[HEADER] {3+}\nabc FLAGS (\\Seen $x) X-GM-LABELS (\"a\\\"b\" c))\n",
        "+ idling\n* 4 EXISTS\n* BYE gone\n",
        "a4 NO [AUTHENTICATIONFAILED] no {3}\n* 2 FETCH (UID 9 BODY[] NIL)\n* LIST (\\Sent) \"/\" \"a b\"\n",
        "* 1 FETCH (BODY[] ~{4}\nabcd UID 1)\n",
    ])
}

pub(crate) fn answers() -> Vec<Vec<u8>> {
    plain(&[
        "Tilaus\u{1f}Aino\u{1f}aino@c.example\u{1f}Bo\u{1f}2@c.example root@c.example\u{1f}c@d.example\u{1f}\u{1f}Hei,\n\nkiitos.\n",
        "Re: x!\u{1f}P\u{e4}ivi \"M\"\u{1f}\"x y\"@c.example\u{1f}\u{1f}\u{1f}\u{1f}<p>Hei</p>\u{1f}Hei\r\n.\r\n",
        "a\r\nBcc: x@y.example\u{1f}n\nX-Evil: 1\u{1f}a@b.example\u{1f}m\r\nTo: z\u{1f}<1@x>\r\nBcc: q 3@x\u{1f}\u{1f}\u{1f}From x\n",
    ])
}

pub(crate) fn html() -> Vec<Vec<u8>> {
    plain(&[
        "<p>Hei <b>A</b></p><blockquote>old</blockquote><img src=\"http://t.example/x\"><a href=\"javascript:x\">y</a>",
        "<html><head><style>p{}</style><meta http-equiv=refresh></head><body onload=x()><div class=gmail_quote>On x wrote:<table><tr><td>1</td></tr></table></div>",
        "<svg><script>1</script></svg><math><mi xlink:href=\"x\">y</mi></math><noscript><p title=\"</noscript><img src=x onerror=y>\">",
        "<ul><li>1<ol><li>2</ol></ul><pre>a\n b</pre>&amp;&lt;&#0;&#x41;&nbsp;<!-- c --><![CDATA[x]]>",
        "<div id=\"divRplyFwdMsg\"><b>From:</b> S<br><b>Sent:</b> Monday<br><b>To:</b> A<br><b>Subject:</b> x</div>",
    ])
}

pub(crate) fn uuencoded() -> Vec<Vec<u8>> {
    crlf(&[
        "Hei\n\nbegin 644 cat.txt\n#0V%T\n`\nend\n\nloppu\n",
        "begin 755 a b.bin\nM5&AE('%U:6-K(&)R;W=N(&9O>\"!J=6UP<R!O=F5R('1H92!L87IY(&1O9RX@\n \nend",
        "begin to work\nbegin 644 x\nend\n",
    ])
}

pub(crate) fn calendars() -> Vec<Vec<u8>> {
    crlf(&[
        "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VTIMEZONE\nDTSTART:16010101T000000\nEND:VTIMEZONE\nBEGIN:VEVENT\nSUMMARY;LANGUAGE=fi:Tapaaminen\\, osa\n  1\nDTSTART;TZID=\"Europe/Helsinki\":20261102T100000\nLOCATION:Huone 5\nEND:VEVENT\nEND:VCALENDAR\n",
        "BEGIN:VEVENT\nDTSTART;VALUE=DATE:20261102\nSUMMARY:\\n\\;\\\\\n",
    ])
}

pub(crate) fn reports() -> Vec<Vec<u8>> {
    crlf(&[
        "Reporting-MTA: dns; mx\nArrival-Date: x\n\nFinal-Recipient: rfc822; a@c.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 <a@c.example>\n unknown\n",
        "Original-Envelope-Id: x.y\nReporting-MTA: dns; mx\n\nOriginal-Recipient: rfc822;a@c.example\nFinal-Recipient: utf-8; \u{e4}@c.example\nAction: delayed (x)\nStatus: 4.4.7\nWill-Retry-Until: y\n\nFinal-Recipient: rfc822; b@c.example\nAction: delivered\nStatus: 2.0.0\n",
    ])
}

pub(crate) fn bounces() -> Vec<Vec<u8>> {
    crlf(&[
        "Hi. This is the qmail-send program at c.example.\n\n<a@c.example>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.1.1 unknown\nGiving up.\n\n--- Below this line is a copy of the message.\n\nMessage-ID: <1@desk.example>\nSubject: x\n\ny\n",
        "A message that you sent could not be delivered.\n\n  a@c.example\n    mailbox full (452 4.2.2)\n\n------ This is a copy of the message, including all the headers. ------\n\nReturn-path: <s@desk.example>\nMessage-ID: <1@desk.example>\n",
    ])
}
