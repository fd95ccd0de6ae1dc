//! Files that old mailers write into a text (`begin 644 name ... end`, POSIX `uuencode`).
//!
//! A block counts only as a whole: each line as long as it says, and an `end`. Anything else stays text, so that a
//! sentence that starts with "begin" is never lost.

use std::{borrow::Cow, sync::LazyLock};

use memchr::memmem::Finder;

/// A line that may begin a file.
static BEGIN: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\nbegin "));
/// Bytes in a line of data.
const LINE_BYTES_MAX: usize = 63;

/// A file found in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// Takes at most `limit` files out of a text. `None` if there is none.
pub(super) fn extract(text: &str, limit: usize) -> Option<(String, Vec<Found>)> {
    let begins = || text.starts_with("begin ") || BEGIN.find(text.as_bytes()).is_some();
    if limit == 0 || !begins() {
        return None;
    }
    let mut rest_text = String::new();
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(end) = line_end(rest) {
        let line = &rest[..end];
        let block = header(line)
            .filter(|_| found.len() < limit)
            .and_then(|name| Some((name, block(&rest[end..])?)));
        if let Some((name, (bytes, length))) = block {
            found.push(Found {
                name: name.to_owned(),
                bytes,
            });
            rest = &rest[end + length..];
        } else {
            rest_text.push_str(line);
            rest = &rest[end..];
        }
    }
    (!found.is_empty()).then_some((rest_text, found))
}

/// A part whose transfer encoding is uuencode. What is none stays as it is.
pub(super) fn decode_part(bytes: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(bytes);
    match extract(&text, 1).and_then(|(_, found)| found.into_iter().next()) {
        Some(file) => Cow::Owned(file.bytes),
        None => Cow::Borrowed(bytes),
    }
}

/// Length of the first line with its end; `None` at the end of the text.
fn line_end(text: &str) -> Option<usize> {
    (!text.is_empty()).then(|| text.find('\n').map_or(text.len(), |at| at + 1))
}

/// The file name of a `begin` line.
fn header(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("begin ")?;
    let (mode, name) = rest.trim_end().split_once(' ')?;
    let is_mode = (3..=4).contains(&mode.len()) && mode.bytes().all(|b| (b'0'..=b'7').contains(&b));
    (is_mode && !name.trim().is_empty()).then_some(name.trim())
}

/// The bytes of a block and its length, `end` included. A `begin` line cannot be a line of data, because those have no
/// lower case; so each line is looked at twice at most.
fn block(text: &str) -> Option<(Vec<u8>, usize)> {
    let mut bytes = Vec::new();
    let mut at = 0;
    loop {
        let length = line_end(&text[at..])?;
        let line = text[at..at + length].trim_end_matches(['\r', '\n']);
        at += length;
        if line == "end" {
            return (!bytes.is_empty()).then_some((bytes, at));
        }
        decode_line(line.as_bytes(), &mut bytes)?;
    }
}

/// Decodes a line of data; spaces at its end may have been lost on the way.
fn decode_line(line: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    let Some((first, digits)) = line.split_first() else {
        return Some(());
    };
    let value = |byte: u8| (0x20..=0x60).contains(&byte).then(|| (byte - 0x20) & 0x3f);
    let length = usize::from(value(*first)?);
    let needed = length.div_ceil(3) * 4;
    // One more character is a checksum of some encoders.
    if length > LINE_BYTES_MAX || digits.len() > needed + 1 {
        return None;
    }
    let digit = |at: usize| digits.get(at).map_or(Some(0), |byte| value(*byte));
    let end = bytes.len() + length;
    for group in (0..needed).step_by(4) {
        let [a, b, c, d] = [
            digit(group)?,
            digit(group + 1)?,
            digit(group + 2)?,
            digit(group + 3)?,
        ];
        bytes.extend([a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
    }
    bytes.truncate(end);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAT: &str = "begin 644 cat.txt\r\n#0V%T\r\n`\r\nend\r\n";

    #[test]
    fn a_block_becomes_a_file_and_the_text_around_it_stays() {
        let (text, found) = extract(&format!("Hei,\r\n\r\n{CAT}\r\nloppu\r\n"), 9).unwrap();
        assert_eq!(text, "Hei,\r\n\r\n\r\nloppu\r\n");
        assert_eq!(
            (found[0].name.as_str(), found[0].bytes.as_slice()),
            ("cat.txt", &b"Cat"[..])
        );
        let (text, found) = extract(&CAT.repeat(3), 2).unwrap();
        assert_eq!((found.len(), text.as_str()), (2, CAT));
        let long = "begin 755 a b.bin\n\
            M5&AE('%U:6-K(&)R;W=N(&9O>\"!J=6UP<R!O=F5R('1H92!L87IY(&1O9RX@\n\
            ,5&AE('%U:6-K(&(\n \nend";
        let (_, found) = extract(long, 9).unwrap();
        assert_eq!(found[0].name, "a b.bin");
        assert!(
            found[0]
                .bytes
                .starts_with(b"The quick brown fox jumps over the lazy dog. ")
        );
        assert_eq!(found[0].bytes.len(), 45 + 12);
        assert_eq!(decode_part(CAT.as_bytes()).as_ref(), b"Cat");
    }

    #[test]
    fn what_is_no_block_stays_text() {
        for text in [
            "begin 644 cat.txt\n#0V%T\n`\n",
            "begin 644 cat.txt\nend\n",
            "begin 644 cat.txt\nthis is no data\nend\n",
            "begin to work\n#0V%T\nend\n",
            "begin 999 x\n#0V%T\nend\n",
            "begin 644 \n#0V%T\nend\n",
            "we begin 644 x\n#0V%T\nend\n",
            "begin 644 x\nZZ\u{e4}\nend\n",
        ] {
            assert_eq!(extract(text, 9), None, "{text}");
        }
        assert_eq!(extract(CAT, 0), None);
        assert_eq!(decode_part(b"plain"), Cow::Borrowed(&b"plain"[..]));
    }
}
