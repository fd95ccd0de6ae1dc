//! The condition as data: what is stored, sent and edited by a form.
//!
//! Its JSON is stable; stored rules outlive releases:
//!
//! ```json
//! {"all": [
//!   {"field": "channel", "operator": "=", "value": "email"},
//!   {"any": [
//!     {"field": "words", "operator": "starts_with", "value": "toimit"},
//!     {"not": {"field": "tags", "operator": "in", "value": ["vip", "partner"]}}
//!   ]},
//!   {"field": "assignee", "operator": "present"}
//! ]}
//! ```
//!
//! Timestamps (RFC 3339), durations (`90s`) and ids are texts in it: only a [`crate::Schema`] knows the types. The empty
//! `all` matches everything.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A condition that nobody has checked yet; [`crate::Schema::check`] makes it usable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "Wire")]
pub enum Condition {
    /// Every part holds.
    All(Vec<Condition>),
    /// At least one part holds.
    Any(Vec<Condition>),
    /// The part does not hold.
    Not(Box<Condition>),
    /// One comparison.
    #[serde(untagged)]
    Leaf(Leaf),
}

impl Condition {
    /// The condition that matches everything, written as the empty filter.
    pub const fn always() -> Self {
        Self::All(Vec::new())
    }

    /// A comparison of `field` with `value`.
    pub fn leaf(field: impl Into<String>, operator: Operator, value: impl Into<Value>) -> Self {
        Self::Leaf(Leaf {
            field: field.into(),
            operator,
            value: Some(value.into()),
        })
    }

    /// Whether `field` has a value.
    pub fn present(field: impl Into<String>) -> Self {
        Self::Leaf(Leaf {
            field: field.into(),
            operator: Operator::Present,
            value: None,
        })
    }

    /// The opposite of `condition`.
    pub fn negated(condition: Self) -> Self {
        Self::Not(Box::new(condition))
    }
}

/// One comparison: field, operator, value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leaf {
    /// A name declared by the schema, or `map.key`.
    pub field: String,
    /// How to compare.
    pub operator: Operator,
    /// What to compare with; absent exactly for [`Operator::Present`], a list exactly for [`Operator::In`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// How a field is compared. A comparison with an absent value is false, [`Operator::Ne`] included; `NOT` around it is
/// therefore true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operator {
    /// Equal.
    #[serde(rename = "=")]
    Eq,
    /// Present and not equal.
    #[serde(rename = "!=")]
    Ne,
    /// Less, earlier, shorter, lower.
    #[serde(rename = "<")]
    Lt,
    /// At most.
    #[serde(rename = "<=")]
    Le,
    /// More, later, longer, higher.
    #[serde(rename = ">")]
    Gt,
    /// At least.
    #[serde(rename = ">=")]
    Ge,
    /// The text contains, the set has the element, or the words occur side by side.
    #[serde(rename = ":")]
    Has,
    /// One of the listed values is equal to the field, in the set, or among the words.
    #[serde(rename = "in")]
    In,
    /// The text, an element of the set, or a word starts with.
    #[serde(rename = "starts_with")]
    StartsWith,
    /// The text ends with.
    #[serde(rename = "ends_with")]
    EndsWith,
    /// The field has a value, and it is not an empty text or set.
    #[serde(rename = "present")]
    Present,
}

impl Operator {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Has => ":",
            Self::In => "in",
            Self::StartsWith => "starts_with",
            Self::EndsWith => "ends_with",
            Self::Present => "present",
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a value is a text, a whole number, true, false, or a list of these"
)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A text, timestamp, duration or id.
    Text(String),
    /// For [`Operator::In`]; lists do not nest.
    List(Vec<Value>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

/// All that a condition can be written as; read in one piece so that the message says what is wrong, which the error of
/// an untagged enum does not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    all: Option<Vec<Condition>>,
    any: Option<Vec<Condition>>,
    not: Option<Box<Condition>>,
    field: Option<String>,
    operator: Option<Operator>,
    value: Option<Value>,
}

impl TryFrom<Wire> for Condition {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, Self::Error> {
        match wire {
            Wire {
                all: Some(parts),
                any: None,
                not: None,
                field: None,
                operator: None,
                value: None,
            } => Ok(Self::All(parts)),
            Wire {
                all: None,
                any: Some(parts),
                not: None,
                field: None,
                operator: None,
                value: None,
            } => Ok(Self::Any(parts)),
            Wire {
                all: None,
                any: None,
                not: Some(part),
                field: None,
                operator: None,
                value: None,
            } => Ok(Self::Not(part)),
            Wire {
                all: None,
                any: None,
                not: None,
                field: Some(field),
                operator: Some(operator),
                value,
            } => Ok(Self::Leaf(Leaf {
                field,
                operator,
                value,
            })),
            _ => Err(
                "a condition has either `all`, `any` or `not`, or `field`, `operator` and `value`",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_stable_in_both_directions() {
        let condition = Condition::All(vec![
            Condition::leaf("channel", Operator::Eq, "email"),
            Condition::Any(vec![
                Condition::leaf("age", Operator::Ge, 3),
                Condition::negated(Condition::leaf("tags", Operator::In, vec!["a", "b"])),
            ]),
            Condition::present("assignee"),
        ]);
        let wire = json!({"all": [
            {"field": "channel", "operator": "=", "value": "email"},
            {"any": [
                {"field": "age", "operator": ">=", "value": 3},
                {"not": {"field": "tags", "operator": "in", "value": ["a", "b"]}},
            ]},
            {"field": "assignee", "operator": "present"},
        ]});
        assert_eq!(serde_json::to_value(&condition).unwrap(), wire);
        assert_eq!(
            serde_json::from_value::<Condition>(wire).unwrap(),
            condition
        );
    }

    #[test]
    fn malformed_json_says_what_a_condition_is() {
        let both = serde_json::from_value::<Condition>(json!({"all": [], "any": []})).unwrap_err();
        assert!(both.to_string().contains("either `all`, `any` or `not`"));
        let typo = serde_json::from_value::<Condition>(json!({"al": []})).unwrap_err();
        assert!(typo.to_string().contains("unknown field `al`"));
        let half = serde_json::from_value::<Condition>(
            json!({"field": "a", "operator": "=", "value": 1.5}),
        )
        .unwrap_err();
        assert!(half.to_string().contains("whole number"));
    }

    #[test]
    fn hostile_depth_is_an_error_of_the_json_reader() {
        let deep = format!("{}{}", "{\"not\":".repeat(100_000), "}".repeat(100_000));
        assert!(serde_json::from_str::<Condition>(&deep).is_err());
    }
}
