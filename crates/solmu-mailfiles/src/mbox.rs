//! Mailbox files (RFC 4155): mails one after the other, each after a `From ` line.
//!
//! Writers protect lines that begin with `From ` by a `>`: once (mboxo) or once more each time (mboxrd). One is taken
//! off either way; in an mboxo file that turns a `>From ` that the sender wrote into `From `, which is how every reader
//! of that format behaves. `Content-Length` is not believed: half of its writers get it wrong.
//!
//! Other writers protect nothing, and files that were cut and glued have no blank line before a mail. So a `From ` line
//! is where a mail begins if it looks like one: with a date in it and a header or a blank line beside it, or after a
//! blank line and with a header that follows. A sentence that begins with "From here on" is text.

use std::io::{self, BufRead};

/// Reads the mails of a mailbox file one by one.
#[derive(Debug)]
pub(crate) struct MboxReader<R> {
    reader: R,
    limit: usize,
    line: Vec<u8>,
    /// What follows `line`: it tells whether a mail begins there.
    next: Vec<u8>,
    /// `line` is the rest of one that was over the limit.
    is_rest: bool,
    started: bool,
    /// A mail begins at `line`.
    at_mail: bool,
    /// Bytes before `line`.
    line_at: u64,
}

/// A mail of a mailbox file and where it lies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MboxMail {
    /// Offset of its `From ` line.
    pub(crate) start: u64,
    /// Offset of what follows it.
    pub(crate) end: u64,
    /// Its bytes; `None` if it was larger than the limit and was skipped.
    pub(crate) raw: Option<Vec<u8>>,
}

impl<R: BufRead> MboxReader<R> {
    /// Reads from `reader`, which stands at `offset` of the file: at its start or at the beginning of a mail.
    pub(crate) fn new(reader: R, limit: usize, offset: u64) -> Self {
        Self {
            reader,
            limit,
            line: Vec::new(),
            next: Vec::new(),
            is_rest: false,
            started: false,
            at_mail: false,
            line_at: offset,
        }
    }

    /// The next mail; `None` at the end of the file.
    pub(crate) fn next_mail(&mut self) -> io::Result<Option<MboxMail>> {
        if !self.started {
            self.started = true;
            // One for `next`, one for `line`.
            self.read_line()?;
            self.read_line()?;
            self.at_mail = self.line.starts_with(FROM);
        }
        // What stands before the first separator is no mail.
        while !self.line.is_empty() && !self.at_mail {
            let after_blank = is_blank(&self.line);
            self.read_line()?;
            self.at_mail = self.is_separator(after_blank);
        }
        if self.line.is_empty() {
            return Ok(None);
        }
        let start = self.line_at;
        let mut mail = Vec::new();
        let mut too_large = false;
        let mut after_blank = false;
        loop {
            self.read_line()?;
            self.at_mail = self.is_separator(after_blank);
            if self.line.is_empty() || self.at_mail {
                break;
            }
            after_blank = is_blank(&self.line);
            too_large |= mail.len() + self.line.len() > self.limit;
            if too_large {
                mail = Vec::new();
            } else {
                mail.extend_from_slice(unprotected(&self.line));
            }
        }
        remove_last_blank_line(&mut mail);
        Ok(Some(MboxMail {
            start,
            end: self.line_at,
            raw: (!too_large).then_some(mail),
        }))
    }

    fn read_line(&mut self) -> io::Result<()> {
        self.line_at += self.line.len() as u64;
        self.is_rest = !self.line.is_empty() && !self.line.ends_with(b"\n");
        std::mem::swap(&mut self.line, &mut self.next);
        self.next.clear();
        // A line without end must not fill the memory: what is over the limit becomes the next line.
        let mut limited = io::Read::take(&mut self.reader, self.limit as u64 + 2);
        limited.read_until(b'\n', &mut self.next)?;
        Ok(())
    }

    /// Whether a mail begins at `line`.
    fn is_separator(&self, after_blank: bool) -> bool {
        let Some(rest) = self.line.strip_prefix(FROM).filter(|_| !self.is_rest) else {
            return false;
        };
        match (is_dated(rest), after_blank) {
            (true, true) => true,
            (true, false) => is_field(&self.next),
            (false, true) if is_word(rest) => is_field(&self.next),
            (false, true) => is_mail_field(&self.next),
            (false, false) => false,
        }
    }
}

/// How a separator begins.
const FROM: &[u8] = b"From ";
/// Bytes of a separator in which a date is looked for.
const SEPARATOR_MAX: usize = 512;

fn is_blank(line: &[u8]) -> bool {
    matches!(line, b"\n" | b"\r\n")
}

/// A month, a time and a year, in whatever order: `Mon Nov  2 10:00:00 2026`, `Mon, 02 Nov 2026 10:00 +0200`.
fn is_dated(rest: &[u8]) -> bool {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let text = String::from_utf8_lossy(&rest[..rest.len().min(SEPARATOR_MAX)]);
    let words: Vec<&str> = text.split([' ', '\t', '\r', '\n', ',']).collect();
    let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = |word: &&str| {
        let parts: Vec<&str> = word.split(':').collect();
        (2..=3).contains(&parts.len())
            && parts.iter().all(|part| part.len() <= 2 && is_number(part))
    };
    let is_year = |word: &&str| {
        word.len() == 4 && is_number(word) && (word.starts_with("19") || word.starts_with("20"))
    };
    words.iter().any(|word| MONTHS.contains(word))
        && words.iter().any(is_time)
        && words.iter().any(is_year)
}

/// One word, as an address is.
fn is_word(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii();
    !rest.is_empty() && !rest.iter().any(u8::is_ascii_whitespace)
}

/// The name of the header field (RFC 5322 section 2.2) in a line.
fn field_name(line: &[u8]) -> Option<&[u8]> {
    const NAME_MAX: usize = 76;
    let end = line.iter().take(NAME_MAX).position(|byte| *byte == b':')?;
    let name = &line[..end];
    (end > 0 && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

fn is_field(line: &[u8]) -> bool {
    field_name(line).is_some() || line.starts_with(b">From ")
}

/// A field that mails begin with; a word with a colon begins many a sentence.
fn is_mail_field(line: &[u8]) -> bool {
    const NAMES: [&str; 21] = [
        "return-path",
        "received",
        "delivered-to",
        "envelope-to",
        "from",
        "to",
        "cc",
        "date",
        "subject",
        "message-id",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "reply-to",
        "sender",
        "status",
        "dkim-signature",
        "authentication-results",
        "in-reply-to",
        "references",
        "user-agent",
    ];
    let Some(name) = field_name(line) else {
        return false;
    };
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    NAMES.contains(&name.as_str())
        || ["x-", "arc-", "list-", "resent-"]
            .iter()
            .any(|start| name.starts_with(start))
}

fn unprotected(line: &[u8]) -> &[u8] {
    let marks = line.iter().take_while(|byte| **byte == b'>').count();
    if marks > 0 && line[marks..].starts_with(b"From ") {
        &line[1..]
    } else {
        line
    }
}

/// The blank line before the next separator belongs to the format.
fn remove_last_blank_line(mail: &mut Vec<u8>) {
    if mail.ends_with(b"\r\n\r\n") {
        mail.truncate(mail.len() - 2);
    } else if mail.ends_with(b"\n\n") {
        mail.truncate(mail.len() - 1);
    }
}

#[cfg(test)]
mod tests;
