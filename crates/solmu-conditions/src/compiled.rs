//! Leaves made ready: values read by type, texts folded, once when a condition is checked.

use std::cmp::Ordering;

use jiff::Timestamp;
use uuid::Uuid;

use crate::condition::{Leaf, Operator, Value};
use crate::decimal::Decimal;
use crate::fold::{fold, word_needles};
use crate::limits::Limits;
use crate::measure::{Measure, measured};
use crate::scalar::{Scalar, duration, moment};
use crate::schema::{Column, FieldType, Resolved, Schema};
use crate::violation::{Problem, nearest};

/// A checked condition as it is evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Leaf(Box<CompiledLeaf>),
}

/// A checked leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompiledLeaf {
    /// As written, with values in their canonical form.
    pub(crate) leaf: Leaf,
    /// The declared field, without a key.
    pub(crate) field: String,
    pub(crate) column: Option<Column>,
    /// The key within a map.
    pub(crate) key: Option<String>,
    /// Asked about by `:` in the text form.
    pub(crate) is_collection: bool,
    pub(crate) test: Test,
}

impl CompiledLeaf {
    /// Whether it looks for a beginning, an end or a part of texts, which every text has to be read for.
    pub(crate) const fn asks_for_part(&self) -> bool {
        match &self.test {
            Test::Text(_, test) => {
                !matches!(test, TextTest::Eq(_) | TextTest::Ne(_) | TextTest::In(_))
            }
            Test::SetStartsWith(_) | Test::Words(_) => true,
            _ => false,
        }
    }
}

impl Test {
    /// Of a test by `!=`: the one by `=`.
    pub(crate) fn equal(&self) -> Self {
        match self {
            Self::Bool(_, asked) => Self::Bool(Compare::Eq, *asked),
            Self::Integer(_, asked) => Self::Integer(Compare::Eq, *asked),
            Self::Decimal(_, asked) => Self::Decimal(Compare::Eq, *asked),
            Self::Timestamp(_, asked) => Self::Timestamp(Compare::Eq, *asked),
            Self::Period(_, from, to) => Self::Period(true, *from, *to),
            Self::Duration(_, asked) => Self::Duration(Compare::Eq, *asked),
            Self::Id(_, asked) => Self::Id(Compare::Eq, *asked),
            Self::Text(form, TextTest::Ne(asked)) => Self::Text(*form, TextTest::Eq(asked.clone())),
            other => other.clone(),
        }
    }

    /// What makes a value count as present, for a field that `!=` can be asked of.
    pub(crate) const fn presence(&self) -> Presence {
        match self {
            Self::Text(form, _) => Presence::Text(*form),
            _ => Presence::Value,
        }
    }
}

/// What is asked of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Present(Presence),
    Bool(Compare, bool),
    Integer(Compare, i64),
    IntegerIn(Vec<i64>),
    Decimal(Compare, Decimal),
    DecimalIn(Vec<Decimal>),
    Timestamp(Compare, Timestamp),
    /// Not before the first and before the second; or the opposite.
    Period(bool, Timestamp, Timestamp),
    /// Microseconds.
    Duration(Compare, i64),
    Id(Compare, Uuid),
    IdIn(Vec<Uuid>),
    Text(Form, TextTest),
    /// By order, of a value in canonical text.
    Measured(Compare, Measure),
    SetHasAny(Vec<String>),
    SetStartsWith(String),
    /// Any of these is a part of the words.
    Words(Vec<String>),
}

/// What makes a value count as present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Value,
    Decimal,
    Text(Form),
    Set,
    Words,
}

/// Whether texts are compared as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Exact,
    Folded,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextTest {
    Eq(String),
    Ne(String),
    In(Vec<String>),
    Has(String),
    StartsWith(String),
    EndsWith(String),
}

