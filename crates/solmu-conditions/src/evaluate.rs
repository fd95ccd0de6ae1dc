//! Answers a condition in memory, for events.

use crate::check::Checked;
use crate::compiled::{CompiledLeaf, Form, Node, Presence, Test, TextTest};
use crate::decimal::Decimal;
use crate::facts::{Fact, Facts};
use crate::fold::{fold, words};

impl Checked {
    /// Whether the condition holds for `facts`. Stops at the first part that decides.
    ///
    /// A comparison with an absent value is false, `!=` included, and `NOT` turns that into true: `NOT priority = "low"`
    /// finds what has no priority, `priority != "low"` does not. [`Checked::push_sql`] answers alike.
    pub fn evaluate(&self, facts: &dyn Facts) -> bool {
        self.root.holds(facts)
    }
}

impl Node {
    fn holds(&self, facts: &dyn Facts) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(facts)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(facts)),
            Self::Not(part) => !part.holds(facts),
            Self::Leaf(leaf) => leaf.holds(facts.get(&leaf.leaf.field).as_ref()),
        }
    }
}

impl CompiledLeaf {
    pub(crate) fn holds(&self, fact: Option<&Fact<'_>>) -> bool {
        fact.is_some_and(|fact| self.test.holds(fact))
    }
}

impl Test {
    fn holds(&self, fact: &Fact<'_>) -> bool {
        match (self, fact) {
            (Self::Present(presence), _) => presence.holds(fact),
            (Self::Bool(compare, asked), Fact::Bool(found)) => compare.holds(found.cmp(asked)),
            (Self::Integer(compare, asked), Fact::Integer(found)) => {
                compare.holds(found.cmp(asked))
            }
            (Self::IntegerIn(asked), Fact::Integer(found)) => asked.contains(found),
            (Self::Decimal(compare, asked), _) => {
                decimal(fact).is_some_and(|found| compare.holds(found.cmp(asked)))
            }
            (Self::DecimalIn(asked), _) => {
                decimal(fact).is_some_and(|found| asked.contains(&found))
            }
            (Self::Timestamp(compare, asked), Fact::Timestamp(found)) => {
                compare.holds(found.as_microsecond().cmp(&asked.as_microsecond()))
            }
            (Self::Period(inside, from, to), Fact::Timestamp(found)) => {
                (from..to).contains(&found) == *inside
            }
            (Self::Duration(compare, asked), Fact::Duration(found)) => {
                compare.holds(found.as_micros().cmp(&i128::from(*asked)))
            }
            (Self::Id(compare, asked), Fact::Id(found)) => compare.holds(found.cmp(asked)),
            (Self::IdIn(asked), Fact::Id(found)) => asked.contains(found),
            (Self::Text(Form::Exact, test), Fact::Text(found)) => test.holds(found),
            (Self::Text(Form::Folded, test), Fact::Text(found)) => test.holds(&fold(found)),
            (Self::Text(Form::Folded, test), Fact::Search(found)) => test.holds(&found.folded),
            (Self::Text(form, test), Fact::Set(found)) => test.holds_of_several(*form, found),
            (Self::Measured(compare, asked), Fact::Text(found)) => asked.holds(*compare, found),
            (Self::Measured(compare, asked), Fact::Set(found)) => {
                found.iter().any(|found| asked.holds(*compare, found))
            }
            (Self::SetHasAny(asked), Fact::Set(found)) => {
                found.iter().any(|element| asked.contains(element))
            }
            (Self::SetStartsWith(start), Fact::Set(found)) => {
                found.iter().any(|element| element.starts_with(start))
            }
            (Self::Words(needles), Fact::Search(found)) => has_any(&found.words, needles),
            (Self::Words(needles), Fact::Text(found)) => has_any(&words(found), needles),
            _ => false,
        }
    }
}

fn decimal(fact: &Fact<'_>) -> Option<Decimal> {
    match fact {
        Fact::Integer(found) => Some(Decimal::from(*found)),
        Fact::Text(found) => Decimal::read(found),
        _ => None,
    }
}

fn has_any(words: &str, needles: &[String]) -> bool {
    needles.iter().any(|needle| words.contains(needle.as_str()))
}

impl Presence {
    fn holds(self, fact: &Fact<'_>) -> bool {
        match (self, fact) {
            (
                Self::Value,
                Fact::Bool(_)
                | Fact::Integer(_)
                | Fact::Timestamp(_)
                | Fact::Duration(_)
                | Fact::Id(_),
            ) => true,
            (Self::Decimal, _) => decimal(fact).is_some(),
            (Self::Text(Form::Exact), Fact::Text(found)) => !found.is_empty(),
            (Self::Text(Form::Folded), Fact::Text(found)) => !fold(found).is_empty(),
            (Self::Text(Form::Folded), Fact::Search(found)) => !found.folded.is_empty(),
            (Self::Set | Self::Text(_), Fact::Set(found)) => !found.is_empty(),
            (Self::Words, Fact::Text(found)) => words(found) != " ",
            (Self::Words, Fact::Search(found)) => found.words != " ",
            _ => false,
        }
    }
}

impl TextTest {
    /// Of a text with several values (a custom field): whether it holds for any of them, and `!=` for all.
    fn holds_of_several(&self, form: Form, found: &[String]) -> bool {
        let mut answers = found.iter().map(|text| match form {
            Form::Exact => self.holds(text),
            Form::Folded => self.holds(&fold(text)),
        });
        match self {
            Self::Ne(_) => !found.is_empty() && answers.all(|holds| holds),
            _ => answers.any(|holds| holds),
        }
    }

    fn holds(&self, found: &str) -> bool {
        match self {
            Self::Eq(asked) => found == asked,
            Self::Ne(asked) => found != asked,
            Self::In(asked) => asked.iter().any(|asked| asked == found),
            Self::Has(part) => found.contains(part.as_str()),
            Self::StartsWith(start) => found.starts_with(start.as_str()),
            Self::EndsWith(end) => found.ends_with(end.as_str()),
        }
    }
}
