//! How text is folded before it is compared, in memory and in SQL alike.
//!
//! - Case is folded and accents are dropped: `É` is `e`. A fixed table ([`crate::fold_table`]) covers the Latin, Greek
//!   and Cyrillic letters, so the answer depends on no locale of the database and no version of Unicode.
//! - `å`, `ä` and `ö` are letters of their own, as in the Finnish and Swedish collations of CLDR: `saa` (gets) does not
//!   find `sää` (weather). `æ` counts as `ä`, `ø` as `ö`, `ß` as `ss`, `œ` as `oe`. Letters written as base and combining
//!   mark count as their composed form.
//! - In word search the needle may be dotted where the text is not: `häiriö` finds `hairio`, because customers write so on
//!   keyboards without these keys. The opposite was rejected: it makes `saa` find `sää`.
//! - A word is a run of letters and digits between [`SEPARATORS`]; text becomes ` word word `, so that a search for whole
//!   words is a search for a substring that begins and ends with a space, which a trigram index can serve.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::fold_table::{FROM, TO};

/// Ranges of code points that part words, both ends included. What is not here, and is not dropped, is part of a word.
const SEPARATORS: &[(char, char)] = &[
    ('\u{0}', '\u{2f}'),
    ('\u{3a}', '\u{60}'),
    ('\u{7b}', '\u{a9}'),
    ('\u{ab}', '\u{ac}'),
    ('\u{ae}', '\u{b4}'),
    ('\u{b6}', '\u{b9}'),
    ('\u{bb}', '\u{bf}'),
    ('\u{d7}', '\u{d7}'),
    ('\u{f7}', '\u{f7}'),
    ('\u{2000}', '\u{200b}'),
    ('\u{200e}', '\u{205f}'),
    ('\u{2061}', '\u{206f}'),
    ('\u{20a0}', '\u{20cf}'),
    ('\u{2100}', '\u{214f}'),
    ('\u{2190}', '\u{2bff}'),
    ('\u{2e00}', '\u{2e7f}'),
    ('\u{3000}', '\u{3004}'),
    ('\u{3008}', '\u{3020}'),
    ('\u{fe10}', '\u{fe1f}'),
    ('\u{fe30}', '\u{fe6f}'),
    ('\u{ff00}', '\u{ff0f}'),
    ('\u{ff1a}', '\u{ff20}'),
    ('\u{ff3b}', '\u{ff40}'),
    ('\u{ff5b}', '\u{ff65}'),
    ('\u{fff0}', '\u{ffff}'),
    ('\u{1f000}', '\u{1faff}'),
];

/// Characters without a shape of their own, beside the combining marks: soft hyphen, joiners, byte order mark.
const INVISIBLE: [char; 5] = ['\u{ad}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];

/// Letters that become two.
const EXPANDED: [(char, &str); 2] = [('ß', "ss"), ('œ', "oe")];

/// Base letter, combining mark, and the letter of its own that they make.
const COMPOSED: [(char, char, char); 3] = [
    ('a', '\u{308}', 'ä'),
    ('o', '\u{308}', 'ö'),
    ('a', '\u{30a}', 'å'),
];

static TABLE: LazyLock<HashMap<char, char>> =
    LazyLock::new(|| FROM.chars().zip(TO.chars()).collect());

/// Folds case and accents, see the module. Idempotent.
///
/// ```
/// assert_eq!(solmu_conditions::fold("Äiti CAFÉ Straße"), "äiti cafe strasse");
/// ```
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if is_dropped(character) {
            continue;
        }
        let letter = if character.is_ascii() {
            character.to_ascii_lowercase()
        } else {
            TABLE.get(&character).copied().unwrap_or(character)
        };
        if let Some((_, two)) = EXPANDED.iter().find(|(from, _)| *from == letter) {
            folded.push_str(two);
            continue;
        }
        let next = characters.next_if(|mark| compose(letter, *mark).is_some());
        folded.push(
            next.and_then(|mark| compose(letter, mark))
                .unwrap_or(letter),
        );
    }
    folded
}

fn compose(base: char, mark: char) -> Option<char> {
    COMPOSED
        .iter()
        .find(|(from, with, _)| *from == base && *with == mark)
        .map(|(_, _, letter)| *letter)
}

fn is_dropped(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}') || INVISIBLE.contains(&character)
}

/// Of a folded character.
fn is_separator(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_alphanumeric();
    }
    SEPARATORS
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&character))
}

/// The words of `text`, folded, each with one space before it and one after the last: ` sla n häiriö `.
/// Text without words gives one space.
pub fn words(text: &str) -> String {
    words_of_folded(&fold(text))
}

