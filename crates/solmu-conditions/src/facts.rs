//! What is known about the thing that a condition is asked about.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::fold::SearchText;

/// A ticket, message or contact as conditions see it.
pub trait Facts {
    /// The value of `field` (`map.key` for one of a map, the key in lower case), or nothing when it is absent. A value
    /// of another type than the schema declares counts as absent.
    fn get(&self, field: &str) -> Option<Fact<'_>>;
}

impl<F: Facts + ?Sized> Facts for &F {
    fn get(&self, field: &str) -> Option<Fact<'_>> {
        (**self).get(field)
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<'a> {
    /// For texts, keywords of all kinds, and words. Texts are folded at each comparison; see [`Fact::Search`].
    Text(Cow<'a, str>),
    /// For texts and words that many conditions look at.
    Search(&'a SearchText),
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// An instant; what is finer than a microsecond is ignored, as PostgreSQL does not keep it.
    Timestamp(Timestamp),
    /// A span of time, to the microsecond like instants.
    Duration(SignedDuration),
    /// An id.
    Id(Uuid),
    /// A set of texts, such as tags.
    Set(Cow<'a, [String]>),
}

impl<'a> From<&'a str> for Fact<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Fact<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a SearchText> for Fact<'a> {
    fn from(text: &'a SearchText) -> Self {
        Self::Search(text)
    }
}

impl<'a> From<&'a [String]> for Fact<'a> {
    fn from(set: &'a [String]) -> Self {
        Self::Set(Cow::Borrowed(set))
    }
}

impl From<bool> for Fact<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Fact<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Timestamp> for Fact<'_> {
    fn from(at: Timestamp) -> Self {
        Self::Timestamp(at)
    }
}

impl From<SignedDuration> for Fact<'_> {
    fn from(span: SignedDuration) -> Self {
        Self::Duration(span)
    }
}

impl From<Uuid> for Fact<'_> {
    fn from(id: Uuid) -> Self {
        Self::Id(id)
    }
}
