//! Names of people, made comparable.

use std::collections::BTreeSet;

use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

/// Parts of a name that are kept: nobody has more, and a longer text is no name.
const MAX_PARTS: usize = 8;
/// Parts that two names must share to be of one person.
const SHARED: usize = 2;

/// A name as a set of folded parts: without case, accents and order, so that "Virtanen, Ainö" is "ainö VIRTANEN".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(BTreeSet<String>);

impl Name {
    /// Folds a displayed name. An address that stands where a name should says nothing and is empty.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text.contains('@') {
            return Self::default();
        }
        let folded: String = text
            .nfkd()
            .filter(|c| !is_combining_mark(*c))
            .flat_map(char::to_lowercase)
            .flat_map(plain)
            .collect();
        Self(
            folded
                .split(|c: char| !c.is_alphanumeric())
                .filter(|part| part.chars().count() > 1)
                .take(MAX_PARTS)
                .map(str::to_owned)
                .collect(),
        )
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it tells people apart: a first name alone does not.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= SHARED
    }

    /// Whether two names share at least two parts.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        self.0.intersection(&other.0).count() >= SHARED
    }

    /// Whether every part of this name is one of the other's.
    #[must_use]
    pub fn is_part_of(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The parts in one text, always in the same order.
    #[must_use]
    pub fn key(&self) -> String {
        let parts: Vec<&str> = self.0.iter().map(String::as_str).collect();
        parts.join(" ")
    }
}

/// Letters that Unicode does not take apart, as people write them without a Nordic or Polish keyboard.
fn plain(c: char) -> impl Iterator<Item = char> {
    let replaced: &[char] = match c {
        'ø' => &['o'],
        'æ' => &['a', 'e'],
        'œ' => &['o', 'e'],
        'ß' => &['s', 's'],
        'ł' => &['l'],
        'đ' | 'ð' => &['d'],
        'þ' => &['t', 'h'],
        'ı' => &['i'],
        _ => &[],
    };
    let kept = replaced.is_empty().then_some(c);
    replaced.iter().copied().chain(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_order_do_not_count() {
        let name = Name::parse("Väinö Ångström");
        for same in [
            "ANGSTROM, Vaino",
            "va\u{308}ino\u{308}  a\u{30a}ngstro\u{308}m",
            "Väinö J. Ångström",
        ] {
            assert!(name.agrees(&Name::parse(same)), "{same}");
        }
        assert_eq!(name.key(), "angstrom vaino");
        assert_eq!(Name::parse("Łukasz Groß-Bøe").key(), "boe gross lukasz");
    }

    #[test]
    fn one_part_is_no_proof() {
        let (first, full) = (Name::parse("Aino"), Name::parse("Aino Virtanen"));
        assert!(!first.agrees(&full) && first.is_part_of(&full) && !first.is_full());
        assert!(!full.agrees(&Name::parse("Aino Korhonen")));
    }

    #[test]
    fn what_is_no_name_is_empty() {
        for text in ["", " ", "aino.virtanen@c.example", "!!", "A"] {
            assert!(Name::parse(text).is_empty(), "{text}");
        }
    }
}
