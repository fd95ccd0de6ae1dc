//! The judgement: what ties a message to a ticket, and how strongly.

use std::{collections::BTreeSet, sync::OnceLock};

use crate::{
    Bag, Label, PatternError, Reference,
    reference::{Patterns, numbers, squeezed},
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
    /// The beginning of each.
    texts: Vec<String>,
    /// Those of the texts, as soon as somebody asks for them: most messages are told apart without.
    words: OnceLock<Bag>,
}

impl Writing {
    /// Whether both name the same order, invoice or the like.
    #[must_use]
    pub fn shares_reference(&self, other: &Self) -> bool {
        self.shared(other).is_some()
    }

    /// Whether it names an order, an invoice or the like at all.
    #[must_use]
    pub fn names_reference(&self) -> bool {
        !self.references.is_empty()
    }

    fn words(&self) -> &Bag {
        self.words
            .get_or_init(|| Bag::of(self.texts.iter().map(String::as_str)))
    }

    fn shared(&self, other: &Self) -> Option<&Reference> {
        let mut named = self.references.iter();
        named.find(|it| other.references.iter().any(|theirs| it.fits(theirs)))
    }
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
        let texts: Vec<String> = texts.into_iter().map(first).collect();
        let mut references = self.of_fields(fields);
        for text in &texts {
            references.extend(self.patterns.references(text));
        }
        Writing {
            references,
            numbers: texts.iter().flat_map(|text| numbers(text)).collect(),
            texts,
            words: OnceLock::new(),
        }
    }

    /// Reads what stands on a ticket, to judge `messages` by: of its references those that one of them may mean. A
    /// ticket has many texts, and looking for what nobody asks about is most of the work.
    #[must_use]
    pub fn read_ticket<'a, 'm>(
        &self,
        texts: impl IntoIterator<Item = &'a str>,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
        messages: impl IntoIterator<Item = &'m Writing>,
    ) -> Writing {
        let texts: Vec<String> = texts.into_iter().map(first).collect();
        let mut references = self.of_fields(fields);
        let wanted: BTreeSet<&str> = messages
            .into_iter()
            .flat_map(|it| it.references.iter().map(|named| named.value.as_str()))
            .collect();
        if !wanted.is_empty() {
            for text in &texts {
                let signs = squeezed(text);
                if wanted.iter().any(|value| signs.contains(value)) {
                    references.extend(self.patterns.references(text));
                }
            }
        }
        Writing {
            references,
            texts,
            ..Writing::default()
        }
    }

    fn of_fields<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> BTreeSet<Reference> {
        let named = fields
            .into_iter()
            .filter(|(name, _)| self.fields.contains(&name.to_lowercase()));
        named
            .filter_map(|(name, value)| Reference::of(label_of(name), value))
            .collect()
    }

    /// What ties `message` to the ticket `number` with `ticket` on it, if anything does.
    #[must_use]
    pub fn judge(&self, message: &Writing, ticket: &Writing, number: i64) -> Option<Likeness> {
        self.names(message, ticket, number)
            .or_else(|| self.resembles(message, ticket))
    }

    /// Whether `message` names the ticket `number`, or what `ticket` names.
    #[must_use]
    pub fn names(&self, message: &Writing, ticket: &Writing, number: i64) -> Option<Likeness> {
        if message.numbers.contains(&number) {
            return Some(Likeness {
                ground: Ground::Number,
                score: 100,
                reference: format!("#{number}"),
            });
        }
        message.shared(ticket).map(|reference| Likeness {
            ground: Ground::Reference,
            // Of two tickets about one order the one that is more alike is meant.
            score: 80 + similarity(message.words(), ticket.words()) / 5,
            reference: reference.value.clone(),
        })
    }

    /// Whether both use the same words.
    #[must_use]
    pub fn resembles(&self, message: &Writing, ticket: &Writing) -> Option<Likeness> {
        let (ours, theirs) = (message.words(), ticket.words());
        let alike = similarity(ours, theirs);
        let enough = alike >= self.settings.min_similarity
            && ours.common(theirs) >= self.settings.min_common_words;
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

fn first(text: &str) -> String {
    let end = text.char_indices().nth(MAX_TEXT).map(|(at, _)| at);
    text[..end.unwrap_or(text.len())].to_owned()
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
    fn a_ticket_is_read_for_what_is_asked_about() {
        let ticket = ["Order A-77812 and order 5001", "Lasku 90017"];
        for (message, found) in [
            ("where is order a77812?", Some("A77812")),
            ("tilaus 5001", Some("5001")),
            ("order 90017", None),
            ("hello", None),
        ] {
            let message = text(message);
            let read = reader().read_ticket(ticket, [], [&message]);
            let judged = reader().judge(&message, &read, 7);
            assert_eq!(
                judged,
                reader().judge(&message, &reader().read(ticket, []), 7)
            );
            assert_eq!(judged.map(|it| it.reference).as_deref(), found);
        }
    }

    #[test]
    fn it_does_not_matter_which_text_came_first_nor_how_long_it_is() {
        let (one, other) = (text("order 5001 is late"), text("Tilaus 5001"));
        assert!(one.shares_reference(&other) && !one.shares_reference(&text("order 5002")));
        let there = reader().judge(&one, &other, 1).unwrap();
        let back = reader().judge(&other, &one, 1).unwrap();
        assert_eq!(there, back);
        let long = format!("{} order 5001", "ä".repeat(MAX_TEXT));
        assert_eq!(reader().judge(&text(&long), &one, 1), None);
    }
}
