//! Makes mails by what they consist of: fields, parts within parts, encodings. Each of them is now and then wrong.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::chance::Chance;

const NAMES: [&str; 24] = [
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Sender",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Return-Path",
    "Received",
    "Delivered-To",
    "X-Original-To",
    "Authentication-Results",
    "ARC-Authentication-Results",
    "Auto-Submitted",
    "Precedence",
    "List-Id",
    "X-Original-From",
    "X-Failed-Recipients",
    "X-Solmu-Instance",
    "Content-Language",
    "MIME-Version",
];
const VALUES: [&str; 24] = [
    "a@b.example",
    "=?utf-8?Q?P=C3=A4ivi?= <p@c.example>",
    "\"a, b\" <\"x y\"@c.example>, g: d@e.example, f@e.example;",
    "<1@desk.example>",
    "<1@desk.example>\r\n <2@c.example>\r\n\t<3@c.example>",
    "Re: [#12] Tilaus",
    "=?utf-8?B?VGlsYXVz?= =?iso-8859-1?Q?_=E4?=",
    "Mon, 02 Nov 2026 10:00:00 +0200",
    "02 Nov 99 25:61 EST",
    "from mx.c.example (mx.c.example [192.0.2.1])\r\n\tby mx.desk.example with ESMTPS; Mon, 2 Nov 2026 10:00:00 +0200",
    "mx.desk.example; spf=pass smtp.mailfrom=c.example; dkim=pass header.d=c.example; dmarc=pass header.from=c.example",
    "i=1; mx.desk.example; arc=none; dmarc=fail",
    "auto-replied; owner=x",
    "no",
    "bulk",
    "<list.c.example>",
    "<>",
    "",
    "\u{e4}\u{2028}\u{202e}",
    "1.0",
    "(comment (nested) \\) ) x",
    "support+t.aaaa.bbbb@desk.example",
    "=?utf-8?Q?",
    "<<a>>@b",
];
const KINDS: [&str; 22] = [
    "text/plain",
    "text/plain; charset=utf-8",
    "text/plain; charset=iso-8859-1; format=flowed; delsp=yes",
    "text/plain; charset=utf-16",
    "text/plain; charset=utf-7",
    "text/plain; charset=iso-2022-jp",
    "text/plain; charset=gb18030",
    "text/plain; charset=\"x-unknown\"",
    "text/html",
    "text/html; charset=windows-1252",
    "text/calendar; method=REQUEST",
    "text/rfc822-headers",
    "image/png; name=\"=?utf-8?Q?=C3=A4.png?=\"",
    "application/octet-stream; name*0*=utf-8''%e4; name*1=\"b\"",
    "application/ms-tnef; name=winmail.dat",
    "application/pkcs7-mime; smime-type=signed-data",
    "application/pgp-encrypted",
    "message/rfc822",
    "message/delivery-status",
    "message/disposition-notification",
    "message/feedback-report",
    "message/partial; id=x; number=1",
];
const CONTAINERS: [&str; 9] = [
    "mixed",
    "alternative",
    "related",
    "report; report-type=delivery-status",
    "report; report-type=disposition-notification",
    "signed; protocol=\"application/pgp-signature\"",
    "encrypted; protocol=\"application/pgp-encrypted\"",
    "digest",
    "x-unknown",
];
const BOUNDARIES: [&str; 7] = ["a", "b", "a-b", "=_x", "--", "'()+_,-./:=?", "a b"];
const ENCODINGS: [&str; 8] = [
    "",
    "7bit",
    "8bit",
    "quoted-printable",
    "base64",
    "BASE64",
    "x-uuencode",
    "x-wrong",
];
const DISPOSITIONS: [&str; 6] = [
    "",
    "inline",
    "attachment",
    "attachment; filename=\"../../a.txt\"",
    "attachment; filename*=utf-8''%C3%A4.pdf",
    "inline; filename=\r\n \"folded name.eml\"",
];
const BODIES: [&str; 14] = [
    "Hei,\r\n\r\nkiitos.\r\n",
    "Ok\r\n\r\nOn Mon, 2 Nov 2026 at 10:00, A <a@c.example> wrote:\r\n\r\n> old\r\n> > older\r\n",
    "-- \r\nAino\r\n",
    "-----Original Message-----\r\nFrom: A\r\nSent: Monday\r\nTo: B\r\nSubject: x\r\n\r\nold\r\n",
    "<p>Hei <b>A</b></p><blockquote>old</blockquote><img src=\"http://t.example/x\"><a href=\"javascript:x\">y</a>",
    "<html><body><div class=gmail_quote>On x wrote:<table><tr><td>1</td></tr></table></div>",
    "Reporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\n",
    "Message-ID: <lost@desk.example>\r\nTo: a@b.example\r\nCc: c@d.example\r\n\r\n",
    "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:x\\, y\r\nDTSTART;TZID=\"a:b\":20261102T100000\r\nEND:VEVENT\r\n",
    "begin 644 a.txt\r\n#0V%T\r\n`\r\nend\r\n",
    "-----BEGIN PGP MESSAGE-----\r\n\r\nx\r\n-----END PGP MESSAGE-----\r\n",
    "a=C3=A4=\r\n=XY=3D=\r\n",
    "\u{feff}\u{200b}\u{a0}p\u{e4}iv\u{e4}\u{e4}\r\n",
    "",
];

