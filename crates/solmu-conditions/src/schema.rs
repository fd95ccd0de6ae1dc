//! What a list, a rule set or a view lets conditions look at: the declared fields.
//!
//! A schema is written in code by its owner, once per kind of list or rule set. It is the allow-list between users and
//! SQL: column expressions are `&'static str`, so no text of a user can become one.

use std::collections::BTreeMap;

use jiff::{Timestamp, tz::TimeZone};

use crate::condition::Operator::{
    self, EndsWith, Eq, Ge, Gt, Has, In, Le, Lt, Ne, Present, StartsWith,
};
use crate::limits::Limits;
use crate::violation::nearest;

/// What a field holds, which decides its operators and how values are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Text for people, compared folded ([`crate::fold`]). SQL `text`.
    Text,
    /// A text for machines (an address, a queue), compared exactly. SQL `text`.
    Keyword,
    /// A keyword out of a closed list. SQL `text`.
    OneOf(Vec<String>),
    /// A keyword out of a closed list that goes from low to high, so that `priority >= high` works. SQL `text`.
    Ordered(Vec<String>),
    /// SQL `boolean`.
    Bool,
    /// SQL `bigint` (or narrower).
    Integer,
    /// A decimal number, exactly, see [`crate::Decimal`]. SQL `numeric`. In memory a text in that form, or a whole number.
    Decimal,
    /// An instant to the microsecond; a text by RFC 3339 in values. SQL `timestamptz`.
    Timestamp,
    /// A span of time to the microsecond; `90s`, `2h 30m` in values. SQL `interval`.
    Duration,
    /// SQL `uuid`.
    Id,
    /// A set of keywords, such as tags, compared exactly. SQL `text[]`.
    TextSet,
    /// Text that is searched by whole words ([`crate::words`]). SQL `text`.
    Words,
    /// Texts by name, such as headers and custom fields, addressed as `headers.x-spam-flag` and compared as
    /// [`FieldType::Text`]. Keys are stored in lower case. SQL `jsonb`.
    TextMap,
    /// A value in canonical text whose type only its owner knows, such as a custom field: compared as
    /// [`FieldType::Text`], and by order with a number, a day or an instant, for which a value that is none of the kind
    /// counts as absent. In memory only.
    Value,
    /// [`FieldType::Value`]s by name, addressed like those of [`FieldType::TextMap`]. In memory only.
    ValueMap,
}

impl FieldType {
    /// The operators that conditions on such a field may use.
    pub const fn operators(&self) -> &'static [Operator] {
        match self {
            Self::Text | Self::Keyword | Self::TextMap => {
                &[Eq, Ne, Has, In, StartsWith, EndsWith, Present]
            }
            Self::Value | Self::ValueMap => &[
                Eq, Ne, Lt, Le, Gt, Ge, Has, In, StartsWith, EndsWith, Present,
            ],
            Self::OneOf(_) | Self::Id => &[Eq, Ne, In, Present],
            Self::Ordered(_) | Self::Integer | Self::Decimal => {
                &[Eq, Ne, Lt, Le, Gt, Ge, In, Present]
            }
            Self::Timestamp | Self::Duration => &[Eq, Ne, Lt, Le, Gt, Ge, Present],
            Self::Bool => &[Eq, Ne, Present],
            Self::TextSet | Self::Words => &[Has, In, StartsWith, Present],
        }
    }

    /// Whether the field holds many values, which the text form asks about by `:` rather than `=`.
    pub(crate) const fn is_collection(&self) -> bool {
        matches!(self, Self::TextSet | Self::Words)
    }

    /// Whether fields of the kind are addressed with a key.
    pub(crate) const fn is_map(&self) -> bool {
        matches!(self, Self::TextMap | Self::ValueMap)
    }

    /// Whether there is no SQL for fields of the kind.
    pub(crate) const fn in_memory_only(&self) -> bool {
        matches!(self, Self::Value | Self::ValueMap)
    }

    /// What a value has to look like, for messages.
    pub(crate) const fn wanted(&self) -> &'static str {
        match self {
            Self::Text
            | Self::Keyword
            | Self::OneOf(_)
            | Self::Ordered(_)
            | Self::TextSet
            | Self::TextMap => "a text, such as \"word\"",
            Self::Value | Self::ValueMap => {
                "a number, such as 99.50, a day (2026-01-31), a month, a year, or a time, such as \
                 \"2026-01-31T08:00:00Z\""
            }
            Self::Words => "a text with at least one word, such as \"invoice\"",
            Self::Bool => "true or false",
            Self::Integer => "a whole number, such as 42",
            Self::Decimal => {
                "a number, such as 99.5, of at most 20 digits before the point and 10 behind it"
            }
            Self::Timestamp => {
                "a time from the year 1 until 9999-12-30T22:00:00Z with its offset, such as \"2026-01-31T08:00:00Z\" or \
                 \"2026-01-31T10:00:00+02:00\", a day (2026-01-31), a month (2026-01) or a year (2026)"
            }
            Self::Duration => "a length of time up to 100 years, such as \"90s\" or \"2h 30m\"",
            Self::Id => "an id, such as \"0198c5d2-7a10-7bb2-8e4f-0242ac120002\"",
        }
    }
}

