//! The mail itself: headers that thread everywhere, and that no responder answers when it is automatic.

use bytes::Bytes;
use jiff::Timestamp;
use lettre::{
    Address as LettreAddress,
    message::{Mailbox, Message},
};
use solmu_domain::{
    ids::{MessageId, TicketId},
    signed::Signer,
};
use solmu_proto::{
    outbound::v1::{MessageQueued, Purpose},
    types::v1::Attachment,
};

use super::{
    body::{Readable, body},
    headers::{automatic, copied, named, plain_header, subject, threading, unsubscribe},
    marker, quote,
    template::Values,
    verp,
};
use crate::accounts::{Account, Accounts};
use solmu_mime::{address::Address, automatic::LOOP_HEADER, reply_address::message_id_for};

/// A message that no mail can be made of.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Message or ticket id is no UUID.
    #[error("the message has no valid id")]
    BadId,
    /// The recipient has no valid address.
    #[error("the recipient has no valid address")]
    BadRecipient,
    /// The account's own address cannot be used.
    #[error("the account has no valid address")]
    BadSender,
    /// The mail library refused it.
    #[error("the mail could not be put together")]
    Mail(#[source] lettre::error::Error),
}

impl BuildError {
    /// Stable code for reports.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadId => "bad_id",
            Self::BadRecipient => "bad_recipient",
            Self::BadSender => "bad_sender",
            Self::Mail(_) => "bad_mail",
        }
    }
}

/// A mail that is ready for the relay.
#[derive(Debug)]
pub struct Built {
    /// Without angle brackets.
    pub message_id: String,
    /// Envelope sender; none for automatic mail (RFC 3834 section 3.3), so that no bounce of it is answered.
    pub mail_from: Option<LettreAddress>,
    /// The one that the mail is for.
    pub recipient: LettreAddress,
    /// Those that only get a copy.
    pub copies: Vec<LettreAddress>,
    /// The mail with CRLF; ASCII unless an address is not.
    pub bytes: Vec<u8>,
}

impl Built {
    /// Whether it is ASCII but for those who get a copy.
    pub(super) fn only_copies_need_utf8(&self) -> bool {
        !self.is_ascii()
            && AsRef::<str>::as_ref(&self.recipient).is_ascii()
            && self
                .mail_from
                .iter()
                .all(|address| AsRef::<str>::as_ref(address).is_ascii())
    }

    /// Whether a relay without SMTPUTF8 takes it. Domains are always ASCII here, so it is about local parts.
    pub(super) fn is_ascii(&self) -> bool {
        self.mail_from
            .iter()
            .chain(std::iter::once(&self.recipient))
            .chain(&self.copies)
            .all(|address| AsRef::<str>::as_ref(address).is_ascii())
    }
}

