//! Tells mail that no human wrote for us: never dropped, never answered automatically.
//!
//! The order matters: our own mail that comes back is a loop whatever else it says; a bounce carries `Auto-Submitted`
//! too; an out-of-office note carries `Precedence: bulk` too. What decides is the sender's own declaration (RFC 3834,
//! RFC 3464, RFC 8098, RFC 5965).
//!
//! A person's mail must not be taken for a machine's: it would open no ticket, or not wake up the one that it answers.
//! So what a mail service adds to everything that it sends ([`weak_sign`]) says nothing against a mail that answers what
//! we signed, and a subject alone decides nothing: people write about out-of-office notes, too. Such mail is human, and
//! its reason names the sign, so that no automatic answer goes out to it.

mod bounce;
mod words;

use solmu_domain::signed::Signer;
use solmu_proto::types::v1::AutomaticClass as Class;

use crate::{
    address::Address,
    mail::{Mailbox, ParsedMail},
    reply_address::{own_message, ticket_of_address},
};

pub use bounce::Bounce;

/// Header that our own mail carries, so that it is known when it comes back through an alias.
pub const LOOP_HEADER: &str = "X-Solmu-Instance";

/// What a mail is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// Its class.
    pub class: Class,
    /// What decided, as a stable code, for example `auto-submitted`. Of human mail: a sign of a machine that was not
    /// enough, so that no automatic answer goes out to it; else empty.
    pub reason: &'static str,
    /// What a delivery report says.
    pub bounce: Option<Bounce>,
    /// Who wrote, where a group of ours sent the mail on under its own name.
    pub rewritten: Option<Mailbox>,
}

