//! Delivery reports: what did not arrive, why, and which of our messages it was.
//!
//! With a `message/delivery-status` part (RFC 3464) all of it is written down. qmail, Exim, OpenSMTPD, Yahoo and old
//! Exchange write prose; from that only a status code and the returned Message-ID are taken.

mod words;

use solmu_domain::signed::Signer;
use solmu_proto::types::v1::AutomaticClass as Class;

use crate::{
    mail::{Fields, ParsedMail},
    reply_address::own_message,
};

/// What a delivery report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// Hard, soft, delay, or report (delivered after all).
    pub class: Class,
    /// Message-ID of what was sent, without angle brackets.
    pub message_id: Option<String>,
    /// Enhanced status (RFC 3463), for example `5.1.1`; empty if none was found.
    pub status: String,
    /// Diagnostic text of the other side, one line; empty if none was found.
    pub diagnostic: String,
}

/// Reads a machine-readable delivery report.
pub(super) fn of_report(mail: &ParsedMail) -> Option<Bounce> {
    let report = mail
        .reports
        .iter()
        .find(|report| report.content_type.ends_with("delivery-status"));
    if report.is_none() && mail.report_type != "delivery-status" {
        return None;
    }
    let text = report.map_or("", |report| report.text.as_str());
    let groups = recipient_groups(text);
    let worst = groups.iter().max_by_key(|group| severity(class_of(group)));
    let bounce = match worst {
        Some(group) => Bounce {
            class: class_of(group),
            message_id: None,
            status: status_word(group.first("status").unwrap_or_default()).unwrap_or_default(),
            diagnostic: group
                .first("diagnostic-code")
                .unwrap_or_default()
                .to_owned(),
        },
        None => from_text(&mail.text),
    };
    let message_id = returned_id(mail).or_else(|| mail.in_reply_to.first().cloned());
    Some(Bounce {
        message_id,
        ..bounce
    })
}

/// The per-recipient groups of a delivery status (RFC 3464 section 2.1): the blocks after the first.
fn recipient_groups(text: &str) -> Vec<Fields> {
    let mut groups = vec![Fields::default()];
    for line in text.lines() {
        if line.trim().is_empty() {
            groups.push(Fields::default());
            continue;
        }
        let Some(group) = groups.last_mut() else {
            continue;
        };
        if line.starts_with([' ', '\t']) {
            if let Some(field) = group.0.last_mut() {
                field.value.push(' ');
                field.value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            group.0.push(crate::mail::Field { name, value });
        }
    }
    groups.retain(|group| group.has("action") || group.has("status"));
    groups
}

fn class_of(group: &Fields) -> Class {
    let action = group
        .first("action")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let status = status_word(group.first("status").unwrap_or_default()).unwrap_or_default();
    match action.split_whitespace().next().unwrap_or_default() {
        "delayed" => Class::Delay,
        "delivered" | "relayed" | "expanded" => Class::Report,
        _ => failure_class(&status, group.first("diagnostic-code").unwrap_or_default()),
    }
}

/// Hard is what says that the address is bad; a full mailbox, a size or a policy says nothing about the address.
/// Words weigh more than the number: servers that hide who is there say "policy" where they mean "nobody".
fn failure_class(status: &str, diagnostic: &str) -> Class {
    let said = diagnostic.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&FULL) {
        return Class::BounceSoft;
    }
    if status.starts_with('5') && says(&NOBODY) {
        return Class::BounceHard;
    }
    let mut numbers = status.split('.');
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some("4"), ..) | (Some("5"), Some("7"), _) => Class::BounceSoft,
        (Some("5"), Some("2"), Some("2" | "3")) | (Some("5"), Some("3"), Some("4")) => {
            Class::BounceSoft
        }
        (Some("2"), ..) => Class::Report,
        _ => Class::BounceHard,
    }
}

