//! What is handed in for a mail that stays in the mailbox: its own header, so that sender, subject and thread are
//! right, with a text of ours in place of its body.

use bytes::Bytes;
use solmu_imap::Left;

/// Headers that describe the body, which is another one now.
const OF_THE_BODY: [&str; 7] = [
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "content-id",
    "content-language",
    "content-description",
];

/// A mail with the header of the one that stays.
pub(super) fn notice(header: &[u8], why: Left, size: u64, mailbox: &str, folder: &str) -> Bytes {
    let mut mail = Vec::with_capacity(header.len() + 512);
    let mut is_kept = true;
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if line.iter().all(u8::is_ascii_whitespace) {
            break;
        }
        // A line that begins with white space goes on with the header before it (RFC 5322 section 2.2.3).
        if !matches!(line.first(), Some(b' ' | b'\t')) {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let name = String::from_utf8_lossy(name).trim().to_ascii_lowercase();
            is_kept = !OF_THE_BODY.contains(&name.as_str());
        }
        if is_kept {
            mail.extend_from_slice(line);
        }
    }
    if !mail.is_empty() && !mail.ends_with(b"\n") {
        mail.extend_from_slice(b"\r\n");
    }
    let reason = match why {
        Left::TooLarge if size < 1024 => "It is larger than what is taken in.".to_owned(),
        Left::TooLarge => format!("It is larger than what is taken in ({} KiB).", size / 1024),
        Left::Unreadable => "The mail server does not give it.".to_owned(),
    };
    let text = format!(
        "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         This mail could not be taken in whole. {reason}\r\n\
         The original stays in the mailbox '{mailbox}', folder '{folder}'.\r\n"
    );
    mail.extend_from_slice(text.as_bytes());
    mail.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_stays_and_the_body_is_told_of() {
        let header = b"From: a@c.example\r\nContent-Type: multipart/mixed;\r\n boundary=x\r\nSubject: big\r\n file\r\ncontent-transfer-encoding : 7bit\r\nMessage-ID: <1@c.example>\r\n\r\n";
        let mail = notice(header, Left::TooLarge, 40 * 1024 * 1024, "support", "INBOX");
        let text = String::from_utf8(mail.to_vec()).unwrap();
        assert!(text.starts_with(
            "From: a@c.example\r\nSubject: big\r\n file\r\nMessage-ID: <1@c.example>\r\nMIME-Version: 1.0\r\n"
        ));
        assert!(!text.contains("boundary") && !text.contains("7bit"));
        assert!(text.contains("(40960 KiB)") && text.contains("mailbox 'support', folder 'INBOX'"));
    }

    #[test]
    fn an_odd_header_makes_a_mail_too() {
        for header in [&b""[..], b"\r\n", b"x", b" y\r\nContent-Type"] {
            let mail = notice(header, Left::Unreadable, 0, "m", "f");
            assert!(mail.windows(4).any(|end| end == b"\r\n\r\n"));
        }
    }
}
