//! Reading vendors' JSON loosely: they send numbers as text, leave out what is documented and add what is not. A field
//! of an unexpected kind counts as absent, so that one odd field never costs a message.

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use solmu_text::json::read;

/// The text at `path` ("a.b"), or a number as text; empty texts count as absent.
pub(crate) fn text(value: &Value, path: &str) -> Option<String> {
    match at(value, path)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The text at `path`, or the empty text.
pub(crate) fn text_or_empty(value: &Value, path: &str) -> String {
    text(value, path).unwrap_or_default()
}

/// The whole number at `path`, also when it came as text.
pub(crate) fn integer(value: &Value, path: &str) -> Option<i64> {
    match at(value, path)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether the value at `path` is `true`.
pub(crate) fn flag(value: &Value, path: &str) -> bool {
    at(value, path) == Some(&Value::Bool(true))
}

/// The elements at `path`; none if it is no list.
pub(crate) fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The object at `path`.
pub(crate) fn object<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    at(value, path).filter(|value| value.is_object())
}

/// The instant at `path`, in Unix seconds as number or text.
pub(crate) fn instant(value: &Value, path: &str) -> Option<Timestamp> {
    integer(value, path).and_then(|seconds| Timestamp::from_second(seconds).ok())
}

fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(value, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_texts_are_read_alike() {
        let value = json!({"a": {"n": 5, "t": "6", "e": "", "x": [1], "yes": true}});
        assert_eq!(text(&value, "a.n").as_deref(), Some("5"));
        assert_eq!(integer(&value, "a.t"), Some(6));
        assert_eq!(text(&value, "a.e"), None);
        assert_eq!(text(&value, "a.x"), None);
        assert_eq!(text(&value, "a.n.deeper"), None);
        assert_eq!(list(&value, "a.x").len(), 1);
        assert!(list(&value, "a.n").is_empty());
        assert!(flag(&value, "a.yes") && !flag(&value, "a.n"));
        assert_eq!(instant(&value, "a.t").unwrap().as_second(), 6);
        assert_eq!(instant(&json!({"t": i64::MAX}), "t"), None);
    }
}