/// What servers say when there is nobody of that name.
const NOBODY: [&str; 10] = [
    "user unknown",
    "unknown user",
    "no such user",
    "does not exist",
    "doesn't exist",
    "recipient not found",
    "recipnotfound",
    "no mailbox here",
    "mailbox not found",
    "unknown recipient",
];

/// What servers say when a mailbox is full.
const FULL: [&str; 4] = [
    "mailbox full",
    "mailbox is full",
    "over quota",
    "quota exceeded",
];

fn severity(class: Class) -> u8 {
    match class {
        Class::BounceHard => 3,
        Class::BounceSoft => 2,
        Class::Delay => 1,
        _ => 0,
    }
}

/// Reads a report in prose, if the mail is one: an automatic sender and the subject or words of a bounce, or our own
/// Message-ID in a mail from nobody.
pub(super) fn without_report(
    mail: &ParsedMail,
    null_sender: bool,
    signer: &Signer,
) -> Option<Bounce> {
    // DragonFly writes `MAILER-DAEMON <>`: a name and no address.
    let sender = mail.author().map(|from| {
        let shown = Some(&from.address).filter(|address| !address.is_empty());
        shown.unwrap_or(&from.name).to_ascii_lowercase()
    });
    let sender = sender.unwrap_or_default();
    let by_daemon = sender.starts_with("mailer-daemon");
    let by_system = by_daemon
        || sender.is_empty()
        || ["postmaster", "post_master", "mail delivery"]
            .iter()
            .any(|known| sender.starts_with(known));
    let failed_header = mail.fields.has("x-failed-recipients");
    let subject = mail.subject.to_lowercase();
    let by_subject = SUBJECTS.iter().any(|known| subject.contains(known))
        || (by_system && words::fails(&subject));
    let system_like = by_system || null_sender;
    // Somebody's note of absence may quote what it answers, header and all.
    let returned_ours = || {
        null_sender && !super::words::is_away(mail) && own_id_in_text(&mail.text, signer).is_some()
    };
    if !(failed_header
        || ((system_like || mail.content_type == "multipart/report") && by_subject)
        || (system_like && speaks_of_failure(&mail.text))
        || (by_daemon && has_code(&mail.text))
        || (by_system && null_sender && has_code(&mail.text))
        || returned_ours())
    {
        return None;
    }
    let message_id = returned_id(mail)
        .or_else(|| own_id_in_text(&mail.text, signer))
        .or_else(|| id_in_text(&mail.text))
        .or_else(|| mail.in_reply_to.first().cloned());
    let bounce = from_text(&mail.text);
    let delayed = DELAYS.iter().any(|known| subject.contains(known)) || words::is_late(&subject);
    Some(Bounce {
        message_id,
        class: if delayed { Class::Delay } else { bounce.class },
        ..bounce
    })
}

/// What the beginning of a report in prose says, where its subject says nothing.
const FAILURES: [&str; 5] = [
    "could not be delivered to",
    "did not reach the following recipient",
    "unable to deliver your message",
    "trouble delivering your message",
    "error: invalid user address",
];

/// Characters of a text in which it says what it is.
const LOOKED_AT: usize = 400;

fn speaks_of_failure(text: &str) -> bool {
    let head: String = text.chars().take(LOOKED_AT).collect();
    let head = head.to_lowercase();
    FAILURES.iter().any(|known| head.contains(known)) || words::tells_of_failure(&head)
}

const SUBJECTS: [&str; 20] = [
    "failure notice",
    "delivery status notification",
    "delivery failure",
    "delivery has failed",
    "mail delivery failed",
    "undeliver",
    "returned mail",
    "returned to sender",
    "delivery failed",
    "delivery notification",
    "could not be delivered",
    "nondeliverable",
    "delayed mail",
    "warning: could not send",
    "failed delivery",
    "mail failed",
    "mail failure",
    "could not send mail",
    "error sending your mail",
    "mail system error",
];

