//! Says why a condition held or not: which comparisons decided, and what they found.

use std::fmt::Write as _;

use serde::Serialize;

use crate::check::Checked;
use crate::compiled::{CompiledLeaf, Node};
use crate::facts::{Fact, Facts};
use crate::filter::print;
use crate::scalar::seconds;

/// Characters of a found text that are shown.
const SHOWN_CHARS: usize = 60;
/// Elements of a found set that are shown.
const SHOWN_ELEMENTS: usize = 10;

/// The answer of a condition, part by part, in the shape of the condition. It quotes what was found, so it is for those
/// who may see the ticket, never for logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether this part held.
    pub outcome: bool,
    /// The part.
    pub part: Part,
}

/// A part of the condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All of these had to hold.
    All(Vec<Explanation>),
    /// One of these had to hold.
    Any(Vec<Explanation>),
    /// This had to fail.
    Not(Box<Explanation>),
    /// One comparison.
    Leaf(LeafExplanation),
}

/// One comparison and what it met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeafExplanation {
    /// The field, `map.key` for one of a map.
    pub field: String,
    /// The comparison as the filter writes it.
    pub asked: String,
    /// What the field held.
    pub found: Found,
}

/// What a field held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// No value.
    Absent,
    /// A value, shortened.
    Value(String),
    /// A text that is searched; it is not repeated.
    SearchedText,
}

impl Checked {
    /// Evaluates every part, also those that [`Checked::evaluate`] would skip.
    pub fn explain(&self, facts: &dyn Facts) -> Explanation {
        explain(&self.root, facts)
    }
}

fn explain(node: &Node, facts: &dyn Facts) -> Explanation {
    let explained = |parts: &[Node]| {
        parts
            .iter()
            .map(|part| explain(part, facts))
            .collect::<Vec<_>>()
    };
    match node {
        Node::All(parts) => {
            let parts = explained(parts);
            Explanation {
                outcome: parts.iter().all(|part| part.outcome),
                part: Part::All(parts),
            }
        }
        Node::Any(parts) => {
            let parts = explained(parts);
            Explanation {
                outcome: parts.iter().any(|part| part.outcome),
                part: Part::Any(parts),
            }
        }
        Node::Not(part) => {
            let part = explain(part, facts);
            Explanation {
                outcome: !part.outcome,
                part: Part::Not(Box::new(part)),
            }
        }
        Node::Leaf(leaf) => explain_leaf(leaf, facts),
    }
}

fn explain_leaf(leaf: &CompiledLeaf, facts: &dyn Facts) -> Explanation {
    let fact = facts.get(&leaf.leaf.field);
    let explanation = LeafExplanation {
        field: leaf.leaf.field.clone(),
        asked: print::leaf_string(leaf),
        found: fact.as_ref().map_or(Found::Absent, found),
    };
    Explanation {
        outcome: leaf.holds(fact.as_ref()),
        part: Part::Leaf(explanation),
    }
}

fn found(fact: &Fact<'_>) -> Found {
    Found::Value(match fact {
        Fact::Search(_) => return Found::SearchedText,
        Fact::Text(text) => quoted(text),
        Fact::Bool(truth) => truth.to_string(),
        Fact::Integer(number) => number.to_string(),
        Fact::Timestamp(at) => at.to_string(),
        Fact::Duration(span) => {
            i64::try_from(span.as_micros()).map_or_else(|_| span.to_string(), seconds)
        }
        Fact::Id(id) => id.to_string(),
        Fact::Set(elements) if elements.is_empty() => return Found::Absent,
        Fact::Set(elements) => {
            let mut shown: Vec<String> = elements
                .iter()
                .take(SHOWN_ELEMENTS)
                .map(|element| quoted(element))
                .collect();
            if elements.len() > SHOWN_ELEMENTS {
                shown.push(format!("{} more", elements.len() - SHOWN_ELEMENTS));
            }
            shown.join(", ")
        }
    })
}

fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(SHOWN_CHARS).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

impl Explanation {
    /// The comparisons that decided, with their own outcome: all parts of a group that held as `all` or failed as `any`,
    /// else the first part that settled it.
    pub fn deciding(&self) -> Vec<(&LeafExplanation, bool)> {
        let mut leaves = Vec::new();
        self.collect_deciding(&mut leaves);
        leaves
    }

    fn collect_deciding<'a>(&'a self, leaves: &mut Vec<(&'a LeafExplanation, bool)>) {
        let (parts, settling) = match &self.part {
            Part::Leaf(leaf) => return leaves.push((leaf, self.outcome)),
            Part::Not(part) => return part.collect_deciding(leaves),
            Part::All(parts) => (parts, false),
            Part::Any(parts) => (parts, true),
        };
        match parts.iter().find(|part| part.outcome == settling) {
            Some(part) => part.collect_deciding(leaves),
            None => parts.iter().for_each(|part| part.collect_deciding(leaves)),
        }
    }

    /// The reason in one sentence, in English: `It does not match, because priority = "high" does not hold (priority is
    /// "low").`
    pub fn sentence(&self) -> String {
        let verdict = if self.outcome {
            "It matches"
        } else {
            "It does not match"
        };
        let deciding = self.deciding();
        if deciding.is_empty() {
            return format!("{verdict}, because nothing is asked.");
        }
        let mut sentence = format!("{verdict}, because ");
        for (index, (leaf, outcome)) in deciding.iter().enumerate() {
            let link = match index {
                0 => "",
                _ if index + 1 == deciding.len() => " and ",
                _ => ", ",
            };
            let verb = if *outcome { "holds" } else { "does not hold" };
            // Writing to a string cannot fail.
            let _ = write!(sentence, "{link}{} {verb}", leaf.asked);
            let _ = match &leaf.found {
                Found::Absent => write!(sentence, " ({} has no value)", leaf.field),
                Found::Value(value) => write!(sentence, " ({} is {value})", leaf.field),
                Found::SearchedText => Ok(()),
            };
        }
        sentence.push('.');
        sentence
    }
}
