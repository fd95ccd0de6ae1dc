//! Parts of a mail that have a format of their own. An input is the content of one part; the mail around it is whole, so
//! that every change meets the reader of the format and not that of MIME.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{Target, desk::Desk, mail::read_mail};
use crate::{chance::Chance, seeds};

/// What is the same for all.
const HEAD: &str = "From: A <a@c.example>\r\nTo: main@desk.example\r\nMIME-Version: 1.0\r\n";

/// A format.
struct Format {
    name: &'static str,
    /// What stands before the content, after [`HEAD`].
    before: &'static str,
    after: &'static str,
    base64: bool,
    seeds: fn() -> Vec<Vec<u8>>,
    words: &'static [&'static str],
    make: Option<fn(&mut Chance) -> Vec<u8>>,
}

/// All formats.
static FORMATS: [Format; 6] = [
    Format {
        name: "tnef",
        before: "Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n",
        after: "\r\n",
        base64: true,
        seeds: seeds::tnef::streams,
        words: &[],
        make: Some(seeds::tnef::stream),
    },
    Format {
        name: "uuencode",
        before: "Content-Type: text/plain; charset=utf-8\r\n\r\n",
        after: "\r\n",
        base64: false,
        seeds: seeds::uuencoded,
        words: &seeds::UUENCODE_WORDS,
        make: None,
    },
    Format {
        name: "html",
        before: "Content-Type: text/html; charset=utf-8\r\n\r\n",
        after: "\r\n",
        base64: false,
        seeds: seeds::html,
        words: &seeds::HTML_WORDS,
        make: None,
    },
    Format {
        name: "calendar",
        before: "Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\n",
        after: "\r\n",
        base64: false,
        seeds: seeds::calendars,
        words: &seeds::CALENDAR_WORDS,
        make: None,
    },
    Format {
        name: "reports",
        before: "Return-Path: <>\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"=r\"\r\n\r\n\
                 --=r\r\n\r\nSorry\r\n--=r\r\nContent-Type: message/delivery-status\r\n\r\n",
        after: "\r\n--=r\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <1@desk.example>\r\nTo: a@c.example\r\n--=r--\r\n",
        base64: false,
        seeds: seeds::reports,
        words: &seeds::REPORT_WORDS,
        make: None,
    },
    Format {
        name: "bounces",
        before: "Return-Path: <>\r\nFrom: MAILER-DAEMON@c.example\r\nSubject: failure notice\r\n\r\n",
        after: "\r\n",
        base64: false,
        seeds: seeds::bounces,
        words: &seeds::REPORT_WORDS,
        make: None,
    },
];

struct PartTarget {
    desk: Desk,
    format: &'static Format,
}

/// A target for each format.
pub(super) fn all() -> Vec<Box<dyn Target>> {
    let target = |format| -> Box<dyn Target> {
        Box::new(PartTarget {
            desk: Desk::default(),
            format,
        })
    };
    FORMATS.iter().map(target).collect()
}

impl Target for PartTarget {
    fn name(&self) -> &'static str {
        self.format.name
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        (self.format.seeds)()
    }

    fn words(&self) -> &'static [&'static str] {
        self.format.words
    }

    fn make(&self, chance: &mut Chance) -> Option<Vec<u8>> {
        self.format.make.map(|make| make(chance))
    }

    fn read(&mut self, input: &[u8]) -> u64 {
        let Format { before, after, .. } = self.format;
        let mut mail = [HEAD.as_bytes(), before.as_bytes()].concat();
        if self.format.base64 {
            mail.extend_from_slice(BASE64.encode(input).as_bytes());
        } else {
            mail.extend_from_slice(input);
        }
        mail.extend_from_slice(after.as_bytes());
        read_mail(&self.desk, &mail)
    }
}
