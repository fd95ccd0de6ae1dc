//! Separators below which everything is quoted, mark or no mark.

use super::{Kind, Line, attribution, words};
use words::Label;

/// Lines in which a block of header lines has to show what it is.
const BLOCK_LINES: usize = 14;
/// Lines without a label that a block may have in a row: long lists of recipients are broken.
const UNLABELLED_MAX: usize = 2;
/// Longest label, in bytes.
const LABEL_MAX: usize = 30;
/// Longest line that can be a marker, in bytes.
const MARKER_MAX: usize = 200;
/// Shortest run of dashes or underscores that is a rule.
const RULE_MIN: usize = 5;

/// The first line of the first separator that is not itself quoted.
pub(super) fn first(lines: &[Line<'_>]) -> Option<usize> {
    let next_marked = next_line_is_marked(lines);
    for (at, line) in lines.iter().enumerate() {
        if line.kind != Kind::Text {
            continue;
        }
        if is_separator(&lines[at..]) {
            return Some(with_rule(lines, at));
        }
        if next_marked[at] == Some(false)
            && let Some(first) = attribution::above_unmarked(lines, at)
        {
            return Some(first);
        }
    }
    None
}

/// Whether a marker or a block of header lines begins here.
pub(super) fn is_separator(lines: &[Line<'_>]) -> bool {
    lines.first().is_some_and(|line| is_marker(line.text)) || is_block(lines)
}

/// For each line: whether the next line that is not blank begins with `>`; `None` at the end.
pub(super) fn next_line_is_marked(lines: &[Line<'_>]) -> Vec<Option<bool>> {
    let mut next = None;
    let mut marked = vec![None; lines.len()];
    for (at, line) in lines.iter().enumerate().rev() {
        marked[at] = next;
        if line.kind != Kind::Blank {
            next = Some(line.kind == Kind::Quoted);
        }
    }
    marked
}

/// The rule that Outlook draws above its block belongs to it.
pub(super) fn with_rule(lines: &[Line<'_>], at: usize) -> usize {
    let above = lines[..at]
        .iter()
        .rposition(|line| line.kind != Kind::Blank);
    above
        .filter(|above| is_rule(lines[*above].text))
        .unwrap_or(at)
}

/// A line of nothing but dashes.
pub(super) fn is_rule(text: &str) -> bool {
    let mut length = 0;
    for character in text.chars() {
        if !matches!(character, '_' | '-' | '─' | '—' | '=' | '*' | ' ') {
            return false;
        }
        length += 1;
    }
    length >= RULE_MIN
}

/// `-----Original Message-----`, `Begin forwarded message:`, `##- reply above this line -##`.
fn is_marker(text: &str) -> bool {
    if text.len() > MARKER_MAX {
        return false;
    }
    let bare =
        text.trim_matches(|c: char| matches!(c, '-' | '_' | '—' | '–' | '*' | '#' | '=' | ' '));
    let lower = bare.to_lowercase();
    let is = |list: &[&str]| list.contains(&lower.trim_end_matches(':').trim_end());
    let framed = text.starts_with(['-', '_', '—', '–', '*']) && bare.len() < text.len();
    if framed && text.starts_with("--") && text.ends_with("--") {
        // Zoho: `---- On Mon, 2 Nov 2026 10:00:00 +0200 Aino <aino@c.example> wrote ----`.
        let wrote = lower.contains('@') && words::VERBS.iter().any(|verb| lower.ends_with(verb));
        return wrote || is(words::ORIGINALS) || is(words::FORWARDS);
    }
    // One dash is an item of a list.
    let deeply_framed = framed
        && ["--", "__", "**", "——"]
            .iter()
            .any(|frame| text.starts_with(frame));
    (deeply_framed && lower != "original" && is(words::ORIGINALS))
        || (lower.ends_with(':') && is(words::FORWARDS))
        || (text.starts_with(['#', '-', '=', '*'])
            && words::REPLY_ABOVE.iter().any(|known| lower.contains(known)))
}

/// Whether a block of header lines begins here, as Outlook and forwarding clients write it. The subject has to be
/// there: `From: Helsinki, To: Turku` is a question about a journey.
fn is_block(lines: &[Line<'_>]) -> bool {
    if lines.first().is_none_or(|line| label(line.text).is_none()) {
        return false;
    }
    let mut found = [false; Label::COUNT];
    let mut unlabelled = 0;
    let mut blanks = 0;
    for line in lines.iter().take(BLOCK_LINES) {
        match (line.kind, label(line.text)) {
            (Kind::Quoted, _) => break,
            (Kind::Blank, _) => blanks += 1,
            (Kind::Text, Some(label)) => {
                found[label as usize] = true;
                (unlabelled, blanks) = (0, 0);
            }
            (Kind::Text, None) => unlabelled += 1,
        }
        if unlabelled > UNLABELLED_MAX || blanks > 1 {
            break;
        }
    }
    let has = |label: Label| found[label as usize];
    has(Label::From) && has(Label::Subject) && (has(Label::Date) || has(Label::To))
}

/// The header that a line begins with: `From:`, `*Från:*`, `Lähettäjä :`.
pub(super) fn label(text: &str) -> Option<Label> {
    let head = &text[..text.floor_char_boundary(LABEL_MAX + 4)];
    let (name, _) = head.split_once([':', '：'])?;
    let name = name.trim_matches(|c: char| matches!(c, '*' | '_') || c.is_whitespace());
    if name.is_empty() || name.len() > LABEL_MAX {
        return None;
    }
    let name = name.to_lowercase();
    words::LABELS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, label)| *label)
}
