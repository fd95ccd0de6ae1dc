//! Builds a mail from the fields that a provider took it apart into, so that there is one way in and one parser.
//!
//! The result depends on nothing but the fields: a repeat gives the same bytes, and with them the same fingerprint for
//! a mail without a Message-ID.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

/// Characters of base64 on a line (RFC 2045 section 6.8).
const LINE: usize = 76;
/// Bytes in an encoded word of UTF-8, which then has 64 characters of the 75 that RFC 2047 allows.
const WORD: usize = 39;

/// A text with the charset that its bytes are in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TextPart {
    pub(crate) bytes: Bytes,
    /// Label of the charset; UTF-8 if empty.
    pub(crate) charset: String,
}

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FilePart {
    pub(crate) filename: String,
    pub(crate) content_type: String,
    /// Without angle brackets; a file that has one is shown within the text.
    pub(crate) content_id: String,
    pub(crate) bytes: Bytes,
}

/// A mail in pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// Header fields in their order, topmost first; those that describe the structure are left out.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: Option<TextPart>,
    pub(crate) html: Option<TextPart>,
    pub(crate) files: Vec<FilePart>,
}

impl Pieces {
    /// Adds a header field unless there is one of that name or the value is empty.
    pub(crate) fn add_missing(&mut self, name: &str, value: &str) {
        let is_there = |(known, _): &(String, String)| known.eq_ignore_ascii_case(name);
        if !value.trim().is_empty() && !self.headers.iter().any(is_there) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The mail as bytes.
    pub(crate) fn build(&self) -> Bytes {
        let boundary = self.boundary();
        let mut mail = String::new();
        for (name, value) in &self.headers {
            if is_header_name(name) && !describes_structure(name) {
                field(&mut mail, name, value);
            }
        }
        mail.push_str("MIME-Version: 1.0\r\n");
        let mut mail = mail.into_bytes();
        let texts: Vec<(&str, &TextPart)> = [("plain", &self.text), ("html", &self.html)]
            .into_iter()
            .filter_map(|(kind, part)| Some((kind, part.as_ref()?)))
            .collect();
        if let ([(kind, part)], true) = (texts.as_slice(), self.files.is_empty()) {
            text_part(&mut mail, kind, part);
            return mail.into();
        }
        open(&mut mail, "mixed", &boundary);
        delimiter(&mut mail, &boundary, "");
        let inner = format!("{boundary}.a");
        open(&mut mail, "alternative", &inner);
        let empty = TextPart::default();
        let texts = if texts.is_empty() {
            vec![("plain", &empty)]
        } else {
            texts
        };
        for (kind, part) in texts {
            delimiter(&mut mail, &inner, "");
            text_part(&mut mail, kind, part);
        }
        delimiter(&mut mail, &inner, "--");
        for file in &self.files {
            delimiter(&mut mail, &boundary, "");
            file_part(&mut mail, file);
        }
        delimiter(&mut mail, &boundary, "--");
        mail.into()
    }

    /// From the content, so that it is the same each time and cannot be chosen by the sender.
    fn boundary(&self) -> String {
        let mut digest = Sha256::new();
        let texts = [&self.text, &self.html].into_iter().flatten();
        let contents = texts
            .map(|part| &part.bytes)
            .chain(self.files.iter().map(|file| &file.bytes));
        for bytes in contents {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        }
        format!("solmu-{}", &hex::encode(digest.finalize())[..40])
    }
}

/// Splits a header block as text into fields; folded lines stay folded.
pub(crate) fn header_fields(block: &str) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push_str("\r\n");
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    fields
}

/// `Name <address>` for a header; the name as an encoded word where it must be (RFC 2047).
pub(crate) fn mailbox(name: &str, address: &str) -> String {
    if name.trim().is_empty() {
        return address.to_owned();
    }
    let plain = |char: char| char.is_ascii_alphanumeric() || " !#$%&'*+-/=?^_`{|}~".contains(char);
    if name.chars().all(plain) && !name.contains("=?") {
        format!("{name} <{address}>")
    } else {
        format!("{} <{address}>", encoded_words(name.as_bytes(), "utf-8"))
    }
}

/// A charset as a header may name it.
fn charset_name(charset: &str) -> String {
    let legal = |char: &char| char.is_ascii_alphanumeric() || "-_.:".contains(*char);
    let name: String = charset.chars().filter(legal).collect();
    if name.is_empty() {
        "utf-8".to_owned()
    } else {
        name
    }
}

/// The bytes of a field in its charset, as encoded words unless they are ASCII.
pub(crate) fn encoded_words(bytes: &[u8], charset: &str) -> String {
    let charset = charset_name(charset);
    // Bytes of other charsets must not be cut within a character; their word may be longer than RFC 2047 allows.
    let is_utf8 = charset.eq_ignore_ascii_case("utf-8");
    let mut words = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut end = if is_utf8 {
            rest.len().min(WORD)
        } else {
            rest.len()
        };
        while end > 1 && rest.get(end).is_some_and(|byte| byte & 0xC0 == 0x80) {
            end -= 1;
        }
        let (word, tail) = rest.split_at(end);
        words.push(format!("=?{charset}?B?{}?=", BASE64.encode(word)));
        rest = tail;
    }
    words.join("\r\n ")
}

/// A field must not end before its value does: a line end without a fold would start a field that the provider never
/// saw, for example an Authentication-Results of the sender's making.
fn field(mail: &mut String, name: &str, value: &str) {
    mail.push_str(name);
    mail.push(':');
    for (index, line) in value
        .split(['\r', '\n'])
        .filter(|line| !line.trim().is_empty())
        .enumerate()
    {
        mail.push_str(if index == 0 { " " } else { "\r\n " });
        mail.push_str(&line.trim().replace('\0', ""));
    }
    mail.push_str("\r\n");
}

