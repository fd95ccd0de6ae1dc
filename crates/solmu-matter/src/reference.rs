//! Ids of orders, invoices and the like, as people write them.
//!
//! Only what stands beside a word that says what it is ("order 10023", "tilausnumero: A-77812", "faktura nr 5512"), or
//! what a pattern of the deployment finds. A bare number was rejected: numbers of phones, streets and bank accounts stand
//! in the signatures of all mails of one person, and would tie together everything that they ever wrote.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;

/// References of one text that are looked at: a list of a hundred orders is about none of them.
const MAX_REFERENCES: usize = 20;
/// Letters and digits of a reference at least and at most.
const LENGTH: std::ops::RangeInclusive<usize> = 3..=32;
/// Digits that a reference has at least.
const MIN_DIGITS: usize = 3;
/// Bytes before a digit that are searched for the word that says what it is the id of.
const BEFORE: usize = 120;
/// Bytes after a digit that may belong to its id: [`LENGTH`] letters and some dashes.
const AFTER: usize = 164;

/// What a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// The text does not say: fits every other one.
    Any,
    /// An order.
    Order,
    /// An invoice or a payment reference.
    Invoice,
    /// A booking or an appointment.
    Booking,
    /// A parcel or a return of one.
    Shipment,
    /// A contract, a policy or a subscription.
    Contract,
}

/// An id that a text names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// What it is the id of.
    pub label: Label,
    /// In capital letters, without what separates its parts.
    pub value: String,
}

/// A pattern of the deployment that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("'{pattern}' is no regular expression")]
pub struct PatternError {
    /// As it was written.
    pub pattern: String,
    /// What is wrong with it.
    #[source]
    pub source: regex::Error,
}

impl Reference {
    /// Reads an id that stands alone, as the value of a field; `None` if it is none.
    #[must_use]
    pub fn of(label: Label, written: &str) -> Option<Self> {
        let value = squeezed(written);
        let digits = value.chars().filter(char::is_ascii_digit).count();
        (digits >= MIN_DIGITS && LENGTH.contains(&value.chars().count()))
            .then_some(Self { label, value })
    }

    /// Whether both name the same thing.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        let labels =
            self.label == other.label || self.label == Label::Any || other.label == Label::Any;
        labels && self.value == other.value
    }
}

/// Words of a language that say what the id after them is, lower case, longest first within a label. Finnish words
/// take endings, so a few letters may follow.
const LABELS: [(Label, &str); 5] = [
    (
        Label::Order,
        "order|purchase|tilaus|tilaukse|osto|beställning|köp|bestellung|commande",
    ),
    (
        Label::Invoice,
        "invoice|bill|payment|lasku|viite|maksu|faktura|räkning|ocr|rechnung|facture",
    ),
    (
        Label::Booking,
        "booking|reservation|appointment|varaus|varaukse|ajanvaraus|bokning|buchung",
    ),
    (
        Label::Shipment,
        "shipment|tracking|parcel|return|rma|lähetys|lähetykse|seuranta|palautus|palautukse|paket|försändelse|retur|sendung",
    ),
    (
        Label::Contract,
        "contract|policy|subscription|sopimus|sopimukse|vakuutus|vakuutukse|liittymä|avtal|försäkring|abonnemang|vertrag",
    ),
];

/// `#1005`, "ticket 1005", "tiketti #1005".
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)(?:^|[\s\[(])#([1-9][0-9]{2,11})\b|\b(?:ticket|case|tiket\p{L}{0,8}|ärende\p{L}{0,4}|palvelupyyn\p{L}{0,8}|tukipyyn\p{L}{0,8})(?:\s*(?:number|no\.?|nro\.?|numero\p{L}{0,3}|nr\.?|nummer))?\s*[:#]?\s*#?([1-9][0-9]{2,11})\b",
    )
    .expect("it is a constant")
});

