//! Message data: where it ends, and which line ends it may have.
//!
//! Only CRLF, dot, CRLF ends a mail (RFC 5321 section 4.1.1.4). Servers that also take other line ends there let a
//! sender smuggle a second mail with a forged envelope past a server that does not. So a lone dot between line ends of
//! another kind makes the whole mail refused: whoever sent it on may have seen another end than we do. Bare line feeds
//! elsewhere are refused or made CRLF, as configured. In chunks they end nothing and are always made CRLF: Exchange
//! Online sends them. Bare carriage returns and NUL bytes elsewhere end nothing and are kept as they are in the
//! original; the parser leaves them out of the text.

use super::config::BareLf;

/// How the data of a mail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataEnd {
    /// Whole and clear.
    Complete,
    /// Larger than the limit; what was read is dropped.
    TooLarge,
    /// Has a line feed without a carriage return, and the policy refuses that.
    BareLf,
    /// A lone dot with line ends that others might take for the end.
    Ambiguous,
    /// All mails under way together hold as much memory as they may.
    NoRoom,
}

/// Where decoded data goes, up to a limit.
#[derive(Debug)]
struct Sink {
    limit: usize,
    taken: usize,
    policy: BareLf,
    bare_lf: bool,
    ambiguous: bool,
    no_room: bool,
}

impl Sink {
    fn new(limit: usize, policy: BareLf) -> Self {
        Self {
            limit,
            taken: 0,
            policy,
            bare_lf: false,
            ambiguous: false,
            no_room: false,
        }
    }

    fn append(&mut self, bytes: &[u8], mail: &mut Vec<u8>) {
        self.taken = self.taken.saturating_add(bytes.len());
        if self.end() == DataEnd::Complete {
            mail.extend_from_slice(bytes);
        } else if mail.capacity() > 0 {
            // Refused already: the memory is worth more to others.
            *mail = Vec::new();
        }
    }

    fn bare_lf(&mut self, mail: &mut Vec<u8>) {
        match self.policy {
            BareLf::Reject => self.bare_lf = true,
            BareLf::Normalise => self.append(b"\r", mail),
        }
        self.append(b"\n", mail);
    }

    fn end(&self) -> DataEnd {
        if self.ambiguous {
            DataEnd::Ambiguous
        } else if self.bare_lf {
            DataEnd::BareLf
        } else if self.taken > self.limit {
            DataEnd::TooLarge
        } else if self.no_room {
            DataEnd::NoRoom
        } else {
            DataEnd::Complete
        }
    }
}

/// What goes before the place where a line starts, or where others might say that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    CrLf,
    BareLf,
    BareCr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// After a line end.
    Start(Break),
    /// Within a line.
    Line,
    /// After CR.
    Cr,
    /// After a dot at a line's start.
    Dot(Break),
    /// After dot and CR at a line's start.
    DotCr(Break),
}

/// Takes what follows DATA as it comes and appends it without its protecting dots.
#[derive(Debug)]
pub struct DataDecoder {
    at: At,
    sink: Sink,
}

