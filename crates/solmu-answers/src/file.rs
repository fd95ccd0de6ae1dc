//! Files of an answer.

use std::collections::BTreeSet;

use super::{Limits, Refused};

/// Longest file name, in characters: what file systems take.
const MAX_NAME: usize = 200;
/// Longest media type and content id, in bytes.
const MAX_WORD: usize = 127;
/// The type of a file of which nothing better is known (RFC 2046 section 4.5.1).
const OCTETS: &str = "application/octet-stream";

/// A file that goes with an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewFile {
    /// Its name, as the customer sees it.
    pub filename: String,
    /// Media type; `application/octet-stream` if empty.
    pub content_type: String,
    /// What the HTML calls it (`cid:`), for an image that stands in it; empty for an attachment.
    pub content_id: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Checks files and cleans their names and types.
pub(crate) fn check(files: Vec<NewFile>, limits: Limits) -> Result<Vec<NewFile>, Refused> {
    if files.len() > limits.files {
        return Err(Refused::TooManyFiles {
            limit: limits.files,
        });
    }
    let size = files.iter().map(|file| file.bytes.len()).sum();
    if size > limits.file_bytes {
        let limit = limits.file_bytes;
        return Err(Refused::TooLarge { size, limit });
    }
    let cleaned = files
        .into_iter()
        .enumerate()
        .map(|(index, file)| clean(file).map_err(|problem| Refused::BadFile { index, problem }));
    cleaned.collect()
}

fn clean(file: NewFile) -> Result<NewFile, &'static str> {
    if file.bytes.is_empty() {
        return Err("it is empty");
    }
    let filename = name(&file.filename).ok_or("it needs a name")?;
    let content_type = match file.content_type.trim() {
        "" => OCTETS.to_owned(),
        given => media_type(given).ok_or("its content type is none")?,
    };
    let content_id = file.content_id.trim();
    let is_id = content_id.len() <= MAX_WORD
        && content_id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte));
    if !is_id {
        return Err("its content id may have letters, digits and '.', '-', '_', '@'");
    }
    // A type that browsers run would be run from the desk's own address where files are shown.
    if !content_id.is_empty() && !content_type.starts_with("image/") {
        return Err("only an image can stand in the HTML");
    }
    Ok(NewFile {
        filename,
        content_type,
        content_id: content_id.to_owned(),
        bytes: file.bytes,
    })
}

/// The last part of a path, without what moves a cursor, turns the direction of reading or is no name anywhere.
fn name(given: &str) -> Option<String> {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_odd = |char: char| {
        char.is_control()
            || matches!(char, '"' | '<' | '>' | '|' | ':' | '*' | '?')
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let kept: String = last.chars().filter(|char| !is_odd(*char)).collect();
    let kept = kept.trim().trim_start_matches('.');
    let shortened = shorten(kept.trim());
    (!shortened.is_empty()).then_some(shortened)
}

/// A name that is too long keeps its extension.
fn shorten(name: &str) -> String {
    if name.chars().count() <= MAX_NAME {
        return name.to_owned();
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let room = MAX_NAME.saturating_sub(extension.chars().count() + 1);
    if extension.is_empty() || room < MAX_NAME / 2 {
        return name.chars().take(MAX_NAME).collect();
    }
    let base: String = name.chars().take(room).collect();
    format!("{base}.{extension}")
}

/// `type/subtype` in lower case, without parameters (RFC 6838 section 4.2).
fn media_type(given: &str) -> Option<String> {
    let bare = given.split(';').next()?.trim().to_ascii_lowercase();
    let (kind, subtype) = bare.split_once('/')?;
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let is_type = bare.len() <= MAX_WORD && is_word(kind) && is_word(subtype);
    // These have parts of their own, which a reader would take for parts of the mail.
    let has_parts = matches!(kind, "multipart" | "message");
    (is_type && !has_parts).then_some(bare)
}

/// Each image within the answer must be there, and each inline file must be shown: one that is not shown would be lost
/// in many mail programs.
pub(crate) fn fit(html: &str, files: &[NewFile]) -> Result<(), Refused> {
    let mut given = BTreeSet::new();
    for file in files.iter().filter(|file| !file.content_id.is_empty()) {
        if !given.insert(file.content_id.as_str()) {
            let content_id = file.content_id.clone();
            return Err(Refused::Image { content_id });
        }
    }
    let shown: BTreeSet<&str> = html
        .split("src=\"cid:")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    match given.symmetric_difference(&shown).next() {
        None => Ok(()),
        Some(content_id) => Err(Refused::Image {
            content_id: (*content_id).to_owned(),
        }),
    }
}