/// The comparisons of values that have an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Compare {
    const fn of(operator: Operator) -> Option<Self> {
        match operator {
            Operator::Eq => Some(Self::Eq),
            Operator::Ne => Some(Self::Ne),
            Operator::Lt => Some(Self::Lt),
            Operator::Le => Some(Self::Le),
            Operator::Gt => Some(Self::Gt),
            Operator::Ge => Some(Self::Ge),
            _ => None,
        }
    }

    /// Whether it asks which one is more.
    const fn orders(self) -> bool {
        !matches!(self, Self::Eq | Self::Ne)
    }

    pub(crate) const fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
        }
    }

    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::Eq => " = ",
            Self::Ne => " <> ",
            Self::Lt => " < ",
            Self::Le => " <= ",
            Self::Gt => " > ",
            Self::Ge => " >= ",
        }
    }
}

/// Reads one leaf against its field.
pub(crate) struct LeafCompiler<'a> {
    pub(crate) resolved: Resolved<'a>,
    pub(crate) leaf: &'a Leaf,
    pub(crate) schema: &'a Schema,
    pub(crate) limits: &'a Limits,
}

impl LeafCompiler<'_> {
    pub(crate) fn compile(self) -> Result<CompiledLeaf, Problem> {
        let kind = self.resolved.field.kind();
        let operator = self.leaf.operator;
        let allowed = kind.operators();
        if !allowed.contains(&operator) {
            let field = self.leaf.field.clone();
            return Err(Problem::OperatorNotAllowed {
                field,
                operator,
                allowed,
            });
        }
        let values = self.values()?;
        let canonical = match &self.leaf.value {
            None => None,
            Some(Value::List(_)) => {
                Some(Value::List(values.iter().map(Scalar::to_value).collect()))
            }
            Some(_) => values.first().map(Scalar::to_value),
        };
        let test = self.test(kind, &values)?;
        let field = self.resolved.field;
        let name = match &self.resolved.key {
            Some(key) => format!("{}.{key}", field.name()),
            None => field.name().to_owned(),
        };
        Ok(CompiledLeaf {
            leaf: Leaf {
                field: name,
                operator,
                value: canonical,
            },
            field: field.name().to_owned(),
            column: field.column.clone().filter(|_| !kind.in_memory_only()),
            is_collection: kind.is_collection(),
            key: self.resolved.key,
            test,
        })
    }

    /// The values of the leaf by type: none, one, or those of a list.
    fn values(&self) -> Result<Vec<Scalar>, Problem> {
        let operator = self.leaf.operator;
        match (&self.leaf.value, operator) {
            (None, Operator::Present) => Ok(Vec::new()),
            (Some(_), Operator::Present) => Err(Problem::ValueUnexpected),
            (None, _) => Err(Problem::ValueMissing { operator }),
            (Some(Value::List(items)), Operator::In) if items.len() > self.limits.list_items => {
                Err(Problem::ListTooLong {
                    limit: self.limits.list_items,
                })
            }
            (Some(Value::List(items)), Operator::In) if !items.is_empty() => {
                items.iter().map(|item| self.scalar(item)).collect()
            }
            (Some(_), Operator::In) => Err(Problem::ListMissing),
            (Some(Value::List(_)), _) => Err(Problem::ListUnexpected { operator }),
            (Some(value), _) => Ok(vec![self.scalar(value)?]),
        }
    }

    fn scalar(&self, value: &Value) -> Result<Scalar, Problem> {
        let kind = self.resolved.field.kind();
        let wrong = || Problem::WrongType {
            field: self.leaf.field.clone(),
            wanted: kind.wanted(),
        };
        let scalar = match (kind, value) {
            (FieldType::Bool, Value::Bool(truth)) => Some(Scalar::Bool(*truth)),
            (FieldType::Integer, Value::Integer(number)) => Some(Scalar::Integer(*number)),
            (FieldType::Decimal, Value::Integer(number)) => {
                Some(Scalar::Decimal(Decimal::from(*number)))
            }
            (FieldType::Decimal, Value::Text(text)) => Decimal::read(text).map(Scalar::Decimal),
            (FieldType::Bool | FieldType::Integer | FieldType::Decimal, _) => None,
            (FieldType::Timestamp, Value::Text(text)) => moment(text, self.schema.clock()),
            (FieldType::Duration, Value::Text(text)) => duration(text).map(Scalar::Duration),
            (FieldType::Id, Value::Text(text)) => {
                let id = self.schema.named(text);
                let read = Uuid::try_parse(id).ok();
                read.map(|read| Scalar::Id(read, (id != text).then(|| text.clone())))
            }
            (FieldType::Value | FieldType::ValueMap, Value::Integer(number)) => {
                Some(Scalar::Text(number.to_string()))
            }
            (_, Value::Text(text)) => Some(Scalar::Text(self.text(text)?)),
            _ => None,
        };
        scalar.ok_or_else(wrong)
    }

    fn text(&self, text: &str) -> Result<String, Problem> {
        let operator = self.leaf.operator;
        let limit = self.limits.text_chars;
        if text.len() > limit && text.chars().count() > limit {
            return Err(Problem::TextTooLong { limit });
        }
        if text.contains('\0') {
            return Err(Problem::NulCharacter);
        }
        let matches_all = matches!(
            operator,
            Operator::Has | Operator::StartsWith | Operator::EndsWith
        );
        if text.is_empty() && matches_all {
            return Err(Problem::EmptyText { operator });
        }
        if let FieldType::OneOf(allowed) | FieldType::Ordered(allowed) = self.resolved.field.kind()
            && !allowed.iter().any(|known| known == text)
        {
            return Err(Problem::NotOneOf {
                field: self.leaf.field.clone(),
                value: text.to_owned(),
                suggestion: nearest(text, allowed.iter().map(String::as_str)),
                allowed: allowed.clone(),
            });
        }
        Ok(text.to_owned())
    }

    fn test(&self, kind: &FieldType, values: &[Scalar]) -> Result<Test, Problem> {
        let operator = self.leaf.operator;
        if operator == Operator::Present {
            return Ok(Test::Present(presence(kind)));
        }
        let texts = || values.iter().filter_map(Scalar::as_text);
        match kind {
            FieldType::Value | FieldType::ValueMap
                if Compare::of(operator).is_some_and(Compare::orders) =>
            {
                let compare = Compare::of(operator).unwrap_or(Compare::Eq);
                let asked = texts().next().and_then(|text| measured(text, compare));
                let test = asked.map(|(compare, measure)| Test::Measured(compare, measure));
                test.ok_or_else(|| Problem::WrongType {
                    field: self.leaf.field.clone(),
                    wanted: kind.wanted(),
                })
            }
            FieldType::Text | FieldType::TextMap | FieldType::Value | FieldType::ValueMap => Ok(
                text_test(Form::Folded, operator, texts().map(fold).collect()),
            ),
            FieldType::Keyword | FieldType::OneOf(_) => Ok(text_test(
                Form::Exact,
                operator,
                texts().map(str::to_owned).collect(),
            )),
            FieldType::Ordered(ladder) => Ok(ordered_test(
                ladder,
                operator,
                texts().map(str::to_owned).collect(),
            )),
            FieldType::TextSet => Ok(match (operator, texts().next()) {
                (Operator::StartsWith, Some(start)) => Test::SetStartsWith(start.to_owned()),
                _ => Test::SetHasAny(texts().map(str::to_owned).collect()),
            }),
            FieldType::Words => self.words_test(texts()),
            _ => Ok(typed_test(operator, values)),
        }
    }

    fn words_test<'t>(&self, texts: impl Iterator<Item = &'t str>) -> Result<Test, Problem> {
        let prefix = self.leaf.operator == Operator::StartsWith;
        let mut needles = Vec::new();
        for text in texts {
            let found = word_needles(text, prefix);
            if found.is_empty() {
                return Err(Problem::WrongType {
                    field: self.leaf.field.clone(),
                    wanted: FieldType::Words.wanted(),
                });
            }
            needles.extend(found);
        }
        Ok(Test::Words(needles))
    }
}