static LABELLED: LazyLock<Vec<(Label, Regex)>> = LazyLock::new(|| {
    let all = LABELS.iter().map(|(label, words)| {
        let pattern = format!(
            r"(?i)\b(?:{words})(?:\p{{L}}{{0,4}})?(?:[\s_-]*(?:number|numero\p{{L}}{{0,3}}|nummer|no|nro|num|nr|id|code|koodi)\b\.?)?\s*(?:is|on|är|ist)?\s*[:#=]*\s*\b([\p{{L}}\p{{N}}/_-]{{0,40}}\p{{N}}[\p{{L}}\p{{N}}/_-]{{0,40}})"
        );
        (*label, Regex::new(&pattern).expect("it is a constant"))
    });
    all.collect()
});

/// Patterns of the deployment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns(Vec<Regex>);

impl Patterns {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let compiled = patterns.iter().map(|pattern| {
            regex::RegexBuilder::new(pattern)
                .case_insensitive(true)
                .size_limit(1 << 20)
                .build()
                .map_err(|source| PatternError {
                    pattern: pattern.clone(),
                    source,
                })
        });
        Ok(Self(compiled.collect::<Result<_, _>>()?))
    }

    /// What the text names: in the first group of a pattern, or all of what it matches.
    pub(crate) fn references(&self, text: &str) -> BTreeSet<Reference> {
        let own = self.0.iter().flat_map(|pattern| {
            pattern.captures_iter(text).filter_map(|found| {
                let part = found.get(1).or_else(|| found.get(0))?;
                Reference::of(Label::Any, part.as_str())
            })
        });
        let labelled = near_digits(text).flat_map(|part| {
            LABELLED.iter().flat_map(move |(label, pattern)| {
                let written = pattern.captures_iter(part).filter_map(|found| found.get(1));
                written
                    .filter(|it| !is_date(it.as_str()))
                    .filter_map(|it| Reference::of(*label, it.as_str()))
            })
        });
        own.chain(labelled).take(MAX_REFERENCES).collect()
    }
}

/// Letters and digits alone, in capital letters.
pub(crate) fn squeezed(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_uppercase)
        .collect()
}

/// The parts of a text in which an id may stand. Expressions with words of five languages are slow, and most of a text
/// has no digit in it. A part begins and ends at a space, so that no piece of a word is taken for one.
fn near_digits(text: &str) -> impl Iterator<Item = &str> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let digit = |from: usize| {
            let found = text
                .bytes()
                .skip(from)
                .position(|byte| byte.is_ascii_digit());
            found.map(|at| from + at)
        };
        let first = digit(from)?;
        let mut last = first;
        while let Some(next) = digit(last + 1).filter(|next| next - last <= AFTER) {
            last = next;
        }
        let cut = text.floor_char_boundary(first.saturating_sub(BEFORE));
        let begin = match cut {
            0 => 0,
            cut => text[cut..first]
                .find(char::is_whitespace)
                .map_or(first, |at| cut + at),
        };
        // No digit stands behind the last one up to here, so that no number is cut.
        let end = text.floor_char_boundary((last + AFTER).min(text.len()));
        from = last + 1;
        Some(&text[begin..end.max(last + 1)])
    })
}

/// Whether it is a day, as 2026-11-22.
fn is_date(written: &str) -> bool {
    let parts: Vec<usize> = written.split('-').map(str::len).collect();
    parts == [4, 2, 2]
        && written
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_digit())
}

