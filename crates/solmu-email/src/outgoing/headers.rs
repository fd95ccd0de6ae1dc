//! Headers that thread everywhere, and that keep responders from answering what no person wrote.

use lettre::{
    Address as LettreAddress,
    message::{
        Mailbox, MessageBuilder,
        header::{Cc, Header as _, HeaderName, HeaderValue, Headers},
    },
};
use solmu_proto::outbound::v1::MessageQueued;

/// Ids of References besides the first (RFC 5322 section 3.6.4 sets no limit; mail clients and lines do).
const REFERENCES_MAX: usize = 20;
/// Longest id that is put into References: a line has 998 octets (RFC 5322 section 2.1.1).
const ID_MAX: usize = 900;
/// Longest subject, in characters. A word is not folded, and a line has 998 octets.
const LINE_MAX: usize = 600;
/// Longest name beside an address, in characters: in quotes it is not folded, and it stands on a line with an address of up to
/// 320 octets (RFC 5321 section 4.5.3.1).
const NAME_MAX: usize = 100;
/// Beginnings of a subject that is an answer already, in the languages of the big clients.
const ANSWER_PREFIXES: [&str; 8] = ["re:", "vs:", "sv:", "aw:", "antw:", "odp:", "r:", "rif:"];

pub(super) fn named(name: &str, address: LettreAddress) -> Mailbox {
    let name: String = one_line(name).chars().take(NAME_MAX).collect();
    let name = name.trim().to_owned();
    Mailbox::new((!name.is_empty()).then_some(name), address)
}

pub(super) fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LINE_MAX)
        .collect();
    line.trim().to_owned()
}

/// "Re: " once, and only where something is answered.
pub(super) fn subject(message: &MessageQueued) -> String {
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

/// Each on a line of its own: the mail library writes addresses without names as one line, whatever its length, and a line has
/// 998 octets (RFC 5322 section 2.1.1).
pub(super) fn copied(builder: MessageBuilder, copies: &[Mailbox]) -> MessageBuilder {
    if copies.is_empty() {
        return builder;
    }
    let named: Vec<String> = copies.iter().map(ToString::to_string).collect();
    let lines: Vec<String> = copies.iter().map(encoded).collect();
    builder.raw_header(HeaderValue::dangerous_new_pre_encoded(
        Cc::name(),
        named.join(", "),
        lines.join(",\r\n "),
    ))
}

/// One address as it stands in a header of addresses.
fn encoded(mailbox: &Mailbox) -> String {
    let mut headers = Headers::new();
    headers.set(Cc::from(lettre::message::Mailboxes::from(mailbox.clone())));
    let line = headers.to_string();
    let value = line.split_once(": ").map_or("", |(_, value)| value);
    value.trim_end().to_owned()
}

pub(super) fn threading(builder: MessageBuilder, message: &MessageQueued) -> MessageBuilder {
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
pub(super) fn plain_header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(
        HeaderName::new_from_ascii_str(name),
        value.clone(),
        value,
    )
}

/// RFC 3834 section 5 for everybody, the other two for Exchange and for old responders.
pub(super) fn automatic(builder: MessageBuilder) -> MessageBuilder {
    builder
        .raw_header(plain_header("Auto-Submitted", "auto-replied".to_owned()))
        .raw_header(plain_header("X-Auto-Response-Suppress", "All".to_owned()))
        .raw_header(plain_header("Precedence", "bulk".to_owned()))
}

/// How to stop automatic mail (RFC 2369), by one click where there is an address for it (RFC 8058).
pub(super) fn unsubscribe(
    builder: MessageBuilder,
    (ways, one_click): (String, bool),
) -> MessageBuilder {
    let builder = builder.raw_header(plain_header("List-Unsubscribe", ways));
    if !one_click {
        return builder;
    }
    let value = "List-Unsubscribe=One-Click".to_owned();
    builder.raw_header(plain_header("List-Unsubscribe-Post", value))
}
