//! The text form of a condition: the filter grammar of AIP-160.
//!
//! ```text
//! status = open AND (priority >= high OR tags:vip) AND NOT words:"tilaus peru*"
//! ```
//!
//! - `OR` binds tighter than `AND`: `a AND b OR c` is `a AND (b OR c)`. Parts side by side are joined by `AND`. Keywords are
//!   in capitals. `NOT x` and `-x` negate.
//! - Comparisons are `=`, `!=`, `<`, `<=`, `>`, `>=` and `:` (has). `field:*` asks whether there is a value. A star in the
//!   value, first or last, asks for an end or a beginning: `"*@example.fi"`, `toimit*`; on both sides for a part. `\*` is a
//!   star. Values with spaces or signs are in double or single quotes; `\"`, `\'`, `\\`, `\n`, `\r`, `\t` are escapes.
//! - A list is a group of values: `status = (open OR pending)`, `tags:(vip OR partner)`.
//! - Words without a field are searched in the field that [`crate::Schema::searched_in`] names.
//! - Functions are not supported, and say so.

pub(crate) mod parser;
pub(crate) mod print;
pub(crate) mod scanner;

use thiserror::Error;

use crate::check::Checked;
use crate::schema::Schema;
use crate::violation::Violation;

/// Reads `filter` and checks it against `schema`. The empty filter matches everything. Never panics and never nests
/// deeper than the limits allow, whatever the text.
pub fn parse(filter: &str, schema: &Schema) -> Result<Checked, FilterError> {
    let limit = schema.limits().filter_bytes;
    if filter.len() > limit {
        return Err(FilterError::TooLong {
            bytes: filter.len(),
            limit,
        });
    }
    let (condition, positions) = parser::Parser::new(filter, schema).filter()?;
    schema
        .check_at(&condition, &positions)
        .map_err(FilterError::Invalid)
}

/// Why a filter cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// Beyond [`crate::Limits::filter_bytes`].
    #[error("the filter has {bytes} bytes, shorten it to {limit}")]
    TooLong {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// It does not follow the grammar.
    #[error("at character {position}: {problem}")]
    Syntax {
        /// In characters from 1.
        position: usize,
        /// What is wrong there.
        problem: SyntaxProblem,
    },
    /// It follows the grammar but does not fit the fields.
    #[error("{}", sentences(.0))]
    Invalid(Vec<Violation>),
}

fn sentences(violations: &[Violation]) -> String {
    let sentence = |violation: &Violation| match violation.position {
        Some(position) => format!("at character {position}: {violation}"),
        None => violation.to_string(),
    };
    violations
        .iter()
        .map(sentence)
        .collect::<Vec<_>>()
        .join("; ")
}

/// What does not follow the grammar, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SyntaxProblem {
    /// A comparison should stand here.
    #[error("expected a comparison such as status = open, found {0}")]
    ExpectedComparison(String),
    /// The value is missing.
    #[error("expected a value after \"{0}\"")]
    ExpectedValue(&'static str),
    /// A parenthesis is not closed.
    #[error("this parenthesis is not closed, add \")\"")]
    Unclosed,
    /// A parenthesis is closed that was not opened.
    #[error("nothing is open here, remove \")\" or add \"(\"")]
    Unopened,
    /// A quote is not closed.
    #[error("this quote is not closed, add {0}")]
    UnclosedQuote(char),
    /// Groups within groups beyond the limit.
    #[error("groups are nested deeper than {limit} levels, use fewer")]
    TooDeep {
        /// The bound.
        limit: usize,
    },
    /// AIP-160 allows functions, Solmu has none.
    #[error("functions are not supported, \"{0}(\" cannot be used")]
    Function(String),
    /// A keyword in small letters.
    #[error("write {0} in capitals, or in quotes to search for the word")]
    LowerCaseKeyword(&'static str),
    /// Two negations in a row.
    #[error("two negations in a row, put the second in parentheses or remove both")]
    DoubleNegation,
    /// A quoted text before a comparison.
    #[error("the name of a field stands without quotes before \"{0}\"")]
    QuotedField(&'static str),
    /// A sign that has a meaning in filters.
    #[error("put the value in quotes, it holds \"{0}\"")]
    UnquotedSign(char),
    /// A backslash before something else.
    #[error("\"\\{0}\" is no escape, write \"\\\\\" for a backslash")]
    UnknownEscape(char),
    /// A star within a value.
    #[error(
        "a star can only be first or last in a value, write \"\\*\" in quotes for the sign itself"
    )]
    InnerStar,
    /// Stars around a value of a field that is searched by words or elements.
    #[error("\"{0}\" cannot be searched for a part of a word, remove the first star")]
    StarsAround(String),
    /// A star alone after `=`.
    #[error("write {0}:* to ask whether there is a value")]
    StarAlone(String),
    /// A star after a comparison other than `=` and `:`.
    #[error(
        "a star works after \"=\" and \":\" only; write NOT before the comparison for the opposite"
    )]
    StarAfter,
    /// A list after a comparison other than `=` and `:`.
    #[error(
        "a list works after \"=\" and \":\" only; write NOT before the comparison for the opposite"
    )]
    ListAfter,
    /// Something other than values joined by `OR` in a list.
    #[error("a list is values joined by OR, such as (open OR pending)")]
    ListOnlyOr,
    /// Words without a field, where none is searched.
    #[error("\"{0}\" stands alone, write which field it is about, such as status = open")]
    NoSearchField(String),
}