/// A mail.
pub(crate) fn mail(chance: &mut Chance) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..chance.below(14) {
        let (name, value) = (chance.pick(&NAMES), chance.pick(&VALUES));
        let _ = write!(text, "{name}: {value}\r\n");
    }
    part(chance, 0, &mut text);
    text.into_bytes()
}

fn part(chance: &mut Chance, depth: usize, text: &mut String) {
    if depth < 6 && chance.below(5) < 2 {
        return container(chance, depth, text);
    }
    if !chance.once_in(6) {
        let _ = write!(text, "Content-Type: {}\r\n", chance.pick(&KINDS));
    }
    let encoding = *chance.pick(&ENCODINGS);
    if !encoding.is_empty() {
        let _ = write!(text, "Content-Transfer-Encoding: {encoding}\r\n");
    }
    let disposition = chance.pick(&DISPOSITIONS);
    if !disposition.is_empty() {
        let _ = write!(text, "Content-Disposition: {disposition}\r\n");
    }
    if chance.once_in(4) {
        text.push_str("Content-ID: <1@x>\r\n");
    }
    if !chance.once_in(20) {
        text.push_str("\r\n");
    }
    for _ in 0..=chance.below(3) {
        let body = if chance.once_in(8) && depth < 6 {
            String::from_utf8_lossy(&mail(chance)).into_owned()
        } else {
            (*chance.pick(&BODIES)).to_owned()
        };
        if encoding.eq_ignore_ascii_case("base64") && !chance.once_in(5) {
            text.push_str(&BASE64.encode(body));
            text.push_str("\r\n");
        } else {
            text.push_str(&body);
        }
    }
}

fn container(chance: &mut Chance, depth: usize, text: &mut String) {
    let boundary = *chance.pick(&BOUNDARIES);
    let kind = chance.pick(&CONTAINERS);
    let written = match chance.below(4) {
        0 => format!("boundary={boundary}"),
        1 => format!("boundary=\r\n \"{boundary}\""),
        2 => format!("\r\n\tboundary=\"{boundary}\""),
        _ => format!("boundary=\"{boundary}\""),
    };
    let _ = write!(text, "Content-Type: multipart/{kind}; {written}\r\n\r\n");
    if chance.once_in(6) {
        text.push_str("preamble\r\n");
    }
    for _ in 0..chance.below(4) {
        let _ = write!(text, "--{boundary}\r\n");
        part(chance, depth + 1, text);
        if !chance.once_in(8) {
            text.push_str("\r\n");
        }
    }
    if !chance.once_in(5) {
        let _ = write!(text, "--{boundary}--\r\n");
    }
}
