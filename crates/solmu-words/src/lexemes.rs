//! What the index of the search keeps of a text, and what a search asks it for: the same forms of each word.
//!
//! Made here, and not by PostgreSQL's dictionaries: these took half a millisecond for each message, more than filing it,
//! and a newer PostgreSQL brings newer stemmers, with which a search would miss what was indexed before. A word is kept as
//! it stands, with its places, for phrases and beginnings; and by its stems in all three languages, without places, for
//! everything else: people write in their own language, whatever the page says that they came from.
//!
//! Who changes what comes out of here indexes everything again (a migration that fills `tickets.search_queue`).

use std::{collections::BTreeMap, fmt::Write as _};

use frostem::{Algorithm, Stemmer};

use crate::finnish_verbs;

/// Longest word, in bytes, that is indexed. PostgreSQL takes 2,046 (`MAXSTRLEN`), the number of the span included; nobody
/// can ask for one of more than 500 characters.
const MAX_WORD: usize = 2_000;
/// Last place that PostgreSQL keeps (`MAXENTRYPOS` - 1).
const MAX_PLACE: usize = 16_383;
/// Places of one word that PostgreSQL keeps (`MAXNUMPOS` - 1).
const MAX_PLACES: usize = 255;
/// Shortest root of a Finnish word that changes within: below, the ending is the word.
const MIN_ROOT: usize = 3;

/// The stems of a folded word in Finnish, Swedish and English, each once. Two words are forms of one another for a search
/// if they have one in common.
pub fn stems(word: &str) -> Vec<String> {
    let mut stems: Vec<String> = Vec::with_capacity(4);
    let mut add = |stem: &str| {
        if !stem.is_empty() && !stems.iter().any(|it| it == stem) {
            stems.push(stem.to_owned());
        }
    };
    match finnish_root(word) {
        Some(root) => add(&root),
        None => add(&Stemmer::new(Algorithm::Finnish).stem(word)),
    }
    if let Some(root) = finnish_partitive(word) {
        add(&root);
    }
    for infinitive in finnish_verbs::infinitives(word) {
        add(&Stemmer::new(Algorithm::Finnish).stem(&infinitive));
    }
    add(&Stemmer::new(Algorithm::Swedish).stem(word));
    add(&Stemmer::new(Algorithm::English).stem(word));
    stems
}

/// What the Finnish stemmer does not bring together, and every support desk writes about: `tilaus` and `tilauksen`
/// (order), `toimitus` and `toimitukset`, `tavallinen` and `tavalliset`. None where the stemmer does.
fn finnish_root(word: &str) -> Option<String> {
    const ROUND: [(&str, &str); 4] = [("uks", "us"), ("yks", "ys"), ("oks", "os"), ("öks", "ös")];
    let long = |root: &&str| root.chars().count() >= MIN_ROOT;
    if let Some(root) = word.strip_suffix("nen").filter(long) {
        return Some(format!("{root}s"));
    }
    for (inner, nominative) in ROUND {
        if word.ends_with(nominative) {
            return None;
        }
        let Some((root, rest)) = word.rsplit_once(inner).filter(|(root, _)| long(root)) else {
            continue;
        };
        if rest.starts_with(['e', 'i']) {
            return Some(format!("{root}{nominative}"));
        }
    }
    None
}

/// `tavallista` is a form of `tavallinen`, and has the ending of another case, by which the stemmer takes it.
fn finnish_partitive(word: &str) -> Option<String> {
    let root = word
        .strip_suffix("ista")
        .or_else(|| word.strip_suffix("istä"))?;
    (root.chars().count() >= MIN_ROOT).then(|| format!("{root}is"))
}

/// A document as PostgreSQL reads a `tsvector`: of folded words, parted by blanks, those that it can keep. The number of the
/// span of time that the document is from stands before each of them (migration 0052).
pub fn vector(span: i64, words: &str) -> String {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let kept = words
        .split_whitespace()
        .filter(|word| word.len() <= MAX_WORD);
    for (place, word) in (1..).zip(kept) {
        let places = places.entry(word).or_default();
        if place <= MAX_PLACE && places.len() < MAX_PLACES {
            places.push(place);
        }
    }
    let mut vector = String::with_capacity(words.len() * 3);
    for (word, places) in &places {
        push(&mut vector, span, word);
        for (number, place) in places.iter().enumerate() {
            let mark = if number == 0 { ':' } else { ',' };
            let _ = write!(vector, "{mark}{place}");
        }
        // A lexeme that comes twice is one, with the places of both.
        for stem in stems(word).iter().filter(|stem| stem != word) {
            push(&mut vector, span, stem);
        }
    }
    vector
}

/// Folded words are letters and digits, and so are their stems: nothing ends the quotes.
fn push(vector: &mut String, span: i64, lexeme: &str) {
    let _ = write!(vector, " '{span}:{lexeme}'");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What these are must not change unnoticed: what is indexed was indexed by them.
    #[test]
    fn stems_are_those_that_were_indexed() {
        for (word, expected) in [
            ("lasku", "lasku"),
            ("laskut", "lasku laskut"),
            ("tilaus", "tilaus"),
            ("tilauksen", "tilaus tilauks tilauksen"),
            ("tilaukseni", "tilaus tilaukseni"),
            ("tavallinen", "tavallis tavallin tavallinen"),
            ("tavalliset", "tavallis tavalliset"),
            ("tavallista", "taval tavallis tavallist tavallista"),
            ("beställningar", "beställningar beställning"),
            ("orders", "orders order"),
            ("358401234567", "358401234567"),
            ("notebooks", "notebooks notebook"),
            ("請求書", "請求書"),
        ] {
            assert_eq!(stems(word).join(" "), expected, "{word}");
        }
    }

    #[test]
    fn forms_of_a_word_have_a_stem_in_common_and_other_words_have_none() {
        let related = |one: &str, other: &str| {
            let others = stems(other);
            stems(one).iter().any(|stem| others.contains(stem))
        };
        for forms in [
            "tilaus tilauksen tilaukset tilauksia tilauksenne tilaukseni tilauksemme",
            "toimitus toimituksen toimitukset toimituksia",
            "kysymys kysymyksen kysymyksiä",
            "päätös päätöksen päätöksiä",
            "kiitos kiitokset",
            "tavallinen tavallisen tavalliset tavallista tavallisia",
            "lasku laskun laskut laskuja",
            "beställning beställningen beställningar",
            "order orders ordered",
        ] {
            let (first, forms) = forms.split_once(' ').unwrap();
            for form in forms.split(' ') {
                assert!(related(first, form), "{first} and {form}");
            }
        }
        for (one, other) in [
            ("tilaus", "tila"),
            ("lasku", "laskutus"),
            ("bus", "buu"),
            ("order", "oder"),
            ("1042", "1043"),
        ] {
            assert!(!related(one, other), "{one} and {other}");
        }
    }

    #[test]
    fn a_document_has_its_words_by_place_and_their_stems_without() {
        assert_eq!(
            vector(17, " laskut 5 laskut order "),
            " '17:5':2 '17:laskut':1,3 '17:lasku' '17:order':4 '17:ord'"
        );
        assert_eq!(vector(1, " "), "");
        let long = "x".repeat(MAX_WORD + 1);
        assert_eq!(vector(1, &format!("{long} a1")), " '1:a1':1");
        let many = "a ".repeat(MAX_PLACES + 10);
        assert_eq!(vector(1, &many).matches(',').count(), MAX_PLACES - 1);
    }
}