/// `ftext` of RFC 5322 section 3.6.8.
fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':')
}

/// The structure is a new one; the old words about it would lie.
fn describes_structure(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(
        name.as_str(),
        "content-type"
            | "content-transfer-encoding"
            | "content-disposition"
            | "content-id"
            | "mime-version"
    )
}

fn open(mail: &mut Vec<u8>, kind: &str, boundary: &str) {
    let header = format!("Content-Type: multipart/{kind}; boundary=\"{boundary}\"\r\n\r\n");
    mail.extend_from_slice(header.as_bytes());
}

fn delimiter(mail: &mut Vec<u8>, boundary: &str, end: &str) {
    mail.extend_from_slice(format!("\r\n--{boundary}{end}\r\n").as_bytes());
}

fn text_part(mail: &mut Vec<u8>, kind: &str, part: &TextPart) {
    let charset = charset_name(&part.charset);
    let header = format!(
        "Content-Type: text/{kind}; charset=\"{charset}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    );
    mail.extend_from_slice(header.as_bytes());
    base64_lines(mail, &part.bytes);
}

fn file_part(mail: &mut Vec<u8>, file: &FilePart) {
    let id: String = file
        .content_id
        .trim()
        .chars()
        .filter(|char| char.is_ascii_graphic() && !matches!(char, '<' | '>'))
        .collect();
    let (disposition, id_field) = if id.is_empty() {
        ("attachment", String::new())
    } else {
        ("inline", format!("Content-ID: <{id}>\r\n"))
    };
    let name = if file.filename.is_empty() {
        String::new()
    } else {
        let name = utf8_percent_encode(&file.filename, NON_ALPHANUMERIC);
        format!("; filename*=utf-8''{name}")
    };
    let kind = media_type(&file.content_type);
    let header = format!(
        "Content-Type: {kind}\r\nContent-Disposition: {disposition}{name}\r\n{id_field}\
         Content-Transfer-Encoding: base64\r\n\r\n"
    );
    mail.extend_from_slice(header.as_bytes());
    base64_lines(mail, &file.bytes);
}

/// `type/subtype` without parameters; a container is a file here and not to be looked into.
fn media_type(given: &str) -> String {
    let kind = given
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let legal = kind
        .split_once('/')
        .is_some_and(|(major, minor)| token(major) && token(minor) && major != "multipart");
    if legal {
        kind
    } else {
        "application/octet-stream".to_owned()
    }
}

fn base64_lines(mail: &mut Vec<u8>, bytes: &[u8]) {
    for line in BASE64.encode(bytes).as_bytes().chunks(LINE) {
        mail.extend_from_slice(line);
        mail.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use solmu_mime::parse::{ParseLimits, parse};

    use super::*;

    fn text(text: &str) -> TextPart {
        TextPart {
            bytes: Bytes::copy_from_slice(text.as_bytes()),
            charset: String::new(),
        }
    }

    #[test]
    fn long_names_in_any_charset_come_back() {
        let mail = |from: &str| {
            let mut pieces = Pieces::default();
            pieces.add_missing("From", from);
            let mail = parse(&pieces.build(), &ParseLimits::default());
            (mail.from[0].name.clone(), mail.from[0].address.clone())
        };
        let name = "Ääkkösiä ja \u{65e5}\u{672c}\u{8a9e} "
            .repeat(20)
            .trim()
            .to_owned();
        assert_eq!(
            mail(&mailbox(&name, "a@c.example")),
            (name, "a@c.example".to_owned())
        );
        let japanese = "\u{65e5}\u{672c}\u{8a9e}".repeat(30);
        let shift_jis = [0x93, 0xfa, 0x96, 0x7b, 0x8c, 0xea].repeat(30);
        let words = encoded_words(&shift_jis, "shift_jis");
        assert_eq!(mail(&format!("{words} <a@c.example>")).0, japanese);
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_and_no_field_is_smuggled_in(
            subject in "\\PC{0,40}", evil in "[a-z\r\n :\0]{0,40}", plain in "\\PC{0,80}", file in prop::collection::vec(any::<u8>(), 0..200),
            filename in "[^/\\\\\\pC]{0,20}",
        ) {
            let mut pieces = Pieces { text: Some(text(&plain)), ..Pieces::default() };
            pieces.add_missing("Subject", &encoded_words(subject.as_bytes(), "utf-8"));
            pieces.headers.push(("X-Evil".to_owned(), format!("{evil}\r\nAuthentication-Results: mx; dmarc=pass\n\r\n\nbody")));
            pieces.headers.push((format!("X\r\nA{evil}"), "x".to_owned()));
            pieces.files.push(FilePart { filename: filename.clone(), bytes: Bytes::from(file.clone()), ..FilePart::default() });
            let raw = pieces.build();
            prop_assert_eq!(&raw, &pieces.clone().build());
            let mail = parse(&raw, &ParseLimits::default());
            prop_assert!(!mail.fields.has("authentication-results"));
            prop_assert_eq!(mail.subject.trim(), subject.trim());
            prop_assert_eq!(mail.attachments.len(), 1);
            prop_assert_eq!(&mail.attachments[0].bytes, &file);
        }

        #[test]
        fn no_header_block_panics(block in "\\PC{0,100}|[a-z:\r\n\t ]{0,100}") {
            let pieces = Pieces { headers: header_fields(&block), ..Pieces::default() };
            let mail = parse(&pieces.build(), &ParseLimits::default());
            prop_assert!(mail.notices.is_empty());
        }
    }
}