impl Classified {
    fn of(class: Class, reason: &'static str) -> Self {
        Self {
            class,
            reason,
            bounce: None,
            rewritten: None,
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
    let rewritten = rewritten_author(mail, around.is_own);
    Classified {
        rewritten: rewritten.clone(),
        ..judged(mail, around, rewritten.is_some())
    }
}

fn judged(mail: &ParsedMail, around: &Surroundings<'_>, rewritten: bool) -> Classified {
    if let Some(reason) = own(mail, around, rewritten) {
        return Classified::of(Class::Own, reason);
    }
    let null_sender = has_null_sender(mail, around);
    if let Some(bounce) = bounce::of_report(mail) {
        return Classified {
            bounce: Some(bounce.clone()),
            ..Classified::of(bounce.class, "delivery-status")
        };
    }
    if let Some(reason) = other_report(mail) {
        return Classified::of(Class::Report, reason);
    }
    if let Some(bounce) = bounce::without_report(mail, null_sender, around.signer) {
        return Classified {
            bounce: Some(bounce.clone()),
            ..Classified::of(bounce.class, "bounce-text")
        };
    }
    if mail.content_type == "multipart/report" {
        return Classified::of(Class::Report, "report");
    }
    let answers_us = answers_us(mail, around.signer);
    declared(mail)
        .or_else(|| listed(mail))
        .or_else(|| bulk(mail))
        .or_else(|| by_weak_sign(mail).filter(|_| !answers_us))
        .or_else(|| by_subject(mail, null_sender))
        .or_else(|| by_sender(mail, null_sender))
        .unwrap_or_else(|| Classified::of(Class::Human, doubt(mail)))
}

/// Why a human mail gets no automatic answer all the same.
fn doubt(mail: &ParsedMail) -> &'static str {
    let by_subject = words::is_automatic_subject(&mail.subject).then_some("subject");
    weak_sign(mail).or(by_subject).unwrap_or_default()
}

/// Ids and addresses of a mail that are tried for our signature: each costs a computation.
const SIGNED_MAX: usize = 200;

/// Whether a mail answers one of ours by what only we can write: a Message-ID or a reply address with our signature.
fn answers_us(mail: &ParsedMail, signer: &Signer) -> bool {
    let by_id = mail
        .in_reply_to
        .iter()
        .chain(mail.references.iter().rev())
        .take(SIGNED_MAX)
        .any(|id| own_message(id, signer).is_some());
    let written = mail.to.iter().chain(&mail.cc);
    let delivered = ["delivered-to", "x-original-to", "envelope-to"]
        .into_iter()
        .flat_map(|name| mail.fields.all(name));
    by_id
        || written
            .map(|mailbox| mailbox.address.as_str())
            .chain(delivered)
            .take(SIGNED_MAX)
            .filter_map(|text| Address::parse(text).ok())
            .any(|address| ticket_of_address(&address, signer).is_some())
}

fn own(mail: &ParsedMail, around: &Surroundings<'_>, rewritten: bool) -> Option<&'static str> {
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
        .author()
        .and_then(|from| Address::parse(&from.address).ok())?;
    ((around.is_own)(&from) && !rewritten).then_some("own-address")
}

/// Who wrote a mail that a group sent on: one that rewrites From to its own address names the author in a header of its
/// own. Believed only where From is an address of ours, because then the group is ours, and only if it names somebody
/// else: anybody could hide behind another's name otherwise, or send our own mail around in a circle.
fn rewritten_author(mail: &ParsedMail, is_own: &dyn Fn(&Address) -> bool) -> Option<Mailbox> {
    let from = Address::parse(&mail.author()?.address).ok()?;
    if !is_own(&from) {
        return None;
    }
    let author = ["x-original-from", "x-original-sender"]
        .iter()
        .find_map(|name| mail.fields.first(name))
        .and_then(Mailbox::of_text)?;
    let address = Address::parse(&author.address).ok()?;
    (!is_own(&address)).then_some(author)
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
        .author()
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
    let mut precedence = precedences(mail);
    let is_bulk = precedences(mail).any(|value| matches!(value.as_str(), "bulk" | "junk"));
    let by_header = ["list-id", "list-post", "mailing-list"]
        .iter()
        .any(|name| mail.fields.has(name))
        || (is_bulk && mail.fields.has("list-unsubscribe"));
    let by_precedence = precedence.any(|value| value == "list");
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
    } else if mail.fields.first("x-loop").is_some() {
        "x-loop"
    } else {
        return None;
    };
    Some(Classified::of(away_or(mail, Class::AutoGenerated), reason))
}

fn away_or(mail: &ParsedMail, otherwise: Class) -> Class {
    if words::is_automatic_subject(&mail.subject) {
        Class::OutOfOffice
    } else {
        otherwise
    }
}

/// What a sender asks for, or a service adds to all of its mail, newsletters and people's letters alike.
fn weak_sign(mail: &ParsedMail) -> Option<&'static str> {
    if mail.fields.has("list-unsubscribe") {
        Some("list-header")
    } else if mail.fields.has("feedback-id") {
        Some("feedback-id")
    } else if suppresses(mail) {
        Some("auto-response-suppress")
    } else {
        None
    }
}

/// By weak signs alone: out of the blue, such mail is a service's and not a person's.
fn by_weak_sign(mail: &ParsedMail) -> Option<Classified> {
    let reason = weak_sign(mail)?;
    let class = if reason == "list-header" {
        Class::List
    } else {
        away_or(mail, Class::AutoGenerated)
    };
    Some(Classified::of(class, reason))
}

/// By its subject, but only of a mail that answers something or that wants no answer itself: people write subjects like
/// these about their own troubles.
fn by_subject(mail: &ParsedMail, null_sender: bool) -> Option<Classified> {
    let answers = !mail.in_reply_to.is_empty() || !mail.references.is_empty();
    ((answers || null_sender) && words::is_automatic_subject(&mail.subject))
        .then(|| Classified::of(Class::OutOfOffice, "subject"))
}

fn by_sender(mail: &ParsedMail, null_sender: bool) -> Option<Classified> {
    if null_sender {
        return Some(Classified::of(Class::AutoGenerated, "null-sender"));
    }
    let address = mail.author()?.address.to_ascii_lowercase();
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
