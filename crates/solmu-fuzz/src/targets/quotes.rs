//! The quoted tail and the signature of a text.

use solmu_mime::quotes;
use solmu_mime::threading::subject_ticket_numbers;

use super::{Target, size_class, way};
use crate::seeds;

/// Texts.
#[derive(Debug)]
pub(super) struct QuoteTarget;

impl Target for QuoteTarget {
    fn name(&self) -> &'static str {
        "quotes"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        seeds::texts()
    }

    fn words(&self) -> &'static [&'static str] {
        &seeds::TEXT_WORDS
    }

    fn read(&mut self, input: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(input);
        drop(subject_ticket_numbers(&text));
        check_quotes(&text)
    }
}

/// Offsets lie where lines begin, in bytes and in characters.
pub(super) fn check_quotes(text: &str) -> u64 {
    let found = quotes::find(text);
    for at in [found.quote, found.signature].into_iter().flatten() {
        assert!(text.is_char_boundary(at), "an offset within a character");
        assert!(
            at == 0 || text[..at].ends_with('\n'),
            "an offset within a line"
        );
    }
    let offsets = found.in_characters(text);
    for (bytes, characters) in [
        (found.quote, offsets.quote),
        (found.signature, offsets.signature),
    ] {
        let counted = bytes.map(|at| text[..at].chars().count());
        assert_eq!(counted, characters, "an offset that was counted wrong");
    }
    let visible = found.visible(text);
    assert!(
        text.contains(visible),
        "a visible text that is not in the text"
    );
    let share = |at: Option<usize>| at.map(|at| at * 8 / text.len().max(1));
    way((
        share(found.quote),
        share(found.signature),
        found.quote < found.signature,
        size_class(visible.len()),
        size_class(text.lines().count()),
    ))
}
