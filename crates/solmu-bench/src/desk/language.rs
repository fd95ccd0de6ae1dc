//! Made-up words in three languages.
//!
//! How often a word is used falls with its rank (Zipf), so that searches meet common, usual and rare ones. The index is
//! loaded, not left to the service: that is why it is there in minutes. That it is the index which the service would have
//! made is checked on a sample.

use solmu_words::{lexemes, lexing};

use crate::{
    random::Random,
    texts::{ENGLISH, FINNISH, SWEDISH, Texts},
};

/// Different words of a language.
pub(super) const WORDS: usize = 50_000;
/// Words of a text, each as likely as the next; 36 on average.
const LENGTHS: [usize; 8] = [4, 8, 12, 20, 30, 40, 62, 110];

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Finnish,
    Swedish,
    English,
}

impl Language {
    pub(super) const ALL: [Self; 3] = [Self::Finnish, Self::Swedish, Self::English];

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Finnish => "fi",
            Self::Swedish => "sv",
            Self::English => "en",
        }
    }

    const fn texts(self) -> Texts {
        match self {
            Self::Finnish => FINNISH,
            Self::Swedish => SWEDISH,
            Self::English => ENGLISH,
        }
    }
}

/// The word of a rank: the most common ones are words of the language, the others are put together from them.
pub(super) fn word(language: Language, rank: usize) -> String {
    let words = language.texts().words;
    let (count, mut rest) = (words.len(), rank);
    let mut made = words[rest % count].to_owned();
    rest /= count;
    while rest > 0 {
        rest -= 1;
        made.push_str(words[rest % count]);
        rest /= count;
    }
    made
}

/// A rank by Zipf's law: each doubling of the rank is as likely as the one before.
pub(super) fn rank(random: &mut Random) -> usize {
    let octaves = usize::try_from(WORDS.ilog2()).unwrap_or(15) + 1;
    let start = 1_usize << random.below(octaves);
    (start + random.below(start)).min(WORDS) - 1
}

/// The length of a text.
pub(super) fn length(random: &mut Random) -> usize {
    *random.pick(&LENGTHS)
}

/// All words of the ranks, language by language.
#[derive(Debug)]
pub(super) struct Vocabulary(Vec<String>);

impl Vocabulary {
    pub(super) fn new() -> Self {
        let words = |language| (0..WORDS).map(move |rank| word(language, rank));
        Self(Language::ALL.into_iter().flat_map(words).collect())
    }

    pub(super) fn word(&self, language: Language, rank: usize) -> &str {
        &self.0[language as usize * WORDS + rank]
    }
}

/// A document on its way into the index: its words, in order.
#[derive(Debug, Default)]
pub(super) struct Document(String);

impl Document {
    /// Adds a text.
    pub(super) fn text(&mut self, text: &str) {
        self.0.push(' ');
        self.0.push_str(text);
    }

    /// What the indexer makes of it, as PostgreSQL reads a `tsvector`. `span` is the number of the document's span of time.
    pub(super) fn vector(&self, span: i64) -> String {
        lexemes::vector(span, &lexing::document(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ranks_are_all_there_and_common_ones_are_common() {
        let mut random = Random::new(1);
        let ranks: Vec<usize> = (0..100_000).map(|_| rank(&mut random)).collect();
        assert!(ranks.iter().all(|rank| *rank < WORDS));
        let first = ranks.iter().filter(|rank| **rank == 0).count();
        assert!((4_000..9_000).contains(&first), "{first}");
        let words: BTreeSet<String> = (0..WORDS)
            .map(|rank| word(Language::Finnish, rank))
            .collect();
        assert!(words.len() > WORDS - 100, "{}", words.len());
    }
}
