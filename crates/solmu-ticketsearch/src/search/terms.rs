//! What a search asks for: words, beginnings, phrases, and what must not be there.

use solmu_conditions::{spellings, words};
use solmu_runtime::ApiError;
use sqlx::{Postgres, QueryBuilder};

/// Longest query, in characters.
const MAX_QUERY: usize = 500;
/// Words and phrases of one query: each costs a look into the index.
const MAX_TERMS: usize = 16;
/// The dictionaries that a word is looked up in beside `simple`, which takes words, names and codes as they are.
const STEMMERS: [&str; 3] = ["finnish", "swedish", "english"];

/// One thing that has to be there, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) negated: bool,
    pub(crate) ask: Ask,
}

/// How a term is looked for. Texts are folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// In any of its forms.
    Word(String),
    /// What begins so.
    Prefix(String),
    /// Exactly these, side by side.
    Phrase(String),
}

/// Reads a query.
pub(crate) fn read(query: &str) -> Result<Vec<Term>, ApiError> {
    let bad = |why: String| Err(ApiError::invalid("query", why));
    if query.chars().count() > MAX_QUERY {
        return bad(format!("longer than {MAX_QUERY} characters"));
    }
    let mut terms = Vec::new();
    let mut rest = query.trim_start();
    while !rest.is_empty() {
        let negated = rest.starts_with('-') && rest.len() > 1;
        rest = rest.strip_prefix('-').filter(|_| negated).unwrap_or(rest);
        let (text, quoted, after) = if let Some(inner) = rest.strip_prefix('"') {
            match inner.split_once('"') {
                Some((text, after)) => (text, true, after),
                None => return bad("a quote is not closed, add \"".to_owned()),
            }
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '"');
            let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
            (text, false, after)
        };
        if let Some(ask) = ask(text, quoted) {
            terms.push(Term { negated, ask });
        }
        rest = after.trim_start();
    }
    if terms.len() > MAX_TERMS {
        return bad(format!("more than {MAX_TERMS} words and phrases"));
    }
    if terms.iter().all(|term| term.negated) {
        return bad("say at least one word that has to be there".to_owned());
    }
    Ok(terms)
}

/// Nothing if there is no letter or digit in it.
fn ask(text: &str, quoted: bool) -> Option<Ask> {
    let folded = words(text);
    let folded = folded.trim();
    let several = folded.contains(' ');
    match folded {
        "" => None,
        _ if quoted || several && !text.ends_with('*') => Some(Ask::Phrase(folded.to_owned())),
        // Of several words the last one goes on; that cannot be said together with a phrase, and is rare.
        _ if text.ends_with('*') => {
            let last = folded.rsplit(' ').next().unwrap_or(folded);
            Some(Ask::Prefix(last.to_owned()))
        }
        _ => Some(Ask::Word(folded.to_owned())),
    }
}

/// Pushes an expression: the terms as a `tsquery`; it is empty if nothing is left to look for.
pub(crate) fn push_tsquery(query: &mut QueryBuilder<Postgres>, terms: &[Term]) {
    query.push("(''::tsquery");
    for term in terms {
        query.push(if term.negated { " && !!(" } else { " && (" });
        match &term.ask {
            Ask::Word(word) => push_word(query, word),
            Ask::Prefix(text) => push_spellings(query, text, |query, text| {
                query.push("to_tsquery('simple', ").push_bind(text);
                query.push(" || ':*')");
            }),
            Ask::Phrase(text) => push_spellings(query, text, |query, text| {
                query.push("phraseto_tsquery('simple', ").push_bind(text);
                query.push(")");
            }),
        }
        query.push(")");
    }
    query.push(")");
}

fn push_spellings(
    query: &mut QueryBuilder<Postgres>,
    text: &str,
    push: impl Fn(&mut QueryBuilder<Postgres>, String),
) {
    for (index, text) in spellings(text.to_owned()).into_iter().enumerate() {
        if index > 0 {
            query.push(" || ");
        }
        push(query, text);
    }
}

/// Any form of a word, each once: the dictionaries agree on most, and the index looks for each one that it is given.
fn push_word(query: &mut QueryBuilder<Postgres>, word: &str) {
    query.push(
        "coalesce((SELECT string_agg(DISTINCT form::text, ' | ')::tsquery FROM unnest(ARRAY[",
    );
    for (index, spelling) in spellings(word.to_owned()).iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        push_forms(query, spelling);
    }
    query.push("]) AS form WHERE numnode(form) > 0), ''::tsquery)");
}

