//! Lines that introduce a quote: `On Mon, 2 Nov 2026 at 10:00, Aino <aino@c.example> wrote:`.
//!
//! Clients write them in the language of their user, and break them where a line gets long. A verb of writing, a date
//! and an address are what they share. How much is asked for depends on what follows: above lines marked with `>`
//! little can go wrong, so one of them may be missing; where the quote has no marks, everything below would be folded
//! away, so verb, time of day and a typical beginning have to be there.

use super::{Kind, Line, words};

/// Lines that a client breaks one attribution into.
const LINES_MAX: usize = 4;
/// Longest line that can be a part of one, in bytes.
const LINE_MAX: usize = 400;
/// Longest attribution with nothing but a name and a verb, in characters.
const BARE_MAX: usize = 80;

/// First line of the attribution whose last line is `last`, above quoted lines.
pub(super) fn above_marked(lines: &[Line<'_>], last: usize) -> Option<usize> {
    ending_at(lines, last, judge)
}

/// First line of the attribution whose last line is `last`, above text without marks.
pub(super) fn above_unmarked(lines: &[Line<'_>], last: usize) -> Option<usize> {
    ending_at(lines, last, judge_strictly)
}

/// As [`above_unmarked`], for lines that only might be one: without a verb of writing or a time of day.
pub(super) fn perhaps_above_unmarked(lines: &[Line<'_>], last: usize) -> Option<usize> {
    ending_at(lines, last, judge_loosely)
}

/// How far some joined lines are an attribution.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Whole {
        /// It begins as attributions do.
        opened: bool,
    },
    /// Could be one by itself; with the line above it may be a better one.
    Bare,
    No,
}

fn ending_at(lines: &[Line<'_>], last: usize, judge: fn(&str) -> Judgement) -> Option<usize> {
    if !lines[last].text.ends_with([':', '：']) {
        return None;
    }
    let mut joined = String::new();
    let mut bare = None;
    for first in (0..=last).rev().take(LINES_MAX) {
        let line = &lines[first];
        let ends_before = first < last && ends_sentence(line.text);
        if line.kind != Kind::Text || line.text.len() > LINE_MAX || ends_before {
            break;
        }
        joined = if joined.is_empty() {
            line.text.to_owned()
        } else {
            format!("{} {joined}", line.text)
        };
        match judge(&joined) {
            // The lower line alone was enough: only a typical beginning makes the one above a part of it.
            Judgement::Whole { opened } if opened || bare.is_none() => return Some(first),
            Judgement::Bare => bare = bare.or(Some(first)),
            Judgement::Whole { .. } | Judgement::No => {}
        }
    }
    bare
}

/// Whether a line ends a sentence, so that the next line does not go on with it. `nov.` is no end.
fn ends_sentence(text: &str) -> bool {
    let abbreviated = || {
        let word = text.trim_end_matches('.').rsplit([' ', ',']).next();
        word.is_some_and(|word| word.chars().count() <= 7 && text.len() > word.len() + 1)
    };
    text.ends_with(['!', '?', ':', ';']) || (text.ends_with('.') && !abbreviated())
}

fn judge(text: &str) -> Judgement {
    let facts = Facts::of(text);
    if !facts.complete {
        Judgement::No
    } else if facts.dated && !facts.broken && (facts.verb || facts.address) {
        Judgement::Whole {
            opened: facts.opened,
        }
    } else if facts.verb && (facts.address || text.chars().count() <= BARE_MAX) {
        Judgement::Bare
    } else {
        Judgement::No
    }
}

fn judge_strictly(text: &str) -> Judgement {
    let facts = Facts::of(text);
    let typical = facts.address || facts.opened;
    if facts.complete && facts.verb && facts.timed && typical && !facts.spoken {
        Judgement::Whole {
            opened: facts.opened,
        }
    } else {
        Judgement::No
    }
}

fn judge_loosely(text: &str) -> Judgement {
    let facts = Facts::of(text);
    let written = facts.verb && (facts.address || facts.dated);
    if facts.complete && (written || (facts.dated && facts.address)) && !facts.spoken {
        Judgement::Whole {
            opened: facts.opened,
        }
    } else {
        Judgement::No
    }
}

/// What a text has of an attribution.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent observations of one text, read in two places"
)]
struct Facts {
    /// Brackets are closed, and it does not begin within an address.
    complete: bool,
    verb: bool,
    address: bool,
    /// A time of day.
    timed: bool,
    /// A time of day or a year.
    dated: bool,
    /// Begins as attributions do.
    opened: bool,
    /// Begins within a date: `2026 kl 10:00 ...`.
    broken: bool,
    /// "You wrote": a person speaks, not a program.
    spoken: bool,
}

impl Facts {
    fn of(text: &str) -> Self {
        let lower = text.to_lowercase();
        let tokens: Vec<&str> = lower
            .split(|c: char| !c.is_alphanumeric())
            .filter(|token| !token.is_empty())
            .collect();
        let is_verb = |token: &str| words::VERBS.contains(&token);
        let is_pronoun = |token: &str| words::PRONOUNS.contains(&token);
        let spoken = tokens.windows(2).any(|pair| {
            (is_verb(pair[0]) && is_pronoun(pair[1])) || (is_pronoun(pair[0]) && is_verb(pair[1]))
        });
        let opened = tokens.first().is_some_and(|first| {
            words::OPENERS.contains(first) || first.starts_with(|c: char| c.is_ascii_digit())
        });
        let broken = lower
            .split_once(' ')
            .is_some_and(|(first, _)| is_year(first.trim_end_matches(',')));
        let timed = has_time(lower.as_bytes());
        let count = |wanted: char| lower.chars().filter(|c| *c == wanted).count();
        Self {
            complete: count('<') == count('>') && !lower.starts_with('<'),
            verb: tokens.iter().any(|token| is_verb(token)),
            address: lower.contains('@'),
            timed,
            dated: timed || tokens.iter().any(|token| is_year(token)),
            opened,
            broken,
            spoken,
        }
    }
}

/// `10:00`, `9.05`.
fn has_time(text: &[u8]) -> bool {
    text.windows(4).any(|window| {
        window[0].is_ascii_digit()
            && matches!(window[1], b':' | b'.')
            && window[2].is_ascii_digit()
            && window[3].is_ascii_digit()
    })
}

fn is_year(token: &str) -> bool {
    token.len() == 4
        && (token.starts_with("19") || token.starts_with("20"))
        && token.bytes().all(|byte| byte.is_ascii_digit())
}
