//! The text around what was found.
//!
//! Made here for the fifty texts of a page: PostgreSQL's `ts_headline` parses each of them again with every dictionary,
//! which takes longer than the search.

use solmu_conditions::{spellings, words};

use super::terms::{Ask, Term};

/// Characters before the first word that was found, and in all.
const BEFORE: usize = 60;
const LENGTH: usize = 200;
/// Letters of a word that its forms have in common at least.
const STEM: usize = 4;

/// A part of `text`, in one line, with the first of the terms in it; its beginning if none is found again.
pub(crate) fn around(text: &str, terms: &[Term]) -> String {
    let stems: Vec<String> = terms
        .iter()
        .filter(|term| !term.negated)
        .flat_map(|term| match &term.ask {
            Ask::Word(word) => spellings(stem(word)),
            Ask::Prefix(start) => spellings(start.clone()),
            Ask::Phrase(words) => spellings(words.split(' ').next().unwrap_or_default().to_owned()),
        })
        .collect();
    let mut pieces = Vec::new();
    let mut length = 0;
    let mut found = None;
    for piece in text.split_whitespace() {
        if found.is_none() && is_found(piece, &stems) {
            found = Some(length);
        }
        pieces.push((length, piece));
        length += piece.chars().count() + 1;
        if found.is_some_and(|at| length > at + LENGTH) {
            break;
        }
    }
    let from = found.unwrap_or(0).saturating_sub(BEFORE);
    let mut snippet = String::new();
    for (_, piece) in pieces.iter().filter(|(at, _)| *at >= from) {
        if !snippet.is_empty() {
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

fn is_found(piece: &str, stems: &[String]) -> bool {
    words(piece)
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
        assert_eq!(around("nothing here", &terms), "nothing here");
        assert_eq!(around("", &terms), "");
    }
}
