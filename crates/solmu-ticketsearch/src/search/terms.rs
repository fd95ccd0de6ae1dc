//! What a search asks for: words, beginnings, phrases, and what must not be there.

use solmu_conditions::spellings;
use solmu_runtime::ApiError;
use solmu_words::{lexemes::stems, lexing};

/// Longest query, in characters.
const MAX_QUERY: usize = 500;
/// Words and phrases of one query: each costs a look into the index.
const MAX_TERMS: usize = 16;

/// The operator of words that stand side by side. No word has a blank in it.
const BESIDE: &str = " <-> ";

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
    /// These side by side, the last of which goes on; mostly one.
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
    let folded = lexing::folded(text);
    let folded = folded.trim();
    if let Some((words, goes_on)) = lexing::asked(folded) {
        return Some(if goes_on {
            Ask::Prefix(words)
        } else {
            Ask::Phrase(words)
        });
    }
    match folded {
        "" => None,
        _ if quoted => Some(Ask::Phrase(folded.to_owned())),
        _ if text.ends_with('*') => Some(Ask::Prefix(folded.to_owned())),
        _ if folded.contains(' ') => Some(Ask::Phrase(folded.to_owned())),
        _ => Some(Ask::Word(folded.to_owned())),
    }
}

/// The terms as PostgreSQL's `tsquery`, in its text form. There is at least one.
pub(crate) fn tsquery(terms: &[Term]) -> String {
    let terms = terms.iter().map(|term| {
        let sign = if term.negated { "!" } else { "" };
        format!("{sign}({})", any_form(&term.ask))
    });
    terms.collect::<Vec<_>>().join(" & ")
}

/// A `tsquery` that what the terms fit fits too, and that the index answers without looking into documents: words of phrases
/// stand anywhere. None if the index answers [`tsquery`] as it is.
pub(crate) fn loose(terms: &[Term]) -> Option<String> {
    let is_phrase = |term: &&Term| any_form(&term.ask).contains(BESIDE);
    terms.iter().find(is_phrase)?;
    let loose: Vec<Term> = terms
        .iter()
        .filter(|term| !(term.negated && is_phrase(term)))
        .cloned()
        .collect();
    Some(tsquery(&loose).replace(BESIDE, " & "))
}

/// What is asked for, in each spelling, and a word in each form.
fn any_form(ask: &Ask) -> String {
    let (Ask::Word(text) | Ask::Prefix(text) | Ask::Phrase(text)) = ask;
    let spellings = spellings(text.clone()).into_iter();
    let mut forms: Vec<String> = match ask {
        Ask::Word(_) => spellings
            .flat_map(|word| stems(&word))
            .map(|stem| format!("'{stem}'"))
            .collect(),
        Ask::Prefix(_) => spellings
            .map(|words| format!("{}:*", side_by_side(&words)))
            .collect(),
        Ask::Phrase(_) => spellings.map(|words| side_by_side(&words)).collect(),
    };
    forms.sort_unstable();
    forms.dedup();
    forms.join(" | ")
}

fn side_by_side(words: &str) -> String {
    let words: Vec<String> = words.split(' ').map(|word| format!("'{word}'")).collect();
    words.join(BESIDE)
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
        assert_eq!(said("ORD-77*"), ["ord 77*"]);
        assert_eq!(said("ＬＡＳＫＵ oﬃce"), ["lasku", "office"]);
        assert_eq!(
            said("東京都 \"東京 tower\" 都 -注文*"),
            ["\"東京 京都\"", "\"東京 京 tower\"", "都*", "-\"注文\""]
        );
    }

    #[test]
    fn a_query_asks_for_every_form() {
        let asked = |query: &str| tsquery(&read(query).unwrap());
        assert_eq!(asked("Laskut"), "('lasku' | 'laskut')");
        assert_eq!(
            asked("\"vanha lasku\" -kuitti myöhäs*"),
            "('vanha' <-> 'lasku') & !('kuit' | 'kuitti') & ('myohas':* | 'myöhäs':*)"
        );
        assert_eq!(asked("1042"), "('1042')");
        assert_eq!(asked("ord-77*"), "('ord' <-> '77':*)");
        assert_eq!(asked("東京都 -都"), "('東京' <-> '京都') & !('都':*)");
    }

    #[test]
    fn what_the_index_is_asked_for_has_the_words_of_phrases_anywhere() {
        let asked = |query: &str| loose(&read(query).unwrap());
        assert_eq!(asked("laskut -kuitti myöhäs*"), None);
        assert_eq!(
            asked("\"vanha lasku\" -\"ei näin\" -kuitti 5").as_deref(),
            Some("('vanha' & 'lasku') & !('kuit' | 'kuitti') & ('5')")
        );
        assert_eq!(asked("a -\"b c\"").as_deref(), Some("('a')"));
        assert_eq!(
            asked("\"sä ö\"").as_deref(),
            Some("('sa' & 'o' | 'sä' & 'ö')")
        );
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
