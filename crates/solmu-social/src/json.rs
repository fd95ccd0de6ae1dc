//! Reading vendors' JSON loosely: they send numbers as text, leave out what is documented and add what is not. A field
//! of an unexpected kind counts as absent, so that one odd field never costs a message.

use jiff::Timestamp;
use serde_json::Value;

/// Reads a request. Half a character (a text that was cut inside an emoji leaves one `\ud83d`) or a byte that is no
/// UTF-8 is replaced: strict readers refuse the whole document, and with it every neighbour in the batch.
pub(crate) fn read(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body)
        .ok()
        .or_else(|| serde_json::from_str(&mended(&String::from_utf8_lossy(body))).ok())
}

/// The document with U+FFFD for each escaped surrogate that has no other half.
fn mended(document: &str) -> String {
    let mut whole = String::with_capacity(document.len());
    let mut rest = document;
    while let Some(at) = rest.find('\\') {
        whole.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match (surrogate(rest), rest.get(6..).and_then(surrogate)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(_), _) => {
                whole.push('\u{FFFD}');
                rest = &rest[6..];
                continue;
            }
            // A backslash and what it escapes.
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        whole.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    whole.push_str(rest);
    whole
}

/// The surrogate whose escape `text` begins with.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    (0xD800..=0xDFFF).contains(&unit).then_some(unit)
}

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
    fn half_a_character_does_not_cost_the_document() {
        for (body, wanted) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00b""#, "\u{fffd}b"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\ud800\u0041""#, "\u{fffd}A"),
            (r#""\\ud800 \ud800""#, "\\ud800 \u{fffd}"),
            (r#""\ud83d\ude00 ä\n""#, "😀 ä\n"),
        ] {
            assert_eq!(read(body.as_bytes()), Some(json!(wanted)), "{body}");
        }
        assert_eq!(read(b"[\"\xff\"]"), Some(json!(["\u{fffd}"])));
        for broken in ["", "{", r#""\ud8"#, r#""\"#, r#""\ud800"#, "\"\\ä\""] {
            assert_eq!(read(broken.as_bytes()), None, "{broken}");
        }
    }

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
