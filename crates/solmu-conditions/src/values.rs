//! Custom fields as events carry them: values in canonical text, by key.

use std::{borrow::Cow, collections::BTreeMap};

use crate::facts::Fact;

/// Values by key in lower case, as [`crate::FieldType::ValueMap`] asks for them.
pub fn values_by_key(
    fields: impl IntoIterator<Item = (String, Vec<String>)>,
) -> BTreeMap<String, Vec<String>> {
    let fields = fields.into_iter();
    fields
        .map(|(key, values)| (key.to_ascii_lowercase(), values))
        .collect()
}

/// What a condition sees of a custom field: nothing, a text, or of several values a set.
pub fn value_of<'a>(fields: &'a BTreeMap<String, Vec<String>>, key: &str) -> Option<Fact<'a>> {
    match fields.get(key)?.as_slice() {
        [] => None,
        [one] => (!one.is_empty()).then(|| one.into()),
        several => Some(Fact::Set(Cow::Borrowed(several))),
    }
}
