//! Takes a mail apart. Whatever the bytes are, there is a result: a helpdesk that drops what it cannot read loses
//! customers.
//!
//! The MIME tree is walked here and not by mail-parser, for three reasons: version 0.11 loses the body when a
//! `boundary` is folded after its `=` (fixed in 1.0, which needs a newer compiler), it has no limit on parts, and
//! messages nested some thousand levels deep overflow the stack, which takes the whole process down. Its header,
//! charset and base64 decoders do the fine work. All of its types stay inside this module.
//!
//! Nested messages become attachments and are not read further, except the header of one that a report returns, and the
//! first one that is a file: people forward mail in that way.

mod attached;
mod body;
mod calendar;
mod charset;
mod encoding;
mod extent;
mod file;
#[cfg(test)]
mod format_tests;
mod header;
mod mailboxes;
mod protection;
#[cfg(test)]
mod tests;
mod tnef;
mod tree;
mod uuencode;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::mail::ParsedMail;

/// How much of a mail is taken apart. What is over a limit stays in the raw original, and the message says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParseLimits {
    /// Parts of a mail, containers included.
    pub parts: usize,
    /// Levels of containers within containers.
    pub depth: usize,
    /// Bytes of one part's header block.
    pub header_bytes: usize,
    /// Ids that are kept of References; the oldest and the newest stay.
    pub references: usize,
    /// Addresses that are kept of each of To, Cc and Reply-To.
    pub mailboxes: usize,
    /// Bytes of the plain text.
    pub text_bytes: usize,
    /// Bytes of the HTML before it is sanitised.
    pub html_bytes: usize,
    /// Attachments.
    pub attachments: usize,
    /// Bytes of the plain text of a mail that is attached.
    pub attached_text_bytes: usize,
}

impl Default for ParseLimits {
    fn default() -> Self {
        Self {
            parts: 500,
            depth: 16,
            header_bytes: 128 * 1024,
            references: 100,
            mailboxes: 200,
            text_bytes: 128 * 1024,
            html_bytes: 512 * 1024,
            attachments: 100,
            attached_text_bytes: 32 * 1024,
        }
    }
}

/// Takes `raw` apart. Never fails and never panics.
#[must_use]
pub fn parse(raw: &[u8], limits: &ParseLimits) -> ParsedMail {
    let mut mail = without_attached(raw, limits);
    mail.attached = attached::first(&mail, limits);
    mail
}

fn without_attached(raw: &[u8], limits: &ParseLimits) -> ParsedMail {
    let lines = with_line_ends(raw);
    let raw = lines.as_ref();
    let mut mail = ParsedMail::default();
    let mut root = header::read(raw, limits.header_bytes);
    if root.cut {
        mail.notices.push(
            "the header is over the limit; the rest of it is in the original only".to_owned(),
        );
    }
    header::fill(&mut root, limits, &mut mail);
    let tree = tree::walk(raw, root, limits);
    body::fill(tree, limits, &mut mail);
    mail
}

/// Old Macs ended lines with a carriage return alone; a mail without any line feed is one of theirs.
fn with_line_ends(raw: &[u8]) -> Cow<'_, [u8]> {
    if raw.contains(&b'\n') || !raw.contains(&b'\r') {
        return Cow::Borrowed(raw);
    }
    let bytes = raw.iter();
    Cow::Owned(
        bytes
            .map(|byte| if *byte == b'\r' { b'\n' } else { *byte })
            .collect(),
    )
}