fn presence(kind: &FieldType) -> Presence {
    match kind {
        FieldType::Text | FieldType::TextMap | FieldType::Value | FieldType::ValueMap => {
            Presence::Text(Form::Folded)
        }
        FieldType::Keyword | FieldType::OneOf(_) | FieldType::Ordered(_) => {
            Presence::Text(Form::Exact)
        }
        FieldType::TextSet => Presence::Set,
        FieldType::Words => Presence::Words,
        FieldType::Decimal => Presence::Decimal,
        FieldType::Bool
        | FieldType::Integer
        | FieldType::Timestamp
        | FieldType::Duration
        | FieldType::Id => Presence::Value,
    }
}

fn text_test(form: Form, operator: Operator, mut texts: Vec<String>) -> Test {
    if operator == Operator::In {
        return Test::Text(form, TextTest::In(texts));
    }
    let asked = texts.pop().unwrap_or_default();
    let test = match operator {
        Operator::Ne => TextTest::Ne(asked),
        Operator::Has => TextTest::Has(asked),
        Operator::StartsWith => TextTest::StartsWith(asked),
        Operator::EndsWith => TextTest::EndsWith(asked),
        _ => TextTest::Eq(asked),
    };
    Test::Text(form, test)
}

/// `priority >= high` is `priority in (high, urgent)`: an index on the column serves it and no order is needed in SQL.
fn ordered_test(ladder: &[String], operator: Operator, texts: Vec<String>) -> Test {
    let compare = match Compare::of(operator) {
        None | Some(Compare::Eq | Compare::Ne) => return text_test(Form::Exact, operator, texts),
        Some(compare) => compare,
    };
    let rung = |text: &String| ladder.iter().position(|step| step == text);
    let asked = texts.first().and_then(rung);
    let holds = |step: &&String| compare.holds(rung(step).cmp(&asked));
    Test::Text(
        Form::Exact,
        TextTest::In(ladder.iter().filter(holds).cloned().collect()),
    )
}

