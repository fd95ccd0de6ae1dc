//! `winmail.dat`: what Outlook sends when it takes the other side for another Outlook ([MS-OXTNEF]).
//!
//! It is a list of attributes, some of which hold lists of MAPI properties ([MS-OXCMSG]). Taken out are the files and,
//! for a mail whose text is nowhere else, the text. Every length is checked against what is left, counts are limited,
//! and a message within a message is followed to a small depth; whatever is broken ends the reading there, and what was
//! found before counts.

mod properties;
mod rtf;
#[cfg(test)]
mod tests;

use super::encoding::to_text;
use properties::{Property, Reader, Value};

/// First four bytes of a TNEF stream, little-endian.
const SIGNATURE: u32 = 0x223e_9f78;
/// Messages within messages that are followed.
const DEPTH_MAX: usize = 4;
/// Attributes of one stream.
const ATTRIBUTES_MAX: usize = 20_000;
/// Bytes of the class identifier before an embedded message ([MS-OXTNEF] section 2.1.3.6).
const CLASS_ID: usize = 16;

/// Attributes ([MS-OXTNEF] section 2.1.3.2).
mod attribute {
    pub(super) const BODY: u32 = 0x0002_800c;
    pub(super) const ATTACH_DATA: u32 = 0x0006_800f;
    pub(super) const ATTACH_TITLE: u32 = 0x0001_8010;
    pub(super) const ATTACH_REND_DATA: u32 = 0x0006_9002;
    pub(super) const MESSAGE_PROPERTIES: u32 = 0x0006_9003;
    pub(super) const ATTACH_PROPERTIES: u32 = 0x0006_9005;
    pub(super) const CODEPAGE: u32 = 0x0006_9007;
}

/// Properties ([MS-OXPROPS]).
mod tag {
    pub(super) const BODY: u16 = 0x1000;
    pub(super) const RTF: u16 = 0x1009;
    pub(super) const HTML: u16 = 0x1013;
    pub(super) const INTERNET_CODEPAGE: u16 = 0x3fde;
    pub(super) const ATTACH_DATA: u16 = 0x3701;
    pub(super) const ATTACH_NAME: u16 = 0x3704;
    pub(super) const ATTACH_LONG_NAME: u16 = 0x3707;
    pub(super) const ATTACH_TYPE: u16 = 0x370e;
    pub(super) const ATTACH_CONTENT_ID: u16 = 0x3712;
}

/// A file in a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TnefFile {
    pub(super) name: String,
    /// Empty if the stream does not say.
    pub(super) content_type: String,
    pub(super) content_id: String,
    pub(super) bytes: Vec<u8>,
}

/// What a stream holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tnef {
    pub(super) text: String,
    pub(super) html: String,
    pub(super) files: Vec<TnefFile>,
    /// The stream ended where it should.
    pub(super) whole: bool,
}

/// Reads a stream; `None` if the bytes are none. At most `files_max` files are taken.
pub(super) fn decode(bytes: &[u8], files_max: usize) -> Option<Tnef> {
    decode_nested(bytes, files_max, 0)
}

fn decode_nested(bytes: &[u8], files_max: usize, depth: usize) -> Option<Tnef> {
    let mut reader = Reader::new(bytes);
    if reader.u32()? != SIGNATURE {
        return None;
    }
    reader.u16()?;
    let mut decoder = Decoder {
        files_max,
        depth,
        ..Decoder::default()
    };
    let whole = decoder.read(&mut reader).is_some();
    Some(decoder.finish(whole))
}

#[derive(Default)]
struct Decoder {
    found: Tnef,
    /// The file whose attributes are being read.
    file: Option<TnefFile>,
    rtf: Vec<u8>,
    charset: String,
    files_max: usize,
    depth: usize,
    cut: bool,
}

impl Decoder {
    fn read(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        for _ in 0..ATTRIBUTES_MAX {
            if reader.is_empty() {
                return Some(());
            }
            reader.u8()?;
            let id = reader.u32()?;
            let length = usize::try_from(reader.u32()?).ok()?;
            let data = reader.take(length)?;
            self.attribute(id, data)?;
            // The checksum only tells of damage on the way; a damaged file is still better than none.
            reader.u16()?;
        }
        None
    }

