//! What of an agent's mail may go to a customer.
//!
//! The opposite of what a reader wants. There a wrong guess costs a click, so nothing that somebody may have written for
//! us is folded away; here it costs a secret, because an agent's mail quotes notes and mail of colleagues. So nothing
//! from the first sign of a quote on is sent, wherever it stands and whether or not anything is written above it. Where
//! it is not clear what is the agent's own (answers between quoted lines, a line that may introduce a quote), nothing is
//! sent at all: to cut there would send half an answer.
//!
//! For the same reason less is a signature: a bare `--` may part two halves of an answer, and to send a signature harms
//! nobody.

use super::{Kind, Line, attribution, is_blank, separator, signature, split, words::Label};

/// Lines below one with a sender's address in which another header line has to stand.
const LOOSE_LINES: usize = 3;

/// What may be sent of a text, and what not. Offsets are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// First line that quotes an earlier mail, or introduces it.
    pub quote: Option<usize>,
    /// The signature above that.
    pub signature: Option<usize>,
    /// Whether anything is written above both.
    pub written: bool,
    /// Why nothing may be sent, though something is.
    pub doubt: Option<Doubt>,
    /// Lines that are left out without being marked as quoted.
    pub left_out: LeftOut,
}

/// Why it is not clear what the agent wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Lines stand between quoted ones, or below them.
    Between,
    /// A line may introduce a quote that has no marks.
    Introduced,
}

/// Lines that are not sent, blank ones aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Of the signature.
    pub signature: usize,
    /// Below the beginning of the quote and without a mark of quoting.
    pub below: usize,
    /// Number of the line that the quote begins at, from 1.
    pub from_line: usize,
}

impl Answer {
    /// What is sent of `text`, the same that was read.
    #[must_use]
    pub fn sent<'a>(&self, text: &'a str) -> &'a str {
        let end = [self.quote, self.signature].into_iter().flatten().min();
        let sent = end.and_then(|end| text.get(..end)).unwrap_or(text);
        sent.trim_matches(is_blank)
    }
}

/// Reads `text` as strictly as an answer that goes to a customer has to be. Takes time in proportion to its length.
#[must_use]
pub fn answer(text: &str) -> Answer {
    let lines = split(text);
    let cut = first_foreign(&lines);
    let end = cut.map_or(lines.len(), |cut| cut.begin);
    let own = &lines[..end];
    let own_signature = signature::strict(own);
    let written_end = own_signature.unwrap_or(end);
    let count = |lines: &[Line<'_>]| lines.iter().filter(|it| it.kind == Kind::Text).count();
    let offset = |line: usize| lines.get(line).map(|line| line.start);
    let below = cut.map_or(0, |cut| count(&lines[cut.body..]));
    Answer {
        quote: cut.and_then(|cut| offset(cut.begin)),
        signature: own_signature.and_then(offset),
        written: count(&own[..written_end]) > 0,
        doubt: cut.and_then(|cut| doubt(&lines, cut)),
        left_out: LeftOut {
            signature: count(&own[written_end..]),
            below,
            from_line: end + 1,
        },
    }
}

/// Where what is not the agent's begins.
#[derive(Debug, Clone, Copy)]
struct Cut {
    /// With the lines that introduce it.
    begin: usize,
    /// Below those.
    body: usize,
    sign: Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// A line that begins with `>`; `attributed` if `On ... wrote:` stands above it.
    Marked { attributed: bool },
    /// A separator, below which nothing has a mark.
    Separator,
    /// What may be one.
    Perhaps,
}

fn first_foreign(lines: &[Line<'_>]) -> Option<Cut> {
    let next_marked = separator::next_line_is_marked(lines);
    for (at, line) in lines.iter().enumerate() {
        let found = |begin: usize, body: usize, sign: Sign| Some(Cut { begin, body, sign });
        match line.kind {
            Kind::Blank => {}
            Kind::Quoted => {
                let above = introduction(lines, at);
                let sign = Sign::Marked {
                    attributed: above.is_some(),
                };
                return found(above.unwrap_or(at), at, sign);
            }
            // Above marked lines: found with them.
            Kind::Text if next_marked[at] == Some(true) && line.text.ends_with([':', '：']) => {}
            Kind::Text => {
                if separator::is_separator(&lines[at..]) || is_loose_block(&lines[at..]) {
                    return found(separator::with_rule(lines, at), at, Sign::Separator);
                }
                if let Some(first) = attribution::above_unmarked(lines, at) {
                    return found(first, at + 1, Sign::Separator);
                }
                if let Some(first) = attribution::perhaps_above_unmarked(lines, at) {
                    return found(first, at + 1, Sign::Perhaps);
                }
            }
        }
    }
    None
}

/// The first of the lines that introduce the quoted one at `at`. A client whose language we do not know still writes an
/// address and a colon.
fn introduction(lines: &[Line<'_>], at: usize) -> Option<usize> {
    let last = lines[..at]
        .iter()
        .rposition(|line| line.kind != Kind::Blank)?;
    attribution::above_marked(lines, last).or_else(|| {
        let text = lines[last].text;
        (text.ends_with([':', '：']) && text.contains('@')).then_some(last)
    })
}

/// A sender with an address and another header line: too little for a reader to fold, enough not to be sent.
fn is_loose_block(lines: &[Line<'_>]) -> bool {
    let Some(first) = lines.first() else {
        return false;
    };
    let is_sender = separator::label(first.text) == Some(Label::From) && first.text.contains('@');
    let mut below = lines.iter().skip(1).take(LOOSE_LINES);
    is_sender && below.any(|line| separator::label(line.text).is_some())
}

fn doubt(lines: &[Line<'_>], cut: Cut) -> Option<Doubt> {
    let attributed = match cut.sign {
        Sign::Separator => return None,
        Sign::Perhaps => return Some(Doubt::Introduced),
        Sign::Marked { attributed } => attributed,
    };
    let body = &lines[cut.body..];
    // A mail that is quoted below the marked lines has no marks of its own.
    let end = separator::first(body).unwrap_or(body.len());
    let body = &body[..end];
    let last = body.iter().rposition(|line| line.kind == Kind::Quoted)?;
    let is_text = |line: &Line<'_>| line.kind == Kind::Text;
    if body[..last].iter().any(is_text) {
        return Some(Doubt::Between);
    }
    // Below a whole quote with its introduction, and with an answer above, there are footers of companies.
    let below = &body[last + 1..];
    let below = &below[..signature::find(below).unwrap_or(below.len())];
    let answered_above = attributed && lines[..cut.begin].iter().any(is_text);
    (!answered_above && below.iter().any(is_text)).then_some(Doubt::Between)
}
