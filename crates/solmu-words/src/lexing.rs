//! What a word is in the index, and in what is asked of it: both sides come by here.
//!
//! Texts are folded ([`solmu_conditions::words`]) and, before and behind that, normalised: a ligature is its letters, a
//! full-width or half-width form the common one (NFKC). Folding alone does not: it is fixed for stored columns, and this
//! index can be made anew.
//!
//! Scripts that are written without spaces have no words to look for, so each pair of neighbouring characters is one:
//! `東京都` is indexed as `東京 京都 都`, and asked for as `東京` directly before `京都`, which is any text with these
//! characters side by side. The last character stands there by itself too, so that `都` is found by its beginning.
//! Rejected: dictionaries (one for each language, and a new word in none), and trigrams (most Chinese words have two
//! characters).

use solmu_conditions::words;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick, is_nfkc_quick};

use crate::digits;

/// Characters of a document that are indexed: about what PostgreSQL keeps positions of, and below what it refuses, also
/// where each is a word of its own in three languages.
pub const MAX_TEXT: usize = 50_000;

/// The words of a document: folded, with a space between them, and behind them the numbers that stand in groups.
pub fn document(text: &str) -> String {
    let words = digits::with_whole_numbers(parts(folded(text)));
    match words.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => words[..end].to_owned(),
        None => words,
    }
}

/// The words of a text, folded and normalised, each between spaces as [`solmu_conditions::words`] has them.
pub fn folded(text: &str) -> String {
    // Folding composes what it knows; others (Hangul, the sign of ångström) it would take for something else.
    let folded = match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => words(text),
        IsNormalized::No | IsNormalized::Maybe => words(&text.nfc().collect::<String>()),
    };
    // Behind the folding, whose separators are signs: "Solmu™" is the word "solmu".
    match is_nfkc_quick(folded.chars()) {
        IsNormalized::Yes => folded,
        IsNormalized::No | IsNormalized::Maybe => words(&folded.nfkc().collect::<String>()),
    }
}

/// Side by side, what is looked for where a text has characters of a script without spaces; the second says whether the
/// last one may go on. Nothing if it has none.
pub fn asked(folded: &str) -> Option<(String, bool)> {
    if !folded.chars().any(is_spaceless) {
        return None;
    }
    let runs: Vec<Run<'_>> = folded.split(' ').flat_map(runs).collect();
    let mut words = Vec::new();
    let mut goes_on = false;
    for (place, run) in runs.iter().enumerate() {
        let is_last = place + 1 == runs.len();
        match run {
            Run::Word(word) => words.push((*word).to_owned()),
            Run::Spaceless(run) => {
                words.extend(pairs(run));
                // More of the same may follow what is asked for; before another word it ends.
                let one = run.chars().nth(1).is_none();
                if !is_last || one {
                    words.extend(run.chars().next_back().map(String::from));
                }
                goes_on = is_last && one;
            }
        }
    }
    (!words.is_empty()).then(|| (words.join(" "), goes_on))
}

/// A piece of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run<'a> {
    Word(&'a str),
    Spaceless(&'a str),
}

/// Words, with those of scripts without spaces in pairs.
fn parts(words: String) -> String {
    if !words.chars().any(is_spaceless) {
        return words;
    }
    let mut all = String::with_capacity(words.len() * 2);
    all.push(' ');
    for run in words.split(' ').flat_map(runs) {
        let mut push = |word: &str| {
            all.push_str(word);
            all.push(' ');
        };
        match run {
            Run::Word(word) => push(word),
            Run::Spaceless(run) => {
                pairs(run).for_each(|pair| push(&pair));
                if let Some((last, _)) = run.char_indices().next_back() {
                    push(&run[last..]);
                }
            }
        }
    }
    all
}

/// The pieces of a word, without the dot between words of katakana.
fn runs(word: &str) -> impl Iterator<Item = Run<'_>> {
    word.split(['\u{30a0}', '\u{30fb}']).flat_map(|piece| {
        let mut rest = piece;
        std::iter::from_fn(move || {
            let spaceless = is_spaceless(rest.chars().next()?);
            let end = rest.find(|letter| is_spaceless(letter) != spaceless);
            let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            Some(if spaceless {
                Run::Spaceless(run)
            } else {
                Run::Word(run)
            })
        })
    })
}

/// Neighbouring characters, two and two.
fn pairs(run: &str) -> impl Iterator<Item = String> {
    let letters = run.chars().zip(run.chars().skip(1));
    letters.map(|(first, second)| String::from_iter([first, second]))
}

/// Whether a character is of a script whose words have no spaces between them, or, as in Korean, carry what follows them
/// without one: Han, kana, bopomofo, hangul, Thai, Lao, Burmese, Khmer. Normalised: compatibility forms do not occur.
const fn is_spaceless(letter: char) -> bool {
    matches!(letter,
        '\u{e00}'..='\u{eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1100}'..='\u{11ff}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3021}'..='\u{3029}'
        | '\u{3031}'..='\u{3035}'
        | '\u{3041}'..='\u{309f}'
        | '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}'..='\u{31bf}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{a960}'..='\u{a97f}'
        | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{1b000}'..='\u{1b16f}'
        | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_letter_are_the_letter() {
        for (text, words) in [
            ("Proﬁt of the oﬃce", " profit of the office "),
            ("ＳＯＬＭＵ　１２３", " solmu 123 "),
            ("𝐇𝐞𝐥𝐥𝐨", " hello "),
            ("CO₂ Ⅷ ㎏", " co2 viii kg "),
            ("Å a\u{308}iti e\u{301}", " å äiti e "),
            ("Solmu™ 20℃", " solmu 20 "),
            ("sää, Häiriö!", " sää häiriö "),
            ("ĳs", " ijs "),
            ("", " "),
        ] {
            assert_eq!(folded(text), words, "{text}");
            assert_eq!(folded(&folded(text)), words, "{text}");
        }
    }

    #[test]
    fn what_has_no_spaces_is_indexed_by_pairs() {
        for (text, words) in [
            ("東京都", " 東京 京都 都 "),
            ("東", " 東 "),
            ("iPhone15用ケース", " iphone15 用ケ ケー ース ス "),
            ("ﾃｽﾄ ガ", " テス スト ト ガ "),
            (
                "サポート・センター",
                " サポ ポー ート ト セン ンタ ター ー ",
            ),
            ("주문 번호", " 주문 문 번호 호 "),
            ("tilaus 12", " tilaus 12 "),
        ] {
            assert_eq!(document(text), words, "{text}");
        }
        assert_eq!(
            document("電話 090 1234 5678"),
            " 電話 話 090 1234 5678  09012345678"
        );
        let long = document(&"東京".repeat(60_000));
        assert_eq!(long.chars().count(), MAX_TEXT);
    }

    #[test]
    fn a_part_is_asked_for_side_by_side() {
        for (text, words, goes_on) in [
            ("東京", "東京", false),
            ("京都市", "京都 都市", false),
            ("東", "東", true),
            ("solmu 東", "solmu 東", true),
            ("東 solmu", "東 solmu", false),
            ("東京 solmu", "東京 京 solmu", false),
            ("ＡＢＣ東京", "abc 東京", false),
        ] {
            let found = asked(folded(text).trim());
            assert_eq!(found, Some((words.to_owned(), goes_on)), "{text}");
        }
        assert_eq!(asked("tilaus"), None);
        assert_eq!(asked(""), None);
    }
}