    fn attribute(&mut self, id: u32, data: &[u8]) -> Option<()> {
        match id {
            attribute::CODEPAGE => self.charset = charset(Reader::new(data).u32()?),
            attribute::BODY => self.set_text(&to_text(data, &self.charset)),
            attribute::MESSAGE_PROPERTIES => {
                properties::read(data, |property| self.message_property(property))?;
            }
            attribute::ATTACH_REND_DATA => {
                self.end_file();
                self.file = Some(TnefFile::default());
            }
            attribute::ATTACH_TITLE => {
                let name = to_text(data, &self.charset);
                let file = self.file.get_or_insert_default();
                if file.name.is_empty() {
                    trimmed(&name).clone_into(&mut file.name);
                }
            }
            attribute::ATTACH_DATA => {
                data.clone_into(&mut self.file.get_or_insert_default().bytes);
            }
            attribute::ATTACH_PROPERTIES => {
                properties::read(data, |property| self.file_property(property))?;
            }
            _ => {}
        }
        Some(())
    }

    fn message_property(&mut self, property: &Property<'_>) {
        match (property.id, &property.value) {
            (tag::INTERNET_CODEPAGE, Value::Number(codepage)) => self.charset = charset(*codepage),
            (tag::BODY, value) => self.set_text(&value.text(&self.charset)),
            (tag::HTML, value) => {
                let html = value.text(&self.charset);
                trimmed(&html).clone_into(&mut self.found.html);
            }
            (tag::RTF, Value::Binary(bytes)) => self.rtf = bytes.to_vec(),
            _ => {}
        }
    }

    fn file_property(&mut self, property: &Property<'_>) {
        let text = || trimmed(&property.value.text(&self.charset)).to_owned();
        match property.id {
            tag::ATTACH_LONG_NAME => self.file.get_or_insert_default().name = text(),
            tag::ATTACH_NAME if self.file.as_ref().is_none_or(|file| file.name.is_empty()) => {
                self.file.get_or_insert_default().name = text();
            }
            tag::ATTACH_TYPE => {
                self.file.get_or_insert_default().content_type = text().to_lowercase();
            }
            tag::ATTACH_CONTENT_ID => self.file.get_or_insert_default().content_id = text(),
            tag::ATTACH_DATA => match property.value {
                Value::Object(bytes) => self.embedded(bytes),
                Value::Binary(bytes) => {
                    bytes.clone_into(&mut self.file.get_or_insert_default().bytes);
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// A message within the message: its files join ours, its text becomes a file.
    fn embedded(&mut self, bytes: &[u8]) {
        let inner = bytes.get(CLASS_ID..).unwrap_or_default();
        let room = self.files_max.saturating_sub(self.found.files.len());
        let nested = (self.depth < DEPTH_MAX)
            .then(|| decode_nested(inner, room, self.depth + 1))
            .flatten();
        let Some(mut nested) = nested else {
            bytes.clone_into(&mut self.file.get_or_insert_default().bytes);
            return;
        };
        let file = self.file.get_or_insert_default();
        let (content, kind, end) = if nested.html.is_empty() {
            (nested.text, "text/plain", "txt")
        } else {
            (nested.html, "text/html", "html")
        };
        file.bytes = content.into_bytes();
        kind.clone_into(&mut file.content_type);
        let name = if file.name.is_empty() {
            "message"
        } else {
            &file.name
        };
        file.name = format!("{name}.{end}");
        self.found.files.append(&mut nested.files);
    }

    fn set_text(&mut self, text: &str) {
        if self.found.text.is_empty() {
            trimmed(text).clone_into(&mut self.found.text);
        }
    }

    fn end_file(&mut self) {
        let Some(file) = self.file.take() else {
            return;
        };
        if file.bytes.is_empty() && file.name.is_empty() {
            return;
        }
        if self.found.files.len() < self.files_max {
            self.found.files.push(file);
        } else {
            self.cut = true;
        }
    }

    fn finish(mut self, whole: bool) -> Tnef {
        self.end_file();
        if self.found.text.is_empty() && self.found.html.is_empty() {
            self.found.text = rtf::text(&self.rtf).unwrap_or_default();
        }
        self.found.whole = whole && !self.cut;
        self.found
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\0' || c.is_whitespace())
}

/// The charset of a Windows code page.
fn charset(codepage: u32) -> String {
    match codepage {
        65001 => "utf-8".to_owned(),
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        20866 => "koi8-r".to_owned(),
        28591..=28606 => format!("iso-8859-{}", codepage - 28590),
        other => format!("windows-{other}"),
    }
}
