//! Message data (RFC 5321 section 4.5.2): where it ends, and the dots that protect it.
//!
//! Only CRLF, dot, CRLF ends a mail. Servers that also take other line ends there let a sender smuggle a second mail
//! with a forged envelope past a server that does not. So a lone dot between line ends of another kind makes the whole
//! mail refused: whoever sent it on may have seen another end than we do. Line ends of another kind elsewhere are
//! harmless and are kept as they are.

/// How the data of a mail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataEnd {
    /// Whole and clear.
    Complete,
    /// Larger than the limit; what was read is dropped.
    TooLarge,
    /// A lone dot with line ends that others might take for the end.
    Ambiguous,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// After CRLF.
    LineStart,
    /// After a bare LF or CR.
    BareStart,
    /// Within a line.
    Line,
    /// After CR within a line.
    Cr,
    /// After a dot at a line's start; `clean` if CRLF was before it.
    Dot { clean: bool },
    /// After dot and CR.
    DotCr { clean: bool },
}

/// Takes data as it comes and appends it without its protecting dots.
#[derive(Debug)]
pub struct DataDecoder {
    at: At,
    limit: usize,
    taken: usize,
    ambiguous: bool,
}

impl DataDecoder {
    /// A decoder for one mail of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            at: At::LineStart,
            limit,
            taken: 0,
            ambiguous: false,
        }
    }

    /// Takes `input`, appends to `mail` (nothing once the limit is passed). Says how many bytes belong to this mail,
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
                self.append(&rest[..plain], mail);
                used += plain;
                if used == input.len() {
                    break;
                }
            }
            let byte = input[used];
            used += 1;
            if self.step(byte, mail) {
                return (used, Some(self.end()));
            }
        }
        (used, None)
    }

    /// Takes one byte; true if it was the last one of the mail.
    fn step(&mut self, byte: u8, mail: &mut Vec<u8>) -> bool {
        self.at = match (self.at, byte) {
            (At::DotCr { clean: true }, b'\n') => return true,
            (At::DotCr { clean }, byte) => {
                self.ambiguous = true;
                // It was no end: what was held back belongs to the mail.
                self.append(if clean { b"\r" } else { b".\r" }, mail);
                return self.after_cr(byte, mail);
            }
            (At::Dot { clean }, b'\r') => At::DotCr { clean },
            (At::Dot { clean }, b'\n') => {
                self.ambiguous = true;
                self.append(if clean { b"\n" } else { b".\n" }, mail);
                At::BareStart
            }
            (At::Dot { clean }, byte) => {
                // The first dot of a clean line is a protecting one (RFC 5321 section 4.5.2).
                self.append(if clean { b"" } else { b"." }, mail);
                self.append(&[byte], mail);
                At::Line
            }
            (At::LineStart, b'.') => At::Dot { clean: true },
            (At::BareStart, b'.') => At::Dot { clean: false },
            (At::Cr, byte) => return self.after_cr(byte, mail),
            (_, b'\r') => {
                self.append(b"\r", mail);
                At::Cr
            }
            (_, b'\n') => {
                self.append(b"\n", mail);
                At::BareStart
            }
            (_, byte) => {
                self.append(&[byte], mail);
                At::Line
            }
        };
        false
    }

    fn after_cr(&mut self, byte: u8, mail: &mut Vec<u8>) -> bool {
        if byte == b'\n' {
            self.append(b"\n", mail);
            self.at = At::LineStart;
            return false;
        }
        self.at = At::BareStart;
        self.step(byte, mail)
    }

    fn append(&mut self, bytes: &[u8], mail: &mut Vec<u8>) {
        self.taken = self.taken.saturating_add(bytes.len());
        if self.taken <= self.limit {
            mail.extend_from_slice(bytes);
        } else if mail.capacity() > 0 {
            // Refused already: the memory is worth more to others.
            *mail = Vec::new();
        }
    }

    fn end(&self) -> DataEnd {
        if self.ambiguous {
            DataEnd::Ambiguous
        } else if self.taken > self.limit {
            DataEnd::TooLarge
        } else {
            DataEnd::Complete
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(input: &[u8]) -> (Vec<u8>, usize, Option<DataEnd>) {
        let mut mail = Vec::new();
        let (used, end) = DataDecoder::new(1_000).push(input, &mut mail);
        (mail, used, end)
    }

    #[test]
    fn dots_are_unstuffed_and_the_rest_is_left_alone() {
        let (mail, used, end) = decode(b"a\r\n..b\r\n.c\r\n...\r\n.\r\nQUIT\r\n");
        assert_eq!(mail, b"a\r\n.b\r\nc\r\n..\r\n");
        assert_eq!((used, end), (20, Some(DataEnd::Complete)));
        assert_eq!(decode(b".\r\n"), (Vec::new(), 3, Some(DataEnd::Complete)));
        let bare = b"a\nb\rc\n..d\r\n.\r\n";
        assert_eq!(
            decode(bare),
            (
                b"a\nb\rc\n..d\r\n".to_vec(),
                bare.len(),
                Some(DataEnd::Complete)
            )
        );
    }

    #[test]
    fn every_smuggled_end_is_ambiguous() {
        let ends: [&[u8]; 9] = [
            b"\n.\n",
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r.\r\n",
            b"\r\n.\r",
            b"\r.\n",
            b"\n.\r",
            b"\r\n.\r\r\n",
        ];
        for end in ends {
            let mut input = b"a".to_vec();
            input.extend_from_slice(end);
            input.extend_from_slice(b"MAIL FROM:<x@y.example>\r\n.\r\n");
            let (_, used, got) = decode(&input);
            assert_eq!(
                (used, got),
                (input.len(), Some(DataEnd::Ambiguous)),
                "{end:?}"
            );
        }
    }

    #[test]
    fn nothing_is_buffered_over_the_limit() {
        let mut mail = Vec::new();
        let mut decoder = DataDecoder::new(10);
        assert_eq!(decoder.push(b"123456789\r\n", &mut mail), (11, None));
        assert_eq!(mail.capacity(), 0);
        assert_eq!(
            decoder.push(b"x\r\n.\r\n", &mut mail),
            (6, Some(DataEnd::TooLarge))
        );
        assert_eq!(mail.capacity(), 0);
    }

    proptest! {
        #[test]
        fn pieces_make_the_same_as_the_whole(input in "[a.\r\n]{0,40}", cut in 0_usize..40) {
            let whole = decode(input.as_bytes());
            let (mut mail, mut decoder) = (Vec::new(), DataDecoder::new(1_000));
            let cut = cut.min(input.len());
            let (first, end) = decoder.push(&input.as_bytes()[..cut], &mut mail);
            let (used, end) = if end.is_some() {
                (first, end)
            } else {
                let (second, end) = decoder.push(&input.as_bytes()[cut..], &mut mail);
                (first + second, end)
            };
            prop_assert_eq!((mail, used, end), whole);
        }

        #[test]
        fn what_a_client_protects_comes_out_the_same(lines in proptest::collection::vec("[a.]{0,5}", 0..8)) {
            let ended = |line: &String| [line.as_str(), "\r\n"].concat();
            let plain: String = lines.iter().map(ended).collect();
            let protect = |line: &String| if line.starts_with('.') { [".", &ended(line)].concat() } else { ended(line) };
            let stuffed: String = lines.iter().map(protect).collect();
            let (mail, _, end) = decode(format!("{stuffed}.\r\n").as_bytes());
            prop_assert_eq!(end, Some(DataEnd::Complete));
            prop_assert_eq!(mail, plain.into_bytes());
        }
    }
}
