//! The text around what was found.
//!
//! Made here for the fifty texts of a page: PostgreSQL's `ts_headline` parses each of them again with every dictionary,
//! which takes longer than the search.

use solmu_conditions::spellings;
use solmu_words::{FEWEST_DIGITS, lexing};

use super::terms::{Ask, Term};

/// Characters before the first word that was found, and in all.
const BEFORE: usize = 60;
const LENGTH: usize = 200;
/// Characters of a piece of a word.
const PIECE: usize = 40;
/// Letters of a word that its forms have in common at least.
const STEM: usize = 4;

/// A part of `text`, in one line, with the first of the terms in it; its beginning if none is found again.
pub(crate) fn around(text: &str, terms: &[Term]) -> String {
    let stems: Vec<String> = terms
        .iter()
        .filter(|term| !term.negated)
        .flat_map(|term| match &term.ask {
            Ask::Word(word) => spellings(stem(word)),
            Ask::Prefix(words) | Ask::Phrase(words) => {
                spellings(words.split(' ').next().unwrap_or_default().to_owned())
            }
        })
        .collect();
    // Where each piece begins, and whether a word begins with it.
    let mut pieces: Vec<(usize, bool, &str)> = Vec::new();
    let mut length = 0;
    let mut found = None;
    for (begins, piece) in text.split_whitespace().flat_map(short_pieces) {
        if found.is_none() && is_found(piece, &stems) {
            found = Some(length);
        }
        pieces.push((length, begins, piece));
        length += piece.chars().count() + 1;
        if found.is_some_and(|at| length > at + LENGTH) {
            break;
        }
    }
    let from = found.unwrap_or(0).saturating_sub(BEFORE);
    let mut snippet = String::new();
    for (_, begins, piece) in pieces.iter().filter(|(at, ..)| *at >= from) {
        if *begins && !snippet.is_empty() {
            snippet.push(' ');
        }
        snippet.push_str(piece);
    }
    let begun = if from > 0 { "… " } else { "" };
    let short: String = snippet.chars().take(LENGTH).collect();
    let ended = if short.len() < snippet.len() {
        " …"
    } else {
        ""
    };
    format!("{begun}{short}{ended}")
}

/// A word in pieces of a length that can be shown: a sentence without spaces is one word. Each says whether the word begins
/// with it.
fn short_pieces(word: &str) -> impl Iterator<Item = (bool, &str)> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let begins = rest.len() == word.len();
        let end = rest
            .char_indices()
            .nth(PIECE)
            .map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(end);
        rest = after;
        (!piece.is_empty()).then_some((begins, piece))
    })
}

fn is_found(piece: &str, stems: &[String]) -> bool {
    // Most pieces: without folding them, which takes longer than everything else here.
    if piece.is_ascii() && piece.bytes().filter(u8::is_ascii_digit).count() < FEWEST_DIGITS {
        let begins = |word: &str, stem: &str| {
            let start = word.as_bytes().get(..stem.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(stem.as_bytes()))
        };
        return piece
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .any(|word| stems.iter().any(|stem| begins(word, stem)));
    }
    lexing::document(piece)
        .split_whitespace()
        .any(|word| stems.iter().any(|stem| word.starts_with(stem.as_str())))
}

/// What the forms of a word begin with, roughly.
fn stem(word: &str) -> String {
    let letters = word.chars().count();
    let kept = (letters * 2 / 3).max(STEM).min(letters);
    word.chars().take(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::terms::read, *};

    #[test]
    fn a_snippet_has_the_word_in_another_form_and_is_short() {
        let text = format!(
            "{} Tilauksenne   on\nmyöhässä. {}",
            "alku ".repeat(40),
            "loppu ".repeat(80)
        );
        let terms = read("tilaus").unwrap();
        let snippet = around(&text, &terms);
        assert!(snippet.contains("Tilauksenne on myöhässä."), "{snippet}");
        assert!(
            snippet.starts_with("… alku") && snippet.ends_with('…'),
            "{snippet}"
        );
        assert!(snippet.chars().count() <= LENGTH + 4);
        let text = format!("{}注文番号は{}", "一".repeat(500), "二".repeat(500));
        let snippet = around(&text, &read("番号").unwrap());
        assert!(snippet.contains("注文番号は二"), "{snippet}");
        assert!(snippet.chars().count() <= LENGTH + 4 && !snippet.contains("一 "));
        let text = format!("{} (Puh. 040-1234567)", "x ".repeat(90));
        let snippet = around(&text, &read("0401234567").unwrap());
        assert!(snippet.ends_with("(Puh. 040-1234567)"), "{snippet}");
        let snippet = around(&text, &read("PUH").unwrap());
        assert!(snippet.contains("(Puh."), "{snippet}");
        assert_eq!(around("nothing here", &terms), "nothing here");
        assert_eq!(around("", &terms), "");
    }
}