fn push_forms(query: &mut QueryBuilder<Postgres>, word: &str) {
    push_form(query, "simple", word);
    for stemmer in STEMMERS {
        query.push(", ");
        push_form(query, stemmer, word);
    }
    let kin = kin(word);
    if let Some(nominative) = &kin.nominative {
        query.push(", ");
        push_form(query, "simple", nominative);
    }
    for form in &kin.forms {
        query.push(", ");
        push_form(query, "finnish", form);
    }
}

/// The word as a dictionary has it.
fn push_form(query: &mut QueryBuilder<Postgres>, dictionary: &'static str, word: &str) {
    query.push("to_tsquery('").push(dictionary).push("', ");
    query.push_bind(word.to_owned()).push(")");
}

/// Other forms of a word.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kin {
    /// What the Finnish stemmer makes of these.
    forms: Vec<String>,
    /// As it is.
    nominative: Option<String>,
}

/// What the Finnish stemmer does not bring together, and every support desk writes about: `tilaus` and `tilauksen`
/// (order), `toimitus` and `toimitukset`, `tavallinen` and `tavalliset`. Forms whose stems are those of all others;
/// beginnings of words (`tilauks:*`) were rejected: the index has to gather all that begins so, at each look.
fn kin(word: &str) -> Kin {
    const ROUND: [(&str, &str); 4] = [("us", "uks"), ("ys", "yks"), ("os", "oks"), ("ös", "öks")];
    let forms = |stem: &str, ends: &[&str]| -> Vec<String> {
        ends.iter().map(|end| format!("{stem}{end}")).collect()
    };
    if let Some(root) = word.strip_suffix("nen").filter(|root| root.len() > 2) {
        return Kin {
            forms: forms(root, &["sen", "sta", "sia"]),
            nominative: None,
        };
    }
    for (nominative, stem) in ROUND {
        let inflected = |root: &str| forms(&format!("{root}{stem}"), &["en", "eni", "ia"]);
        if let Some(root) = word.strip_suffix(nominative).filter(|root| root.len() > 2) {
            return Kin {
                forms: inflected(root),
                nominative: None,
            };
        }
        if let Some((root, _)) = word.rsplit_once(stem).filter(|(root, _)| root.len() > 2) {
            return Kin {
                forms: inflected(root),
                nominative: Some(format!("{root}{nominative}")),
            };
        }
    }
    Kin::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(query: &str) -> Vec<String> {
        read(query)
            .unwrap()
            .iter()
            .map(|term| {
                let sign = if term.negated { "-" } else { "" };
                match &term.ask {
                    Ask::Word(text) => format!("{sign}{text}"),
                    Ask::Prefix(text) => format!("{sign}{text}*"),
                    Ask::Phrase(text) => format!("{sign}\"{text}\""),
                }
            })
            .collect()
    }

    #[test]
    fn words_beginnings_and_phrases_are_told_apart() {
        assert_eq!(
            said("Lasku myöhäs* \"Vanha  lasku!\" -Kuitti -\"ei näin\""),
            [
                "lasku",
                "myöhäs*",
                "\"vanha lasku\"",
                "-kuitti",
                "-\"ei näin\""
            ]
        );
        assert_eq!(said("aino@c.example #1042"), ["\"aino c example\"", "1042"]);
        assert_eq!(said("a\"b c\"d"), ["a", "\"b c\"", "d"]);
        assert_eq!(said("ORD-77*"), ["77*"]);
    }

    #[test]
    fn finnish_words_that_change_within_are_kin() {
        let forms = ["tilauksen", "tilaukseni", "tilauksia"].map(str::to_owned);
        assert_eq!(kin("tilaus").forms, forms);
        assert_eq!(kin("tilaus").nominative, None);
        assert_eq!(kin("tilauksenne").forms, forms);
        assert_eq!(kin("tilauksenne").nominative.as_deref(), Some("tilaus"));
        assert_eq!(
            kin("tavallinen").forms,
            ["tavallisen", "tavallista", "tavallisia"]
        );
        for other in ["bus", "lasku"] {
            assert_eq!(kin(other), Kin::default(), "{other}");
        }
    }

    #[test]
    fn what_asks_for_nothing_or_too_much_is_refused() {
        for bad in [
            "",
            "  ",
            "!?",
            "-lasku",
            "\"open",
            &"x ".repeat(17),
            &"y".repeat(501),
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