/// Numbers of tickets that a text names.
pub(crate) fn numbers(text: &str) -> BTreeSet<i64> {
    let found = near_digits(text)
        .flat_map(|part| NUMBER.captures_iter(part))
        .filter_map(|found| {
            let digits = found.get(1).or_else(|| found.get(2))?;
            digits.as_str().parse().ok()
        });
    found.take(MAX_REFERENCES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(Label, String)> {
        let all = Patterns::default().references(text);
        all.into_iter().map(|it| (it.label, it.value)).collect()
    }

    #[test]
    fn ids_beside_a_word_that_says_what_they_are() {
        for (text, label, value) in [
            ("Where is my order 10023?", Label::Order, "10023"),
            ("Order number: A-77812", Label::Order, "A77812"),
            ("order no. SO/2026/0012 is late", Label::Order, "SO20260012"),
            ("Tilausnumero 55123", Label::Order, "55123"),
            ("Tilaukseni 55123 ei ole tullut", Label::Order, "55123"),
            ("beställning nr 8811", Label::Order, "8811"),
            ("lasku #90017 on väärin", Label::Invoice, "90017"),
            ("Laskun numero on 90017", Label::Invoice, "90017"),
            ("Fakturan 90017", Label::Invoice, "90017"),
            ("RMA-0012", Label::Shipment, "0012"),
            ("varauskoodi XK4512", Label::Booking, "XK4512"),
            ("sopimus 123-456", Label::Contract, "123456"),
        ] {
            assert_eq!(found(text), [(label, value.to_owned())], "{text}");
        }
    }

    #[test]
    fn what_stands_in_every_signature_is_no_reference() {
        for text in [
            "Aino Virtanen, puh. 040 123 4567, Mannerheimintie 12, 00100 Helsinki",
            "IBAN FI21 1234 5600 0007 85, Y-tunnus 1234567-8",
            "We met on 2026-11-22 at 10:30, it cost 119.00 EUR",
            "in order to 100 percent understand",
            "my order has not arrived",
            "order on Monday",
            "the order on 2026-11-22 was fine",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn the_same_id_of_another_thing_is_another_id() {
        let of = |label| Reference::of(label, "a-5001").unwrap();
        assert!(of(Label::Order).fits(&of(Label::Order)));
        assert!(!of(Label::Order).fits(&of(Label::Invoice)));
        assert!(of(Label::Any).fits(&of(Label::Invoice)));
        assert_eq!(Reference::of(Label::Any, "AB"), None);
        assert_eq!(Reference::of(Label::Any, "no digits"), None);
    }

    #[test]
    fn where_in_a_long_text_it_stands_does_not_matter() {
        let words = "ääkkösiä ja muuta ".repeat(30);
        let text = format!(
            "order 5001 {words}preorder {words}order 5002 {words}lasku 90017, {words} order no 5003 {words}reorder{} 5004",
            " ".repeat(BEFORE - 3)
        );
        let values: Vec<String> = found(&text).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["5001", "5002", "5003", "90017"]);
        for gap in 1..400 {
            let text = format!(
                "order 1001 {}#1002{} ticket 1003",
                "ä ".repeat(gap),
                " x".repeat(gap)
            );
            let named: Vec<i64> = numbers(&text).into_iter().collect();
            assert_eq!(named, [1002, 1003], "{gap}");
            assert!(
                found(&text).iter().any(|(_, value)| value == "1001"),
                "{gap}"
            );
        }
    }

    #[test]
    fn numbers_of_tickets() {
        let named = |text| numbers(text).into_iter().collect::<Vec<_>>();
        assert_eq!(named("Re: [#1005] Invoice"), [1005]);
        assert_eq!(named("about ticket 1005 and #1007"), [1005, 1007]);
        assert_eq!(named("Tiketti nro 1005, tiketistä 1006"), [1005, 1006]);
        assert_eq!(named("ärende 1005"), [1005]);
        assert_eq!(
            named("I ordered 1005 of them, order#1006"),
            Vec::<i64>::new()
        );
    }

    #[test]
    fn patterns_of_the_deployment() {
        let patterns = Patterns::new(&[r"\bKX-(\d{6})\b".to_owned()]).unwrap();
        let all = patterns.references("regarding kx-123456 please");
        assert_eq!(all.first().unwrap().value, "123456");
        assert!(Patterns::new(&["(".to_owned()]).is_err());
    }
}
