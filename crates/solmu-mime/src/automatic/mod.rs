//! Tells mail that no human wrote for us: never dropped, never answered automatically.
//!
//! The order matters: our own mail that comes back is a loop whatever else it says; a bounce carries `Auto-Submitted`
//! too; an out-of-office note carries `Precedence: bulk` too. What decides is the sender's own declaration (RFC 3834,
//! RFC 3464, RFC 8098, RFC 5965); guesses by subject come last and only for the beginnings that responders write.

mod bounce;
mod words;

use solmu_domain::signed::Signer;
use solmu_proto::types::v1::AutomaticClass as Class;

use crate::{address::Address, mail::ParsedMail, reply_address::own_message};

pub use bounce::Bounce;

/// Header that our own mail carries, so that it is known when it comes back through an alias.
pub const LOOP_HEADER: &str = "X-Solmu-Instance";

/// What a mail is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// Its class.
    pub class: Class,
    /// What decided, as a stable code, for example `auto-submitted`. Empty for human mail.
    pub reason: &'static str,
    /// What a delivery report says.
    pub bounce: Option<Bounce>,
}

impl Classified {
    fn of(class: Class, reason: &'static str) -> Self {
        Self {
            class,
            reason,
            bounce: None,
        }
    }
}

/// What is known of a mail besides its content.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Envelope sender; `Some("")` is the null reverse-path. `None` where no envelope is known (an imported file).
    pub mail_from: Option<&'a str>,
    /// Says which addresses are ours (normalised, without tag).
    pub is_own: &'a dyn Fn(&Address) -> bool,
    /// Knows our own Message-IDs.
    pub signer: &'a Signer,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("has_envelope", &self.mail_from.is_some())
            .finish_non_exhaustive()
    }
}

/// Classifies a mail.
#[must_use]
pub fn classify(mail: &ParsedMail, around: &Surroundings<'_>) -> Classified {
    if let Some(reason) = own(mail, around) {
        return Classified::of(Class::Own, reason);
    }
    let null_sender = has_null_sender(mail, around);
    if let Some(bounce) = bounce::of_report(mail) {
        return Classified {
            class: bounce.class,
            reason: "delivery-status",
            bounce: Some(bounce),
        };
    }
    if let Some(reason) = other_report(mail) {
        return Classified::of(Class::Report, reason);
    }
    if let Some(bounce) = bounce::without_report(mail, null_sender, around.signer) {
        return Classified {
            class: bounce.class,
            reason: "bounce-text",
            bounce: Some(bounce),
        };
    }
    if mail.content_type == "multipart/report" {
        return Classified::of(Class::Report, "report");
    }
    declared(mail)
        .or_else(|| listed(mail))
        .or_else(|| bulk(mail))
        .or_else(|| by_subject(mail))
        .or_else(|| by_sender(mail, null_sender))
        .unwrap_or_else(|| Classified::of(Class::Human, ""))
}

fn own(mail: &ParsedMail, around: &Surroundings<'_>) -> Option<&'static str> {
    let fields = &mail.fields;
    // Others run Solmu, too: only a value that we signed is ours.
    let marked = fields.first(&LOOP_HEADER.to_ascii_lowercase());
    if marked.is_some_and(|id| own_message(id, around.signer).is_some()) {
        return Some("loop-header");
    }
    if mail
        .message_id
        .as_deref()
        .is_some_and(|id| own_message(id, around.signer).is_some())
    {
        return Some("own-message-id");
    }
    let from = mail
        .from
        .first()
        .and_then(|from| Address::parse(&from.address).ok())?;
    // A group that rewrites From to its own (our) address says who really wrote.
    let rewritten = fields.has("x-original-from") || fields.has("x-original-sender");
    ((around.is_own)(&from) && !rewritten).then_some("own-address")
}

/// The null reverse-path (RFC 5321 section 4.5.5), from the envelope or from the header that a mail server left.
fn has_null_sender(mail: &ParsedMail, around: &Surroundings<'_>) -> bool {
    around.mail_from == Some("")
        || mail
            .fields
            .first("return-path")
            .is_some_and(|path| path.trim() == "<>")
}

/// Reports that are no delivery status: read receipts (RFC 8098), complaints (RFC 5965), DMARC and TLS reports.
fn other_report(mail: &ParsedMail) -> Option<&'static str> {
    let has = |part: &str| {
        mail.reports
            .iter()
            .any(|report| report.content_type.ends_with(part))
    };
    if mail.report_type == "disposition-notification" || has("disposition-notification") {
        return Some("disposition-notification");
    }
    if mail.report_type == "feedback-report" || has("feedback-report") {
        return Some("feedback-report");
    }
    let dmarc =
        mail.subject.starts_with("Report domain:") || mail.subject.starts_with("Report Domain:");
    if dmarc && mail.subject.contains("Report-ID:") {
        return Some("dmarc-report");
    }
    // Hotmail's complaints, from before RFC 5965.
    let complaint = mail.subject.starts_with("complaint about message from ");
    let staff = mail
        .from
        .first()
        .is_some_and(|from| from.address.to_ascii_lowercase().starts_with("staff@"));
    (complaint && staff).then_some("feedback-report")
}

