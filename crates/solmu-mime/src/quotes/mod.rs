//! What a mail says anew, what it quotes, and where its signature begins.
//!
//! Nothing is cut: the results are offsets into the text, and a wrong guess costs the reader one click. The rules
//! follow from what a wrong guess costs. Text that was written for us must never be folded away, so only a tail is
//! called a quote: whatever stands below an answer between quoted lines ends the search, and a forwarded message with
//! nothing written above it is the message itself. A quote that stays unfolded only costs space.
//!
//! Two kinds of tail exist. Lines that begin with `>` say themselves what they are. Outlook and web mailers quote
//! without a mark, below a separator: a block of header lines, `-----Original Message-----`, or `On ... wrote:`.
//! Text made from HTML has both, because `blockquote` becomes `>` (see `solmu_text::html_to_text`).

mod answer;
#[cfg(test)]
mod answer_tests;
mod attribution;
mod separator;
mod signature;
#[cfg(test)]
mod tests;
mod words;

pub use answer::{Answer, Doubt, LeftOut, answer};

/// Where the parts of a text begin, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotes {
    /// The quoted tail of an earlier mail, with the line that introduces it.
    pub quote: Option<usize>,
    /// The sender's signature. It may stand below the quote.
    pub signature: Option<usize>,
}

/// The same in characters (Unicode scalar values).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets {
    /// See [`Quotes::quote`].
    pub quote: Option<usize>,
    /// See [`Quotes::signature`].
    pub signature: Option<usize>,
}

impl Quotes {
    /// What was written anew: `text` without quoted tail and signature.
    #[must_use]
    pub fn visible<'a>(&self, text: &'a str) -> &'a str {
        let end = [self.quote, self.signature].into_iter().flatten().min();
        end.and_then(|end| text.get(..end)).unwrap_or(text).trim()
    }

    /// The offsets in characters, as events and JSON carry them.
    #[must_use]
    pub fn in_characters(&self, text: &str) -> Offsets {
        let count = |at: usize| text.get(..at).map(|head| head.chars().count());
        Offsets {
            quote: self.quote.and_then(count),
            signature: self.signature.and_then(count),
        }
    }
}

/// Finds the quoted tail and the signature of `text`. Takes time in proportion to its length.
#[must_use]
pub fn find(text: &str) -> Quotes {
    let lines = split(text);
    let separator = separator::first(&lines);
    let end = separator.unwrap_or(lines.len());
    let head = &lines[..end];
    let marked = marked_tail(head, separator.is_some());
    let begin = marked.as_ref().map_or(end, |tail| tail.begin);
    let own = &head[..begin];
    let own_signature = signature::find(own);
    let written = own[..own_signature.unwrap_or(own.len())]
        .iter()
        .any(|line| line.kind == Kind::Text);
    let is_quote = match (&marked, separator) {
        // Nothing above a separator: a forwarded message, which is what the sender wants to tell.
        (_, Some(_)) => written,
        (Some(tail), None) => written || tail.attributed,
        (None, None) => false,
    };
    let offset = |line: usize| lines.get(line).map(|line| line.start);
    if separator.is_some() && !written {
        return Quotes::default();
    }
    let below = marked.and_then(|tail| tail.signature);
    Quotes {
        quote: is_quote.then(|| offset(begin)).flatten(),
        signature: own_signature.or(below).and_then(offset),
    }
}

/// What a line is by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    /// Begins with `>`.
    Quoted,
    Text,
}

/// A line without its end.
#[derive(Debug, Clone, Copy)]
struct Line<'a> {
    start: usize,
    kind: Kind,
    /// As written.
    raw: &'a str,
    /// Without the blanks around it.
    text: &'a str,
}

fn split(text: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for whole in text.split_inclusive('\n') {
        let raw = whole.trim_end_matches(['\n', '\r']);
        let text = raw.trim_matches(is_blank);
        let kind = match text.bytes().next() {
            None => Kind::Blank,
            Some(b'>') => Kind::Quoted,
            Some(_) => Kind::Text,
        };
        lines.push(Line {
            start,
            kind,
            raw,
            text,
        });
        start += whole.len();
    }
    lines
}

/// White space, and the marks without width that web mailers leave.
fn is_blank(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\u{200b}'..='\u{200f}' | '\u{feff}')
}

/// A tail of lines that begin with `>`.
#[derive(Debug)]
struct MarkedTail {
    begin: usize,
    /// Whether a line like `On ... wrote:` introduces it.
    attributed: bool,
    /// Signature below it.
    signature: Option<usize>,
}

/// The quoted lines at the end. Below them there may only be a signature; anything else is an answer.
fn marked_tail(lines: &[Line<'_>], separated: bool) -> Option<MarkedTail> {
    let last = lines.iter().rposition(|line| line.kind == Kind::Quoted)?;
    let below = lines[last + 1..]
        .iter()
        .position(|line| line.kind == Kind::Text)
        .map(|at| last + 1 + at);
    let signature = match below {
        None => None,
        Some(at) if !separated && signature::find(&lines[at..]) == Some(0) => Some(at),
        Some(_) => return None,
    };
    let mut begin = last;
    let mut attributed = false;
    loop {
        let above = lines[..begin]
            .iter()
            .rposition(|line| line.kind != Kind::Blank);
        match above {
            Some(at) if lines[at].kind == Kind::Quoted => begin = at,
            Some(at) => match attribution::above_marked(lines, at) {
                Some(first) => {
                    begin = first;
                    attributed = true;
                }
                None => break,
            },
            None => break,
        }
    }
    Some(MarkedTail {
        begin,
        attributed,
        signature,
    })
}
