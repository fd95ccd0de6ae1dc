//! The keys by which mails of one conversation find each other.
//!
//! A Message-ID is what a mail is called; one without is called by a digest of what its author wrote, so that each
//! delivery of it has the same name. A number in the subject is only a hint: anybody can write it.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use crate::{automatic::Classified, mail::ParsedMail};

/// Bytes of an external id; a longer Message-ID is replaced by its digest, so that it fits an index.
const EXTERNAL_ID_MAX: usize = 500;
/// Ticket numbers that are taken from one subject.
const SUBJECT_NUMBERS_MAX: usize = 5;
/// Characters of a subject tag before its number, e.g. `Ticket `.
const TAG_WORD_MAX: usize = 24;

/// The Message-ID, or a fingerprint that is the same for each delivery of a mail without one.
#[must_use]
pub fn external_id(mail: &ParsedMail) -> String {
    match &mail.message_id {
        Some(id) if id.len() <= EXTERNAL_ID_MAX => id.clone(),
        Some(id) => format!("sha256:{}", hex::encode(Sha256::digest(id))),
        None => fingerprint(mail),
    }
}

/// SHA-256 over date, sender, subject and body. Headers that a server adds on the way are not part of it, but without a
/// date they are all that tells a machine's second alarm from its first one.
fn fingerprint(mail: &ParsedMail) -> String {
    let mut digest = Sha256::new();
    let date = mail.fields.first("date").unwrap_or_default();
    let from = mail
        .from
        .first()
        .map(|from| from.address.to_lowercase())
        .unwrap_or_default();
    let origin = if date.is_empty() {
        origin(mail)
    } else {
        String::new()
    };
    let dated = [date, &origin].concat();
    for part in [
        &dated,
        &from,
        &mail.subject,
        mail.text.trim_end(),
        mail.html.trim_end(),
    ] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    for attachment in &mail.attachments {
        digest.update(Sha256::digest(&attachment.bytes));
    }
    format!("sha256:{}", hex::encode(digest.finalize()))
}

/// Where and when a mail without a date began: the Received field of its first hop, which each delivery of it carries,
/// also one that is tried again, fetched again or imported later.
///
/// If the first hop is ours, the sender gave the mail to us directly, and a second try would get another time and id. Of
/// such a field only the sender's side and the hour count: a try after a lost answer comes within minutes and is a
/// repeat, tomorrow's alarm is not. Two equal mails of the same hour are one.
fn origin(mail: &ParsedMail) -> String {
    let first = squeezed(mail.fields.all("received").last().unwrap_or_default());
    let (trace, time) = first.rsplit_once(';').unwrap_or((&first, ""));
    match trace.split_once(" by ") {
        Some((sender, by)) if by.contains(OWN_HOP) => {
            let hour = time.split_once(':').map_or(time, |(hour, _)| hour);
            format!("{sender};{hour}")
        }
        _ => first,
    }
}

/// What our SMTP server calls itself in the Received field that it writes (`email::smtp`).
const OWN_HOP: &str = "(Solmu)";

/// One blank between words: folds do not survive every store.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The oldest ancestor that the mail names: messages of one thread share it whatever their order of arrival.
#[must_use]
pub fn conversation_key(mail: &ParsedMail, external_id: &str) -> String {
    mail.references
        .first()
        .or_else(|| mail.in_reply_to.first())
        .cloned()
        .unwrap_or_else(|| external_id.to_owned())
}

/// Every id by which a mail finds its ticket, in the order in which they are tried: what it answers, its references
/// newest first, the message that it reports on, the root of its thread, itself.
#[must_use]
pub fn keys(mail: &ParsedMail, classified: &Classified) -> Vec<String> {
    let external_id = external_id(mail);
    let bounced = classified
        .bounce
        .as_ref()
        .and_then(|bounce| bounce.message_id.clone());
    let mut seen = HashSet::new();
    let named = mail
        .in_reply_to
        .iter()
        .chain(mail.references.iter().rev())
        .cloned();
    named
        .chain(bounced)
        .chain([conversation_key(mail, &external_id), external_id])
        .filter(|key| !key.is_empty() && seen.insert(key.clone()))
        .collect()
}

/// Ticket numbers that a subject names in a tag: `[#1234]`, `[Ticket #1234]`. Without brackets a number is an order or
/// an invoice as often as a ticket.
#[must_use]
pub fn subject_ticket_numbers(subject: &str) -> Vec<i64> {
    let mut numbers = Vec::new();
    for tag in subject.split('[').skip(1) {
        let Some((tag, _)) = tag.split_once(']') else {
            continue;
        };
        if let Some(number) = tag_number(tag).filter(|number| !numbers.contains(number)) {
            numbers.push(number);
        }
        if numbers.len() == SUBJECT_NUMBERS_MAX {
            break;
        }
    }
    numbers
}

