//! Parts that are files: their names and types, made safe.

use super::{header::clean_line, tree::Leaf};
use crate::mail::ParsedAttachment;

/// Characters of a file name that are kept (common file systems take 255 bytes).
const FILENAME_MAX: usize = 120;

/// Types of files that old formats name without a type.
const TYPES: [(&str, &str); 21] = [
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("bmp", "image/bmp"),
    ("tif", "image/tiff"),
    ("txt", "text/plain"),
    ("csv", "text/csv"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("rtf", "application/rtf"),
    ("ics", "text/calendar"),
    ("eml", "message/rfc822"),
    ("zip", "application/zip"),
    ("doc", "application/msword"),
    ("xls", "application/vnd.ms-excel"),
    ("ppt", "application/vnd.ms-powerpoint"),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
];

/// Names of parts that have none, where the type says what a name would.
const NAMES: [(&str, &str); 7] = [
    ("text/calendar", "invite.ics"),
    ("application/pgp-signature", "signature.asc"),
    ("application/pkcs7-signature", "smime.p7s"),
    ("application/x-pkcs7-signature", "smime.p7s"),
    ("application/pkcs7-mime", "smime.p7m"),
    ("application/x-pkcs7-mime", "smime.p7m"),
    ("application/ms-tnef", "winmail.dat"),
];

/// A part as a file.
pub(super) fn of_leaf(leaf: Leaf<'_>) -> ParsedAttachment {
    let Leaf {
        block,
        bytes,
        related,
        ..
    } = leaf;
    let inline = !block.attachment && (block.inline || related) && !block.content_id.is_empty();
    ParsedAttachment {
        filename: file_name(&block.filename, &block.content_type),
        content_type: block.content_type,
        content_id: block.content_id,
        inline,
        bytes: bytes.into_owned(),
    }
}

/// A file out of an old format that gives only its name.
pub(super) fn named(name: &str, bytes: Vec<u8>) -> ParsedAttachment {
    let content_type = type_of_name(name);
    ParsedAttachment {
        filename: file_name(name, content_type),
        content_type: content_type.to_owned(),
        bytes,
        ..ParsedAttachment::default()
    }
}

fn type_of_name(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    TYPES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(extension))
        .map_or("application/octet-stream", |(_, kind)| kind)
}

/// A name that is safe to show and to save: no folders, no control or direction characters.
pub(super) fn file_name(given: &str, content_type: &str) -> String {
    let name = clean_line(given);
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_safe = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    let name: String = name.chars().filter(is_safe).take(FILENAME_MAX).collect();
    let name = name.trim().trim_start_matches('.');
    let is_mail = matches!(content_type, "message/rfc822" | "message/global");
    let is_named_as_mail = name
        .get(name.len().saturating_sub(4)..)
        .is_some_and(|end| end.eq_ignore_ascii_case(".eml"));
    if !name.is_empty() {
        if is_mail && !is_named_as_mail {
            return format!("{name}.eml");
        }
        return name.to_owned();
    }
    if content_type.starts_with("message/") {
        return "message.eml".to_owned();
    }
    NAMES
        .iter()
        .find(|(known, _)| *known == content_type)
        .map_or(String::new(), |(_, name)| (*name).to_owned())
}
