//! Where a header block begins and ends, also where its sender forgot the empty line.

/// Blank lines, and the `From ` line that a mailbox file puts before a mail.
pub(super) fn skip_preamble(part: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let line = &part[at..at + line_length(&part[at..])];
        let envelope = line.starts_with(b"From ") || line.starts_with(b">From ");
        let blank = line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if line.is_empty() || !(blank || envelope) {
            return at;
        }
        at += line.len();
    }
}

/// Where a header block ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BlockEnd {
    /// Offset of the body.
    pub(super) body: usize,
    /// A line ends in `=` or begins with a boundary: a parameter may be folded where the decoder does not expect it.
    pub(super) has_odd_fold: bool,
}

/// The end of a header block: after the empty line that ends it. Broken senders forget that line; then the body begins
/// with the first line that is no field, if no other field follows it.
pub(super) fn block_end(part: &[u8], start: usize, follows: fn(&[u8]) -> bool) -> BlockEnd {
    let mut at = start;
    let mut has_field = false;
    let mut has_odd_fold = false;
    // Where the next field is, once it was looked for: each line is looked at twice at most.
    let mut next_field = start;
    while at < part.len() {
        let line = &part[at..at + line_length(&part[at..])];
        if matches!(line, b"\n" | b"\r\n") {
            let body = at + line.len();
            return BlockEnd { body, has_odd_fold };
        }
        let is_lost = is_lost_boundary(line);
        has_odd_fold |= is_lost || matches!(line, [.., b'=', b'\n'] | [.., b'=', b'\r', b'\n']);
        if !is_folded(line) && is_field(line) {
            has_field = true;
        } else if has_field && !is_lost && !is_folded(line) && at >= next_field {
            match field_below(&part[at..], follows) {
                Some(below) => next_field = at + below,
                None => {
                    return BlockEnd {
                        body: at,
                        has_odd_fold,
                    };
                }
            }
        }
        at += line.len();
    }
    BlockEnd {
        body: part.len(),
        has_odd_fold,
    }
}

/// A line that goes on with the field above it.
fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// A `boundary` parameter at the beginning of a line: a fold that lost its blank.
pub(super) fn is_lost_boundary(line: &[u8]) -> bool {
    line.get(..9)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"boundary="))
}

/// Offset of the next field before the next empty line.
fn field_below(part: &[u8], is_field: fn(&[u8]) -> bool) -> Option<usize> {
    let mut at = 0;
    while at < part.len() {
        let line = &part[at..at + line_length(&part[at..])];
        if matches!(line, b"\n" | b"\r\n") {
            return None;
        }
        if is_field(line) {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// `Name: value` (RFC 5322 section 2.2), with blanks before the colon, as some write it.
pub(super) fn is_field(line: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', line) else {
        return false;
    };
    let name = line[..colon].trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// A field that parts have; prose has colons too.
pub(super) fn is_field_of_part(line: &[u8]) -> bool {
    let begins = |name: &[u8]| {
        line.get(..name.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(name))
    };
    begins(b"content-") || begins(b"x-") || begins(b"mime-")
}

/// Length of the line at the start, its end included.
pub(super) fn line_length(bytes: &[u8]) -> usize {
    memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1)
}
