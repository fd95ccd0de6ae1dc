//! The mails that the demo sends: its own, or those of a folder.
//!
//! The built-in ones are templates. Each run fills in an id of its own, so that every run has fresh customers and
//! Message-IDs, and its outcome is known exactly; a folder is sent byte for byte, and a second run of it is nothing but
//! duplicates.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

/// A mail to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoMail {
    /// Of its file.
    pub name: String,
    /// Envelope sender; empty for automatic mail.
    pub from: String,
    /// Headers and body.
    pub bytes: Vec<u8>,
}

macro_rules! template {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../demo-mails/", $name)))
    };
}

const INVOICE: (&str, &[u8]) = template!("02-invoice-date.eml");

/// In the order in which they are sent; the invoice comes twice, as mail servers that lost an answer send it.
const BUILT_IN: [(&str, &[u8]); 8] = [
    template!("01-order-missing.eml"),
    INVOICE,
    template!("03-broken-cups.eml"),
    INVOICE,
    template!("04-invoice-reply.eml"),
    template!("05-out-of-office.eml"),
    template!("06-shop-order.eml"),
    template!("07-login.eml"),
];

/// What becomes of the built-in mails: five tickets, one reply on one of them, one duplicate, one in the quarantine.
pub(crate) const BUILT_IN_TICKETS: usize = 5;
/// Messages of the built-in mails that end on a ticket.
pub(crate) const BUILT_IN_FILED: usize = 6;
/// See [`BUILT_IN_TICKETS`].
pub(crate) const BUILT_IN_QUARANTINED: usize = 1;

/// The built-in mails of one run.
pub(crate) fn built_in(run: &str, to: &str) -> Vec<DemoMail> {
    BUILT_IN
        .into_iter()
        .map(|(name, template)| {
            let bytes = fill(template, &[("{{run}}", run), ("{{to}}", to)]);
            DemoMail {
                name: name.to_owned(),
                from: envelope_sender(&bytes),
                bytes,
            }
        })
        .collect()
}

/// The mails of a folder, by name.
pub fn of_folder(folder: &Path) -> anyhow::Result<Vec<DemoMail>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder '{}'", folder.display()))?;
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("eml"))
    });
    paths.sort();
    if paths.is_empty() {
        bail!("there is no .eml file in '{}'", folder.display());
    }
    let mut mails = Vec::with_capacity(paths.len());
    for path in paths {
        let bytes = fs::read(&path).with_context(|| format!("cannot read '{}'", path.display()))?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        mails.push(DemoMail {
            name,
            from: envelope_sender(&bytes),
            bytes,
        });
    }
    Ok(mails)
}

/// Templates may hold other charsets than UTF-8, so they are filled as bytes.
fn fill(template: &[u8], values: &[(&str, &str)]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(template.len());
    let mut rest = template;
    'next: while let Some(first) = rest.first() {
        for (mark, value) in values {
            if let Some(after) = rest.strip_prefix(mark.as_bytes()) {
                filled.extend_from_slice(value.as_bytes());
                rest = after;
                continue 'next;
            }
        }
        filled.push(*first);
        rest = &rest[1..];
    }
    filled
}

/// The address of Return-Path, where a server before us put the envelope sender, else of From.
fn envelope_sender(mail: &[u8]) -> String {
    let of = |name| header(mail, name).map(|value| address(&value));
    of("Return-Path")
        .or_else(|| of("From"))
        .filter(|address| is_sendable(address))
        .unwrap_or_default()
}

/// A header's value, unfolded; the first of that name.
#[must_use]
pub fn header(mail: &[u8], name: &str) -> Option<String> {
    let mut value: Option<String> = None;
    for line in mail.split(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        if line.is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some(value) = &mut value {
                value.push(' ');
                value.push_str(line.trim());
            }
            continue;
        }
        if value.is_some() {
            break;
        }
        let Some((field, rest)) = line.split_once(':') else {
            continue;
        };
        if field.trim_end().eq_ignore_ascii_case(name) {
            value = Some(rest.trim().to_owned());
        }
    }
    value
}

/// "Aino <a@b.example>" gives "a@b.example".
fn address(value: &str) -> String {
    let inner = value.rsplit_once('<').map_or(value, |(_, rest)| {
        rest.split('>').next().unwrap_or_default()
    });
    inner.trim().to_owned()
}

/// What stands in a command must not end it.
fn is_sendable(address: &str) -> bool {
    address.is_empty()
        || (address.contains('@')
            && !address
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || "<>".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_has_its_own_ids() {
        let mails = built_in("1a2b", "help@desk.example");
        assert_eq!(mails.len(), BUILT_IN.len());
        assert_eq!(mails[1], mails[3]);
        assert_eq!(mails[0].from, "aino.1a2b@customers.example");
        assert_eq!(
            header(&mails[0].bytes, "message-id").unwrap(),
            "<1a2b.1@mail.customers.example>"
        );
        assert!(
            header(&mails[0].bytes, "To")
                .unwrap()
                .ends_with("<help@desk.example>")
        );
        assert_eq!(
            header(&mails[4].bytes, "In-Reply-To"),
            header(&mails[1].bytes, "Message-ID")
        );
        assert_eq!(
            mails[5].from, "",
            "an automatic reply has an empty envelope sender"
        );
        for mail in &mails {
            assert!(
                !mail.bytes.windows(2).any(|pair| pair == b"{{"),
                "{}",
                mail.name
            );
        }
    }

    #[test]
    fn headers_are_unfolded_and_commands_cannot_be_smuggled() {
        let mail = b"Subject: a\r\n b\r\nFrom: X <x@y.example>\r\n\r\nFrom: body@z.example\r\n";
        assert_eq!(header(mail, "subject").unwrap(), "a b");
        assert_eq!(header(mail, "Cc"), None);
        assert_eq!(envelope_sender(mail), "x@y.example");
        assert_eq!(envelope_sender(b"From: <a b@c>\r\n\r\n"), "");
        assert_eq!(
            envelope_sender(b"Return-Path: <>\r\nFrom: a@b.example\r\n\r\n"),
            ""
        );
    }
}
