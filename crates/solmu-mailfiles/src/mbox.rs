//! Mailbox files (RFC 4155): mails one after the other, each after a `From ` line.
//!
//! Writers protect lines that begin with `From ` by a `>`: once (mboxo) or once more each time (mboxrd). One is taken
//! off either way; in an mboxo file that turns a `>From ` that the sender wrote into `From `, which is how every reader
//! of that format behaves. `Content-Length` is not believed: half of its writers get it wrong.

use std::io::{self, BufRead};

/// Reads the mails of a mailbox file one by one.
#[derive(Debug)]
pub(crate) struct MboxReader<R> {
    reader: R,
    limit: usize,
    line: Vec<u8>,
    started: bool,
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
            started: false,
            line_at: offset,
        }
    }

    /// The next mail; `None` at the end of the file.
    pub(crate) fn next_mail(&mut self) -> io::Result<Option<MboxMail>> {
        if !self.started {
            self.started = true;
            self.read_line()?;
        }
        // What stands before the first separator is no mail.
        while !self.line.is_empty() && !is_separator(&self.line) {
            self.read_line()?;
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
            if self.line.is_empty() || (after_blank && is_separator(&self.line)) {
                break;
            }
            after_blank = matches!(self.line.as_slice(), b"\n" | b"\r\n");
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
        self.line.clear();
        // A line without end must not fill the memory: what is over the limit becomes the next line.
        let mut limited = io::Read::take(&mut self.reader, self.limit as u64 + 2);
        limited.read_until(b'\n', &mut self.line)?;
        Ok(())
    }
}

fn is_separator(line: &[u8]) -> bool {
    line.starts_with(b"From ")
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
