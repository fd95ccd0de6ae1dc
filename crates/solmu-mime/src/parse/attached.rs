//! The mail that is attached to another one.

use super::{ParseLimits, without_attached};
use crate::mail::{AttachedMail, ParsedMail};

/// The first attached mail that names its author. What a report returns is in its reports and not looked at.
pub(super) fn first(mail: &ParsedMail, limits: &ParseLimits) -> Option<AttachedMail> {
    if !mail.report_type.is_empty() {
        return None;
    }
    let mut attached = mail
        .attachments
        .iter()
        .filter(|file| matches!(&*file.content_type, "message/rfc822" | "message/global"));
    let limits = ParseLimits {
        text_bytes: limits.attached_text_bytes,
        html_bytes: limits.html_bytes.min(4 * limits.attached_text_bytes),
        attachments: 0,
        ..limits.clone()
    };
    let inner = without_attached(&attached.next()?.bytes, &limits);
    Some(AttachedMail {
        from: inner.from.into_iter().next()?,
        subject: inner.subject,
        text: inner.text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::parse;

    const AROUND: &str = "From: ville@desk.example\nContent-Type: multipart/mixed; boundary=m\n\n--m\n\nPlease take this.\n--m\nContent-Type: message/rfc822\n\n";

    #[test]
    fn the_first_attached_mail_is_read_and_no_deeper_one() {
        let inner = "From: =?utf-8?q?P=C3=A4ivi?= <paivi@c.example>\nSubject: Rikki\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nSe on rikki.\n--i\nContent-Type: message/rfc822\n\nFrom: deep@c.example\n\ndeep\n--i--\n";
        let mail = format!(
            "{AROUND}{inner}\n--m\nContent-Type: message/rfc822\n\nFrom: second@c.example\n\n2\n--m--\n"
        );
        let found = parse(mail.as_bytes(), &ParseLimits::default())
            .attached
            .unwrap();
        assert_eq!(
            (
                &*found.from.name,
                &*found.from.address,
                &*found.subject,
                found.text.trim()
            ),
            ("Päivi", "paivi@c.example", "Rikki", "Se on rikki.")
        );
    }

    #[test]
    fn its_text_is_limited_and_an_author_is_needed() {
        let limits = ParseLimits {
            attached_text_bytes: 100,
            ..ParseLimits::default()
        };
        let long = format!("{AROUND}From: a@c.example\n\n{}\n--m--\n", "ä".repeat(500));
        let found = parse(long.as_bytes(), &limits).attached.unwrap();
        assert!(
            found.text.len() <= 100 && found.text.starts_with('ä'),
            "{}",
            found.text
        );
        let nameless = format!("{AROUND}Subject: x\n\ny\n--m--\n");
        assert_eq!(parse(nameless.as_bytes(), &limits).attached, None);
        assert_eq!(parse(b"Subject: x\n\ny", &limits).attached, None);
    }
}
