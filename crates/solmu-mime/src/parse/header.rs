//! Header blocks: where they end, what is mended before they are decoded, and what is taken from them.

use std::borrow::Cow;

use jiff::Timestamp;
use mail_parser::{Address, ContentType, HeaderName, HeaderValue, Message, MessageParser};

use super::{ParseLimits, encoding::windows_1252};
use crate::mail::{Field, Fields, Mailbox, ParsedMail};

/// Longest Message-ID that is taken (RFC 5322 section 2.1.1: a line has 998 octets).
const MESSAGE_ID_MAX: usize = 998;
/// Characters of a subject or a name that are kept.
const LINE_MAX: usize = 1_000;

/// What one part's header block says.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) fields: Fields,
    /// `type/subtype`, lower case; empty if there is none.
    pub(super) content_type: String,
    pub(super) charset: String,
    pub(super) boundary: Option<String>,
    pub(super) report_type: String,
    /// Content-Transfer-Encoding, lower case.
    pub(super) encoding: String,
    pub(super) filename: String,
    pub(super) content_id: String,
    pub(super) attachment: bool,
    pub(super) inline: bool,
    /// Where the body begins, from the start of the part.
    pub(super) body: usize,
    /// The block was longer than the limit.
    pub(super) cut: bool,
    from: Vec<Mailbox>,
    to: Vec<Mailbox>,
    cc: Vec<Mailbox>,
    reply_to: Vec<Mailbox>,
    subject: String,
    date: Option<Timestamp>,
    message_id: Vec<String>,
    in_reply_to: Vec<String>,
    references: Vec<String>,
}

/// Reads the header block at the start of a mail. Without one, all of `mail` is body.
pub(super) fn read(mail: &[u8], limit: usize) -> Block {
    read_from(mail, skip_preamble(mail), limit)
}

/// Reads the header block of a part; an empty one is just its empty line (RFC 2046 section 5.1.1).
pub(super) fn read_part(part: &[u8], limit: usize) -> Block {
    read_from(part, 0, limit)
}

fn read_from(part: &[u8], start: usize, limit: usize) -> Block {
    let body = block_end(part, start);
    let end = body.min(start.saturating_add(limit));
    let raw = &part[start..end];
    if matches!(raw, b"\n" | b"\r\n") {
        return Block {
            body,
            ..Block::default()
        };
    }
    let mended = mend(raw);
    let Some(message) = MessageParser::new().parse_headers(mended.as_ref()) else {
        return Block::default();
    };
    if message.headers().is_empty() {
        return Block::default();
    }
    let mut block = decode(&message, &mended);
    block.body = body;
    block.cut = end < body;
    block
}

/// Blank lines, and the `From ` line that a mailbox file puts before a mail.
fn skip_preamble(part: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let line = &part[at..at + line_length(&part[at..])];
        let envelope = line.starts_with(b"From ") || line.starts_with(b">From ");
        let blank = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if line.is_empty() || !(blank || envelope) {
            return at;
        }
        at += line.len();
    }
}

/// Offset after the empty line that ends the header block.
fn block_end(part: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < part.len() {
        let line = &part[at..at + line_length(&part[at..])];
        at += line.len();
        if matches!(line, b"\n" | b"\r\n") {
            return at;
        }
    }
    part.len()
}

/// Length of the line at the start, its end included.
pub(super) fn line_length(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    // `skip_until` is the standard library's vectorised search; on a slice it cannot fail.
    std::io::BufRead::skip_until(&mut rest, b'\n').unwrap_or(bytes.len())
}

/// Mends what the decoder cannot read: bytes that are not UTF-8 (taken as Windows-1252, which is what senders of raw
/// 8-bit headers use), and parameters folded after their `=`, with which mail-parser 0.11 loses boundary and name.
/// The block ends in a line end, so that the last field is complete.
fn mend(block: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = match std::str::from_utf8(block) {
        Ok(_) => Cow::Borrowed(block),
        Err(_) => Cow::Owned(windows_1252(block).into_bytes()),
    };
    if has_folded_parameter(&mended) {
        mended = Cow::Owned(unfold_parameters(&mended));
    }
    if !mended.ends_with(b"\n") {
        mended.to_mut().extend_from_slice(b"\r\n\r\n");
    }
    mended
}

