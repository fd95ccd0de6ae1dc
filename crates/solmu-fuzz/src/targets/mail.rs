//! A whole mail, from its bytes to the event on the bus and the JSON of `solmu email parse`.

use prost::Message as _;
use solmu_email::message::{Known, delivery_report, to_event};
use solmu_mime::{
    address::Address,
    authenticity::{Findings, Trust, judge},
    automatic::{Classified, Surroundings, classify},
    describe::describe,
    mail::ParsedMail,
    parse::{ParseLimits, parse},
};
use solmu_proto::inbound::v1::MessageReceived;

use super::{
    Target,
    desk::{Desk, now},
    quotes::check_quotes,
    size_class, way,
};
use crate::{chance::Chance, grammar, seeds};

/// Whole mails.
#[derive(Debug, Default)]
pub(super) struct MailTarget {
    desk: Desk,
}

impl Target for MailTarget {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        seeds::mails()
    }

    fn words(&self) -> &'static [&'static str] {
        &seeds::MAIL_WORDS
    }

    fn make(&self, chance: &mut Chance) -> Option<Vec<u8>> {
        Some(grammar::mail(chance))
    }

    fn read(&mut self, input: &[u8]) -> u64 {
        read_mail(&self.desk, input)
    }
}

/// Reads `raw` as it is read on its way in, with large and with small limits.
pub(super) fn read_mail(desk: &Desk, raw: &[u8]) -> u64 {
    let first = read_within(desk, raw, &desk.limits);
    way((first, read_within(desk, raw, &desk.small)))
}

fn read_within(desk: &Desk, raw: &[u8], limits: &ParseLimits) -> u64 {
    let around = Surroundings {
        mail_from: Some("a@c.example"),
        is_own: &|address: &Address| desk.accounts.is_own(address),
        signer: &desk.signer,
    };
    let trust = Trust {
        authserv_id: Some("mx.desk.example"),
        trusted_hops: 1,
    };
    let mail = parse(raw, limits);
    check_mail(&mail, limits);
    let classified = classify(&mail, &around);
    let findings = judge(&mail, trust);
    let described = describe(raw, limits, &around, trust);
    let json = serde_json::to_string(&described).expect("a description is JSON");
    assert!(!json.contains("\\u0000"), "a NUL in the description");
    let event = event(desk, &mail, &classified, &findings);
    let again = parse(raw, limits);
    assert!(again == mail, "the same bytes were read in two ways");
    way((
        (
            &event.automatic_class,
            classified.reason,
            &classified
                .bounce
                .map(|bounce| (bounce.class, bounce.status)),
        ),
        (mail.protection.is_encrypted(), &mail.content_type),
        notices_without_numbers(&mail),
        [
            size_class(mail.attachments.len()),
            size_class(mail.fields.0.len()),
            size_class(mail.references.len()),
            size_class(mail.to.len() + mail.cc.len()),
            size_class(mail.reports.len()),
            size_class(mail.text.len()),
            size_class(mail.html.len()),
        ],
        (
            event.quote_offset.is_some(),
            event.signature_offset.is_some(),
        ),
        (mail.date.is_some(), mail.message_id.is_some()),
        findings
            .dmarc
            .map(solmu_mime::authenticity::ResultWord::as_str),
        &event.language,
    ))
}

fn check_mail(mail: &ParsedMail, limits: &ParseLimits) {
    for text in [&mail.text, &mail.html, &mail.subject] {
        assert!(!text.contains('\0'), "a NUL in a text");
    }
    assert!(
        mail.text.len() <= limits.text_bytes,
        "a text over its limit"
    );
    assert!(
        mail.attachments.len() <= limits.attachments,
        "more files than there may be"
    );
    for list in [&mail.to, &mail.cc, &mail.reply_to] {
        assert!(
            list.len() <= limits.mailboxes,
            "more recipients than there may be"
        );
    }
    for file in &mail.attachments {
        let name = &file.filename;
        let safe = !name.contains(['/', '\\']) && !name.chars().any(char::is_control);
        assert!(
            safe && !name.starts_with('.'),
            "a file name that is not safe"
        );
    }
    for mailbox in mail.from.iter().chain(&mail.to).chain(&mail.cc) {
        let line = [&mailbox.name, &mailbox.address];
        assert!(
            line.iter().all(|text| !text.chars().any(char::is_control)),
            "a name or address that is no line"
        );
    }
    check_html(&mail.html);
    check_quotes(&mail.text);
}