/// Puts a mail together. The same message gives the same bytes, whenever `now` is the same.
pub fn build(
    message: &MessageQueued,
    account: &Account,
    accounts: &Accounts,
    signer: &Signer,
    now: Timestamp,
    files: Vec<(Attachment, Bytes)>,
) -> Result<Built, BuildError> {
    let id: MessageId = message.message_id.parse().map_err(|_| BuildError::BadId)?;
    // What the answer comes back to: the ticket, or an expert's conversation beside it.
    let thread = match message.side_conversation_id.as_str() {
        "" => &message.ticket_id,
        side => side,
    };
    let ticket: TicketId = thread.parse().map_err(|_| BuildError::BadId)?;
    let from = from_address(message, account, accounts).ok_or(BuildError::BadSender)?;
    let from_lettre = lettre_address(&from).ok_or(BuildError::BadSender)?;
    let reply_to = account
        .reply
        .for_ticket(ticket, signer)
        .parse()
        .map_err(|_| BuildError::BadSender)?;
    let recipient = recipient(message).ok_or(BuildError::BadRecipient)?;
    let message_id = message_id_for(id, ticket, from.domain(), signer);

    let name = if message.from_name.is_empty() {
        &account.display_name
    } else {
        &message.from_name
    };
    let copies: Vec<Mailbox> = message
        .cc
        .iter()
        .filter_map(|cc| mailbox(&cc.name, &cc.address))
        .collect();
    let mut builder = Message::builder()
        .from(named(name, from_lettre.clone()))
        .reply_to(named(name, reply_to))
        .to(named(&message.recipient_name, recipient.clone()))
        .subject(subject(message))
        .date(now.into())
        .raw_header(plain_header("Message-ID", format!("<{message_id}>")))
        .raw_header(plain_header(LOOP_HEADER, message_id.clone()));
    builder = copied(builder, &copies);
    builder = threading(builder, message);
    let is_automatic = is_automatic(message);
    if is_automatic {
        builder = automatic(builder);
        if let Some(ways) = account.outgoing.unsubscribe(&message_id) {
            builder = unsubscribe(builder, ways);
        }
    }
    let mut readable = readable(message, account);
    if let (Some(quoted), Some(zone), true) =
        (&message.quoted, &account.outgoing.quote, is_reply(message))
    {
        quote::append(&mut readable, quoted, &message.language, zone);
    }
    if account.outgoing.body_marker {
        let mark = marker::mark(ticket, signer);
        marker::append_text(&mut readable.text, &mark);
        if !readable.html.is_empty() {
            marker::append_html(&mut readable.html, &mark);
        }
    }
    let mail = body(builder, readable, id, files).map_err(BuildError::Mail)?;
    let return_path = || match &account.outgoing.bounce {
        Some(bounce) => verp::return_path(id, bounce.domain(), signer).parse().ok(),
        None => Some(from_lettre),
    };
    Ok(Built {
        message_id,
        mail_from: (!is_automatic).then(return_path).flatten(),
        recipient,
        copies: copies.into_iter().map(|copy| copy.email).collect(),
        bytes: mail.formatted(),
    })
}

/// What no person wrote, whichever way the ticket service says so.
fn is_automatic(message: &MessageQueued) -> bool {
    message.automatic || message.purpose() == Purpose::Acknowledgement
}

/// An agent's answer to the requester.
fn is_reply(message: &MessageQueued) -> bool {
    matches!(message.purpose(), Purpose::Reply | Purpose::Unspecified) && !is_automatic(message)
}

/// An agent's answer stands in the account's template; everything else is as it came.
fn readable(message: &MessageQueued, account: &Account) -> Readable {
    let plain = Readable {
        text: message.text.clone(),
        html: message.html.clone(),
    };
    let template = account
        .outgoing
        .template
        .as_ref()
        .filter(|_| is_reply(message));
    let Some(template) = template else {
        return plain;
    };
    let values = Values {
        body: &message.text,
        agent: &message.from_name,
        ticket: message.ticket_number,
        account: &account.display_name,
        signature: &account.outgoing.signature,
    };
    let rendered = template.text(&values).and_then(|text| {
        let html = if message.html.is_empty() {
            String::new()
        } else {
            template.html(&values, &message.html)?
        };
        Ok(Readable { text, html })
    });
    rendered.unwrap_or_else(|error| {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            account = account.name,
            "the reply template failed: the answer goes out without it"
        );
        plain
    })
}

/// The address that the customer wrote to if it is still the account's, else its first one; never a signed one.
fn from_address(
    message: &MessageQueued,
    account: &Account,
    accounts: &Accounts,
) -> Option<Address> {
    let written = Address::parse(&message.from_address).ok();
    let asked = written.filter(|address| {
        accounts
            .resolve(address)
            .is_some_and(|owner| owner.name == account.name)
    });
    let known = |address: &Address| {
        let own = account
            .addresses
            .iter()
            .find(|own| own.normalised() == address.normalised());
        own.or_else(|| {
            account
                .addresses
                .iter()
                .find(|own| own.normalised() == address.without_tag())
        })
        .cloned()
    };
    asked
        .as_ref()
        .and_then(known)
        .or_else(|| account.addresses.first().cloned())
}

fn lettre_address(address: &Address) -> Option<LettreAddress> {
    address.to_string().parse().ok()
}

fn recipient(message: &MessageQueued) -> Option<LettreAddress> {
    let identity = message.recipient.as_ref()?;
    [&identity.raw, &identity.value]
        .into_iter()
        .find_map(|text| lettre_address(&Address::parse(text).ok()?))
}

fn mailbox(name: &str, address: &str) -> Option<Mailbox> {
    Some(named(name, lettre_address(&Address::parse(address).ok()?)?))
}
