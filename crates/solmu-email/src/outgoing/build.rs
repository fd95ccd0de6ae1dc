//! The mail itself: headers that thread everywhere, and that no responder answers when it is automatic.

use bytes::Bytes;
use jiff::Timestamp;
use lettre::{
    Address as LettreAddress,
    message::{
        Attachment as FilePart, Mailbox, Message, MessageBuilder, MultiPart, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
};
use solmu_domain::{
    ids::{MessageId, TicketId},
    signed::{Signer, base32},
};
use solmu_proto::{outbound::v1::MessageQueued, types::v1::Attachment};

use crate::accounts::{Account, Accounts};
use solmu_mime::{address::Address, automatic::LOOP_HEADER, reply_address::message_id_for};

/// Ids of References besides the first (RFC 5322 section 3.6.4 sets no limit; mail clients and lines do).
const REFERENCES_MAX: usize = 20;
/// Longest id that is put into References: a line has 998 octets (RFC 5322 section 2.1.1).
const ID_MAX: usize = 900;
/// Longest subject or name, in characters. A word is not folded, and a line has 998 octets with the address beside it.
const LINE_MAX: usize = 600;
/// Beginnings of a subject that is an answer already, in the languages of the big clients.
const ANSWER_PREFIXES: [&str; 8] = ["re:", "vs:", "sv:", "aw:", "antw:", "odp:", "r:", "rif:"];

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
    /// The mail, ASCII with CRLF.
    pub bytes: Vec<u8>,
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
    let ticket: TicketId = message.ticket_id.parse().map_err(|_| BuildError::BadId)?;
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
        .raw_header(plain_header(LOOP_HEADER, account.name.clone()));
    for copy in &copies {
        builder = builder.cc(copy.clone());
    }
    builder = threading(builder, message);
    if message.automatic {
        builder = automatic(builder);
    }
    let mail = body(builder, message, id, files).map_err(BuildError::Mail)?;
    Ok(Built {
        message_id,
        mail_from: (!message.automatic).then_some(from_lettre),
        recipient,
        copies: copies.into_iter().map(|copy| copy.email).collect(),
        bytes: mail.formatted(),
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

fn named(name: &str, address: LettreAddress) -> Mailbox {
    let name = one_line(name);
    Mailbox::new((!name.is_empty()).then_some(name), address)
}

fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LINE_MAX)
        .collect();
    line.trim().to_owned()
}

/// "Re: " once, and only where something is answered.
fn subject(message: &MessageQueued) -> String {
    let subject = one_line(&message.subject);
    let lower = subject.to_lowercase();
    let answers = !message.in_reply_to.is_empty() || !message.references.is_empty();
    if !answers
        || ANSWER_PREFIXES
            .iter()
            .any(|prefix| lower.starts_with(prefix))
    {
        return subject;
    }
    format!("Re: {subject}")
}

fn threading(builder: MessageBuilder, message: &MessageQueued) -> MessageBuilder {
    let parent = Some(message.in_reply_to.as_str()).filter(|id| is_id(id));
    let builder = match parent {
        Some(id) => builder.raw_header(plain_header("In-Reply-To", format!("<{id}>"))),
        None => builder,
    };
    let ids = references(message, parent);
    if ids.is_empty() {
        return builder;
    }
    let lines: Vec<String> = ids.iter().map(|id| format!("<{id}>")).collect();
    builder.raw_header(plain_header("References", lines.join("\r\n ")))
}

/// The first, and the last [`REFERENCES_MAX`]; the parent is always the last (RFC 5322 section 3.6.4).
fn references<'a>(message: &'a MessageQueued, parent: Option<&'a str>) -> Vec<&'a str> {
    let known = message
        .references
        .iter()
        .map(String::as_str)
        .filter(|id| is_id(id) && Some(*id) != parent);
    let mut ids: Vec<&str> = known.chain(parent).collect();
    if ids.len() > REFERENCES_MAX + 1 {
        let newest = ids.len() - REFERENCES_MAX;
        ids.drain(1..newest);
    }
    ids
}

/// What goes into a header as it is: nothing that ends a line or a bracket. Ids come from customers' mail.
fn is_id(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= ID_MAX
        && id
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'))
}

/// A header whose value is ASCII and folded already: an encoder would break long ids into encoded words.
fn plain_header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(
        HeaderName::new_from_ascii_str(name),
        value.clone(),
        value,
    )
}

/// RFC 3834 section 5 for everybody, the other two for Exchange and for old responders.
fn automatic(builder: MessageBuilder) -> MessageBuilder {
    builder
        .raw_header(plain_header("Auto-Submitted", "auto-replied".to_owned()))
        .raw_header(plain_header("X-Auto-Response-Suppress", "All".to_owned()))
        .raw_header(plain_header("Precedence", "bulk".to_owned()))
}

fn body(
    builder: MessageBuilder,
    message: &MessageQueued,
    id: MessageId,
    files: Vec<(Attachment, Bytes)>,
) -> Result<Message, lettre::error::Error> {
    // A boundary must not depend on chance; derived from the id it cannot stand in the text by accident.
    let boundary = |level: &str| format!("=_{level}_{}", base32(id.as_uuid().as_bytes()));
    let text = SinglePart::plain(message.text.clone());
    if files.is_empty() && message.html.is_empty() {
        return builder.singlepart(text);
    }
    let alternative = (!message.html.is_empty()).then(|| {
        let html = SinglePart::html(message.html.clone());
        MultiPart::alternative()
            .boundary(boundary("a"))
            .singlepart(text.clone())
            .singlepart(html)
    });
    let (inline, attached): (Vec<_>, Vec<_>) = files.into_iter().partition(|(file, _)| {
        file.inline && !file.content_id.is_empty() && !message.html.is_empty()
    });
    let readable = match alternative {
        Some(alternative) if inline.is_empty() => Part::Multi(alternative),
        Some(alternative) => {
            let related = MultiPart::related()
                .boundary(boundary("r"))
                .multipart(alternative);
            Part::Multi(
                inline
                    .into_iter()
                    .fold(related, |related, file| related.singlepart(file_part(file))),
            )
        }
        None => Part::Single(text),
    };
    if attached.is_empty() {
        return match readable {
            Part::Multi(multi) => builder.multipart(multi),
            Part::Single(single) => builder.singlepart(single),
        };
    }
    let mixed = MultiPart::mixed().boundary(boundary("m"));
    let mixed = match readable {
        Part::Multi(multi) => mixed.multipart(multi),
        Part::Single(single) => mixed.singlepart(single),
    };
    builder.multipart(
        attached
            .into_iter()
            .fold(mixed, |mixed, file| mixed.singlepart(file_part(file))),
    )
}

enum Part {
    Multi(MultiPart),
    Single(SinglePart),
}

fn file_part((file, bytes): (Attachment, Bytes)) -> SinglePart {
    let kind = ContentType::parse(&file.content_type).unwrap_or_else(|_| octets());
    let name = one_line(&file.filename);
    let id: String = file
        .content_id
        .chars()
        .filter(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>'))
        .collect();
    let part = match (file.inline && !id.is_empty(), name.is_empty()) {
        (true, true) => FilePart::new_inline(id),
        (true, false) => FilePart::new_inline_with_name(id, name),
        (false, true) => FilePart::new("attachment".to_owned()),
        (false, false) => FilePart::new(name),
    };
    part.body(bytes.to_vec(), kind)
}

fn octets() -> ContentType {
    ContentType::parse("application/octet-stream").expect("the name is well formed")
}