/// What sanitised HTML may never have.
fn check_html(html: &str) {
    let lower = html.to_ascii_lowercase();
    for bad in [
        "<script", "<style", "<iframe", "<object", "<embed", "<form", "<svg", "<meta", "<link",
        "<base",
    ] {
        assert!(!lower.contains(bad), "{bad} in sanitised HTML");
    }
    for (name, value) in attributes(&lower) {
        let value = value.trim_start();
        assert!(
            !name.starts_with("on"),
            "a handler in sanitised HTML: {name}"
        );
        assert!(
            name != "src" || value.starts_with("cid:"),
            "what loads by itself: {value}"
        );
        let runs = ["javascript:", "vbscript:", "data:"];
        assert!(
            name != "href" || !runs.iter().any(|scheme| value.starts_with(scheme)),
            "a link that runs: {value}"
        );
    }
}

/// Attributes of all tags, as the HTML writer writes them: values in double quotes.
fn attributes(html: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        // Text has no bare `<`, so this is a tag: up to the first `>` that is not in quotes.
        while let Some(at) = rest.find(['>', '"']) {
            let (head, tail) = (&rest[..at], &rest[at + 1..]);
            if rest.as_bytes()[at] == b'>' {
                rest = tail;
                break;
            }
            let name = head
                .trim_end_matches('=')
                .rsplit(' ')
                .next()
                .unwrap_or_default();
            let end = tail.find('"').unwrap_or(tail.len());
            found.push((name, &tail[..end]));
            rest = tail.get(end + 1..).unwrap_or_default();
        }
    }
    found
}

fn event(
    desk: &Desk,
    mail: &ParsedMail,
    classified: &Classified,
    findings: &Findings,
) -> MessageReceived {
    let known = Known {
        mail,
        classified,
        findings,
        recipients: &[],
        mail_from: Some("a@c.example"),
        received: now(),
    };
    let event = to_event(&known, &desk.account, &desk.signer);
    let bytes = event.encode_to_vec();
    let decoded = MessageReceived::decode(bytes.as_slice());
    assert!(
        decoded.as_ref() == Ok(&event),
        "an event that is read otherwise"
    );
    let shown = format!("{event:?}").replace("\\\\", "");
    assert!(!shown.contains("\\0"), "a NUL in an event");
    assert!(!event.external_id.is_empty(), "a message without an id");
    assert!(
        !event.conversation_key.is_empty(),
        "a message without a conversation"
    );
    let length = mail.text.chars().count();
    for offset in [event.quote_offset, event.signature_offset]
        .into_iter()
        .flatten()
    {
        assert!(
            usize::try_from(offset).is_ok_and(|offset| offset <= length),
            "an offset outside of the text"
        );
    }
    let threading = event.threading.as_ref().expect("a mail has one");
    // Nobody has the key: what is signed was in the seeds, and those name no ticket.
    assert!(threading.signed_ticket_ids.is_empty(), "a forged ticket");
    if let Some(report) = delivery_report(&known, &desk.account, &desk.signer) {
        assert!(report.message_id.is_empty(), "a forged report");
    }
    event
}

fn notices_without_numbers(mail: &ParsedMail) -> Vec<String> {
    let short = |notice: &String| {
        notice
            .chars()
            .filter(|c| !c.is_ascii_digit())
            .take(24)
            .collect()
    };
    mail.notices.iter().map(short).collect()
}
