//! What a field may hold, in one form.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};

use super::{Definition, Kind, decimal};

/// Longest value, in bytes.
pub(super) const MAX_VALUE: usize = 2_000;
/// A compiled pattern, in bytes: what an expression like `(a{1000}){1000}` would need is refused.
const MAX_PROGRAM: usize = 256 * 1024;

/// `values` as they are stored, or why they cannot be. Nothing, or nothing but empty ones, is no value.
pub fn canonical(field: &Definition, values: &[String]) -> Result<Vec<String>, String> {
    let given: Vec<&str> = values.iter().map(|it| it.trim()).collect();
    let given: Vec<&str> = given.into_iter().filter(|it| !it.is_empty()).collect();
    if given.is_empty() {
        return Ok(Vec::new());
    }
    if field.archived_at.is_some() {
        return Err("the field is archived".to_owned());
    }
    if field.kind() == Kind::MultiChoice {
        if let Some(bad) = given.iter().find(|it| !offers(field, it)) {
            return Err(not_offered(field, bad));
        }
        let chosen = field
            .options
            .iter()
            .filter(|it| given.contains(&it.as_str()));
        return Ok(chosen.cloned().collect());
    }
    let [value] = given[..] else {
        return Err("takes one value".to_owned());
    };
    one(field, value).map(|value| vec![value])
}

fn one(field: &Definition, value: &str) -> Result<String, String> {
    if value.len() > MAX_VALUE {
        return Err(format!("longer than {MAX_VALUE} bytes"));
    }
    if field.kind() == Kind::Choice {
        let offered = offers(field, value).then(|| value.to_owned());
        return offered.ok_or_else(|| not_offered(field, value));
    }
    let stored = plain(field.kind(), value)?;
    if field.kind() == Kind::Text {
        check_text(field, &stored)?;
    }
    for (limit, wrong, word) in [
        (&field.min, Ordering::Less, "less"),
        (&field.max, Ordering::Greater, "greater"),
    ] {
        if !limit.is_empty() && compare(field.kind(), &stored, limit) == wrong {
            return Err(format!("is {word} than {limit}"));
        }
    }
    Ok(stored)
}

/// A value of `kind` in canonical text, whatever the limits of the field.
pub(super) fn plain(kind: Kind, value: &str) -> Result<String, String> {
    match kind {
        Kind::Text => {
            let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
            let clean = (!value.contains(bad)).then(|| value.to_owned());
            clean.ok_or_else(|| "has control characters".to_owned())
        }
        Kind::Number => decimal::canonical(value)
            .ok_or_else(|| "expected a decimal number such as 12.5".to_owned()),
        Kind::Date => value
            .parse::<jiff::civil::Date>()
            .map(|date| date.to_string())
            .map_err(|_| "expected a date such as 2026-11-22".to_owned()),
        Kind::Datetime => value
            .parse::<jiff::Timestamp>()
            .map(|at| at.to_string())
            .map_err(|_| "expected an instant such as 2026-11-22T09:30:00+02:00".to_owned()),
        Kind::Boolean => match value {
            "true" | "false" => Ok(value.to_owned()),
            _ => Err("expected true or false".to_owned()),
        },
        Kind::Unspecified | Kind::Choice | Kind::MultiChoice => {
            Err("has no such values".to_owned())
        }
    }
}

/// Compares two canonical values.
pub(super) fn compare(kind: Kind, a: &str, b: &str) -> Ordering {
    match kind {
        Kind::Number => decimal::compare(a, b),
        Kind::Datetime => {
            let at = |text: &str| text.parse::<jiff::Timestamp>().ok();
            at(a).cmp(&at(b))
        }
        Kind::Date => {
            let day = |text: &str| text.parse::<jiff::civil::Date>().ok();
            day(a).cmp(&day(b))
        }
        _ => Ordering::Equal,
    }
}

fn check_text(field: &Definition, text: &str) -> Result<(), String> {
    let length = i32::try_from(text.chars().count()).unwrap_or(i32::MAX);
    if length < field.min_length {
        return Err(format!("has less than {} characters", field.min_length));
    }
    if field.max_length > 0 && length > field.max_length {
        return Err(format!("has more than {} characters", field.max_length));
    }
    if field.pattern.is_empty() {
        return Ok(());
    }
    // Checked when it was stored; what another release stored and this one cannot read matches nothing.
    let matches = pattern(&field.pattern).is_ok_and(|it| it.is_match(text));
    matches
        .then_some(())
        .ok_or_else(|| format!("does not match {}", field.pattern))
}

/// The pattern of a field, which a text matches as a whole. It runs in linear time.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    let build = |text: &str| {
        let mut builder = RegexBuilder::new(text);
        builder
            .size_limit(MAX_PROGRAM)
            .dfa_size_limit(MAX_PROGRAM)
            .build()
    };
    // By itself first: `a)|(b` would only be legal between our brackets, and mean something else there.
    build(text)
        .and_then(|_| build(&format!("^(?:{text})$")))
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "is too large".to_owned(),
            _ => "is not a regular expression (no look-around, no back references)".to_owned(),
        })
}

fn offers(field: &Definition, value: &str) -> bool {
    field.options.iter().any(|option| option == value)
}

fn not_offered(field: &Definition, value: &str) -> String {
    let mut shown: Vec<&str> = field.options.iter().take(20).map(String::as_str).collect();
    if shown.len() < field.options.len() {
        shown.push("...");
    }
    let value: String = value.chars().take(100).collect();
    format!("'{value}' is none of: {}", shown.join(", "))
}
