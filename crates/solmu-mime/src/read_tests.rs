//! The whole way of reading, against bytes that nobody would send on purpose, and some that somebody would.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use solmu_domain::rng::{Rng, SeededRng};

use crate::{
    authenticity::Trust,
    automatic::Surroundings,
    describe::describe,
    parse::{ParseLimits, parse},
    quotes,
    testing::{MAILS, signer},
    threading::subject_ticket_numbers,
};

/// Mails that one run of the mutation test makes.
const ROUNDS: usize = 4_000;
/// No mail of these tests may take longer in a debug build on a busy machine. What took time with the square of its
/// length would need hours.
const LONGEST: Duration = Duration::from_secs(20);

/// Reads `raw` in every way there is, and checks what must always hold.
fn read(raw: &[u8], limits: &ParseLimits) {
    let signer = signer();
    let around = Surroundings {
        mail_from: None,
        is_own: &|_| false,
        signer: &signer,
    };
    let trust = Trust {
        authserv_id: Some("mx.desk.example"),
        trusted_hops: 1,
    };
    let described = describe(raw, limits, &around, trust);
    serde_json::to_string(&described).unwrap();
    let mail = parse(raw, limits);
    check_quotes(&mail.text);
    drop(subject_ticket_numbers(&mail.subject));
    for text in [&mail.text, &mail.html, &mail.subject] {
        assert!(!text.contains('\0'));
    }
    assert!(mail.text.len() <= limits.text_bytes);
    assert!(mail.attachments.len() <= limits.attachments);
}

fn check_quotes(text: &str) {
    let found = quotes::find(text);
    for at in [found.quote, found.signature].into_iter().flatten() {
        assert!(text.is_char_boundary(at));
        // Both begin at the beginning of a line.
        assert!(at == 0 || text[..at].ends_with('\n'), "{text:?} {found:?}");
    }
    let offsets = found.in_characters(text);
    let length = text.chars().count();
    assert!(offsets.quote.is_none_or(|at| at <= length));
    assert!(offsets.signature.is_none_or(|at| at <= length));
    assert!(text.contains(found.visible(text)));
}

fn small_limits() -> ParseLimits {
    ParseLimits {
        attached_text_bytes: 1_000,
        parts: 6,
        depth: 3,
        header_bytes: 300,
        references: 2,
        mailboxes: 2,
        text_bytes: 120,
        html_bytes: 120,
        attachments: 2,
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        read(&bytes, &ParseLimits::default());
    }

    #[test]
    fn no_text_makes_wrong_offsets(lines in proptest::collection::vec(line(), 0..25), crlf in any::<bool>()) {
        check_quotes(&lines.join(if crlf { "\r\n" } else { "\n" }));
    }

    /// What is written between two quoted lines is always visible.
    #[test]
    fn answers_between_are_never_folded(head in proptest::collection::vec("> [a-z ]{0,9}", 1..5), answer in "[a-z]{1,9} [a-z]{1,9}", tail in proptest::collection::vec("> [a-z ]{0,9}", 0..5)) {
        let text = format!("Bo <b@c.example> wrote:\n{}\n\n{answer}\n\n{}", head.join("\n"), tail.join("\n"));
        let found = quotes::find(&text);
        prop_assert!(found.visible(&text).contains(&answer), "{}", text);
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("On Mon, 2 Nov 2026 at 10:00, A <a@c.example> wrote:".to_owned()),
        Just("Päivi <p@c.example>".to_owned()),
        Just("kirjoitti 2.11.2026 klo 10.00:".to_owned()),
        Just("From: A".to_owned()),
        Just("*Subject:* ä".to_owned()),
        Just("Lähetetty: 10.00".to_owned()),
        Just("-----Original Message-----".to_owned()),
        Just("________________".to_owned()),
        Just("-- ".to_owned()),
        Just("--".to_owned()),
        Just("Sent from my iPhone".to_owned()),
        Just(">".to_owned()),
        Just("> > ö".to_owned()),
        Just(String::new()),
        Just("\u{200b}\u{a0}".to_owned()),
        "\\PC{0,12}",
    ]
}

/// The same mails in every run: a failure is found again by its number.
#[test]
fn no_change_of_a_mail_panics() {
    let rng = SeededRng::new(20_261_102);
    let mails: Vec<Vec<u8>> = MAILS
        .iter()
        .map(|mail| mail.replace('\n', "\r\n").into_bytes())
        .collect();
    let (limits, small) = (ParseLimits::default(), small_limits());
    for round in 0..ROUNDS {
        let mut mail = pick(&rng, &mails).clone();
        for _ in 0..=below(&rng, 4) {
            change(&rng, &mut mail, &mails);
        }
        read(&mail, if round % 2 == 0 { &limits } else { &small });
    }
}