impl DataDecoder {
    /// A decoder for one mail of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize, policy: BareLf) -> Self {
        Self {
            at: At::Start(Break::CrLf),
            sink: Sink::new(limit, policy),
        }
    }

    /// Takes `input`, appends to `mail` (nothing once the mail is refused). Says how many bytes belong to this mail,
    /// and how it ended if it did.
    pub fn push(&mut self, input: &[u8], mail: &mut Vec<u8>) -> (usize, Option<DataEnd>) {
        let mut used = 0;
        while used < input.len() {
            if self.at == At::Line {
                let rest = &input[used..];
                let plain = rest
                    .iter()
                    .position(|byte| matches!(byte, b'\r' | b'\n'))
                    .unwrap_or(rest.len());
                self.sink.append(&rest[..plain], mail);
                used += plain;
                if used == input.len() {
                    break;
                }
            }
            let byte = input[used];
            used += 1;
            if self.step(byte, mail) {
                return (used, Some(self.sink.end()));
            }
        }
        (used, None)
    }

    /// How the mail stands.
    #[must_use]
    pub fn end(&self) -> DataEnd {
        self.sink.end()
    }

    /// Drops what comes from now on: there is no memory for it.
    pub fn no_room(&mut self, mail: &mut Vec<u8>) {
        self.sink.no_room = true;
        *mail = Vec::new();
    }

    /// Takes one byte; true if it was the last one of the mail.
    fn step(&mut self, byte: u8, mail: &mut Vec<u8>) -> bool {
        self.at = match (self.at, byte) {
            (At::DotCr(Break::CrLf), b'\n') => return true,
            (At::DotCr(_), byte) => {
                // It was no end, but somebody might have taken it for one.
                self.sink.ambiguous = true;
                self.after_cr(byte, mail)
            }
            (At::Dot(before), b'\r') => At::DotCr(before),
            (At::Dot(_), b'\n') => {
                self.sink.ambiguous = true;
                self.line_feed(mail)
            }
            (At::Dot(before), byte) => {
                self.sink.append(self.first_dot(before), mail);
                self.sink.append(&[byte], mail);
                At::Line
            }
            (At::Start(before), b'.') => At::Dot(before),
            (At::Cr, byte) => self.after_cr(byte, mail),
            (_, byte) => self.plain(byte, mail),
        };
        false
    }

    /// The first dot of a longer line is a protecting one (RFC 5321 section 4.5.2), if a line starts there at all.
    fn first_dot(&self, before: Break) -> &'static [u8] {
        match before {
            Break::CrLf => b"",
            Break::BareLf if self.sink.policy == BareLf::Normalise => b"",
            Break::BareLf | Break::BareCr => b".",
        }
    }

    fn plain(&mut self, byte: u8, mail: &mut Vec<u8>) -> At {
        if byte == b'\n' {
            return self.line_feed(mail);
        }
        self.sink.append(&[byte], mail);
        if byte == b'\r' { At::Cr } else { At::Line }
    }

    fn line_feed(&mut self, mail: &mut Vec<u8>) -> At {
        self.sink.bare_lf(mail);
        At::Start(Break::BareLf)
    }

    fn after_cr(&mut self, byte: u8, mail: &mut Vec<u8>) -> At {
        match byte {
            b'\n' => {
                self.sink.append(b"\n", mail);
                At::Start(Break::CrLf)
            }
            b'.' => At::Dot(Break::BareCr),
            byte => self.plain(byte, mail),
        }
    }
}

/// Takes what follows BDAT (RFC 3030). Its length is announced, so dots and line ends mean nothing and nobody can see
/// another end than we do. Bare line feeds become CRLF, also where a chunk ends between CR and LF.
#[derive(Debug)]
pub struct ChunkDecoder {
    after_cr: bool,
    sink: Sink,
}

impl ChunkDecoder {
    /// A decoder for all chunks of one mail of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            after_cr: false,
            sink: Sink::new(limit, BareLf::Normalise),
        }
    }

    /// Takes `input`, which belongs to the mail, and appends it (nothing once the mail is refused).
    pub fn push(&mut self, input: &[u8], mail: &mut Vec<u8>) {
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            let Some(text) = line.strip_suffix(b"\n") else {
                self.sink.append(line, mail);
                self.after_cr = line.ends_with(b"\r");
                continue;
            };
            let has_cr = if text.is_empty() {
                self.after_cr
            } else {
                text.ends_with(b"\r")
            };
            self.sink.append(text, mail);
            if has_cr {
                self.sink.append(b"\n", mail);
            } else {
                self.sink.bare_lf(mail);
            }
            self.after_cr = false;
        }
    }

    /// How the mail stands.
    #[must_use]
    pub fn end(&self) -> DataEnd {
        self.sink.end()
    }

    /// Drops what comes from now on: there is no memory for it.
    pub fn no_room(&mut self, mail: &mut Vec<u8>) {
        self.sink.no_room = true;
        *mail = Vec::new();
    }
}

#[cfg(test)]
mod tests;
