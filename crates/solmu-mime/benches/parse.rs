//! How fast mail is read, beside the MIME library alone.
//!
//! ```text
//! cargo bench -p solmu-mime                         # mails made here: plain, alternative, with a file, HTML alone
//! cargo bench -p solmu-mime -- FOLDER [SECONDS]     # the .eml files of a folder, below it too
//! cargo bench -p solmu-mime -- - 10 ours            # one row alone, for a profiler
//! ```
//!
//! Four rows: `mail-parser` takes a mail apart; `mail-parser, sanitised` also makes its HTML safe and its text, which is
//! the least that any reader of untrusted mail has to do; `ours` is [`solmu_mime::parse::parse`], which does that with
//! limits and mends what is broken; `ours, described` is all of `solmu email parse`. Each row reads all mails over and
//! over for the same time on one thread. The rows take turns and the best turn of each counts, because other programs
//! only ever slow one down. The column `times` is the time of the second row as a multiple: the goal is `ours` within 1.5.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    hint::black_box,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mail_parser::{MessageParser, PartType};
use solmu_domain::signed::Signer;
use solmu_mime::{
    authenticity::Trust,
    automatic::Surroundings,
    describe::describe,
    parse::{ParseLimits, parse},
};
use solmu_text::{html_to_text, sanitise_html};

