//! Where the sender's signature begins.

use super::{Kind, Line, separator, words};

/// Lines of a signature below `-- ` (RFC 3676 section 4.3); companies write long ones.
const LINES_MAX: usize = 20;
/// Lines of a signature below `--` without the space, which may also part two halves of a text.
const LOOSE_LINES_MAX: usize = 12;
/// Lines that may follow a line of a mail program, e.g. `Sent from my phone`.
const PROGRAM_LINES_MAX: usize = 4;
/// Lines of a mailing list's footer.
const FOOTER_LINES_MAX: usize = 6;
/// Longest line of a mail program, in bytes.
const PROGRAM_LINE_MAX: usize = 160;
/// Shortest rule above a mailing list's footer.
const FOOTER_RULE_MIN: usize = 20;

/// The first line of the signature at the end of `lines`. Quoted lines below it would mean that the text goes on.
pub(super) fn find(lines: &[Line<'_>]) -> Option<usize> {
    let from = lines
        .iter()
        .rposition(|line| line.kind == Kind::Quoted)
        .map_or(0, |last| last + 1);
    let mut following = lines[from..]
        .iter()
        .filter(|line| line.kind == Kind::Text)
        .count();
    for (at, line) in lines.iter().enumerate().skip(from) {
        if line.kind != Kind::Text {
            continue;
        }
        following -= 1;
        if following <= LINES_MAX && begins(line, &lines[at + 1..], following) {
            return Some(at);
        }
    }
    None
}

/// As [`find`], of an agent's answer: only what says itself that it is one, and what mail programs add at the very end.
pub(super) fn strict(lines: &[Line<'_>]) -> Option<usize> {
    let texts: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].kind == Kind::Text)
        .collect();
    let marked = texts.iter().enumerate().find(|(index, at)| {
        let line = &lines[**at];
        let delimiter = matches!(line.raw.trim_start(), "-- " | "- -- ");
        let following = texts.len() - index - 1;
        (delimiter && following <= LINES_MAX) || line.text == "-----BEGIN PGP SIGNATURE-----"
    });
    let is_link = |text: &str| text.starts_with(['<', '[']) || text.starts_with("http");
    // Their links may stand on lines of their own.
    let of_program = texts.iter().enumerate().find(|(index, at)| {
        let mut below = texts[index + 1..].iter().map(|at| lines[*at].text);
        is_of_program(lines[**at].text) && below.all(|text| is_of_program(text) || is_link(text))
    });
    let found = [marked, of_program].into_iter().flatten();
    found.map(|(_, at)| *at).min()
}

/// Whether `line` begins a signature of `following` more lines.
fn begins(line: &Line<'_>, below: &[Line<'_>], following: usize) -> bool {
    if line.text == "--" {
        // RFC 3676: dash, dash, space. Many editors take the space away.
        return line.raw.ends_with("-- ") || following <= LOOSE_LINES_MAX;
    }
    if line.text == "- --" || line.text == "-----BEGIN PGP SIGNATURE-----" {
        return true;
    }
    if matches!(line.text, "—" | "– –" | "—-") {
        return following <= LOOSE_LINES_MAX;
    }
    if following <= PROGRAM_LINES_MAX && is_of_program(line.text) {
        return true;
    }
    let is_footer = || {
        let speaks =
            |line: &Line<'_>| line.text.contains("http") || line.text.contains("mailing list");
        line.text.len() >= FOOTER_RULE_MIN
            && separator::is_rule(line.text)
            && below.iter().any(speaks)
    };
    following <= FOOTER_LINES_MAX && is_footer()
}

/// `Sent from my iPhone`, in the languages of our users.
fn is_of_program(text: &str) -> bool {
    if text.len() > PROGRAM_LINE_MAX {
        return false;
    }
    // Proton writes its own name as a link in Markdown.
    let lower = text.to_lowercase().replace('[', "");
    let lower = lower.trim_start_matches(|c: char| !c.is_alphanumeric());
    let begins = words::PROGRAM_STARTS
        .iter()
        .any(|start| lower.starts_with(start));
    let frames = words::PROGRAM_FRAMES.iter().any(|(start, end)| {
        lower.starts_with(start) && lower.trim_end_matches(['.', '!']).ends_with(end)
    });
    begins || frames
}
