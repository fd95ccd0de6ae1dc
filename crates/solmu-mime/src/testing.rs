//! What the tests of this crate share.

use std::path::PathBuf;

use solmu_domain::signed::Signer;

pub(crate) fn signer() -> Signer {
    Signer::new([("a".to_owned(), vec![1; 32])]).expect("the key is long enough")
}

/// A folder of samples of others, or `None` with a line that says so.
pub(crate) fn fixtures(folder: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/fixtures")
        .join(folder);
    if root.is_dir() {
        return Some(root);
    }
    eprintln!("the samples of '{folder}' are not here: this test did not run");
    None
}

/// Mails of many kinds, written by hand, with LF line ends: what tests change and break.
pub(crate) const MAILS: [&str; 8] = [
    "From: =?utf-8?Q?P=C3=A4ivi?= <p@c.example>\nTo: s@desk.example\nSubject: Re: [#12] Tilaus\nMessage-ID: <2@c.example>\n\
     In-Reply-To: <1@desk.example>\nReferences: <0@c.example> <1@desk.example>\nDate: Mon, 02 Nov 2026 10:00:00 +0200\n\
     Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nKiitos =C3=A4iti!\n\n-- =\n\nP\n\n\
     ma 2. marrask. 2026 klo 10.00 Tuki <s@desk.example>\nkirjoitti:\n\n> Hei\n>\n> > vanha\n",
    "From: a@b.example\nContent-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: multipart/alternative; boundary=a\n\n\
     --a\n\nplain\n--a\nContent-Type: text/html; charset=iso-8859-1\n\n<p>rich</p><blockquote>old</blockquote>\n--a--\n--m\n\
     Content-Type: image/png; name*=utf-8''%C3%A4.png\nContent-ID: <1@x>\nContent-Disposition: inline\n\
     Content-Transfer-Encoding: base64\n\niVBORw0KGgo=\n--m\nContent-Type: message/rfc822\n\nSubject: inner\n\nx\n--m--\n",
    "From: MAILER-DAEMON@mx.example\nReturn-Path: <>\nContent-Type: multipart/report; report-type=delivery-status; boundary=r\n\n\
     --r\n\nsorry\n--r\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; a@b.example\n\
     Action: failed\nStatus: 5.1.1\n--r\nContent-Type: text/rfc822-headers\n\nMessage-ID: <lost@desk.example>\n--r--\n",
    "From: a@b.example\nContent-Type: text/html; charset=utf-8\n\n<div>Ok</div><hr><div id=\"divRplyFwdMsg\"><b>From:</b> S<br>\
     <b>Sent:</b> Monday<br><b>To:</b> A<br><b>Subject:</b> x</div><table><tr><td>cell</td></tr></table>\n",
    "From: a@b.example\nSubject: old mailer\n\nHello\n\nbegin 644 cat.txt\n#0V%T\n`\nend\n\nbye\n",
    "From: a@b.example\nContent-Type: multipart/mixed; boundary=t\n\n--t\nContent-Type: application/ms-tnef; name=winmail.dat\n\
     Content-Transfer-Encoding: base64\n\neJ8+IgEAAQyAAgAGAAAASGVsbG8A9AECApAGAA4AAAAAAAAAAAAAAAAAAAAAAAAAAhCAAQAGAAAA\n\
     YS50eHQA7wECD4AGAAMAAABhYmMmAQ==\n--t--\n",
    "From: a@b.example\nContent-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=s\n\n--s\n\nsigned\n--s\n\
     Content-Type: application/pgp-signature\n\n-----BEGIN PGP SIGNATURE-----\n--s--\n",
    "From: a@b.example\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\n\
     SUMMARY:Meeting\nDTSTART:20261102T080000Z\nEND:VEVENT\nEND:VCALENDAR\n",
];
