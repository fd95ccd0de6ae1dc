//! Made-up words in three languages, and the forms in which PostgreSQL's dictionaries keep them.
//!
//! How often a word is used falls with its rank (Zipf), so that searches meet common, usual and rare ones. The forms are
//! asked for once for each word, not once for each of the hundreds of millions that a large desk has: that is why the
//! index is loaded in minutes. That it is the index which the service would have made is checked on a sample.

use std::{collections::HashMap, fmt::Write as _};

use anyhow::Context as _;
use sqlx::PgConnection;

use crate::{
    random::Random,
    texts::{ENGLISH, FINNISH, SWEDISH, Texts},
};

/// Different words of a language.
pub(super) const WORDS: usize = 50_000;
/// Words of a text, each as likely as the next; 36 on average.
const LENGTHS: [usize; 8] = [4, 8, 12, 20, 30, 40, 62, 110];
/// The dictionaries beside `simple`, which keeps words as they are.
const STEMMERS: [&str; 3] = ["finnish", "swedish", "english"];

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

/// A word and its forms: `None` for what a dictionary leaves out.
type Forms = [Option<String>; 3];

/// All words, with their forms.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Those of the ranks, language by language, then the others.
    words: Vec<(String, Forms)>,
    /// Where names and other words are.
    others: HashMap<String, usize>,
}

impl Vocabulary {
    /// Asks for the forms of all words, and of those of `others`.
    pub(super) async fn read(
        connection: &mut PgConnection,
        others: &[&str],
    ) -> anyhow::Result<Self> {
        let mut words = Vec::with_capacity(WORDS * Language::ALL.len());
        for language in Language::ALL {
            words.extend((0..WORDS).map(|rank| word(language, rank)));
        }
        let ranked = words.len();
        for texts in Language::ALL.map(Language::texts) {
            let names = texts.first_names.iter().chain(texts.last_names);
            words.extend(names.flat_map(|name| split(name)));
        }
        words.extend(others.iter().flat_map(|other| split(other)));
        let forms = forms(connection, &words).await?;
        let places = words.iter().enumerate().skip(ranked);
        Ok(Self {
            others: places.map(|(place, word)| (word.clone(), place)).collect(),
            words: words.into_iter().zip(forms).collect(),
        })
    }

    pub(super) fn word(&self, language: Language, rank: usize) -> &str {
        &self.words[language as usize * WORDS + rank].0
    }
}

/// The words of a text as they are indexed.
fn split(text: &str) -> Vec<String> {
    let folded = solmu_conditions::words(text);
    folded.split_whitespace().map(str::to_owned).collect()
}

async fn forms(connection: &mut PgConnection, words: &[String]) -> anyhow::Result<Vec<Forms>> {
    let columns = STEMMERS.map(|stemmer| {
        format!("(tsvector_to_array(to_tsvector('pg_catalog.{stemmer}', word)))[1]")
    });
    let statement = format!(
        "SELECT {} FROM unnest($1::text[]) WITH ORDINALITY AS given (word, place) ORDER BY place",
        columns.join(", ")
    );
    let rows: Vec<(Option<String>, Option<String>, Option<String>)> =
        sqlx::query_as(sqlx::AssertSqlSafe(statement))
            .bind(words)
            .fetch_all(connection)
            .await
            .context("cannot ask for the forms of words")?;
    Ok(rows
        .into_iter()
        .map(|(finnish, swedish, english)| [finnish, swedish, english])
        .collect())
}

/// A document on its way into the index: its words, in order.
#[derive(Debug, Default)]
pub(super) struct Document<'a> {
    tokens: Vec<Token<'a>>,
}

#[derive(Debug)]
enum Token<'a> {
    Known(&'a (String, Forms)),
    /// Digits, or letters with digits: every dictionary keeps them as they are.
    Coded(String),
}

impl Token<'_> {
    fn plain(&self) -> &str {
        match self {
            Self::Known((word, _)) | Self::Coded(word) => word,
        }
    }

    fn form(&self, stemmer: usize) -> Option<&str> {
        match self {
            Self::Known((_, forms)) => forms[stemmer].as_deref(),
            Self::Coded(word) => Some(word),
        }
    }
}

impl<'a> Document<'a> {
    /// Adds a word of a rank.
    pub(super) fn ranked(&mut self, vocabulary: &'a Vocabulary, language: Language, rank: usize) {
        let known = &vocabulary.words[language as usize * WORDS + rank];
        self.tokens.push(Token::Known(known));
    }

    /// Adds the words of a text that are not of the ranks.
    pub(super) fn text(&mut self, vocabulary: &'a Vocabulary, text: &str) -> anyhow::Result<()> {
        for word in split(text) {
            if word.contains(|letter: char| letter.is_ascii_digit()) {
                self.tokens.push(Token::Coded(word));
            } else {
                let place = vocabulary.others.get(&word);
                let place = *place.with_context(|| format!("'{word}' was not looked up"))?;
                self.tokens.push(Token::Known(&vocabulary.words[place]));
            }
        }
        Ok(())
    }

    /// What `tickets.search_words` and the indexer make of it, as PostgreSQL reads a `tsvector`.
    /// `span` is the number of the document's span of time.
    pub(super) fn vector(&self, span: i64) -> String {
        let stemmers = 0..STEMMERS.len();
        let mut places: Vec<(&str, usize)> =
            Vec::with_capacity(self.tokens.len() * (1 + stemmers.len()));
        places.extend(
            (1..)
                .zip(&self.tokens)
                .map(|(place, token)| (token.plain(), place)),
        );
        let mut last = self.tokens.len();
        for stemmer in stemmers {
            let before = last;
            for (place, token) in (before + 1..).zip(&self.tokens) {
                if let Some(form) = token.form(stemmer) {
                    places.push((form, place));
                    last = place;
                }
            }
        }
        places.sort_unstable();
        let mut vector = String::with_capacity(places.len() * 20);
        let mut former = "";
        for (word, place) in places {
            if word == former {
                let _ = write!(vector, ",{place}");
            } else {
                let _ = write!(vector, " '{span}:{word}':{place}");
            }
            former = word;
        }
        vector
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use solmu_testkit::Harness;

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

    /// The one thing that must not drift: what is loaded is what the service would have indexed.
    #[tokio::test]
    async fn a_vector_is_the_one_that_postgresql_makes() {
        let harness = Harness::new().await;
        let mut connection = harness.db.pool().acquire().await.unwrap();
        let vocabulary = Vocabulary::read(&mut connection, &["ord", "example"])
            .await
            .unwrap();
        let mut random = Random::new(3);
        for language in Language::ALL {
            let name = "Väinö Öhman customer7@bench9.example";
            let mut text = name.to_owned();
            let mut document = Document::default();
            document.text(&vocabulary, name).unwrap();
            for _ in 0..60 {
                let rank = rank(&mut random);
                text.push(' ');
                text.push_str(vocabulary.word(language, rank));
                document.ranked(&vocabulary, language, rank);
            }
            text.push_str(" ORD-123456");
            document.text(&vocabulary, "ORD-123456").unwrap();
            let made = document.vector(17);
            let same: bool = sqlx::query_scalar(
                "SELECT $1::tsvector = tickets.search_labelled(17, tickets.search_words($2))",
            )
            .bind(&made)
            .bind(solmu_conditions::words(&text))
            .fetch_one(&mut *connection)
            .await
            .unwrap();
            assert!(same, "{language:?}: {made}");
        }
    }
}
