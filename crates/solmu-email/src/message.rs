//! From a parsed mail to the event that the bus carries.

use std::collections::HashSet;

use jiff::Timestamp;
use solmu_bus::envelope::to_proto_time;
use solmu_domain::{
    ids::{MessageId, TicketId},
    signed::Signer,
};
use solmu_proto::{
    inbound::v1::{
        AttachedMail, ContentKind, DeliveryReported, MessageReceived,
        Protection as ProtoProtection, Sender, Threading,
    },
    types::v1::{
        Assurance, AutomaticClass, Channel, Identity, IdentityKind, Mailbox as ProtoMailbox,
    },
};
use solmu_text::language;

use crate::{
    accounts::Account,
    authenticity,
    outgoing::{marker, reports},
};
use solmu_mime::{
    address::Address,
    authenticity::{Findings, Method, Verdict},
    automatic::Classified,
    mail::{Mailbox, ParsedMail, Protection},
    quotes,
    reply_address::{own_message, ticket_of_address},
    threading::{conversation_key, external_id, subject_ticket_numbers},
};

/// Name of the channel in ids; the same that the intake uses.
const CHANNEL: &str = "email";
/// Headers in which mail servers leave the address that a mail was delivered to.
const DELIVERY_HEADERS: [&str; 5] = [
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-envelope-to",
    "x-forwarded-to",
];

/// Everything that is known of a mail before it becomes an event.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The mail.
    pub mail: &'a ParsedMail,
    /// Its class.
    pub classified: &'a Classified,
    /// Who it is from, as far as that is certain.
    pub findings: &'a Findings,
    /// Envelope recipients of this account; empty where no envelope is known.
    pub recipients: &'a [Address],
    /// Envelope sender, if it is known and not null.
    pub mail_from: Option<&'a str>,
    /// When it came.
    pub received: Timestamp,
}

/// The event of a mail, without attachments and raw original: those are put into the store first.
#[must_use]
pub fn to_event(known: &Known<'_>, account: &Account, signer: &Signer) -> MessageReceived {
    let mail = known.mail;
    let external_id = external_id(mail);
    let message_id = MessageId::of_inbound(CHANNEL, &account.name, &external_id);
    let offsets = quotes::find(&mail.text).in_characters(&mail.text);
    MessageReceived {
        message_id: message_id.to_string(),
        channel: Channel::Email.into(),
        account: account.name.clone(),
        conversation_key: conversation_key(mail, &external_id),
        external_id,
        sender: Some(sender(known)),
        to: mail.to.iter().map(to_proto).collect(),
        cc: mail.cc.iter().map(to_proto).collect(),
        reply_to: mail.reply_to.iter().map(to_proto).collect(),
        delivered_to: delivered_to(known),
        subject: mail.subject.clone(),
        text: mail.text.clone(),
        html: mail.html.clone(),
        attachments: Vec::new(),
        sent_time: mail.date.map(to_proto_time),
        received_time: Some(to_proto_time(known.received)),
        authenticity: Some(authenticity::to_proto(known.findings)),
        automatic_class: known.classified.class.into(),
        automatic_reason: known.classified.reason.to_owned(),
        threading: Some(threading(known, signer)),
        raw: None,
        language: language(&mail.text).unwrap_or_default().to_owned(),
        notices: mail.notices.clone(),
        content_kind: ContentKind::Message.into(),
        fields_json: String::new(),
        quote_offset: offset(offsets.quote),
        signature_offset: offset(offsets.signature),
        protection: protection(mail.protection).into(),
        attached_mail: attached_mail(known),
        opens_no_ticket: account.holds(known.classified.class),
    }
}

/// What a bounce says about a message of ours. Only for a Message-ID that we signed: who returns one has got the
/// message's header.
#[must_use]
pub fn delivery_report(
    known: &Known<'_>,
    account: &Account,
    signer: &Signer,
) -> Option<DeliveryReported> {
    reports::of(known, account, signer)
}

/// People forward mail as a file; what machines attach is not meant to be read as somebody's words.
fn attached_mail(known: &Known<'_>) -> Option<AttachedMail> {
    let is_human = known.classified.class == AutomaticClass::Human;
    let attached = known.mail.attached.as_ref().filter(|_| is_human)?;
    Some(AttachedMail {
        from: Some(to_proto(&attached.from)),
        subject: attached.subject.clone(),
        text: attached.text.clone(),
    })
}

/// A text is far shorter than what a 32-bit number counts; were it not, nothing would be folded.
fn offset(at: Option<usize>) -> Option<u32> {
    at.and_then(|at| u32::try_from(at).ok())
}

fn protection(protection: Protection) -> ProtoProtection {
    match protection {
        Protection::None => ProtoProtection::None,
        Protection::PgpSigned => ProtoProtection::PgpSigned,
        Protection::PgpEncrypted => ProtoProtection::PgpEncrypted,
        Protection::SmimeSigned => ProtoProtection::SmimeSigned,
        Protection::SmimeEncrypted => ProtoProtection::SmimeEncrypted,
    }
}

fn to_proto(mailbox: &Mailbox) -> ProtoMailbox {
    ProtoMailbox {
        name: mailbox.name.clone(),
        address: mailbox.address.clone(),
    }
}