/// The number of a tag without its brackets: an optional name, `#`, digits.
fn tag_number(tag: &str) -> Option<i64> {
    let (word, digits) = tag.split_once('#')?;
    let is_name = word.chars().count() <= TAG_WORD_MAX
        && word
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | ':' | '.'));
    let digits = digits.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_name && is_number)
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    use solmu_proto::types::v1::AutomaticClass;

    use super::*;
    use crate::parse::{ParseLimits, parse};

    #[test]
    fn only_tags_in_brackets_are_numbers() {
        for (subject, wanted) in [
            ("Re: [#1234] Tilaus", vec![1234]),
            ("Re: VS: [Ticket #7] [#8] x [# 9 ]", vec![7, 8, 9]),
            ("[Tiketti: #12]", vec![12]),
            ("[#1] [#1]", vec![1]),
            ("Order #1234", vec![]),
            ("[1234]", vec![]),
            ("[#12a] [#] [#-3] [#0] [a1#5]", vec![]),
            ("[#99999999999999999999]", vec![]),
            ("[#12", vec![]),
            ("[[#12]]", vec![12]),
            ("[#1][#2][#3][#4][#5][#6]", vec![1, 2, 3, 4, 5]),
        ] {
            assert_eq!(subject_ticket_numbers(subject), wanted, "{subject}");
        }
    }

    fn id_of(text: &str) -> String {
        external_id(&parse(text.as_bytes(), &ParseLimits::default()))
    }

    /// An alarm device writes neither Message-ID nor Date, and the same words each time.
    #[test]
    fn alarms_without_a_date_are_told_apart_and_repeats_are_not() {
        let alarm = "From: alarm@plant.example\r\nSubject: Alarm\r\n\r\nDoor 7 open\r\n";
        // Straight to us: our own hop, with a new id and time on each try.
        let direct = |at: &str, id: u32, peer: &str| {
            id_of(&format!(
                "Return-Path: <a@plant.example>\r\nReceived: from plc7 ([{peer}])\r\n\tby desk.example (Solmu) with SMTP id \
                 {id:016x}\r\n\tfor <support@desk.example>;\r\n\t{at}\r\n{alarm}"
            ))
        };
        let first = direct("Sun, 22 Nov 2026 23:20:00 +0000", 1, "192.0.2.7");
        assert_eq!(
            first,
            direct("Sun, 22 Nov 2026 23:21:40 +0000", 2, "192.0.2.7")
        );
        for (at, peer) in [
            ("Mon, 23 Nov 2026 23:20:00 +0000", "192.0.2.7"),
            ("Sun, 22 Nov 2026 22:20:00 +0000", "192.0.2.7"),
            ("Sun, 22 Nov 2026 23:20:00 +0000", "192.0.2.8"),
        ] {
            assert_ne!(first, direct(at, 1, peer), "{at} {peer}");
        }
        // By a relay that gave it an id: each try, each way and each fetch of it has the relay's field at the bottom.
        let relayed = |above: &str, queue: &str| {
            id_of(&format!(
                "{above}Received: from plc7 by relay.example with SMTP id {queue};\r\n Sun, 22 Nov 2026 23:20:00 +0000\r\n{alarm}"
            ))
        };
        let ours = "Received: from relay by desk.example (Solmu) with ESMTP id 1;\r\n\tMon, 23 Nov 2026 02:00:00 +0000\r\n";
        let one = relayed(ours, "4F1");
        assert_eq!(one, relayed("", "4F1"));
        assert_eq!(
            one,
            relayed(
                "Received: from a by b; x\r\nReceived: from relay by a; y\r\n",
                "4F1"
            )
        );
        assert_ne!(one, relayed(ours, "4F2"));
        // A date is enough, as ever, and a stored mail without any trace is what it says.
        let dated = |above: &str| id_of(&format!("{above}Date: x\r\n{alarm}"));
        assert_eq!(dated(ours), dated(""));
        assert_eq!(id_of(alarm), id_of(alarm));
    }

    #[test]
    fn keys_are_newest_first_and_each_once() {
        let human = Classified {
            class: AutomaticClass::Human,
            reason: "",
            bounce: None,
            rewritten: None,
        };
        let read = |text: &str| parse(text.as_bytes(), &ParseLimits::default());
        let answer = read(
            "Message-ID: <4@x>\r\nIn-Reply-To: <3@x>\r\nReferences: <1@x> <2@x> <3@x>\r\n\r\nx",
        );
        assert_eq!(keys(&answer, &human), ["3@x", "2@x", "1@x", "4@x"]);
        let alone = read("From: a@b.example\r\nSubject: s\r\n\r\nx");
        let keys = keys(&alone, &human);
        assert!(
            keys.len() == 1 && keys[0].starts_with("sha256:"),
            "{keys:?}"
        );
        let long = read(&format!("Message-ID: <{}@x>\r\n\r\nx", "a".repeat(600)));
        assert_eq!(external_id(&long).len(), "sha256:".len() + 64);
    }
}