/// Where a field is found in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) sql: &'static str,
    /// The column already holds what [`crate::fold_sql`] or [`crate::words_sql`] gives.
    pub(crate) prepared: bool,
    /// A key that is bound after `sql`, and what follows it.
    pub(crate) key: Option<(String, &'static str)>,
    /// SQL around the comparison, for values that stand in other rows.
    pub(crate) within: Option<(&'static str, &'static str)>,
    /// A `jsonb` with the value under the key, whose index serves equality.
    pub(crate) indexed: Option<Indexed>,
    /// An array of ids, of which one has to fit.
    pub(crate) id_set: bool,
}

/// How a `jsonb` holds what stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Indexed {
    /// As an array of texts.
    Arrays(&'static str),
    /// As a text.
    Texts(&'static str),
}

impl Column {
    /// Whether it has any number of values, of which one has to fit.
    pub(crate) const fn is_of_many(&self) -> bool {
        self.within.is_some() || self.id_set
    }

    const fn new(sql: &'static str) -> Self {
        Self {
            sql,
            prepared: false,
            key: None,
            within: None,
            indexed: None,
            id_set: false,
        }
    }
}

/// A field that conditions may look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    name: String,
    kind: FieldType,
    pub(crate) column: Option<Column>,
}

impl Field {
    /// A field that exists in memory only, until [`Field::column`] gives it a column.
    ///
    /// # Panics
    /// When `name` is not letters, digits, `_` and `-` in parts joined by dots, or does not begin with a letter: names
    /// are constants of our code.
    pub fn new(name: impl Into<String>, kind: FieldType) -> Self {
        let name = name.into();
        assert!(is_field_name(&name), "\"{name}\" is not a field name");
        Self {
            name,
            kind,
            column: None,
        }
    }

    /// A closed list of keywords, see [`FieldType::OneOf`].
    pub fn one_of(
        name: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::new(
            name,
            FieldType::OneOf(values.into_iter().map(Into::into).collect()),
        )
    }

    /// A closed list of keywords from low to high, see [`FieldType::Ordered`].
    pub fn ordered(
        name: impl Into<String>,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::new(
            name,
            FieldType::Ordered(values.into_iter().map(Into::into).collect()),
        )
    }

    /// The SQL expression of the type that [`FieldType`] names. It is pushed in parentheses, as it is.
    #[must_use]
    pub fn column(mut self, sql: &'static str) -> Self {
        self.column = Some(Column::new(sql));
        self
    }

    /// Like [`Field::column`], of an expression with a key in it, such as a custom field: `before`, the key as a bind,
    /// `after`.
    #[must_use]
    pub fn keyed_column(
        mut self,
        before: &'static str,
        key: impl Into<String>,
        after: &'static str,
    ) -> Self {
        self.column = Some(Column {
            key: Some((key.into(), after)),
            ..Column::new(before)
        });
        self
    }

    /// For a [`FieldType::Keyword`], or a [`FieldType::Decimal`] in its shortest form, with a [`Field::keyed_column`]:
    /// `jsonb` holds an array of texts under the key, and equality asks for that (`@>`), which an index on it can serve.
    #[must_use]
    pub fn in_arrays(self, jsonb: &'static str) -> Self {
        self.indexed(Indexed::Arrays(jsonb))
    }

    /// Like [`Field::in_arrays`], of a `jsonb` that holds one text under the key.
    #[must_use]
    pub fn in_texts(self, jsonb: &'static str) -> Self {
        self.indexed(Indexed::Texts(jsonb))
    }

    fn indexed(mut self, by: Indexed) -> Self {
        if let Some(column) = &mut self.column {
            column.indexed = Some(by);
        }
        self
    }

    /// The column belongs to other rows: the comparison is put between `before` and `after`, which select whether one of
    /// them fits (`id IN (SELECT ... WHERE` and `)`). `!=` asks that there is one and that none is equal.
    #[must_use]
    pub fn within(mut self, before: &'static str, after: &'static str) -> Self {
        if let Some(column) = &mut self.column {
            column.within = Some((before, after));
        }
        self
    }

