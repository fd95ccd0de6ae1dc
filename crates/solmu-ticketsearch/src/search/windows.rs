//! The order in which a search looks through time: the newest spans, then four times as much, and so on.
//!
//! A search wants the newest matches only, and a common word has a hundred thousand. The index has a list of each word
//! for each span of time (migration 0052), so it is asked for the words of some spans at once, the newest first. The
//! first window has some ten thousand documents, so that a small desk is asked once; windows grow, so that a rare word
//! costs a few looks. Rejected: sorting all matches (a second for a common word), reading documents by time (a second
//! for a rare one), to decide between both by the planner's estimate (a guess for words beyond its sample), and to ask
//! for `word AND one of these days` (the index compares all matches of the word with the lists of the days).

use std::fmt::Write as _;

use jiff::Timestamp;

/// Documents of the first window, at least, if there are so many.
const FIRST: i64 = 20_000;
/// How much longer the next window is.
const GROWTH: i64 = 4;
/// Lexemes that one look asks the index for: beyond, comparing them costs more than another look.
const LEXEMES: usize = 1_500;

/// A span of time in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) id: i64,
    pub(crate) starts: Timestamp,
    /// How many it has, about.
    pub(crate) documents: i64,
}

/// Where to look, in this order, to find documents of `spans` (the newest first) whose words `asked` fits.
pub(crate) fn windows<'a>(asked: &str, spans: &'a [Span]) -> Vec<&'a [Span]> {
    let most = (LEXEMES / lexemes(asked).max(1)).max(1);
    let mut windows = Vec::new();
    let mut rest = spans;
    let mut wanted = FIRST;
    while !rest.is_empty() {
        let mut documents = 0;
        let enough = rest.iter().position(|span| {
            documents += span.documents;
            documents >= wanted
        });
        let count = enough.map_or(rest.len(), |last| last + 1).min(most);
        let (window, older) = rest.split_at(count);
        windows.push(window);
        rest = older;
        wanted *= GROWTH;
    }
    windows
}

/// `asked` in any of `spans`.
pub(super) fn of_spans(asked: &str, spans: &[Span]) -> String {
    let mut all = String::with_capacity(spans.len() * (asked.len() + 32));
    for span in spans {
        if !all.is_empty() {
            all.push_str(" | ");
        }
        let _ = write!(all, "({})", labelled(asked, span.id));
    }
    all
}

/// A `tsquery`, as PostgreSQL writes it, with the number of a span before each lexeme.
pub(super) fn labelled(asked: &str, span: i64) -> String {
    let mut text = String::with_capacity(asked.len() * 2);
    let mut within = false;
    for letter in asked.chars() {
        text.push(letter);
        if letter == '\'' {
            within = !within;
            if within {
                let _ = write!(text, "{span}:");
            }
        }
    }
    text
}

fn lexemes(asked: &str) -> usize {
    asked.matches('\'').count() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(documents: &[i64]) -> Vec<Span> {
        let count = i64::try_from(documents.len()).unwrap();
        let spans = documents.iter().zip(0..).map(|(documents, place)| Span {
            id: count - place,
            starts: Timestamp::from_second(1_000_000 - place * 1_000).unwrap(),
            documents: *documents,
        });
        spans.collect()
    }

    #[test]
    fn a_small_desk_is_asked_once_and_a_large_one_by_spans() {
        let small = spans(&[10, 900, 1_200]);
        let windows_of_small = windows("'w'", &small);
        assert_eq!(windows_of_small.len(), 1);
        assert_eq!(
            of_spans("'w'", windows_of_small[0]),
            "('3:w') | ('2:w') | ('1:w')"
        );
        let large = spans(&[50_000; 110]);
        let large: Vec<usize> = windows("'w'", &large).iter().map(|it| it.len()).collect();
        assert_eq!(large, [1, 2, 7, 26, 74]);
        assert!(windows("'w'", &[]).is_empty());
    }

    #[test]
    fn many_words_are_asked_for_in_more_looks() {
        let asked = vec!["'w'"; 600].join(" & ");
        let spans = spans(&[1_000; 7]);
        let looks: Vec<usize> = windows(&asked, &spans).iter().map(|it| it.len()).collect();
        assert_eq!(looks, [2, 2, 2, 1]);
    }

    #[test]
    fn each_lexeme_has_the_number_of_its_span() {
        let asked = "( 'lasku' | 'laskun' ) & !'kuitti':* & 'a' <-> 'b'";
        assert_eq!(
            labelled(asked, 17),
            "( '17:lasku' | '17:laskun' ) & !'17:kuitti':* & '17:a' <-> '17:b'"
        );
        assert_eq!(labelled("''", 1), "'1:'");
    }
}