fn below(rng: &SeededRng, end: usize) -> usize {
    usize::try_from(rng.next_u64() % end.max(1) as u64).unwrap()
}

fn pick<'a, T>(rng: &SeededRng, list: &'a [T]) -> &'a T {
    &list[below(rng, list.len())]
}

/// Breaks a mail in one of the ways in which mails are broken on their way.
fn change(rng: &SeededRng, mail: &mut Vec<u8>, mails: &[Vec<u8>]) {
    const PIECES: [&str; 14] = [
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "--m\r\n",
        "--m--\r\n",
        "=",
        "=\r\n",
        ">",
        "\0",
        "\u{feff}",
        "Content-Type: multipart/mixed; boundary=m\r\n",
        "charset=utf-16",
        "begin 644 x\r\n",
    ];
    let at = below(rng, mail.len() + 1);
    let length = below(rng, 40).min(mail.len() - at);
    match below(rng, 7) {
        0 => mail.truncate(at),
        1 => drop(mail.drain(at..at + length)),
        2 => {
            let copy = mail[at..at + length].to_vec();
            mail.splice(at..at, copy);
        }
        3 => drop(mail.splice(at..at, pick(rng, &PIECES).bytes())),
        4 => {
            let other = pick(rng, mails);
            let from = below(rng, other.len());
            mail.splice(at.., other[from..].iter().copied());
        }
        _ => {
            if let Some(byte) = mail.get_mut(at) {
                *byte = rng.next_u64().to_le_bytes()[0];
            }
        }
    }
}

#[test]
fn hostile_mails_take_no_longer_than_others() {
    let header = "From: a@b.example\r\n";
    let deep = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n".repeat(20_000);
    for (name, mail) in [
        ("marks", format!("{header}\r\n{}", ">\r\n".repeat(100_000))),
        ("deep marks", format!("{header}\r\n{}", ">".repeat(200_000))),
        (
            "attributions",
            format!("{header}\r\n{}", "a@b 10:00 wrote:\r\n".repeat(50_000)),
        ),
        (
            "boundaries",
            format!(
                "{header}Content-Type: multipart/mixed; boundary=x\r\n\r\n{}",
                "--x\r\n".repeat(200_000)
            ),
        ),
        ("nesting", deep),
        (
            "messages",
            "Content-Type: message/rfc822\r\n\r\n".repeat(100_000),
        ),
        (
            "quotes of html",
            format!(
                "{header}Content-Type: text/html\r\n\r\n{}",
                "<blockquote>".repeat(50_000)
            ),
        ),
        (
            "tables",
            format!(
                "{header}Content-Type: text/html\r\n\r\n{}",
                "<table><tr><td>".repeat(30_000)
            ),
        ),
        (
            "no fields",
            format!("{header}{}X-A: 1\r\n\r\nx", "no field\r\n".repeat(100_000)),
        ),
        (
            "files",
            format!("{header}\r\n{}", "begin 644 x\r\n#0V%T\r\n".repeat(50_000)),
        ),
        (
            "whole files",
            format!(
                "{header}\r\n{}",
                "begin 644 x\r\n#0V%T\r\nend\r\n".repeat(50_000)
            ),
        ),
        (
            "addresses",
            format!("To: {}\r\n\r\nx", "<a>b, ".repeat(100_000)),
        ),
        (
            "references",
            format!("References: {}\r\n\r\nx", "<a@b> ".repeat(100_000)),
        ),
        (
            "encoded words",
            format!("Subject: {}\r\n\r\nx", "=?utf-8?Q?=C3=A4?= ".repeat(50_000)),
        ),
        (
            "tags",
            format!("Subject: {}\r\n\r\nx", "[#1".repeat(50_000)),
        ),
        (
            "entities",
            format!(
                "{header}Content-Type: text/html\r\n\r\n{}",
                "&amp;lt;".repeat(100_000)
            ),
        ),
    ] {
        let begin = Instant::now();
        read(mail.as_bytes(), &ParseLimits::default());
        let took = begin.elapsed();
        assert!(took < LONGEST, "{name} took {took:?}");
        println!("{name}: {took:?}");
    }
}