/// Mails that are made when no folder is given.
const MADE: usize = 400;
/// Turns of each row, of which the best counts.
const ROUNDS: u32 = 12;
/// Seconds of a row unless told.
const SECONDS: u64 = 6;

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` passes its own flags along.
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let (mails, name) = match arguments.next() {
        Some(folder) if folder != "-" => (folder_mails(Path::new(&folder))?, folder),
        _ => (
            (0..MADE).map(made_mail).collect(),
            "mails made here".to_owned(),
        ),
    };
    let seconds = arguments.next().map_or(Ok(SECONDS), |text| text.parse())?;
    let only = arguments.next();
    let bytes: usize = mails.iter().map(Vec::len).sum();
    if mails.is_empty() {
        return Err("there is no .eml file in that folder".into());
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} mails, {bytes} bytes, of {name}\n{:<24} {:>10} {:>8} {:>8}",
        mails.len(),
        "",
        "mails/s",
        "MB/s",
        "times"
    )?;
    let signer = Signer::new([("a".to_owned(), vec![1; 32])])?;
    let limits = ParseLimits::default();
    let described = |raw: &[u8]| {
        let around = Surroundings {
            mail_from: None,
            is_own: &|_| false,
            signer: &signer,
        };
        let trust = Trust {
            authserv_id: None,
            trusted_hops: 1,
        };
        drop(black_box(describe(raw, &limits, &around, trust)));
    };
    let ours = |raw: &[u8]| drop(black_box(parse(raw, &limits)));
    let rows: [(&str, Read<'_>); 4] = [
        ("mail-parser", &library),
        ("mail-parser, sanitised", &library_sanitised),
        ("ours", &ours),
        ("ours, described", &described),
    ];
    let round = Duration::from_secs(seconds) / ROUNDS;
    let mut best = [0.0_f64; 4];
    for _ in 0..ROUNDS {
        for ((name, read), best) in rows.iter().zip(&mut best) {
            if only.as_deref().is_some_and(|only| only != *name) {
                continue;
            }
            *best = best.max(rate(&mails, round, *read));
        }
    }
    let mean = f64::from(u32::try_from(bytes / mails.len())?);
    for ((name, _), rate) in rows.iter().zip(best) {
        let megabytes = rate * mean / 1e6;
        let times = best[1] / rate;
        writeln!(out, "{name:<24} {rate:>10.0} {megabytes:>8.1} {times:>8.2}")?;
    }
    Ok(())
}

/// One way of reading a mail.
type Read<'a> = &'a dyn Fn(&[u8]);

/// Mails per second in one round.
fn rate(mails: &[Vec<u8>], round: Duration, read: Read<'_>) -> f64 {
    let (mut count, begin) = (0_u32, Instant::now());
    while begin.elapsed() < round {
        for mail in mails {
            read(mail);
            count += 1;
        }
    }
    f64::from(count) / begin.elapsed().as_secs_f64()
}

fn library(raw: &[u8]) {
    drop(black_box(MessageParser::default().parse(raw)));
}

/// The library, and what every reader of untrusted mail adds: safe HTML, and a text where there is only HTML.
fn library_sanitised(raw: &[u8]) {
    let Some(message) = MessageParser::default().parse(raw) else {
        return;
    };
    let is_html = |body: &PartType<'_>| matches!(body, PartType::Html(_));
    let has_text = message.text_bodies().any(|part| !is_html(&part.body));
    for part in message.html_bodies() {
        if let PartType::Html(html) = &part.body {
            black_box(sanitise_html(html));
            if !has_text {
                black_box(html_to_text(html));
            }
        }
    }
    black_box(message.body_text(0));
}

fn folder_mails(folder: &Path) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut mails = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "eml") {
                mails.push(fs::read(path)?);
            }
        }
    }
    Ok(mails)
}

fn framed<'a>(lines: impl Iterator<Item = &'a str>, before: &str, after: &str) -> String {
    let mut framed = String::new();
    for line in lines {
        let _ = write!(framed, "{before}{line}{after}\r\n");
    }
    framed
}

/// The same mail for the same number: nine in twenty plain, eight alternative, two with a file, one HTML alone.
fn made_mail(number: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "tilaus",
        "ei",
        "ole",
        "saapunut",
        "päivää",
        "kiitos",
        "viikko",
        "lasku",
        "order",
        "has",
        "not",
        "arrived",
        "please",
        "look",
        "into",
        "it",
    ];
    let mut text = String::from("Hei,\r\n\r\n");
    for word in 0..60 + number * 7 % 160 {
        text.push_str(WORDS[(number * 31 + word * 17 + word * word) % WORDS.len()]);
        text.push_str(if word % 11 == 10 { "\r\n" } else { " " });
    }
    let quoted = framed(text.lines().take(12), "> ", "");
    let _ = write!(
        text,
        "\r\n-- \r\nAino Aalto\r\n\r\nma 2. marrask. 2026 klo 10.00 Tuki <tuki@desk.example> kirjoitti:\r\n{quoted}"
    );
    let html = framed(text.lines(), "<p>", "</p>");
    let mut mail = format!(
        "Return-Path: <aino{number}@c.example>\r\nReceived: from mx.c.example (mx.c.example [192.0.2.1])\r\n\tby in.desk.example \
         with ESMTPS id {number};\r\n\tMon, 2 Nov 2026 10:00:00 +0200\r\nFrom: =?utf-8?Q?Aino_=C3=84nkyr=C3=A4?= <aino{number}@c.example>\r\n\
         To: Tuki <support@desk.example>\r\nSubject: =?utf-8?B?VGlsYXVzIGVpIG9sZSBzYWFwdW51dA==?= {number}\r\n\
         Date: Mon, 2 Nov 2026 10:00:00 +0200\r\nMessage-ID: <{number}@c.example>\r\nIn-Reply-To: <b{number}@desk.example>\r\n\
         References: <a{number}@desk.example>\r\n <b{number}@desk.example>\r\nMIME-Version: 1.0\r\n"
    );
    let alternative = format!(
        "Content-Type: multipart/alternative; boundary=\"=_alt\"\r\n\r\n--=_alt\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n\
         --=_alt\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>{html}</body></html>\r\n--=_alt--\r\n"
    );
    match number % 20 {
        0..9 => {
            let _ = write!(
                mail,
                "Content-Type: text/plain; charset=utf-8\r\n\r\n{text}"
            );
        }
        9..17 => mail.push_str(&alternative),
        17..19 => {
            let file =
                "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n"
                    .repeat(50 + number % 300);
            let _ = write!(
                mail,
                "Content-Type: multipart/mixed; boundary=\"=_mix\"\r\n\r\n--=_mix\r\n{alternative}\r\n--=_mix\r\n\
                 Content-Type: application/pdf; name=\"liite.pdf\"\r\nContent-Disposition: attachment; filename=\"liite.pdf\"\r\n\
                 Content-Transfer-Encoding: base64\r\n\r\n{file}--=_mix--\r\n"
            );
        }
        _ => {
            let _ = write!(
                mail,
                "Content-Type: text/html; charset=utf-8\r\n\r\n<html><body>{html}</body></html>"
            );
        }
    }
    mail.into_bytes()
}
