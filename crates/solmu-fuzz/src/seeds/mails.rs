//! Mails of many kinds and dialogues, with LF line ends that become CRLF.

/// Mails.
pub(crate) const MAILS: [&str; 10] = [
    "From: =?utf-8?Q?P=C3=A4ivi?= <p@c.example>\nTo: main@desk.example\nSubject: Re: [#12] Tilaus\nMessage-ID: <2@c.example>\n\
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
    "From: a@b.example\nContent-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=s\n\n--s\n\nsigned\n--s\n\
     Content-Type: application/pgp-signature\n\n-----BEGIN PGP SIGNATURE-----\n--s--\n",
    "From: a@b.example\nContent-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\n\
     SUMMARY:Meeting\nDTSTART:20261102T080000Z\nEND:VEVENT\nEND:VCALENDAR\n",
    "Return-Path: <a@b.example>\nReceived: from mx by mx.desk.example; x\nAuthentication-Results: mx.desk.example; dmarc=pass header.from=b.example\n\
     From: a@b.example\nAuto-Submitted: auto-replied\nX-Auto-Response-Suppress: All\nPrecedence: bulk\nList-Id: <l.b.example>\n\
     Subject: =?iso-8859-1?Q?Poissa_=E4?= =?utf-8?B?w6Q=?=\nContent-Type: text/plain; charset=iso-8859-1\n\nPoissa\n",
    "From: a@b.example\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\n boundary=\n \"e\"\n\n--e\n\
     Content-Type: application/pgp-encrypted\n\nVersion: 1\n--e\nContent-Type: application/octet-stream; name=\"e.asc\"\n\n-----BEGIN PGP MESSAGE-----\n--e--\n",
    "From: a@b.example\nTo: undisclosed-recipients:;\nContent-Type: multipart/digest; boundary=d\n\n--d\n\nSubject: one\n\n1\n--d\n\nSubject: two\n\n2\n--d--\n",
];

/// What clients say to the SMTP server.
pub(crate) const SAID: [&str; 9] = [
    "EHLO c.example\nMAIL FROM:<a@c.example>\nRCPT TO:<main@desk.example>\nDATA\nSubject: s\n\nx\n.\nQUIT\n",
    "LHLO c.example\nMAIL FROM:<a@c.example>\nRCPT TO:<main@desk.example>\nRCPT TO:<sales@desk.example>\nDATA\nSubject: s\n\n..x\n.\nQUIT\n",
    "EHLO c.example\nMAIL FROM:<> SIZE=100 BODY=8BITMIME SMTPUTF8\nRCPT TO:<sales@desk.example> NOTIFY=NEVER\nBDAT 12\nSubject: s\n\nBDAT 4 LAST\nhi\nQUIT\n",
    "HELO c\nMAIL FROM:<a@c.example>\nRCPT TO:<x@desk.example>\nRCPT TO:<main@desk.example>\nDATA\n.\n",
    "EHLO c.example\nSTARTTLS\nMAIL FROM:<@a,@b:a@c.example>\nRSET\nNOOP\nVRFY a\nHELP\nQUIT\n",
    "LHLO c\nMAIL FROM:<\"a b\"@c.example> RET=HDRS ENVID=x\nRCPT TO:<main+t.x@desk.example> ORCPT=rfc822;a\nBDAT 0 LAST\nDATA\n",
    "EHLO c\nMAIL FROM:<a@c.example>\nRCPT TO:<main@desk.example>\nDATA\na\nMAIL FROM:<evil@x>\nRCPT TO:<sales@desk.example>\nDATA\nb\n.\n",
    "GET / HTTP/1.1\nHost: x\n\n",
    "EHLO c\nAUTH PLAIN AGEAYg==\nMAIL FROM:<a@c.example> AUTH=<>\nRCPT TO:<main@desk.example>\nBDAT 99999999999999999999\nx\n",
];
