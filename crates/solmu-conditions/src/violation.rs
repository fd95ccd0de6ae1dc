//! What is wrong with a condition, in sentences that say what to do.

use thiserror::Error;

use crate::condition::Operator;

/// One thing to correct before a condition can be saved or used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct Violation {
    /// Where, as a JSON Pointer (RFC 6901) into the JSON of the condition: `/all/0/not`. Empty is the whole condition.
    pub path: String,
    /// The field of the leaf, when it is about one.
    pub field: Option<String>,
    /// Where in the filter string the leaf begins, in characters from 1; absent when there was no such string.
    pub position: Option<usize>,
    /// What is wrong.
    pub problem: Problem,
}

/// The kinds of [`Violation`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The schema does not declare the field.
    #[error("there is no field \"{field}\"{}", hint(suggestion.as_ref(), known))]
    UnknownField {
        /// As written.
        field: String,
        /// The declared name closest to it.
        suggestion: Option<String>,
        /// All declared names.
        known: Vec<String>,
    },
    /// The field's type does not have the operator.
    #[error(
        "\"{field}\" does not take the operator \"{operator}\", use one of {}",
        join(allowed)
    )]
    OperatorNotAllowed {
        /// As written.
        field: String,
        /// As written.
        operator: Operator,
        /// What the field takes.
        allowed: &'static [Operator],
    },
    /// The value cannot be read as the field's type.
    #[error("\"{field}\" is compared with {wanted}")]
    WrongType {
        /// As written.
        field: String,
        /// What a value looks like.
        wanted: &'static str,
    },
    /// The value is not among those the field can have.
    #[error("\"{field}\" is never \"{value}\"{}", hint(suggestion.as_ref(), allowed))]
    NotOneOf {
        /// As written.
        field: String,
        /// As written.
        value: String,
        /// The value closest to it.
        suggestion: Option<String>,
        /// The values it can have.
        allowed: Vec<String>,
    },
    /// Every operator but `present` compares with something.
    #[error("the operator \"{operator}\" needs a value")]
    ValueMissing {
        /// As written.
        operator: Operator,
    },
    /// `present` compares with nothing.
    #[error("the operator \"present\" takes no value, remove it")]
    ValueUnexpected,
    /// `in` needs a list.
    #[error("the operator \"in\" needs a list of at least one value")]
    ListMissing,
    /// Only `in` takes a list.
    #[error("the operator \"{operator}\" takes one value, use \"in\" for a list")]
    ListUnexpected {
        /// As written.
        operator: Operator,
    },
    /// The text would match everything.
    #[error(
        "the operator \"{operator}\" needs a text that is not empty, use \"present\" to ask for any value"
    )]
    EmptyText {
        /// As written.
        operator: Operator,
    },
    /// PostgreSQL texts cannot hold U+0000.
    #[error("a text cannot hold the character U+0000, remove it")]
    NulCharacter,
    /// A group without parts, other than the whole condition being an empty `all`.
    #[error("a group needs at least one condition, add one or remove the group")]
    EmptyGroup,
    /// Beyond [`crate::Limits::depth`].
    #[error("groups are nested deeper than {limit} levels, use fewer")]
    TooDeep {
        /// The bound.
        limit: usize,
    },
    /// Beyond [`crate::Limits::leaves`].
    #[error("there are more than {limit} comparisons, use lists or fewer of them")]
    TooManyLeaves {
        /// The bound.
        limit: usize,
    },
    /// Beyond [`crate::Limits::parts`].
    #[error(
        "there are more than {limit} comparisons with a beginning, an end or a part of a text (\"a*\", \"*a\", \"*a*\", \
         :), use whole values or fewer of them"
    )]
    TooManyParts {
        /// The bound.
        limit: usize,
    },
    /// Beyond [`crate::Limits::text_chars`].
    #[error("a text has more than {limit} characters, shorten it")]
    TextTooLong {
        /// The bound.
        limit: usize,
    },
    /// Beyond [`crate::Limits::list_items`].
    #[error("a list has more than {limit} values, shorten it")]
    ListTooLong {
        /// The bound.
        limit: usize,
    },
    /// Beyond [`crate::Limits::filter_bytes`].
    #[error("the condition is longer than {limit} bytes when written as a filter, shorten it")]
    TooLong {
        /// The bound.
        limit: usize,
    },
}

/// How many alternatives a sentence lists.
const LISTED: usize = 12;

fn join<T: ToString>(items: &[T]) -> String {
    let mut listed: Vec<String> = items.iter().take(LISTED).map(ToString::to_string).collect();
    if items.len() > LISTED {
        listed.push(format!("{} more", items.len() - LISTED));
    }
    listed.join(", ")
}

fn hint(suggestion: Option<&String>, alternatives: &[String]) -> String {
    match suggestion {
        Some(near) => format!(", did you mean \"{near}\"?"),
        None if alternatives.is_empty() => String::new(),
        None => format!(", use one of {}", join(alternatives)),
    }
}

/// The candidate closest to `written`, when so few letters differ that it is probably a slip.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let written: Vec<char> = written.to_lowercase().chars().take(64).collect();
    let slips = (written.len() / 3).clamp(1, 3);
    candidates
        .map(|candidate| (distance(&written, candidate), candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Letters to insert, remove, replace or swap with their neighbour (optimal string alignment).
fn distance(written: &[char], candidate: &str) -> usize {
    let candidate: Vec<char> = candidate.to_lowercase().chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=candidate.len()).collect();
    for (i, letter) in written.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, other) in candidate.iter().enumerate() {
            let replaced = row[j] + usize::from(letter != other);
            let mut best = replaced.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && *letter == candidate[j - 1] && written[i - 1] == *other {
                best = best.min(before[j - 1] + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[candidate.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found_and_far_ones_are_not() {
        let names = || ["priority", "status", "tags", "sender_domain"].into_iter();
        assert_eq!(nearest("prioritty", names()).as_deref(), Some("priority"));
        assert_eq!(nearest("Status", names()).as_deref(), Some("status"));
        assert_eq!(nearest("satus", names()).as_deref(), Some("status"));
        assert_eq!(nearest("tasg", names()).as_deref(), Some("tags"));
        assert_eq!(nearest("color", names()), None);
        assert_eq!(nearest("", names()), None);
    }
}
