//! Header blocks: what is mended before they are decoded, and what is taken from them.

use std::{borrow::Cow, sync::LazyLock};

use jiff::Timestamp;
use mail_parser::{ContentType, Header, HeaderName, HeaderValue, Message, MessageParser};

use super::{
    ParseLimits, charset,
    encoding::windows_1252,
    extent::{self, BlockEnd},
    mailboxes::mailboxes,
};
use crate::mail::{Field, Fields, Mailbox, ParsedMail};

/// Longest Message-ID that is taken (RFC 5322 section 2.1.1: a line has 998 octets).
const MESSAGE_ID_MAX: usize = 998;
/// Characters of a media type: two names of 127 and a slash (RFC 6838 section 4.2).
const MEDIA_TYPE_MAX: usize = 255;
/// Characters of a subject or a name that are kept.
const LINE_MAX: usize = 1_000;

/// Decodes the fields that are asked for here and leaves the others alone: the trace fields of a mail are many and long.
static PARSER: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new()
        .header_content_type(HeaderName::ContentType)
        .header_content_type(HeaderName::ContentDisposition)
        .header_text(HeaderName::ContentTransferEncoding)
        .header_id(HeaderName::ContentId)
        .header_address(HeaderName::From)
        .header_address(HeaderName::To)
        .header_address(HeaderName::Cc)
        .header_address(HeaderName::ReplyTo)
        .header_text(HeaderName::Subject)
        .header_date(HeaderName::Date)
        .header_id(HeaderName::MessageId)
        .header_id(HeaderName::InReplyTo)
        .header_id(HeaderName::References)
});

/// What one part's header block says.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) fields: Fields,
    /// `type/subtype`, lower case; empty if there is none.
    pub(super) content_type: String,
    pub(super) charset: String,
    pub(super) boundary: Option<String>,
    pub(super) report_type: String,
    /// Parameter `protocol` of a signed or encrypted container (RFC 1847), lower case.
    pub(super) protocol: String,
    /// Parameter `smime-type` (RFC 8551 section 3.2.2), lower case.
    pub(super) smime_type: String,
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
    read_from(mail, extent::skip_preamble(mail), limit, true)
}

/// Reads the header block of a part; an empty one is just its empty line (RFC 2046 section 5.1.1).
pub(super) fn read_part(part: &[u8], limit: usize) -> Block {
    read_from(part, 0, limit, false)
}

/// Of a part, only what is decoded is asked for; the fields of a mail are kept as they are, too.
fn read_from(part: &[u8], start: usize, limit: usize, keeps_fields: bool) -> Block {
    let follows = if keeps_fields {
        extent::is_field
    } else {
        extent::is_field_of_part
    };
    let BlockEnd { body, has_odd_fold } = extent::block_end(part, start, follows);
    let end = body.min(start.saturating_add(limit));
    let raw = &part[start..end];
    if matches!(raw, b"\n" | b"\r\n") {
        return Block {
            body,
            ..Block::default()
        };
    }
    let mended = mend(raw, has_odd_fold);
    let Some(message) = PARSER.parse_headers(mended.as_ref()) else {
        return Block::default();
    };
    if message.headers().is_empty() {
        return Block::default();
    }
    let mut block = decode(&message, &mended);
    if keeps_fields {
        block.fields = fields(&message, &mended);
    }
    block.body = body;
    block.cut = end < body;
    block
}

/// Mends what the decoder cannot read: bytes that are not UTF-8 (taken as Windows-1252, which is what senders of raw
/// 8-bit headers use), parameters folded after their `=`, with which mail-parser 0.11 loses boundary and name, and
/// encoded words in character sets that it does not know.
/// The block ends in a line end, so that the last field is complete.
fn mend(block: &[u8], has_odd_fold: bool) -> Cow<'_, [u8]> {
    let text = match std::str::from_utf8(block) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(windows_1252(block)),
    };
    let mut mended = if has_odd_fold {
        Cow::Owned(unfold_parameters(text.as_bytes()))
    } else {
        match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    };
    if let Cow::Owned(known) = charset::with_known_words(&mended) {
        mended = Cow::Owned(known);
    }
    if !mended.ends_with(b"\n") {
        mended.to_mut().extend_from_slice(b"\r\n\r\n");
    }
    mended
}

/// Joins a `Content-*` field's line that ends in `=` with the next one. Other fields keep theirs: between two encoded
/// words (`?=`) the fold is a space that counts.
fn unfold_parameters(block: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(block.len());
    let mut rest = block;
    let mut in_content_field = false;
    let mut after_equals = false;
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(extent::line_length(rest));
        let continues = line
            .first()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        let lost = in_content_field && extent::is_lost_boundary(line);
        if lost {
            joined.extend_from_slice(b" ");
        } else if !continues {
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
    for header in message.headers() {
        let value = raw_value(header, raw);
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
            (HeaderName::From, HeaderValue::Address(list)) => {
                block.from.extend(mailboxes(list, value));
            }
            (HeaderName::To, HeaderValue::Address(list)) => block.to.extend(mailboxes(list, value)),
            (HeaderName::Cc, HeaderValue::Address(list)) => block.cc.extend(mailboxes(list, value)),
            (HeaderName::ReplyTo, HeaderValue::Address(list)) => {
                block.reply_to.extend(mailboxes(list, value));
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
    block
}

fn fields(message: &Message<'_>, raw: &[u8]) -> Fields {
    let field = |header: &Header<'_>| Field {
        name: header.name().to_ascii_lowercase(),
        value: one_line(raw_value(header, raw)),
    };
    Fields(message.headers().iter().map(field).collect())
}

fn raw_value<'a>(header: &Header<'_>, raw: &'a [u8]) -> &'a [u8] {
    let place = header.offset_start() as usize..header.offset_end() as usize;
    raw.get(place).unwrap_or_default()
}

fn take_content_type(value: &ContentType<'_>, block: &mut Block) {
    block.content_type = match value.subtype() {
        Some(subtype) => media_type(&format!("{}/{subtype}", value.ctype())),
        None => media_type(value.ctype()),
    };
    value
        .attribute("charset")
        .unwrap_or_default()
        .clone_into(&mut block.charset);
    block.boundary = value
        .attribute("boundary")
        .filter(|text| !text.is_empty())
        .map(str::to_owned);
    let lower = |name: &str| {
        value
            .attribute(name)
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    block.report_type = lower("report-type");
    block.protocol = lower("protocol");
    block.smime_type = lower("smime-type");
    if block.filename.is_empty() {
        // The second one is wrong here, and common.
        let name = value.attribute("name").filter(|name| !name.is_empty());
        name.or_else(|| value.attribute("filename"))
            .unwrap_or_default()
            .clone_into(&mut block.filename);
    }
}

/// A media type in lower case, without what cannot be in one: the database refuses a NUL, also as a file's type.
pub(super) fn media_type(text: &str) -> String {
    let legal = text.chars().filter(|c| !c.is_control());
    let kind: String = legal.take(MEDIA_TYPE_MAX).collect();
    kind.trim().to_ascii_lowercase()
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
    let text = String::from_utf8_lossy(value);
    let text = text.trim();
    if memchr::memchr3(b'\r', b'\n', 0, text.as_bytes()).is_some() {
        text.split(['\r', '\n', '\0']).collect()
    } else {
        text.to_owned()
    }
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
pub(super) fn fill(root: &mut Block, limits: &ParseLimits, mail: &mut ParsedMail) {
    mail.fields = std::mem::take(&mut root.fields);
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
