//! The judgement: what ties a message to a ticket, and how strongly.

use std::collections::BTreeSet;

use crate::{
    Bag, Label, PatternError, Reference,
    reference::{Patterns, numbers},
    words::similarity,
};

/// Characters of one text that are looked at.
const MAX_TEXT: usize = 8_000;

/// Where likeness begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Likeness of words from which two texts may be about the same, of 100.
    pub min_similarity: u8,
    /// Words that both have at least.
    pub min_common_words: usize,
}

/// What ties a message to a ticket; later is more certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ground {
    /// Both use the same words.
    Words,
    /// Both name the same order, invoice or the like.
    Reference,
    /// The message names the number of the ticket.
    Number,
}

impl Ground {
    /// Stable name, as stored and told.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Reference => "reference",
            Self::Number => "number",
        }
    }
}

/// Why a message and a ticket are one matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Likeness {
    /// What ties them.
    pub ground: Ground,
    /// How strongly, from 0 to 100. Of a reference at least 80, of a number 100.
    pub score: u8,
    /// What both name; empty for words.
    pub reference: String,
}

/// What a message or a ticket says, read once.
#[derive(Debug, Clone, Default)]
pub struct Writing {
    references: BTreeSet<Reference>,
    numbers: BTreeSet<i64>,
    words: Bag,
}

/// Reads texts and compares them.
#[derive(Debug, Clone)]
pub struct Reader {
    settings: Settings,
    patterns: Patterns,
    /// Names of fields that hold references, lower case.
    fields: BTreeSet<String>,
}

impl Reader {
    /// With further patterns of references, and the names of fields that hold one.
    pub fn new(
        settings: Settings,
        patterns: &[String],
        fields: &[String],
    ) -> Result<Self, PatternError> {
        Ok(Self {
            settings,
            patterns: Patterns::new(patterns)?,
            fields: fields.iter().map(|it| it.to_lowercase()).collect(),
        })
    }

    /// Reads what was written: subject and texts without quotes and signatures, and fields with their values.
    #[must_use]
    pub fn read<'a>(
        &self,
        texts: impl IntoIterator<Item = &'a str>,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Writing {
        let texts: Vec<&str> = texts.into_iter().map(first).collect();
        let mut writing = Writing {
            words: Bag::of(texts.iter().copied()),
            ..Writing::default()
        };
        for text in &texts {
            writing.references.extend(self.patterns.references(text));
            writing.numbers.extend(numbers(text));
        }
        let named = fields
            .into_iter()
            .filter(|(name, _)| self.fields.contains(&name.to_lowercase()))
            .filter_map(|(name, value)| Reference::of(label_of(name), value));
        writing.references.extend(named);
        writing
    }

    /// What ties `message` to the ticket `number` with `ticket` on it, if anything does.
    #[must_use]
    pub fn judge(&self, message: &Writing, ticket: &Writing, number: i64) -> Option<Likeness> {
        let alike = similarity(&message.words, &ticket.words);
        if message.numbers.contains(&number) {
            return Some(Likeness {
                ground: Ground::Number,
                score: 100,
                reference: format!("#{number}"),
            });
        }
        let named = message.references.iter();
        let mut shared = named.filter(|it| ticket.references.iter().any(|other| it.fits(other)));
        if let Some(reference) = shared.next() {
            return Some(Likeness {
                ground: Ground::Reference,
                // Of two tickets about one order the one that is more alike is meant.
                score: 80 + alike / 5,
                reference: reference.value.clone(),
            });
        }
        let enough = alike >= self.settings.min_similarity
            && message.words.common(&ticket.words) >= self.settings.min_common_words;
        enough.then_some(Likeness {
            ground: Ground::Words,
            score: alike,
            reference: String::new(),
        })
    }
}

/// What a field holds the id of, as far as its name says.
fn label_of(name: &str) -> Label {
    let name = name.to_lowercase();
    let words = [
        ("order", Label::Order),
        ("tilaus", Label::Order),
        ("invoice", Label::Invoice),
        ("lasku", Label::Invoice),
        ("booking", Label::Booking),
        ("shipment", Label::Shipment),
        ("tracking", Label::Shipment),
        ("rma", Label::Shipment),
        ("contract", Label::Contract),
    ];
    let found = words.iter().find(|(word, _)| name.contains(word));
    found.map_or(Label::Any, |(_, label)| *label)
}

fn first(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_TEXT).map(|(at, _)| at);
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        let settings = Settings {
            min_similarity: 50,
            min_common_words: 4,
        };
        Reader::new(settings, &[], &["order".to_owned(), "order_no".to_owned()]).unwrap()
    }

    fn text(words: &str) -> Writing {
        reader().read([words], [])
    }

    fn judged(message: &str, ticket: &str) -> Option<(Ground, String)> {
        let found = reader().judge(&text(message), &text(ticket), 1005);
        found.map(|it| (it.ground, it.reference))
    }

    #[test]
    fn the_surest_ground_is_told() {
        let ticket = "Order 10023 has not come, the tracking page shows an error since Friday";
        assert_eq!(
            judged("any news of ticket 1005 and order 10023?", ticket),
            Some((Ground::Number, "#1005".to_owned()))
        );
        assert_eq!(
            judged("any news of order 10023?", ticket),
            Some((Ground::Reference, "10023".to_owned()))
        );
        assert_eq!(
            judged(
                "the tracking page still shows an error since friday",
                ticket
            ),
            Some((Ground::Words, String::new()))
        );
        assert_eq!(judged("any news of order 10024?", ticket), None);
        assert_eq!(judged("I forgot my password", ticket), None);
    }

    #[test]
    fn fields_hold_references_too() {
        let form = reader().read(
            ["It is broken"],
            [("order", "10023"), ("phone", "0401234567")],
        );
        let ticket = reader().read(["Hello"], [("order_no", "10023")]);
        let same = reader().judge(&form, &ticket, 7).unwrap();
        assert_eq!((same.ground, same.score), (Ground::Reference, 80));
        let phone = reader().read(["Hello"], [("phone", "0401234567")]);
        assert_eq!(reader().judge(&form, &phone, 7), None);
    }

    #[test]
    fn it_does_not_matter_which_text_came_first_nor_how_long_it_is() {
        let (one, other) = (text("order 5001 is late"), text("Tilaus 5001"));
        let there = reader().judge(&one, &other, 1).unwrap();
        let back = reader().judge(&other, &one, 1).unwrap();
        assert_eq!(there, back);
        let long = format!("{} order 5001", "ä".repeat(MAX_TEXT));
        assert_eq!(reader().judge(&text(&long), &one, 1), None);
    }
}
