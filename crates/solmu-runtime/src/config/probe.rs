//! Finds every error, although a deserialiser stops at the first.
//!
//! Each part of the tree is tried alone: all structs have defaults, so a part that is refused alone is refused for
//! what is in it. The search goes down as long as a child explains the failure. What is missing cannot be found that
//! way (everything is missing beside a part that is tried alone), so it is looked up in the schema.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{
    error::ConfigError,
    schema::SchemaView,
    source::{self, Keys, Tree},
};

/// Whether the configuration takes a table.
pub(super) fn accepts<T: DeserializeOwned>(table: Table) -> bool {
    match Value::Table(table).try_into::<T>() {
        Ok(_) => true,
        Err(error) => missing_field(error.message()).is_some(),
    }
}

/// Adds an error for each part that is refused.
pub(super) fn all<T: DeserializeOwned>(
    view: &SchemaView,
    tree: &Tree,
    errors: &mut Vec<ConfigError>,
) {
    let whole = tree.to_value();
    let alone = |keys: &[String]| -> Option<String> {
        pruned(&whole, keys)
            .try_into::<T>()
            .err()
            .map(|error| error.message().to_owned())
    };
    for (key, value) in tree.root() {
        descend(&alone, &mut vec![key.clone()], value, view, tree, errors);
    }
}

/// Adds an error for each number that is given and is out of the range that the schema states.
pub(super) fn ranges(view: &SchemaView, tree: &Tree, errors: &mut Vec<ConfigError>) {
    for (key, value) in tree.root() {
        in_range(&mut vec![key.clone()], value, view, tree, errors);
    }
}

fn in_range(
    keys: &mut Keys,
    value: &Value,
    view: &SchemaView,
    tree: &Tree,
    errors: &mut Vec<ConfigError>,
) {
    for (key, value) in children(value) {
        keys.push(key);
        in_range(keys, value, view, tree, errors);
        keys.pop();
    }
    #[expect(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
    let number = match value {
        Value::Integer(number) => *number as f64,
        Value::Float(number) => *number,
        _ => return,
    };
    let Some((least, most)) = view.range(keys) else {
        return;
    };
    let path = keys.join(".");
    if errors.iter().any(|error| error.path() == path) {
        return;
    }
    if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
        let wanted = match (least, most) {
            (Some(least), Some(most)) => format!("from {least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => return,
        };
        let text = format!("{number} is out of range, it must be {wanted}");
        errors.push(ConfigError::new(path, tree.origin(keys), text));
    }
}

/// What a value consists of, with the key of each part.
fn children(value: &Value) -> Vec<(String, &Value)> {
    match value {
        Value::Table(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| (index.to_string(), item))
            .collect(),
        _ => Vec::new(),
    }
}

/// Only what lies at `keys`, with what it lies in.
fn pruned(value: &Value, keys: &[String]) -> Value {
    let Some((key, rest)) = keys.split_first() else {
        return value.clone();
    };
    match value {
        Value::Table(table) => {
            let kept = table
                .get(key)
                .map(|value| (key.clone(), pruned(value, rest)));
            Value::Table(kept.into_iter().collect())
        }
        Value::Array(items) => {
            let item = key.parse::<usize>().ok().and_then(|index| items.get(index));
            Value::Array(item.map(|value| pruned(value, rest)).into_iter().collect())
        }
        other => other.clone(),
    }
}

fn descend(
    alone: &dyn Fn(&[String]) -> Option<String>,
    keys: &mut Keys,
    value: &Value,
    view: &SchemaView,
    tree: &Tree,
    errors: &mut Vec<ConfigError>,
) {
    let Some(message) = alone(keys) else { return };
    let known = errors.len();
    for (key, value) in children(value) {
        keys.push(key);
        descend(alone, keys, value, view, tree, errors);
        keys.pop();
    }
    if errors.len() == known && missing_field(&message).is_none() {
        errors.push(explain(keys, &message, view, tree));
    }
}

fn explain(keys: &[String], message: &str, view: &SchemaView, tree: &Tree) -> ConfigError {
    let origin = tree.origin(keys);
    if let Some(unknown) = quoted_after(message, "unknown field `") {
        let depth = keys
            .iter()
            .position(|key| key == unknown)
            .map_or(keys.len(), |index| index + 1);
        let wanted: Vec<&str> = message
            .split_once("expected")
            .map(|(_, list)| list.split('`').skip(1).step_by(2).collect())
            .unwrap_or_default();
        let hint = match nearest(unknown, &wanted) {
            Some(key) => format!("unknown key, did you mean `{key}`?"),
            None if wanted.is_empty() => "unknown key, none is expected here".to_owned(),
            None => format!("unknown key, expected one of {}", wanted.join(", ")),
        };
        return ConfigError::new(keys[..depth].join("."), origin, hint);
    }
    // The message of serde quotes the value.
    let message = if view.is_secret(keys) {
        "expected a text"
    } else {
        message
    };
    ConfigError::new(keys.join("."), origin, message)
}

/// Adds an error for each required key that a table of the tree does not have.
pub(super) fn missing(view: &SchemaView, tree: &Tree, errors: &mut Vec<ConfigError>) {
    in_table(tree.root(), &mut Vec::new(), view, tree, errors);
}

fn in_table(
    table: &Table,
    keys: &mut Keys,
    view: &SchemaView,
    tree: &Tree,
    errors: &mut Vec<ConfigError>,
) {
    for required in view.required(keys) {
        if !table.contains_key(required) {
            let origin = if keys.is_empty() {
                None
            } else {
                tree.origin(keys)
            };
            keys.push(required.to_owned());
            errors.push(ConfigError::new(keys.join("."), origin, "is missing"));
            keys.pop();
        }
    }
    for (key, value) in table {
        keys.push(key.clone());
        source::for_tables(value, keys, &mut |inner, keys| {
            in_table(inner, keys, view, tree, errors);
        });
        keys.pop();
    }
}

fn missing_field(message: &str) -> Option<&str> {
    quoted_after(message, "missing field `")
}

fn quoted_after<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    message.strip_prefix(start)?.split('`').next()
}

/// The candidate that is at most a third of its letters away.
fn nearest<'a>(text: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (distance(text, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, candidate) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *candidate);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_keys_have_a_nearest() {
        let keys = ["password", "port", "host"];
        assert_eq!(nearest("pasword", &keys), Some("password"));
        assert_eq!(nearest("prot", &keys), Some("port"));
        assert_eq!(nearest("colour", &keys), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