/// What responders declare: `Auto-Submitted` (RFC 3834 section 5) and its forerunners.
fn declared(mail: &ParsedMail) -> Option<Classified> {
    let fields = &mail.fields;
    let keyword = fields
        .first("auto-submitted")
        .map(|value| keyword(value).to_ascii_lowercase());
    let old_style = [
        "x-autoreply",
        "x-autorespond",
        "x-autoresponder",
        "x-mail-autoreply",
        "x-vacation",
    ]
    .iter()
    .any(|name| {
        fields
            .first(name)
            .is_some_and(|value| !value.eq_ignore_ascii_case("no"))
    });
    let precedence_reply =
        precedences(mail).any(|value| matches!(value.as_str(), "auto_reply" | "auto-reply"));
    let exchange_rule = fields.has("x-ms-exchange-inbox-rules-loop") && suppresses(mail);
    let responder = fields
        .all("delivered-to")
        .any(|value| value.to_ascii_lowercase().starts_with("autoresponder"));
    let (reason, replies) = match keyword.as_deref() {
        Some("auto-replied") => ("auto-submitted", true),
        Some("no" | "") | None if old_style => ("auto-reply-header", true),
        Some("no" | "") | None if precedence_reply => ("precedence", true),
        Some("no" | "") | None if exchange_rule => ("auto-response-suppress", true),
        Some("no" | "") | None if responder => ("delivered-to", true),
        Some("no" | "") | None => return None,
        Some(_) => ("auto-submitted", old_style),
    };
    let away = exchange_rule || words::is_away(mail);
    Some(match (replies, away) {
        (_, true) => Classified::of(Class::OutOfOffice, reason),
        (true, false) => Classified::of(Class::AutoReply, reason),
        (false, false) => Classified::of(Class::AutoGenerated, reason),
    })
}

/// The first word of a structured value, without parameters and comments.
fn keyword(value: &str) -> &str {
    value
        .split([';', '(', ' ', '\t'])
        .find(|word| !word.is_empty())
        .unwrap_or_default()
}

fn precedences(mail: &ParsedMail) -> impl Iterator<Item = String> + '_ {
    let all = mail
        .fields
        .all("precedence")
        .chain(mail.fields.all("x-precedence"));
    all.map(|value| keyword(value).to_ascii_lowercase())
}

/// `X-Auto-Response-Suppress` (MS-OXCMAIL 2.1.3.2.20): only automatic senders ask for it.
fn suppresses(mail: &ParsedMail) -> bool {
    mail.fields
        .first("x-auto-response-suppress")
        .is_some_and(|value| {
            value.split(',').any(|word| {
                matches!(
                    word.trim().to_ascii_lowercase().as_str(),
                    "all" | "oof" | "autoreply" | "dr"
                )
            })
        })
}

/// Mailing lists (RFC 2919, RFC 2369).
fn listed(mail: &ParsedMail) -> Option<Classified> {
    let by_header = ["list-id", "list-post", "list-unsubscribe", "mailing-list"]
        .iter()
        .any(|name| mail.fields.has(name));
    let by_precedence = precedences(mail).any(|value| value == "list");
    (by_header || by_precedence).then(|| {
        Classified::of(
            Class::List,
            if by_header {
                "list-header"
            } else {
                "precedence"
            },
        )
    })
}

fn bulk(mail: &ParsedMail) -> Option<Classified> {
    let reason = if precedences(mail).any(|value| matches!(value.as_str(), "bulk" | "junk")) {
        "precedence"
    } else if mail.fields.has("feedback-id") {
        "feedback-id"
    } else if mail.fields.first("x-loop").is_some() {
        "x-loop"
    } else if suppresses(mail) {
        "auto-response-suppress"
    } else {
        return None;
    };
    let class = if words::is_automatic_subject(&mail.subject) {
        Class::OutOfOffice
    } else {
        Class::AutoGenerated
    };
    Some(Classified::of(class, reason))
}

fn by_subject(mail: &ParsedMail) -> Option<Classified> {
    words::is_automatic_subject(&mail.subject)
        .then(|| Classified::of(Class::OutOfOffice, "subject"))
}

fn by_sender(mail: &ParsedMail, null_sender: bool) -> Option<Classified> {
    if null_sender {
        return Some(Classified::of(Class::AutoGenerated, "null-sender"));
    }
    let address = mail.from.first()?.address.to_ascii_lowercase();
    let local = address.split('@').next().unwrap_or_default();
    let base = local.split('+').next().unwrap_or_default();
    let known = matches!(
        base,
        "mailer-daemon"
            | "postmaster"
            | "no-reply"
            | "noreply"
            | "no_reply"
            | "donotreply"
            | "do-not-reply"
            | "do_not_reply"
            | "ei-vastausta"
    );
    known.then(|| Classified::of(Class::AutoGenerated, "sender"))
}

#[cfg(test)]
mod tests;