    /// For a [`FieldType::Id`] whose column is a `uuid[]`: one of them has to fit, as with [`Field::within`].
    #[must_use]
    pub fn in_set(mut self) -> Self {
        if let Some(column) = &mut self.column {
            column.id_set = true;
        }
        self
    }

    /// Like [`Field::column`], for a [`FieldType::Text`] or [`FieldType::Words`] whose column holds what
    /// [`crate::fold_sql`] respectively [`crate::words_sql`] gives, so that an index can serve the search.
    #[must_use]
    pub fn prepared_column(mut self, sql: &'static str) -> Self {
        self.column = Some(Column {
            prepared: true,
            ..Column::new(sql)
        });
        self
    }

    /// The name in conditions.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How conditions write the name: a map needs a key.
    fn written(&self) -> String {
        if self.kind.is_map() {
            format!("{}.<name>", self.name)
        } else {
            self.name.clone()
        }
    }

    /// What the field holds.
    pub const fn kind(&self) -> &FieldType {
        &self.kind
    }
}

/// The fields that conditions of one kind may look at, and their bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    fields: BTreeMap<String, Field>,
    search: Option<String>,
    limits: Limits,
    clock: Option<(Timestamp, TimeZone)>,
    names: BTreeMap<String, String>,
}

/// A declared field, and the key when it is a map.
pub(crate) struct Resolved<'a> {
    pub(crate) field: &'a Field,
    pub(crate) key: Option<String>,
}

impl Schema {
    /// A schema without fields and with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares `field`; a field of the same name is replaced.
    #[must_use]
    pub fn with(mut self, field: Field) -> Self {
        self.fields.insert(field.name.clone(), field);
        self
    }

    /// Names the declared field that words without a field are searched in, as in the filter `invoice status = open`.
    ///
    /// # Panics
    /// When no such field is declared: schemas are constants of our code.
    #[must_use]
    pub fn searched_in(mut self, field: &str) -> Self {
        assert!(
            self.fields.contains_key(field),
            "\"{field}\" is not declared"
        );
        self.search = Some(field.to_owned());
        self
    }

    /// Says when and where the condition is read: days and months (`2026-04`) are those of `zone` (without this of UTC),
    /// and a time may be written by its distance (`-7d`) from `now`. Not for conditions that are evaluated later.
    #[must_use]
    pub fn read_at(mut self, now: Timestamp, zone: TimeZone) -> Self {
        self.clock = Some((now, zone));
        self
    }

    /// Lets an id be written as `name`: `me` for the caller.
    #[must_use]
    pub fn naming(mut self, name: impl Into<String>, id: impl Into<String>) -> Self {
        self.names.insert(name.into(), id.into());
        self
    }

    /// The id that is written as `name`.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> &'a str {
        self.names.get(name).map_or(name, String::as_str)
    }

    pub(crate) const fn clock(&self) -> Option<&(Timestamp, TimeZone)> {
        self.clock.as_ref()
    }

    /// Replaces the bounds.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The declared fields by name, for forms and documentation.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.values()
    }

    /// The bounds.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn search(&self) -> Option<&str> {
        self.search.as_deref()
    }

    /// The field that `name` means: one of that name, else the map with the longest name before a dot.
    pub(crate) fn resolve(&self, name: &str) -> Option<Resolved<'_>> {
        if let Some(field) = self.fields.get(name).filter(|field| !field.kind.is_map()) {
            return Some(Resolved { field, key: None });
        }
        name.rmatch_indices('.').find_map(|(dot, _)| {
            let field = self
                .fields
                .get(&name[..dot])
                .filter(|field| field.kind.is_map())?;
            let key = &name[dot + 1..];
            is_key(key).then(|| Resolved {
                field,
                key: Some(key.to_ascii_lowercase()),
            })
        })
    }

    /// The declared name that `name` is probably meant to be, as it is written.
    pub(crate) fn suggestion(&self, name: &str) -> Option<String> {
        let near = nearest(name, self.fields.keys().map(String::as_str))?;
        self.fields.get(&near).map(Field::written)
    }

    /// Declared names as they are written, for messages.
    pub(crate) fn names(&self) -> Vec<String> {
        self.fields.values().map(Field::written).collect()
    }
}

fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn is_key(key: &str) -> bool {
    key.len() <= 100 && key.split('.').all(is_part)
}

fn is_field_name(name: &str) -> bool {
    let keyword = matches!(name, "AND" | "OR" | "NOT");
    !keyword
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.split('.').all(is_part)
}
