//! Transfer encodings and character sets, each with a way out for what is broken.

use std::borrow::Cow;

use super::{charset, uuencode};
use mail_parser::decoders::{base64::base64_decode, charsets::map::charset_decoder};

/// Decodes a Content-Transfer-Encoding (RFC 2045 section 6). Unknown ones are taken as they are.
pub(super) fn transfer_decode<'a>(bytes: &'a [u8], encoding: &str) -> Cow<'a, [u8]> {
    match encoding {
        "base64" => Cow::Owned(base64(bytes)),
        "quoted-printable" => Cow::Owned(quoted_printable(bytes)),
        "x-uuencode" | "uuencode" | "x-uue" | "uue" => uuencode::decode_part(bytes),
        _ => Cow::Borrowed(bytes),
    }
}

/// Base64 as RFC 2045 section 6.8 wants it read: what is not of the alphabet is left out.
fn base64(bytes: &[u8]) -> Vec<u8> {
    base64_decode(bytes).unwrap_or_else(|| {
        let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let digits: Vec<u8> = bytes.iter().copied().filter(is_digit).collect();
        base64_decode(&digits).unwrap_or_default()
    })
}

/// Quoted-printable (RFC 2045 section 6.7). A broken escape stays as it is written.
fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'=', rest) {
        decoded.extend_from_slice(&rest[..at]);
        let escape = &rest[at + 1..];
        if let Some(byte) = hex_pair(escape) {
            decoded.push(byte);
            rest = &escape[2..];
        } else if let Some(length) = soft_break(escape) {
            rest = &escape[length..];
        } else {
            decoded.push(b'=');
            rest = escape;
        }
    }
    decoded.extend_from_slice(rest);
    decoded
}

fn hex_pair(escape: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (high, low) = (digit(*escape.first()?)?, digit(*escape.get(1)?)?);
    u8::try_from(high * 16 + low).ok()
}

/// Length of a line end after `=`, with the blanks that some senders leave before it.
fn soft_break(escape: &[u8]) -> Option<usize> {
    let blanks = escape
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    match &escape[blanks..] {
        [b'\r', b'\n', ..] => Some(blanks + 2),
        [b'\n', ..] => Some(blanks + 1),
        [] => Some(blanks),
        _ => None,
    }
}

/// Text in the declared character set. Undeclared, unknown or wrongly declared ones are guessed between UTF-8 and
/// Windows-1252.
pub(super) fn to_text(bytes: &[u8], charset: &str) -> String {
    read_text(bytes, charset).0
}

/// As [`to_text`], and whether all of it could be read.
pub(super) fn read_text(bytes: &[u8], charset: &str) -> (String, bool) {
    let name = charset::known_name(charset);
    // Latin-1 has no letters between 0x80 and 0x9f; who uses them means Windows-1252, and every mail client takes it so.
    if ["iso-8859-1", "iso8859-1", "latin1", "l1", "ansi"].contains(&name.as_str()) {
        return (windows_1252(bytes), true);
    }
    let is_unicode = ["", "utf-8", "utf8", "us-ascii", "ascii"].contains(&name.as_str());
    let decoded = charset::read_rare(bytes, &name).or_else(|| {
        let decode = charset_decoder(name.as_bytes()).filter(|_| !is_unicode)?;
        Some(decode(bytes))
    });
    if let Some(text) = decoded {
        let is_whole = !text.contains(char::REPLACEMENT_CHARACTER);
        return (text, is_whole);
    }
    if let Ok(valid) = std::str::from_utf8(bytes) {
        return (valid.to_owned(), true);
    }
    let text = guess(bytes);
    let is_whole = is_unicode && !text.contains(char::REPLACEMENT_CHARACTER);
    (text, is_whole)
}

/// UTF-8 where most of what is not ASCII is valid UTF-8, else Windows-1252: a mail in UTF-8 that was cut in a
/// character must not turn into `Ã¤`, and one in Latin-1 must not turn into replacement characters.
fn guess(bytes: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(bytes);
    let (mut valid, mut broken) = (0_usize, 0_usize);
    for character in lossy.chars().filter(|c| !c.is_ascii()) {
        if character == char::REPLACEMENT_CHARACTER {
            broken += 1;
        } else {
            valid += 1;
        }
    }
    if broken > valid {
        windows_1252(bytes)
    } else {
        lossy.into_owned()
    }
}

/// Text of bytes in Windows-1252, in which every byte is a character.
pub(super) fn windows_1252(bytes: &[u8]) -> String {
    match charset_decoder(b"windows-1252") {
        Some(decode) => decode(bytes),
        None => bytes.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_quoted_printable_stays_readable() {
        for (given, wanted) in [
            ("a=C3=A4b", "aäb"),
            ("soft=\r\n break", "soft break"),
            ("soft= \t\nbreak", "softbreak"),
            ("100 = 100", "100 = 100"),
            ("=c3=a4", "ä"),
            ("end=", "end"),
            ("=X1", "=X1"),
        ] {
            assert_eq!(
                String::from_utf8_lossy(&quoted_printable(given.as_bytes())),
                wanted,
                "{given:?}"
            );
        }
    }

    #[test]
    fn base64_with_rubbish_is_read() {
        assert_eq!(base64(b"SGVp\r\nIQ=="), b"Hei!");
        assert_eq!(base64(b"SG*Vp\r\n--IQ"), b"Hei!");
    }

    #[test]
    fn charsets_declared_wrong_or_not_at_all() {
        assert_eq!(to_text(b"p\xe4iv\xe4\xe4", "utf-8"), "päivää");
        assert_eq!(to_text(b"p\xe4iv\xe4\xe4", ""), "päivää");
        assert_eq!(to_text(b"p\xe4iv\xe4\xe4", "x-unknown"), "päivää");
        assert_eq!(to_text("päivä€".as_bytes(), "us-ascii"), "päivä€");
        assert_eq!(
            to_text(b"\x93p\xe4iv\xe4\x94 \x80", "ISO-8859-1"),
            "“päivä” €"
        );
        assert_eq!(
            to_text(b"\xe4\xe4kk\xf6set \xa4", "iso-8859-15"),
            "ääkköset €"
        );
        assert_eq!(
            to_text(b"\x1b$B$3$s$K$A$O\x1b(B", "ISO-2022-JP"),
            "こんにちは"
        );
        assert_eq!(to_text(&"päivää".as_bytes()[..6], "utf-8"), "päiv\u{fffd}");
    }
}