const DELAYS: [&str; 5] = [
    "delayed mail",
    "could not send mail for past",
    "(delay)",
    "warning: could not send",
    "delivery status notification: delay",
];

/// Status and diagnostic of the first line that has a code.
fn from_text(text: &str) -> Bounce {
    let line = text.lines().find(|line| failure_code(line).is_some());
    let status = line.and_then(failure_code).unwrap_or_default();
    let permanent = text.contains("permanent") || text.contains("Permanent");
    let class = if status.is_empty() && !permanent {
        Class::BounceSoft
    } else {
        failure_class(&status, line.unwrap_or_default())
    };
    let diagnostic = line
        .map(|line| line.trim().chars().take(500).collect())
        .unwrap_or_default();
    Bounce {
        class,
        message_id: None,
        status,
        diagnostic,
    }
}

fn has_code(text: &str) -> bool {
    text.lines().any(|line| failure_code(line).is_some())
}

/// A code that tells of a failure: prose has version numbers, too.
fn failure_code(line: &str) -> Option<String> {
    code_in(line).filter(|code| code.starts_with(['4', '5']))
}

/// An enhanced status (`5.1.1`) in a line, else a reply code (`550`) as `5.0.0` or `4.0.0`.
fn code_in(line: &str) -> Option<String> {
    let words = || {
        line.split(|c: char| !(c.is_ascii_digit() || c == '.'))
            .map(|word| word.trim_matches('.'))
    };
    let enhanced = words().find_map(status_word);
    let basic = || {
        words().find(|word| {
            word.len() == 3
                && word.bytes().all(|byte| byte.is_ascii_digit())
                && word.starts_with(['4', '5'])
        })
    };
    enhanced.or_else(|| {
        basic()
            .filter(|_| line.len() < 1_000)
            .map(|word| format!("{}.0.0", &word[..1]))
    })
}

/// `class.subject.detail` (RFC 3463 section 2) at the start of `word`.
fn status_word(word: &str) -> Option<String> {
    let word = word
        .trim()
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .next()?;
    let numbers: Vec<&str> = word.split('.').collect();
    let [class, subject, detail] = numbers.as_slice() else {
        return None;
    };
    let short = |number: &str| (1..=3).contains(&number.len());
    (matches!(*class, "2" | "4" | "5") && short(subject) && short(detail)).then(|| word.to_owned())
}

/// The Message-ID in the header that the report returns.
fn returned_id(mail: &ParsedMail) -> Option<String> {
    let value = mail.returned.as_ref()?.first("message-id")?;
    plain_id(value)
}

/// Words of a text that are tried for our signature: each costs a computation.
const TRIED_MAX: usize = 200;

/// A Message-ID of ours anywhere in returned text. A returned mail often quotes older ones, so this is looked for first.
fn own_id_in_text(text: &str, signer: &Signer) -> Option<String> {
    text.split(|c: char| c.is_whitespace() || "<>\"'(),;:[]".contains(c))
        .filter(|word| word.contains('@') && word.len() <= ID_MAX)
        .filter(|word| {
            word.get(..2)
                .is_some_and(|start| start.eq_ignore_ascii_case("m."))
        })
        .take(TRIED_MAX)
        .map(|word| word.trim_end_matches('.'))
        .find(|word| own_message(word, signer).is_some())
        .map(str::to_owned)
}

/// The first Message-ID of a header in returned text.
fn id_in_text(text: &str) -> Option<String> {
    let lines = text
        .lines()
        .map(|line| line.trim_start_matches(['>', ' ', '\t']));
    lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("message-id"))
        .find_map(|(_, value)| plain_id(value))
}

/// Octets of a Message-ID that is taken.
const ID_MAX: usize = 998;

fn plain_id(value: &str) -> Option<String> {
    let id: String = value.chars().filter(|c| !c.is_whitespace()).collect();
    let id = id.trim_matches(['<', '>']);
    (!id.is_empty() && id.len() <= ID_MAX).then(|| id.to_owned())
}