fn words_of_folded(folded: &str) -> String {
    let mut words = String::with_capacity(folded.len() + 2);
    words.push(' ');
    for character in folded.chars() {
        if !is_separator(character) {
            words.push(character);
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
    }
    if !words.ends_with(' ') {
        words.push(' ');
    }
    words
}

/// What a search for the words of `text` looks for in [`words`] of the searched text; with `prefix` the last word may go
/// on. One needle, or two when it has `å`, `ä` or `ö`; none when `text` has no word.
pub(crate) fn word_needles(text: &str, prefix: bool) -> Vec<String> {
    let mut needle = words(text);
    if needle == " " {
        return Vec::new();
    }
    if prefix {
        needle.pop();
    }
    spellings(needle)
}

/// Folded text as it is, and, where it has `å`, `ä` or `ö`, without the dots that people leave out: searches find both.
#[must_use]
pub fn spellings(folded: String) -> Vec<String> {
    let undotted: String = folded
        .chars()
        .map(|letter| match letter {
            'å' | 'ä' => 'a',
            'ö' => 'o',
            other => other,
        })
        .collect();
    if undotted == folded {
        vec![folded]
    } else {
        vec![folded, undotted]
    }
}

/// Characters that stay as they are, most frequent first. `translate` looks through its list for each character, so those
/// that are most of a text stand in front of it: several times faster.
const FREQUENT: &str = " eaintslourkmväpdhjygbfcwöxzqå.,0123456789-:/";

/// SQL before and after an operand, for [`fold_sql`] and [`words_sql`] and operands that hold binds.
pub(crate) struct Around {
    pub(crate) before: String,
    pub(crate) after: String,
}

pub(crate) static FOLD_SQL: LazyLock<Around> = LazyLock::new(|| {
    let mut before = String::from("translate(");
    let mut after = format!(", '{FREQUENT}{FROM}', '{FREQUENT}{TO}')");
    for (letter, two) in EXPANDED {
        before.insert_str(0, "replace(");
        let _ = write!(after, ", '{letter}', '{two}')");
    }
    for (base, mark, letter) in COMPOSED {
        before.insert_str(0, "replace(");
        let _ = write!(after, ", '{base}{mark}', '{letter}')");
    }
    before.insert_str(0, "translate(");
    let dropped: String = ('\u{300}'..='\u{36f}').chain(INVISIBLE).collect();
    let _ = write!(after, ", '{FREQUENT}{dropped}', '{FREQUENT}')");
    Around { before, after }
});

pub(crate) static WORDS_SQL: LazyLock<Around> = LazyLock::new(|| {
    let mut class = String::new();
    for (first, last) in SEPARATORS {
        // PostgreSQL holds no U+0000, and its regular expressions cannot name it.
        let first = u32::from(*first).max(1);
        let _ = write!(class, "\\U{first:08x}-\\U{:08x}", u32::from(*last));
    }
    Around {
        before: format!("(' ' || regexp_replace({}", FOLD_SQL.before),
        after: format!("{}, '[{class}]+', ' ', 'g') || ' ')", FOLD_SQL.after),
    }
});

/// [`fold`] of the text expression `operand` as PostgreSQL computes it. Immutable, so fit for generated columns and
/// indexes; needs a database in UTF-8. `operand` goes into the SQL as it is: a name in our code, never a user's text.
pub fn fold_sql(operand: &'static str) -> String {
    format!("{}{operand}{}", FOLD_SQL.before, FOLD_SQL.after)
}

/// [`words`] of the text expression `operand` as PostgreSQL computes it, with the promises of [`fold_sql`]. It may hold
/// more spaces than [`words`] at its ends; searches find the same.
pub fn words_sql(operand: &'static str) -> String {
    format!("{}{operand}{}", WORDS_SQL.before, WORDS_SQL.after)
}

/// A text folded once for any number of conditions: the words of a message, made when it arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchText {
    pub(crate) folded: String,
    pub(crate) words: String,
}

impl SearchText {
    /// Folds `text`, in time and space linear to it.
    pub fn new(text: &str) -> Self {
        let folded = fold(text);
        let words = words_of_folded(&folded);
        Self { folded, words }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_fold_but_finnish_letters_stay() {
        assert_eq!(fold("ÉLAN Řeka ŁÓDŹ"), "elan reka lodz");
        assert_eq!(fold("SÄÄ Åbo ÖLJY"), "sää åbo öljy");
        assert_eq!(fold("Ærø"), "ärö");
        assert_eq!(fold("ΣΟΦΟΣ Ёлка"), "σοφοσ елка");
        assert_eq!(fold("Sa\u{308}a\u{308} A\u{30a}bo e\u{301}"), "sää åbo e");
        assert_eq!(fold("toimi\u{ad}tus\u{feff}"), "toimitus");
    }

    #[test]
    fn table_is_two_lines_of_equal_length_and_folding_twice_changes_nothing() {
        assert_eq!(FROM.chars().count(), TO.chars().count());
        assert_eq!(fold(TO), fold(&fold(TO)));
        assert!(FROM.chars().zip(FROM.chars().skip(1)).all(|(a, b)| a < b));
    }

    #[test]
    fn words_are_parted_by_anything_but_letters_and_digits() {
        assert_eq!(
            words("SLA:n häiriö-ilmoitus, 24/7!"),
            " sla n häiriö ilmoitus 24 7 "
        );
        assert_eq!(words(" …— "), " ");
        assert_eq!(words(""), " ");
    }

    #[test]
    fn dotted_needles_also_look_for_the_undotted_spelling() {
        assert_eq!(word_needles("Häiriö", false), [" häiriö ", " hairio "]);
        assert_eq!(word_needles("toimit", true), [" toimit"]);
        assert_eq!(word_needles("saa", false), [" saa "]);
        assert!(word_needles("!?", true).is_empty());
    }
}