fn typed_test(operator: Operator, values: &[Scalar]) -> Test {
    let compare = Compare::of(operator).unwrap_or(Compare::Eq);
    match (operator, values) {
        (Operator::In, [Scalar::Integer(_), ..]) => Test::IntegerIn(
            values
                .iter()
                .filter_map(|value| {
                    if let Scalar::Integer(n) = value {
                        Some(*n)
                    } else {
                        None
                    }
                })
                .collect(),
        ),
        (Operator::In, [Scalar::Decimal(_), ..]) => Test::DecimalIn(
            values
                .iter()
                .filter_map(|value| {
                    if let Scalar::Decimal(number) = value {
                        Some(*number)
                    } else {
                        None
                    }
                })
                .collect(),
        ),
        (Operator::In, _) => Test::IdIn(
            values
                .iter()
                .filter_map(|value| {
                    if let Scalar::Id(id, _) = value {
                        Some(*id)
                    } else {
                        None
                    }
                })
                .collect(),
        ),
        (_, [Scalar::Bool(truth)]) => Test::Bool(compare, *truth),
        (_, [Scalar::Integer(number)]) => Test::Integer(compare, *number),
        (_, [Scalar::Decimal(number)]) => Test::Decimal(compare, *number),
        (_, [Scalar::Timestamp(at, _)]) => Test::Timestamp(compare, *at),
        (_, [Scalar::Period(from, to, _)]) => match compare {
            Compare::Eq => Test::Period(true, *from, *to),
            Compare::Ne => Test::Period(false, *from, *to),
            Compare::Lt => Test::Timestamp(Compare::Lt, *from),
            Compare::Le => Test::Timestamp(Compare::Lt, *to),
            Compare::Gt => Test::Timestamp(Compare::Ge, *to),
            Compare::Ge => Test::Timestamp(Compare::Ge, *from),
        },
        (_, [Scalar::Duration(micros)]) => Test::Duration(compare, *micros),
        (_, [Scalar::Id(id, _)]) => Test::Id(compare, *id),
        // No type reads other values; a test that nothing passes is the safe answer.
        _ => Test::IdIn(Vec::new()),
    }
}