fn has_folded_parameter(block: &[u8]) -> bool {
    block
        .windows(3)
        .any(|window| window == b"=\r\n" || (window[0] == b'=' && window[1] == b'\n'))
}

/// Joins a `Content-*` field's line that ends in `=` with the next one. Other fields keep theirs: between two encoded
/// words (`?=`) the fold is a space that counts.
fn unfold_parameters(block: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(block.len());
    let mut rest = block;
    let mut in_content_field = false;
    let mut after_equals = false;
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(line_length(rest));
        let continues = line
            .first()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        if !continues {
            in_content_field = line
                .get(..8)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"content-"));
        }
        if continues && in_content_field && after_equals {
            let kept = joined
                .iter()
                .rposition(|byte| !matches!(byte, b'\r' | b'\n'))
                .map_or(0, |last| last + 1);
            joined.truncate(kept);
            joined.extend_from_slice(line.trim_ascii_start());
        } else {
            joined.extend_from_slice(line);
        }
        after_equals = line.trim_ascii_end().ends_with(b"=");
        rest = tail;
    }
    joined
}

fn decode(message: &Message<'_>, raw: &[u8]) -> Block {
    let mut block = Block::default();
    let mut fields = Vec::with_capacity(message.headers().len());
    for header in message.headers() {
        let value = raw
            .get(header.offset_start() as usize..header.offset_end() as usize)
            .unwrap_or_default();
        fields.push(Field {
            name: header.name().to_ascii_lowercase(),
            value: one_line(value),
        });
        match (&header.name, &header.value) {
            (HeaderName::ContentType, HeaderValue::ContentType(value))
                if block.content_type.is_empty() =>
            {
                take_content_type(value, &mut block);
            }
            (HeaderName::ContentDisposition, HeaderValue::ContentType(value)) => {
                block.attachment = value.is_attachment();
                block.inline = value.is_inline();
                if let Some(name) = value.attribute("filename") {
                    name.clone_into(&mut block.filename);
                }
            }
            (HeaderName::ContentTransferEncoding, HeaderValue::Text(value)) => {
                block.encoding = value.trim().to_ascii_lowercase();
            }
            (HeaderName::ContentId, value) => {
                block.content_id = ids(value).into_iter().next().unwrap_or_default();
            }
            (HeaderName::From, HeaderValue::Address(list)) => block.from.extend(mailboxes(list)),
            (HeaderName::To, HeaderValue::Address(list)) => block.to.extend(mailboxes(list)),
            (HeaderName::Cc, HeaderValue::Address(list)) => block.cc.extend(mailboxes(list)),
            (HeaderName::ReplyTo, HeaderValue::Address(list)) => {
                block.reply_to.extend(mailboxes(list));
            }
            (HeaderName::Subject, HeaderValue::Text(text)) if block.subject.is_empty() => {
                block.subject = clean_line(text);
            }
            (HeaderName::Date, HeaderValue::DateTime(at)) if block.date.is_none() => {
                block.date = at
                    .is_valid()
                    .then(|| Timestamp::from_second(at.to_timestamp()).ok())
                    .flatten();
            }
            (HeaderName::MessageId, value) => block.message_id.extend(ids(value)),
            (HeaderName::InReplyTo, value) => block.in_reply_to.extend(ids(value)),
            (HeaderName::References, value) => block.references.extend(ids(value)),
            _ => {}
        }
    }
    block.fields = Fields(fields);
    block
}

