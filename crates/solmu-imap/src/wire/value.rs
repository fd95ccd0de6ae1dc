//! Cuts a response into atoms, strings and lists (RFC 9051 section 4).
//!
//! It never fails: what a server writes wrongly becomes odd values, and an odd value is not what somebody looks for.

use bytes::Bytes;

use super::frame::Piece;

/// Lists inside lists; deeper ones are flattened.
const DEPTH_MAX: usize = 32;

/// A value of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A word, `NIL` among them. `BODY[...]` is one word.
    Atom(Vec<u8>),
    /// A quoted string or a literal.
    Text(Bytes),
    /// A literal that was too large.
    Dropped,
    /// Values in brackets.
    List(Vec<Value>),
}

impl Value {
    /// The atom's text, in upper case.
    pub(crate) fn word(&self) -> Option<String> {
        match self {
            Self::Atom(bytes) => Some(String::from_utf8_lossy(bytes).to_ascii_uppercase()),
            _ => None,
        }
    }

    /// The atom as a number.
    pub(crate) fn number<N: std::str::FromStr>(&self) -> Option<N> {
        match self {
            Self::Atom(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The list's values.
    pub(crate) fn list(&self) -> &[Self] {
        match self {
            Self::List(values) => values,
            _ => &[],
        }
    }
}

/// All values of a response, in order.
pub(crate) fn values(pieces: &[Piece]) -> Vec<Value> {
    let mut open: Vec<Vec<Value>> = vec![Vec::new()];
    for piece in pieces {
        match piece {
            Piece::Line(line) => cut(line, &mut open),
            Piece::Literal(bytes) => push(&mut open, Value::Text(bytes.clone())),
            Piece::Dropped => push(&mut open, Value::Dropped),
            // As if the server had not given it: it is asked for again.
            Piece::Postponed => push(&mut open, Value::Atom(b"NIL".to_vec())),
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    open.pop().unwrap_or_default()
}

fn push(open: &mut [Vec<Value>], value: Value) {
    if let Some(list) = open.last_mut() {
        list.push(value);
    }
}

fn close(open: &mut Vec<Vec<Value>>) {
    if open.len() > 1
        && let Some(list) = open.pop()
    {
        push(open, Value::List(list));
    }
}

fn cut(line: &[u8], open: &mut Vec<Vec<Value>>) {
    let mut rest = line;
    while let Some((first, after)) = rest.split_first() {
        match first {
            b' ' | b'\t' | b'\r' => rest = after,
            b'(' => {
                if open.len() < DEPTH_MAX {
                    open.push(Vec::new());
                }
                rest = after;
            }
            b')' => {
                close(open);
                rest = after;
            }
            b'"' => {
                let (text, after) = quoted(after);
                push(open, Value::Text(text.into()));
                rest = after;
            }
            _ => {
                let end = atom_end(rest);
                push(open, Value::Atom(rest[..end].to_vec()));
                rest = &rest[end..];
            }
        }
    }
}

fn quoted(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut plain = Vec::new();
    let mut bytes = text.iter().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => return (plain, &text[index + 1..]),
            b'\\' => plain.extend(bytes.next().map(|(_, escaped)| *escaped)),
            other => plain.push(*other),
        }
    }
    (plain, &[])
}

/// An atom ends at a space or bracket, but what stands in square brackets belongs to it.
fn atom_end(text: &[u8]) -> usize {
    let mut in_section = false;
    for (index, byte) in text.iter().enumerate() {
        match byte {
            b'[' => in_section = true,
            b']' => in_section = false,
            b' ' | b'(' | b')' | b'"' if !in_section && index > 0 => return index,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(line: &str) -> Vec<Value> {
        values(&[Piece::Line(line.as_bytes().to_vec())])
    }

    fn atom(text: &str) -> Value {
        Value::Atom(text.as_bytes().to_vec())
    }

    #[test]
    fn values_are_cut() {
        assert_eq!(
            of(r#"* 1 FETCH (UID 7 BODY[HEADER.FIELDS (A B)]<0> "q\"x" FLAGS (\Seen))"#),
            [
                atom("*"),
                atom("1"),
                atom("FETCH"),
                Value::List(vec![
                    atom("UID"),
                    atom("7"),
                    atom("BODY[HEADER.FIELDS (A B)]<0>"),
                    Value::Text(Bytes::from_static(b"q\"x")),
                    atom("FLAGS"),
                    Value::List(vec![atom("\\Seen")]),
                ])
            ]
        );
        assert_eq!(
            of("(a ((b)"),
            [Value::List(vec![
                atom("a"),
                Value::List(vec![Value::List(vec![atom("b")])])
            ])]
        );
        assert_eq!(
            of(") x \"open"),
            [atom("x"), Value::Text(Bytes::from_static(b"open"))]
        );
    }

    proptest! {
        #[test]
        fn nothing_panics_or_hangs(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            values(&[Piece::Line(bytes.clone()), Piece::Dropped, Piece::Line(bytes)]);
        }

        #[test]
        fn depth_is_bounded(count in 0_usize..5000) {
            values(&[Piece::Line(vec![b'('; count])]);
        }
    }
}