/// Who wrote. A group of ours that rewrites From names the author in a header of its own; without From the envelope has
/// to do.
fn sender(known: &Known<'_>) -> Sender {
    let mail = known.mail;
    let original = known.classified.rewritten.clone();
    let rewritten = original.is_some();
    let envelope = || {
        known
            .mail_from
            .filter(|from| !from.is_empty())
            .and_then(Mailbox::of_text)
    };
    let return_path = || mail.fields.first("return-path").and_then(Mailbox::of_text);
    let from = mail.author().filter(|from| from.normalised().is_some());
    let author = original
        .or_else(|| from.cloned())
        .or_else(|| mail.fields.first("sender").and_then(Mailbox::of_text))
        .or_else(envelope)
        .or_else(return_path);
    let Some(author) = author else {
        return Sender::default();
    };
    let proven = known.findings.verdict == Verdict::Verified && !rewritten;
    let identity = author.normalised().map(|value| Identity {
        kind: IdentityKind::Email.into(),
        value,
        raw: author.address.clone(),
        assurance: if proven {
            Assurance::Proven
        } else {
            Assurance::Claimed
        }
        .into(),
        attested_by: match (proven, known.findings.method, known.findings.dmarc) {
            (false, ..) => "from-header",
            // A provider that says nothing of DMARC saw a signature of this very domain.
            (true, Method::Provider, None) => "dkim",
            (true, ..) => "dmarc",
        }
        .to_owned(),
        ..Identity::default()
    });
    let name = if author.name.is_empty() {
        mail.from.first().map(|from| from.name.clone())
    } else {
        Some(author.name)
    };
    Sender {
        display_name: name.unwrap_or_default(),
        identities: identity.into_iter().collect(),
    }
}

fn delivered_to(known: &Known<'_>) -> Vec<String> {
    if known.recipients.is_empty() {
        return delivery_headers(known.mail)
            .map(|address| address.normalised())
            .collect();
    }
    known.recipients.iter().map(Address::normalised).collect()
}

fn delivery_headers(mail: &ParsedMail) -> impl Iterator<Item = Address> + '_ {
    let values = DELIVERY_HEADERS
        .iter()
        .flat_map(|name| mail.fields.all(name));
    values
        .flat_map(|value| value.split(','))
        .filter_map(|text| Address::parse(text).ok())
}

/// Addresses of a mail that may be ours: envelope, delivery headers, To and Cc.
pub(crate) fn recipients_of(mail: &ParsedMail) -> impl Iterator<Item = Address> + '_ {
    let written = mail
        .to
        .iter()
        .chain(&mail.cc)
        .filter_map(|mailbox| Address::parse(&mailbox.address).ok());
    delivery_headers(mail).chain(written)
}

fn threading(known: &Known<'_>, signer: &Signer) -> Threading {
    let mail = known.mail;
    let bounced = known
        .classified
        .bounce
        .as_ref()
        .and_then(|bounce| bounce.message_id.clone());
    let addressed = tickets_of(written_to(mail), signer);
    let all = known.recipients.iter().cloned().chain(recipients_of(mail));
    let by_address = tickets_of(all, signer);
    Threading {
        message_id_header: mail.message_id.clone().unwrap_or_default(),
        in_reply_to: mail.in_reply_to.clone(),
        references: mail.references.iter().rev().cloned().collect(),
        addressed_ticket_ids: addressed.iter().map(ToString::to_string).collect(),
        signed_ticket_ids: signed_tickets(known, by_address, bounced.as_deref(), signer),
        bounced_message_id: bounced.unwrap_or_default(),
        subject_ticket_numbers: subject_ticket_numbers(&mail.subject),
    }
}

/// Addresses that the author wrote the mail to. Envelope and delivery headers are not covered by any signature of theirs:
/// whoever has got a mail of an agent could hand it in again for another ticket. Nor does a second To or Cc count, which
/// RFC 5322 forbids and which stands beside a signed one.
fn written_to(mail: &ParsedMail) -> impl Iterator<Item = Address> + '_ {
    let lists = [("to", &mail.to), ("cc", &mail.cc)];
    lists
        .into_iter()
        .filter(|(name, _)| mail.fields.all(name).count() == 1)
        .flat_map(|(_, list)| list)
        .filter_map(|mailbox| Address::parse(&mailbox.address).ok())
}

/// Tickets whose signature holds in one of `addresses`.
fn tickets_of(addresses: impl Iterator<Item = Address>, signer: &Signer) -> Vec<TicketId> {
    let mut seen: HashSet<TicketId> = HashSet::new();
    addresses
        .filter_map(|address| ticket_of_address(&address, signer))
        .filter(|ticket| seen.insert(*ticket))
        .collect()
}

/// Tickets whose signature holds: by address first (a person answered there), then by Message-ID, newest first.
fn signed_tickets(
    known: &Known<'_>,
    by_address: Vec<TicketId>,
    bounced: Option<&str>,
    signer: &Signer,
) -> Vec<String> {
    let mail = known.mail;
    let ids = mail
        .in_reply_to
        .iter()
        .chain(mail.references.iter().rev())
        .map(String::as_str)
        .chain(bounced);
    let by_id = ids
        .filter_map(|id| own_message(id, signer))
        .map(|own| own.ticket);
    // Last, because a quoted mail of another ticket brings its mark along.
    let by_mark = [&mail.text, &mail.html]
        .into_iter()
        .flat_map(|text| marker::tickets_in(text, signer));
    let mut seen: HashSet<TicketId> = HashSet::new();
    by_address
        .into_iter()
        .chain(by_id)
        .chain(by_mark)
        .filter(|ticket| seen.insert(*ticket))
        .map(|ticket| ticket.to_string())
        .collect()
}

#[cfg(test)]
mod tests;
