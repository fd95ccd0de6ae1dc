//! How things are written in commands.

use std::fmt::Write as _;

use base64::{
    Engine as _,
    alphabet::IMAP_MUTF7,
    engine::general_purpose::{GeneralPurpose, NO_PAD},
};

const MODIFIED: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// A folder's name as a quoted string in modified UTF-7 (RFC 3501 section 5.1.3), which every server takes.
pub(crate) fn folder(name: &str) -> String {
    quoted(&modified_utf7(name))
}

/// A quoted string. The caller has only printable ASCII.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars().filter(|c| !c.is_ascii_control()) {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// Whether a quoted string may carry it.
pub(crate) fn is_quotable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn modified_utf7(name: &str) -> String {
    let mut written = String::new();
    let mut other = String::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut written, &mut other);
            written.push(c);
            if c == '&' {
                written.push('-');
            }
        } else {
            other.push(c);
        }
    }
    flush(&mut written, &mut other);
    written
}

fn flush(written: &mut String, other: &mut String) {
    if other.is_empty() {
        return;
    }
    let units: Vec<u8> = other.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let _ = write!(written, "&{}-", MODIFIED.encode(units));
    other.clear();
}

/// A set of UIDs, which have to be in order, as `1:3,7`.
pub(crate) fn uid_set(uids: &[u32]) -> String {
    let mut set = String::new();
    let mut rest = uids;
    while let Some((first, _)) = rest.split_first() {
        let mut last = *first;
        let run = rest
            .iter()
            .zip(*first..=u32::MAX)
            .take_while(|(uid, wanted)| *uid == wanted)
            .inspect(|(uid, _)| last = **uid)
            .count();
        let comma = if set.is_empty() { "" } else { "," };
        let _ = if last == *first {
            write!(set, "{comma}{first}")
        } else {
            write!(set, "{comma}{first}:{last}")
        };
        rest = &rest[run.max(1)..];
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_written_as_every_server_reads_them() {
        assert_eq!(folder("INBOX"), "\"INBOX\"");
        assert_eq!(folder("A & \"B\""), "\"A &- \\\"B\\\"\"");
        // The example of RFC 3501 section 5.1.3.
        assert_eq!(
            folder("~peter/mail/\u{53f0}\u{5317}/\u{65e5}\u{672c}\u{8a9e}"),
            "\"~peter/mail/&U,BTFw-/&ZeVnLIqe-\""
        );
        assert_eq!(folder("Gel\u{f6}scht"), "\"Gel&APY-scht\"");
        assert_eq!(folder("x\r\ny"), "\"x&AA0ACg-y\"");
    }

    #[test]
    fn sets_are_short() {
        assert_eq!(uid_set(&[1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
        assert_eq!(uid_set(&[u32::MAX - 1, u32::MAX]), "4294967294:4294967295");
        assert_eq!(uid_set(&[5]), "5");
        assert_eq!(uid_set(&[]), "");
    }
}