fn take_content_type(value: &ContentType<'_>, block: &mut Block) {
    block.content_type = match value.subtype() {
        Some(subtype) => format!("{}/{subtype}", value.ctype()).to_ascii_lowercase(),
        None => value.ctype().to_ascii_lowercase(),
    };
    value
        .attribute("charset")
        .unwrap_or_default()
        .clone_into(&mut block.charset);
    block.boundary = value
        .attribute("boundary")
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    block.report_type = value
        .attribute("report-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    if block.filename.is_empty() {
        value
            .attribute("name")
            .unwrap_or_default()
            .clone_into(&mut block.filename);
    }
}

fn mailboxes(list: &Address<'_>) -> Vec<Mailbox> {
    let mailbox = |address: &mail_parser::Addr<'_>| Mailbox {
        name: clean_line(address.name.as_deref().unwrap_or_default()),
        address: clean_line(address.address.as_deref().unwrap_or_default()),
    };
    let has_address = |mailbox: &Mailbox| !mailbox.address.is_empty() || !mailbox.name.is_empty();
    match list {
        Address::List(list) => list.iter().map(mailbox).filter(has_address).collect(),
        Address::Group(groups) => groups
            .iter()
            .flat_map(|group| &group.addresses)
            .map(mailbox)
            .filter(has_address)
            .collect(),
    }
}

/// The ids of a Message-ID, In-Reply-To or References field, without brackets. Broken clients write them without
/// brackets too; then only what has an at sign is taken for one.
fn ids(value: &HeaderValue<'_>) -> Vec<String> {
    let texts = value.as_text_list().unwrap_or_default();
    let mut found = Vec::with_capacity(texts.len());
    for text in texts {
        let id: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && !c.is_control())
            .collect();
        let id = id.trim_matches(['<', '>', ',', ';']);
        if !id.is_empty() && id.len() <= MESSAGE_ID_MAX {
            found.push(id.to_owned());
        }
    }
    found
}

/// Unfolded (RFC 5322 section 2.2.3) and trimmed.
fn one_line(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim()
        .chars()
        .filter(|c| !matches!(c, '\r' | '\n' | '\0'))
        .collect()
}

/// A decoded line: control characters become spaces, a long one is cut.
pub(super) fn clean_line(text: &str) -> String {
    let spaced = text
        .chars()
        .filter(|c| *c != '\0')
        .map(|c| if c.is_control() { ' ' } else { c });
    let line: String = spaced.take(LINE_MAX).collect();
    line.trim().to_owned()
}

/// Puts what the root's header says into `mail`.
pub(super) fn fill(root: &Block, limits: &ParseLimits, mail: &mut ParsedMail) {
    mail.fields = root.fields.clone();
    mail.message_id = root.message_id.first().cloned();
    mail.from.clone_from(&root.from);
    mail.to = first(&root.to, limits.mailboxes);
    mail.cc = first(&root.cc, limits.mailboxes);
    mail.reply_to = first(&root.reply_to, limits.mailboxes);
    mail.subject.clone_from(&root.subject);
    mail.date = root.date;
    mail.in_reply_to = first(&root.in_reply_to, limits.references);
    mail.references = oldest_and_newest(&root.references, limits.references);
    mail.content_type.clone_from(&root.content_type);
    mail.report_type.clone_from(&root.report_type);
    let dropped = [&root.to, &root.cc, &root.reply_to]
        .iter()
        .any(|list| list.len() > limits.mailboxes);
    if dropped {
        mail.notices.push(format!(
            "only the first {} recipients are shown",
            limits.mailboxes
        ));
    }
}

fn first<T: Clone>(list: &[T], limit: usize) -> Vec<T> {
    list.iter().take(limit).cloned().collect()
}

/// The root of a thread and its newest messages are what finds a ticket; the middle can go.
fn oldest_and_newest(list: &[String], limit: usize) -> Vec<String> {
    if list.len() <= limit || limit == 0 {
        return list.iter().take(limit).cloned().collect();
    }
    let newest = &list[list.len() - (limit - 1)..];
    list.iter().take(1).chain(newest).cloned().collect()
}
